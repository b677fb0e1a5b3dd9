"""Maps whose axes are swapped or turned round before a layer and back after it; one thing looked at twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from equipoise.engine.canonical.cropping import sides_of
from equipoise.engine.canonical.patches import axes_of
from equipoise.engine.canonical.tape import Draft, Tape
from equipoise.engine.operations import OpKind, per_dimension
from equipoise.engine.trace import OpCall, Value


def _turned(call: OpCall) -> tuple[int, ...] | None:
    """The axes along which a call turns its signal round; ``None`` if it is no `torch.flip`."""
    if call.name != "flip" or call.members or len(call.inputs) != 1:
        return None
    given = [*call.args[1:], *call.kwargs.values()]
    dims = given[0] if len(given) == 1 and isinstance(given[0], tuple | list) else given
    rank = len(call.inputs[0].shape)
    return tuple(sorted(dim % rank for dim in dims)) if all(isinstance(dim, int) for dim in dims) else None


def share_views(tape: Tape) -> None:
    """Write the same view of the same signal once."""
    seen: dict[Any, OpCall] = {}
    same: dict[Value, Value] = {}
    for call in tape.calls:
        if call.kind is not OpKind.VIEW or call.members or len(call.inputs) != 1:
            continue
        plain = _plain([*call.args, *sorted(call.kwargs.items())])
        if plain is None:
            continue
        first = seen.setdefault((call.function, call.inputs, plain), call)
        if first is not call and not any(value in tape.trace.barriers for value in (*first.outputs, *call.outputs)):
            same.update(zip(call.outputs, first.outputs, strict=True))
    tape.substitute(same)


def _plain(item: Any) -> Any:
    """Arguments as something to compare; ``None`` if there is a tensor among them."""
    if isinstance(item, tuple | list):
        parts = tuple(_plain(part) for part in item)
        return None if any(part is None for part in parts) else parts
    if isinstance(item, slice):
        return ("slice", str(item))
    if isinstance(item, Value) or item is Ellipsis:
        return item
    if item is None:
        return "None"
    return (type(item), item) if isinstance(item, bool | int | float | str) else None


def undo_swaps(tape: Tape) -> None:
    """Leave out swaps and turns of axes that undo each other."""
    same: dict[Value, Value] = {}
    for call in tape.calls:
        _note_undone(call, same, tape)
    tape.substitute(same)


def _note_undone(call: OpCall, same: dict[Value, Value], tape: Tape) -> None:
    """Note in ``same`` what a call shows, if all it does is to undo the views before it."""
    order, turned = axes_of(call), _turned(call)
    if order is None and turned is None:
        return
    value, out = same.get(call.inputs[0], call.inputs[0]), call.outputs[0]
    maker = value.producer
    if order is not None:
        while maker is not None and order != tuple(range(len(order))) and value not in tape.trace.barriers:
            inner = axes_of(maker)
            if inner is None:
                return
            order = tuple(inner[axis] for axis in order)
            value = same.get(maker.inputs[0], maker.inputs[0])
            maker = value.producer
        if order != tuple(range(len(order))):
            return
    elif maker is None or _turned(maker) != turned or value in tape.trace.barriers:
        return
    else:
        value = same.get(maker.inputs[0], maker.inputs[0])
    if out is not tape.trace.output and out not in tape.trace.barriers:
        same[out] = value


def turn_layers(tape: Tape) -> None:
    """Apply layers and functions of each entry before their map's positions are swapped or turned, not after."""
    same: dict[Value, Value] = {}  # what was turned and turned back

    def change(call: OpCall) -> Sequence[OpCall] | None:
        _note_undone(call, same, tape)
        if same.keys().isdisjoint(call.inputs):
            return _before_all(call, tape)
        read = call.reading(same)
        return _before_all(read, tape) or [read]

    tape.each(change)
    tape.drop_unread()


def _before_all(call: OpCall, tape: Tape) -> Sequence[OpCall] | None:
    """A call before all swaps and turns in front of it."""
    first = _earlier(call, tape)
    return None if first is None else [*(_before_all(first[0], tape) or first[:1]), *first[1:]]


