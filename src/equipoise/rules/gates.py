"""Which factor of a product is the signal: decided by what flows into the factors, not by who wrote them.

A gate is a factor for the signal: it says less than the signal does (it is the same for many entries), or it was
computed from the signal, or it is bounded, as what a sigmoid makes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from equipoise.engine.functions import behavior
from equipoise.engine.operations import OpKind
from equipoise.engine.trace import OpCall, Trace, Value

_KEEPS_BOUNDS = frozenset({
    OpKind.VIEW, OpKind.IDENTITY, OpKind.AVERAGE_POOL, OpKind.MAX_POOL, OpKind.MULTIPLY, OpKind.ADD, OpKind.MAXIMUM,
    OpKind.CONCATENATE, OpKind.SELECT,
})  # fmt: skip
_COPIES = frozenset({
    OpKind.VIEW, OpKind.IDENTITY, OpKind.ACTIVATION, OpKind.GATE, OpKind.ADD, OpKind.MULTIPLY, OpKind.NORM,
    OpKind.MASK, OpKind.MAXIMUM, OpKind.SELECT,
})  # fmt: skip


def signals(inputs: Sequence[Value], trace: Trace) -> list[int]:
    """Which factors of a product are signals, by place; the others are gates. At least one.

    Args:
        inputs: The factors.
        trace: The forward pass.
    """
    left = [i for i, value in enumerate(inputs) if not value.discrete] or list(range(len(inputs)))
    sizes = {i: independent(inputs[i]) for i in left}
    largest = max(sizes.values())
    left = [i for i in left if sizes[i] == largest]
    if len(left) > 1:
        origin = {i: _origin(inputs[i]) for i in left}
        behind = {i: trace.ancestors(origin[i]) - {origin[i]} for i in left}
        made = [i for i in left if any(origin[j] in behind[i] for j in left if j != i)]
        left = [i for i in left if i not in made]
    if len(left) > 1:
        free = [i for i in left if not bounded(inputs[i])]
        left = free or left
    return left


def _origin(value: Value) -> Value:
    """The value that ``value`` is a view or a copy of."""
    while value.producer is not None and value.producer.kind in (OpKind.VIEW, OpKind.IDENTITY):
        if len(value.producer.inputs) != 1:
            break
        value = value.producer.inputs[0]
    return value


def independent(value: Value) -> int:
    """How many entries of ``value`` can differ: fewer than it has, where it was expanded or resized."""
    own = torch.Size(value.shape).numel()
    call = value.producer
    if call is None:
        return own
    resized = call.kind is OpKind.AVERAGE_POOL and own > sum(torch.Size(v.shape).numel() for v in call.inputs)
    if call.kind in _COPIES or resized:
        product = 1
        for source in call.inputs:
            product *= independent(source)
        return min(own, product)
    return own


def bounded(value: Value) -> bool:
    """Whether ``value`` lies between two bounds, whatever the image: a sigmoid's result, however it is written."""
    call = value.producer
    if value.discrete:
        return True
    if call is None:
        return False
    if call.kind is OpKind.GATE:
        return True
    if call.kind is OpKind.ACTIVATION:
        one = len(call.inputs) == 1 and call.operation is not None and call.operation.pointwise
        return one and call.inputs[0].shape == value.shape and (behavior(call) == "bounded" or _clipped(call))
    if call.kind in _KEEPS_BOUNDS or call.name in ("affine", "batch_norm"):
        return all(bounded(source) for source in call.inputs)
    return False


def _clipped(call: OpCall) -> bool:
    """Whether a rectifier is flat on both sides, as ReLU6 is."""
    blank = torch.tensor([-300.0, -30.0, 30.0, 300.0], dtype=torch.float64)
    try:
        with torch.no_grad():
            made = call.run(blank)[0]
    except RuntimeError:
        return False
    return bool(made[0] == made[1]) and bool(made[2] == made[3])
