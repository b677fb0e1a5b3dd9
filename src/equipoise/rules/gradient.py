"""The plain gradient as a rule: every operation's own derivative."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from equipoise.engine.layout import laid_out
from equipoise.engine.operations import OpKind
from equipoise.engine.relevance import Relevance
from equipoise.engine.rule import Composite, Rule, Step
from equipoise.rules.pooling import TiedMaximum, Winner


@dataclass(frozen=True)
class Derivative:
    """The chain rule. Any differentiable operation; the result is the gradient that autograd would give.

    Attributes:
        share_ties: Whether equal maxima of a window share its gradient, however the maximum is written; else the
            first of them gets it, or all, as torch's operation has it.
    """

    share_ties: bool = False

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        values = [None if r is None else r.value for r in relevance]
        kind, signals = step.call.kind, len(step.call.inputs)
        if signals == 1 and kind is OpKind.LINEAR and values[0] is not None:
            # Its derivative is its transpose, wherever it is taken: the layer need not be run again.
            return [Relevance(step.linear_map().adjoint(values[0]))]
        if self.share_ties and signals == 1 and kind is OpKind.MAX_POOL and values[0] is not None:
            shared = TiedMaximum().equation(step, values[0])
            if shared is not None:
                return [Relevance(shared)]
        if self.share_ties and signals > 1 and kind is OpKind.MAXIMUM and values[0] is not None:
            return [None if part is None else Relevance(part.value) for part in Winner()(step, relevance)]
        points = None
        if step.call.kind in (OpKind.MAX_POOL, OpKind.AVERAGE_POOL):
            points = [laid_out(step.data(i)) for i in range(len(step.call.inputs))]
        return [None if g is None else Relevance(g) for g in step.vjp(values, points)]


class _Every(Composite):
    """Gives one rule to every operation, known or not: the derivative is defined for all."""

    def rule_for(self, step: Step) -> Rule:
        del step
        return _DERIVATIVE


_DERIVATIVE = Derivative(share_ties=True)
GRADIENT: Composite = _Every("gradient", dict.fromkeys(OpKind, _DERIVATIVE), by_derivative=True)
"""The classification stage of Attribution Equilibrium, and the gradient methods."""
