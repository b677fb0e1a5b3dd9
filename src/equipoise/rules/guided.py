"""Guided backpropagation (Springenberg et al. 2015, *Striving for simplicity*), section 3.4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from equipoise.engine.relevance import Relevance
from equipoise.engine.rule import Step


@dataclass(frozen=True)
class Guided:
    """Only what raises the score passes: the gradient's positive part, times the activation's derivative.

    Attributes:
        zeros: Whether an input of exactly zero passes, too (a ReLU; TorchRay).
    """

    zeros: bool = False

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        values = [None if r is None else r.value.clamp(min=0) for r in relevance]
        if self.zeros and values[0] is not None:
            return [Relevance(values[0] * (step.data() >= 0)), *[None] * (len(step.call.inputs) - 1)]
        return [None if g is None else Relevance(g) for g in step.vjp(values)]