def _earlier(call: OpCall, tape: Tape) -> Sequence[OpCall] | None:
    view = call.inputs[0].producer if len(call.inputs) == len(call.outputs) == 1 and not call.members else None
    if view is None or not tape.inner(call.inputs[0]):
        return None
    x, order, turned = call.inputs[0], axes_of(view), _turned(view)
    of_numbers = _of_numbers(call) and call.outputs[0].shape == x.shape
    if of_numbers and (order is not None or turned is not None):
        return _before(call, view)
    if view.inputs[0].shape[:2] != x.shape[:2]:
        return None
    if order is not None and order[:2] == (0, 1):
        return _swapped_layer(call, view, order) if call.kind is OpKind.LINEAR else _normed(call, view)
    if turned is not None and turned[0] >= 2:  # positions begin at axis 2
        return _turned_layer(call, view, turned) if call.kind is OpKind.LINEAR else _normed(call, view)
    return None


def _normed(call: OpCall, view: OpCall) -> Sequence[OpCall] | None:
    return _before(call, view) if call.name == "batch_norm" else None


def _of_numbers(call: OpCall) -> bool:
    items = (*call.args, *call.kwargs.values())
    pointwise = call.operation is not None and call.operation.pointwise and call.kind is not OpKind.IDENTITY
    rank = len(call.outputs[0].shape)
    return pointwise and not any(isinstance(item, Tensor) and (item.numel() > 1 or item.dim() > rank) for item in items)


def _before(call: OpCall, view: OpCall) -> Sequence[OpCall]:
    """What sees each entry alone, on what the view shows; the view of the result."""
    source, out = view.inputs[0], call.outputs[0]
    y = replace(out, shape=source.shape, index=out.index - 1 / 2048, tensor=None, maker=None)
    first, last = call.reading({call.inputs[0]: source}), view.reading({source: y})
    first.outputs, last.outputs = (y,), (out,)
    y.producer = first
    return [first, last]


def _swapped_layer(call: OpCall, view: OpCall, order: Sequence[int]) -> Sequence[OpCall] | None:
    d = len(order) - 2
    bound = call.bound()
    if call.name != f"conv{d}d" or call.before or isinstance(bound.get("padding"), str):
        return None
    back = [order.index(axis) for axis in range(len(order))]
    spatial = [axis - 2 for axis in back[2:]]
    options = [tuple(per_dimension(bound, d, name, default)[i] for i in spatial) for name, default in
               (("stride", 1), ("padding", 0), ("dilation", 1))]  # fmt: skip
    draft, out = Draft(call), call.outputs[0]
    kernel = bound["weight"].permute(back)
    size = [out.shape[axis] for axis in back]
    y = draft.apply(call.name, (F.conv1d, F.conv2d, F.conv3d)[d - 1], view.inputs[0], kernel, bound.get("bias"),
                    *options, bound.get("groups", 1), shape=size)  # fmt: skip
    draft.apply("permute", torch.permute, y, tuple(order), out=out)
    return draft.calls


def _can_turn(call: OpCall, turned: Sequence[int]) -> bool:
    """Whether a convolution's windows lie on a map as they do on it turned round."""
    sides = sides_of(call)
    if sides is None or not call.name.startswith("conv"):
        return False
    for axis in turned:
        i = axis - 2
        extent = call.inputs[0].shape[axis] + sides.left[i] + sides.right[i] - sides.reach[i]
        if sides.left[i] != sides.right[i] or extent % sides.stride[i]:
            return False
    return not call.before


def _turned_layer(call: OpCall, view: OpCall, turned: Sequence[int]) -> Sequence[OpCall] | None:
    kernel = call.bound().get("weight")
    if not isinstance(kernel, Tensor) or not _can_turn(call, turned):
        return None
    made = _before(call, view)
    made[0].args = tuple(kernel.flip(*turned) if item is kernel else item for item in made[0].args)
    made[0].kwargs = {k: kernel.flip(*turned) if item is kernel else item for k, item in made[0].kwargs.items()}
    # The layer changes sizes along the turned axes, which the view then has, too.
    made[0].outputs[0].shape = call.outputs[0].shape
    return made
