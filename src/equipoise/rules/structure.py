"""The rules for what is no layer of weights: pools, sums, branches, gates, views.

They are common to the propagation methods; a method replaces those its paper defines otherwise.
Sources: the pooling rule is that of the reference implementation of Attribution Equilibrium
(Nam & Lee 2024); gates follow the signal-takes-all rule of Arras et al. 2017 (*Explaining recurrent
neural network predictions in sentiment analysis*, section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from equipoise.engine.layout import laid_out, rows_like
from equipoise.engine.operations import OpKind
from equipoise.engine.portions import rows_in_turn
from equipoise.engine.relevance import Relevance, only, sum_to
from equipoise.engine.remembered import without_zeros
from equipoise.engine.rule import Rule, Step
from equipoise.engine.trace import Value
from equipoise.errors import RuleNotApplicableError
from equipoise.rules.gates import signals
from equipoise.rules.pooling import Pool, TiedMaximum, Winner
from equipoise.rules.resampling import Resampled


@dataclass(frozen=True)
class Pass:
    """Relevance passes unchanged to the first input: activations, normalizations, dropout, casts."""

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        arrived = only(relevance)
        source = step.call.inputs[0]
        if source.discrete:
            raise RuleNotApplicableError(
                f"the signal was turned into {source.dtype} here, which nothing can be traced through; keep it floating"
            )
        if sum(not value.discrete for value in step.call.inputs) > 1:
            raise RuleNotApplicableError("this function of several signals has no rule")
        if arrived.value.shape[1:] != source.shape:
            arrived = arrived.with_value(sum_to(arrived.value, source.shape))
        return [arrived, *[None] * (len(step.call.inputs) - 1)]


@dataclass(frozen=True)
class Scaled:
    """Scalings and shifts by constants: relevance passes, but for entries that are multiplied by exactly zero.

    What stands behind those does not depend on them; an assignment of a constant says the same.
    """

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        call = step.call
        scale = None
        if call.name in ("affine", "batch_norm"):
            scale = call.args[1] if call.name == "affine" else call.bound().get("weight")
        passed = Pass()(step, relevance)
        first = passed[0]
        if first is None or not isinstance(scale, Tensor) or without_zeros(scale):
            return passed
        if call.name != "affine":
            scale = scale.reshape(-1, *[1] * (first.value.dim() - 3))
        return [first.with_value(first.value * (scale != 0)), *passed[1:]]


@dataclass(frozen=True)
class Move:
    """Relevance follows its entry: the exact transpose of a view, slice, pad, split, choice or assignment."""

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        values = [None if r is None else r.value for r in relevance]
        arrived = [r for r in relevance if r is not None]
        dtype, device = arrived[0].value.dtype, arrived[0].value.device
        inputs = step.call.inputs
        blanks = [
            step.data(i) if value.discrete else torch.empty(value.shape, dtype=dtype, device=device)
            for i, value in enumerate(inputs)
        ]
        moved = step.vjp(values, blanks)
        if all(part is None for part in moved):
            raise RuleNotApplicableError("what arrives here does not depend on the signal but through a mask")
        shares = [r.share for r in arrived if r.share is not None]
        whole = Relevance(arrived[0].value, sum(shares[1:], start=shares[0]) if shares else None)
        return whole.split(moved)


@dataclass(frozen=True)
class Split:
    """Addition: elementwise in proportion to the absolute values of the summands, half and half at 0 + 0.

    A constant summand (a bias) receives nothing.
    """

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        arrived, inputs = only(relevance), step.call.inputs
        if len(inputs) == 1:
            return Pass()(step, relevance)
        R, data = arrived.value, [step.data(i) for i in range(len(inputs))]
        alike = all(source.shape == R.shape[1:] for source in inputs)
        parts = [rows_like(R[0], len(R)) for _ in inputs]
        for rows in rows_in_turn(R) if alike else [slice(None)]:
            sizes = [part[rows].abs() for part in data]
            whole = sum(sizes[1:], start=sizes[0])
            nothing = torch.eq(whole, 0, out=torch.empty_like(whole))
            whole.add_(nothing, alpha=len(sizes))  # where all are zero, each counts as 1
            left, last = R[:, rows], parts[-1][:, rows]
            for size, part in zip(sizes[:-1], parts, strict=False):
                fraction = laid_out((size + nothing).div_(whole))
                torch.mul(R[:, rows], fraction, out=part[:, rows])
                left = torch.sub(left, part[:, rows], out=last)  # the last gets the rest
        return arrived.split([sum_to(part, source.shape) for part, source in zip(parts, inputs, strict=True)])


@dataclass(frozen=True)
class Slices:
    """Concatenation: each input gets its slice of the relevance, and its share."""

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        arrived, inputs = only(relevance), step.call.inputs
        bound = step.call.bound()
        parts = bound.get("tensors", ())
        plain = step.call.name in ("cat", "concat", "concatenate") and len(parts) == len(inputs)
        if not plain or any(not isinstance(part, Value) for part in parts):
            return Move()(step, relevance)
        dim = bound.get("dim", bound.get("axis", 0))
        dim = dim + len(inputs[0].shape) if dim < 0 else dim
        sizes = [source.shape[dim] for source in inputs]
        return arrived.split([part.clone() for part in torch.split(arrived.value, sizes, dim=dim + 1)])


@dataclass(frozen=True)
class ThroughGate:
    """Multiplication: the signal takes all, a gate is a constant factor; several signals share evenly.

    Which is which, `equipoise.rules.gates.signals` says by the flow of the data.
    """

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        arrived, inputs = only(relevance), step.call.inputs
        if len(inputs) == 1:
            return Pass()(step, relevance)
        takers = signals(inputs, step.trace)
        if len(takers) == 1:
            value = sum_to(arrived.value, inputs[takers[0]].shape)
            return [arrived.with_value(value) if i in takers else None for i in range(len(inputs))]
        parts = [
            sum_to(arrived.value / len(takers), value.shape) if i in takers else None for i, value in enumerate(inputs)
        ]
        return arrived.split(parts)


@dataclass(frozen=True)
class Attention:
    """A product of two signals as matrices: refused, since no rule of a paper is made for it."""

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        del step, relevance
        raise RuleNotApplicableError(
            "this product of two signals is attention, or alike, which no rule here explains; start above it "
            "(layer=...), or take a class activation map or a gradient method"
        )


STRUCTURE: dict[OpKind, Rule] = {
    OpKind.MAX_POOL: TiedMaximum(),
    OpKind.AVERAGE_POOL: Resampled(Pool()),
    OpKind.NORM: Scaled(),
    OpKind.ACTIVATION: Pass(),
    OpKind.GATE: Pass(),
    OpKind.ADD: Split(),
    OpKind.MULTIPLY: ThroughGate(),
    OpKind.CONCATENATE: Slices(),
    OpKind.VIEW: Move(),
    OpKind.IDENTITY: Pass(),
    OpKind.MATMUL: Attention(),
    OpKind.MAXIMUM: Winner(),
    OpKind.SELECT: Move(),
}
"""A rule for every kind of operation but the linear maps, which each method brings itself."""
