"""What the authors' released implementation of Attribution Equilibrium does differently from the paper.

Each rule here is a deviation that its outputs show: on residual sums the skip branch gets nothing, a
dense block's last concatenation drops the relevance of the block's input, and relevance at exact
zeros is lost in batch norms and concatenations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from equipoise.engine.operations import OpKind
from equipoise.engine.relevance import Relevance, only
from equipoise.engine.rule import Step
from equipoise.engine.trace import OpCall, Trace, Value
from equipoise.rules.structure import Pass, Slices


@dataclass(frozen=True)
class ResidualBranchOnly:
    """Addition: the residual branch gets all, the skip branch nothing."""

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        inputs = step.call.inputs
        if len(inputs) != 2:
            return Pass()(step, relevance)
        branch = residual_branch(step.call, step.trace)
        return [only(relevance) if index == branch else None for index in range(2)]


@dataclass(frozen=True)
class NonzeroPass:
    """Batch norm: relevance passes where the input times the scale is not exactly zero."""

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        arrived = only(relevance)
        weight = step.constant(step.call.bound().get("weight"))
        alive = step.data() != 0
        if weight is not None:
            alive = alive & (weight != 0).reshape(-1, *[1] * (alive.dim() - 2))
        return [arrived.with_value(arrived.value * alive), *[None] * (len(step.call.inputs) - 1)]


@dataclass(frozen=True)
class NonzeroSlices:
    """Concatenation: slices, zero where the input is; the end of a dense block forgets the block's input."""

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        parts = Slices()(step, relevance)
        masked = [
            None if part is None else part.with_value(part.value * (step.data(index) != 0))
            for index, part in enumerate(parts)
        ]
        if _ends_dense_block(step.call, step.trace):
            masked[0] = None
        return masked


def residual_branch(call: OpCall, trace: Trace) -> int:
    """Which summand of an addition is the residual branch: the one with more layers above the fork."""
    left, right = (trace.ancestors(value) for value in call.inputs)
    common = left & right
    depth = [sum(_is_layer(value) for value in side - common) for side in (left, right)]
    return 1 if depth[1] > depth[0] else 0


def fork(call: OpCall, trace: Trace) -> Value:
    """The nearest value that both summands of an addition depend on."""
    left, right = (trace.ancestors(value) for value in call.inputs)
    return max(left & right, key=lambda value: value.index)


def _is_layer(value: Value) -> bool:
    return value.producer is not None and value.producer.kind is OpKind.LINEAR


def _ends_dense_block(call: OpCall, trace: Trace) -> bool:
    """Whether a concatenation joins a dense block: its first part feeds the others, its last feeds nothing else."""
    if len(call.inputs) < 2:
        return False
    first, last = call.inputs[0], call.inputs[-1]
    readers = sum(last in other.inputs for other in trace.calls)
    return readers == 1 and first in trace.ancestors(last)
