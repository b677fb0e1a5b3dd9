"""The rules for what is no layer of weights: pools, sums, branches, gates, views.

They are common to the propagation methods; a method replaces those its paper defines otherwise.
Sources: the pooling rule is that of the reference implementation of Attribution Equilibrium
(Nam & Lee 2024); gates follow the signal-takes-all rule of Arras et al. 2017 (*Explaining recurrent
neural network predictions in sentiment analysis*, section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from equipoise.engine.layout import laid_out, rows_like
from equipoise.engine.numerics import safe_divide
from equipoise.engine.operations import OpKind
from equipoise.engine.portions import rows_in_turn
from equipoise.engine.relevance import Relevance
from equipoise.engine.rule import Rule, Step
from equipoise.engine.trace import Value
from equipoise.rules.resampling import Resampled

_FLOOR = 1e-9  # lets a pool window without activity pass its relevance


def only(relevance: Sequence[Relevance | None]) -> Relevance:
    """The relevance of an operation's first output, the only one that rules of this file use."""
    first = relevance[0]
    if first is None:
        raise ValueError("relevance arrived at a secondary output only")
    return first


@dataclass(frozen=True)
class Pass:
    """Relevance passes unchanged to the first input: activations, normalizations, dropout, casts."""

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        arrived = only(relevance)
        source = step.call.inputs[0]
        if arrived.value.shape[1:] != source.shape:
            arrived = arrived.with_value(_sum_to(arrived.value, source.shape))
        return [arrived, *[None] * (len(step.call.inputs) - 1)]


@dataclass(frozen=True)
class Move:
    """Relevance follows its entry: the exact transpose of a view, slice, pad, split or assignment."""

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        values = [None if r is None else r.value for r in relevance]
        arrived = [r for r in relevance if r is not None]
        dtype, device = arrived[0].value.dtype, arrived[0].value.device
        blanks = [torch.empty(value.shape, dtype=dtype, device=device) for value in step.call.inputs]
        moved = step.vjp(values, blanks)
        shares = [r.share for r in arrived if r.share is not None]
        whole = Relevance(arrived[0].value, sum(shares[1:], start=shares[0]) if shares else None)
        return whole.split(moved)


@dataclass(frozen=True)
class Pool:
    r"""Average and maximum pools, means, interpolation: in proportion to activity.

    .. math:: R_{in} = X \odot J^T (R / pool(X)), \quad X = \max(x, 0) + 10^{-9}

    so a maximum pool's winner takes all, and an average pool's inputs share by their size.
    """

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        return _in_proportion(step, only(relevance), lambda x: x.clamp(min=0) + _FLOOR)


@dataclass(frozen=True)
class Reduce:
    """A sum over positions or stacked branches: in proportion to the absolute values of the summands."""

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        return _in_proportion(step, only(relevance), lambda x: x.abs() + _FLOOR * (x == 0))


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
        return arrived.split([_sum_to(part, source.shape) for part, source in zip(parts, inputs, strict=True)])


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
    """Multiplication: the signal takes all, a gate is a constant factor.

    The gate is a constant; else the operand that is broadcast; else the one that a sigmoid, tanh or
    softmax made, or that is a function of the other operand alone (``x * f(x)``). Two operands of
    equal rank share half and half.
    """

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        arrived, inputs = only(relevance), step.call.inputs
        if len(inputs) == 1:
            return Pass()(step, relevance)
        signal = signal_index(inputs)
        if signal is not None:
            value = _sum_to(arrived.value, inputs[signal].shape)
            return [arrived.with_value(value) if i == signal else None for i in range(len(inputs))]
        return arrived.split([_sum_to(arrived.value / len(inputs), source.shape) for source in inputs])


@dataclass(frozen=True)
class WeightedMean:
    """A product of two signals as matrices: a softmax's result weighs the other operand's positions."""

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        inputs = step.call.inputs
        gates = [made_by_gate(value) for value in inputs]
        if len(inputs) == 1 or sum(gates) != 1:
            raise ValueError("this matrix product is neither a layer nor a softmax's weighted mean (attention?)")
        return _in_proportion(step, only(relevance), lambda x: x.clamp(min=0) + _FLOOR, signal=gates.index(False))


