r"""Excitation backprop (Zhang et al. 2016, *Top-down neural attention by excitation backprop*).

The marginal winning probability of a neuron (Eq. 4 and 5):
:math:`P_i = x_i \sum_j w^+_{ij} P_j / \sum_{i'} x_{i'} w^+_{i'j}`. Biases take no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from equipoise.engine.layout import laid_out
from equipoise.engine.linear_map import LinearMap
from equipoise.engine.numerics import safe_divide
from equipoise.engine.relevance import Relevance, only
from equipoise.engine.rule import Step
from equipoise.rules.layered import Halves, Layered


@dataclass(frozen=True)
class Excitation(Layered):
    """Share by excitatory contributions alone.

    Signed inputs (the pixels) excite through ``x+ w+`` and ``x- w-``, unless ``unclamped``.

    Attributes:
        negated: Whether the weights count with the other sign: the dual unit of contrastive EB (section 3.3).
        unclamped: Use ``x w+`` for signed inputs too, as the released implementation does.
    """

    fold: bool = False
    negated: bool = False
    unclamped: bool = False

    def equation(self, x: Tensor, layer: LinearMap, bias: Tensor, R: Tensor) -> Tensor:
        """See `Layered`."""
        del bias
        weight = -layer.weight if self.negated else layer.weight
        up, down = weight.clamp(min=0), weight.clamp(max=0)
        if self.unclamped:
            return x * layer.adjoint(R / (layer(x, up) + 1e-20), up)
        halves = Halves.of(x, layer)
        return halves.back(layer, (safe_divide(R, halves.through(layer, (up, down))), (up, down)))


@dataclass(frozen=True)
class SharedByValue:
    """Average pools and sums: ``x_i p / f(x)`` with no stabilizer, as the released implementation does."""

    epsilon: float = 0.0

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        arrived = only(relevance)
        points = [laid_out(step.data(i)) for i in range(len(step.call.inputs))]
        moved = step.vjp(lambda made: [arrived.value / (made[0] + self.epsilon)], points)
        return arrived.split([None if g is None else x * g for x, g in zip(points, moved, strict=True)])
