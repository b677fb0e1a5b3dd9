"""Products and choices whose entries are then added: the layer of fixed weights that they are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from equipoise.engine.canonical.contraction import Axes, contract
from equipoise.engine.canonical.tape import Draft, Tape
from equipoise.engine.trace import OpCall, Value


def multiply_and_add(tape: Tape) -> None:
    """Write a product with weights whose entries are then added as the layer that it is."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        if call.name not in ("sum", "mean") or len(call.inputs) != 1 or call.members:
            return None
        product = call.inputs[0].producer
        if product is not None and product.name == "getitem" and tape.inner(call.inputs[0]):
            return _picked_sum(call, product)
        if product is None or product.name != "mul" or len(product.inputs) != 1 or not tape.inner(call.inputs[0]):
            return None
        items = [product.bound().get(name) for name in ("input", "other")]
        weight = next((item for item in items if isinstance(item, Tensor)), None)
        if weight is None or weight.numel() < 2 or bool((weight == weight.flatten()[0]).all()):
            return None
        return _weighted_sum(call, product.inputs[0], weight)

    tape.each(change)
    tape.drop_unread()


def _weighted_sum(call: OpCall, x: Value, weight: Tensor) -> Sequence[OpCall] | None:
    whole = call.inputs[0].shape
    rank = len(whole)
    bound = call.bound()
    dims = bound.get("dim", bound.get("axis"))
    if dims is None or isinstance(dims, Tensor):
        return None
    summed = {dims % rank} if isinstance(dims, int) else {int(dim) % rank for dim in dims}
    own = (*[1] * (rank - len(x.shape)), *x.shape)
    other = (*[1] * (rank - weight.dim()), *weight.shape)
    if not any(own[i] > 1 and other[i] > 1 for i in summed):
        return None
    left = tuple(i for i in range(rank) if own[i] > 1 or other[i] == 1)
    right = tuple(i for i in range(rank) if other[i] > 1)
    result = tuple(i for i in range(rank) if i not in summed)
    draft, out = Draft(call), call.outputs[0]
    size = [own[i] for i in left]
    given = x if list(x.shape) == size else draft.view(x, lambda t: t.reshape(size))
    weight = weight.reshape([other[i] for i in right])
    if call.name == "mean":
        weight = weight / math.prod(whole[i] for i in summed)
    if bound.get("keepdim", False):
        y = Value(out.index - 1 / 4096, tuple(whole[i] for i in result), out.dtype, None, pixels=False)
        contract(draft, given, weight, Axes(left, right, result), y)
        y.producer = draft.calls[-1]
        draft.view(y, lambda t: t.reshape(out.shape), out)
    else:
        contract(draft, given, weight, Axes(left, right, result), out)
    return draft.calls


def _picked_sum(call: OpCall, pick: OpCall) -> Sequence[OpCall] | None:
    """``x[..., mask].sum(-1)`` weighs each entry with 0 or 1."""
    x, index = pick.inputs[0], pick.args[1]
    *leading, mask = index if isinstance(index, tuple) else (index,)
    bound, first = call.bound(), len(x.shape) - getattr(mask, "ndim", 0)
    if not isinstance(mask, Tensor) or mask.dtype is not torch.bool or first < 1 or len(pick.inputs) > 1:
        return None
    whole = all(isinstance(item, slice) and item == slice(None) for item in leading) and len(leading) == first
    if not whole and not (len(leading) == 1 and leading[0] is Ellipsis):
        return None
    if bound.get("dim") not in (-1, first, (-1,), (first,), [-1], [first]) or bound.get("keepdim", False):
        return None
    weight = mask.to(x.dtype) if call.name == "sum" else mask.to(x.dtype) / mask.sum()
    draft, axes = Draft(call), tuple(range(len(x.shape)))
    contract(draft, x, weight, Axes(axes, axes[first:], axes[:first]), call.outputs[0])
    return draft.calls