STRUCTURE: dict[OpKind, Rule] = {
    OpKind.MAX_POOL: Pool(),
    OpKind.AVERAGE_POOL: Resampled(Pool()),
    OpKind.NORM: Pass(),
    OpKind.ACTIVATION: Pass(),
    OpKind.GATE: Pass(),
    OpKind.ADD: Split(),
    OpKind.MULTIPLY: ThroughGate(),
    OpKind.CONCATENATE: Slices(),
    OpKind.REDUCE: Reduce(),
    OpKind.VIEW: Move(),
    OpKind.IDENTITY: Pass(),
    OpKind.MATMUL: WeightedMean(),
}
"""A rule for every kind of operation but the linear maps, which each method brings itself."""


def signal_index(inputs: Sequence[Value]) -> int | None:
    """Which factor of a product is the signal; ``None`` if several are."""
    sizes = [torch.Size(value.shape).numel() for value in inputs]
    largest = max(sizes)
    if sizes.count(largest) == 1:
        return sizes.index(largest)
    signals = [i for i, value in enumerate(inputs) if sizes[i] == largest and not made_by_gate(value)]
    if len(signals) == 1:
        return signals[0]
    for i in signals:
        if all(_is_function_of(inputs[j], inputs[i]) for j in signals if j != i):
            return i
    return None


def made_by_gate(value: Value) -> bool:
    """Whether ``value`` is the result of a gate activation, up to views and constant factors."""
    while value.producer is not None and len(value.producer.inputs) == 1:
        if value.producer.kind is OpKind.GATE:
            return True
        if value.producer.kind not in (
            OpKind.VIEW,
            OpKind.IDENTITY,
            OpKind.MULTIPLY,
            OpKind.ADD,
            OpKind.AVERAGE_POOL,
        ):
            return False
        value = value.producer.inputs[0]
    return value.producer is not None and value.producer.kind is OpKind.GATE


def _is_function_of(value: Value, source: Value) -> bool:
    """Whether ``value`` comes from ``source`` through elementwise operations alone."""
    kinds = (OpKind.ACTIVATION, OpKind.GATE, OpKind.MULTIPLY, OpKind.ADD, OpKind.IDENTITY)
    while value is not source:
        if value.producer is None or value.producer.kind not in kinds or len(value.producer.inputs) != 1:
            return False
        value = value.producer.inputs[0]
    return True


def _in_proportion(
    step: Step, arrived: Relevance, positive: Callable[[Tensor], Tensor], signal: int = 0
) -> list[Relevance | None]:
    points = [step.data(i) for i in range(len(step.call.inputs))]
    R, x = arrived.value, points[signal]
    # A pool of images can be worked on a few images at a time; what else comes here may mix rows.
    pools = step.call.kind in (OpKind.MAX_POOL, OpKind.AVERAGE_POOL) and len(points) == 1 and len(x) == R.shape[1]
    value = rows_like(x, len(R))
    for rows in rows_in_turn(R, x.unsqueeze(0)) if pools else [slice(None)]:
        points[signal] = positive(laid_out(x[rows]))
        source = step.vjp(lambda made: [safe_divide(R[:, rows], made[0])], points)[signal]  # noqa: B023  # called at once
        if source is None:
            raise ValueError("the operation does not depend on its signal")
        torch.mul(source, points[signal], out=value[:, rows])
    result: list[Relevance | None] = [None] * len(points)
    result[signal] = arrived.with_value(value)
    return result


def _sum_to(value: Tensor, shape: Sequence[int]) -> Tensor:
    """Sum ``(k, ...)`` over the dimensions along which ``shape`` was broadcast."""
    extra = value.dim() - 1 - len(shape)
    value = value.sum(dim=tuple(range(1, 1 + extra))) if extra else value
    broadcast = tuple(i + 1 for i, size in enumerate(shape) if size == 1 < value.shape[i + 1])
    return value.sum(dim=broadcast, keepdim=True) if broadcast else value
