"""Layers of weights in one form: channels second, positions after them; a dense layer has no positions.

A 1x1 convolution, a linear layer on maps whose channels come last and one on rows that are positions are the same
map; so are a convolution whose kernel covers its whole input and a linear layer on the flattened input, and a
linear layer on patches cut from a map and a convolution of that map.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from equipoise.engine.canonical.patches import as_convolution, places, source_of_views
from equipoise.engine.canonical.tape import Draft, Tape
from equipoise.engine.operations import OPERATIONS, OpKind
from equipoise.engine.remembered import ordinary
from equipoise.engine.trace import OpCall, Value

_CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED: dict[int, Callable[..., Tensor]] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def lay_out(tape: Tape) -> None:
    """Bring every layer of weights of the tape to its form."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        if call.members:
            return None
        bound = call.bound()
        x, weight = bound.get("input"), bound.get("weight")
        if not isinstance(x, Value) or not isinstance(weight, Tensor) or len(call.inputs) > 1:
            return None
        if (moved := _moved_channels(call, weight)) is not None:
            return moved
        if call.name == "linear":
            return _linear(call, x, weight, bound.get("bias"), tape.n)
        return _convolution(call, bound, tape.n)

    tape.each(change, OpKind.LINEAR)


def _moved_channels(call: OpCall, weight: Tensor) -> Sequence[OpCall] | None:
    """A 1x1 layer whose every output is one of its inputs, unchanged, as the choice of channels that it is."""
    bound = call.bound()
    if "transpose" in call.name or math.prod(weight.shape[2:]) != 1 or bound.get("groups", 1) != 1:
        return None
    if ordinary(weight):
        return None
    if bound.get("bias") is not None or int(weight[0].count_nonzero()) != 1:
        return None
    flat = weight.flatten(1)
    if not bool(((flat == 0) | (flat == 1)).all()) or not bool((flat.sum(1) == 1).all()):
        return None
    if call.name != "linear" and call.outputs[0].shape[2:] != call.inputs[0].shape[2:]:
        return None
    chosen, axis = flat.argmax(1), -1 if call.name == "linear" else 1 - weight.dim()
    draft = Draft(call)
    draft.view(call.inputs[0], lambda t: t.index_select(axis % t.dim(), chosen.to(t.device)), call.outputs[0])
    return draft.calls


def _linear(call: OpCall, x: Value, weight: Tensor, bias: Any, n: int) -> Sequence[OpCall] | None:
    out = call.outputs[0]
    rows = x.shape[0]
    if len(x.shape) == 2 and rows == n:
        return None
    draft = Draft(call)
    if len(x.shape) == 1:
        y = draft.apply("linear", F.linear, draft.view(x, lambda t: t.unsqueeze(0)), weight, bias)
        draft.view(y, lambda t: t.squeeze(0), out)
        return draft.calls
    _dense(draft, x, (weight, bias), n, out)
    return draft.calls


def _dense(draft: Draft, x: Value, layer: tuple[Tensor, Any], n: int, out: Value) -> None:
    """A linear layer on the last axis of ``x``; what is neither images nor channels is positions."""
    weight, bias = layer
    size = x.shape[:-1]
    images = size[0] if len(size) > 1 or n < 1 or size[0] % n else n
    rows = n == 1 and images != 1  # of one image, whatever comes first is a position
    images = 1 if rows else images
    positions = math.prod(size) // max(images, 1)
    width = len(weight)
    if positions == 1:
        flat = draft.view(x, lambda t: t.reshape(images, -1)) if len(size) > 1 else x
        y = draft.apply("linear", F.linear, flat, weight, bias, out=out if len(size) == 1 else None)
        if len(size) > 1:
            draft.view(y, lambda t: t.reshape(*size, width), out)
        return
    d = len(size) - 1
    kernel: Tensor
    if d in _CONVOLUTIONS and not rows:
        moved = draft.apply("movedim", torch.movedim, x, -1, 1)
        kernel = weight.reshape(*weight.shape, *[1] * d)
        y = draft.apply(f"conv{d}d", _CONVOLUTIONS[d], moved, kernel, bias, shape=(images, width, *size[1:]))
        draft.apply("movedim", torch.movedim, y, 1, -1, out=out)
        return
    moved = draft.view(x, lambda t: t.reshape(images, positions, -1).movedim(-1, 1))
    y = draft.apply("conv1d", F.conv1d, moved, weight.unsqueeze(-1), bias, shape=(images, width, positions))
    draft.view(y, lambda t: t.movedim(1, -1).reshape(*size, width), out)


def _convolution(call: OpCall, bound: dict[str, Any], n: int) -> Sequence[OpCall] | None:
    x, weight, out = bound["input"], bound["weight"], call.outputs[0]
    d = weight.dim() - 2
    if len(x.shape) == d + 1:
        draft = Draft(call)
        single = draft.view(x, lambda t: t.unsqueeze(0))
        batched = replace(out, shape=(1, *out.shape), index=out.index - 1 / 2048, tensor=None, maker=None)
        layer = call.reading({x: single})
        layer.outputs = (batched,)
        draft.calls.append(layer)
        draft.view(batched, lambda t: t.squeeze(0), out)
        return draft.calls
    thin = _without_thin_axes(call, bound, d)
    if thin is not None:
        return thin
    covers = tuple(weight.shape[2:]) == x.shape[2:] and math.prod(out.shape[2:]) == 1
    plain = not call.before and _none(bound.get("padding", 0)) and bound.get("groups", 1) == 1
    if not covers or not plain or "transpose" in call.name or len(out.shape) != d + 2:
        return None
    draft = Draft(call)
    flat = draft.view(x, lambda t: t.flatten(1))
    rows, width = x.shape[0], len(weight)
    y = Value(out.index - 1 / 2048, (rows, width), out.dtype, None, pixels=False)
    _dense(draft, flat, (weight.flatten(1), bound.get("bias")), n, y)
    y.producer = draft.calls[-1]
    draft.view(y, lambda t: t.reshape(rows, width, *[1] * d), out)
    return draft.calls


def _without_thin_axes(call: OpCall, bound: dict[str, Any], d: int) -> Sequence[OpCall] | None:
    """A convolution of a map that was given axes of size 1, as one of fewer dimensions."""
    x, weight, out = bound["input"], bound["weight"], call.outputs[0]
    made = x.producer
    if made is None or made.kind is not OpKind.VIEW or d < 2 or call.before:
        return None
    source = source_of_views(x)
    transposed = "transpose" in call.name
    words = ("stride", "padding", "output_padding" if transposed else "dilation")
    numbers = {name: _numbers(bound.get(name, int(name in ("stride", "dilation"))), d) for name in words}
    if any(given is None for given in numbers.values()) or len(source.shape) >= len(x.shape):
        return None
    padding = numbers["padding"] or ()
    alone = [x.shape[2 + i] == weight.shape[2 + i] == out.shape[2 + i] == 1 and not padding[i] for i in range(d)]
    thin = [i for i in range(d) if alone[i]][: d - 1]
    if not thin:
        return None
    kept = [i for i in range(d) if i not in thin]
    axes = [2 + i for i in thin]
    kernel = weight.squeeze(axes)
    draft = Draft(call)
    flat = draft.view(x, lambda t: t.squeeze(axes))
    options: list[Any] = [[given[i] for i in kept] for given in (numbers[name] or () for name in words)]
    groups = bound.get("groups", 1)
    size = (x.shape[0], out.shape[1], *[out.shape[2 + i] for i in kept])
    if transposed:
        dilation = _numbers(bound.get("dilation", 1), d) or ()
        options += [groups, [dilation[i] for i in kept]]
        function, name = _TRANSPOSED[len(kept)], f"conv_transpose{len(kept)}d"
    else:
        options += [groups]
        function, name = _CONVOLUTIONS[len(kept)], f"conv{len(kept)}d"
    y = draft.apply(name, function, flat, kernel, bound.get("bias"), *options, shape=size)
    shape = out.shape
    draft.view(y, lambda t: t.reshape(shape), out)
    return draft.calls


def name_averages(tape: Tape) -> None:
    """Name a matrix along one axis whose rows are weights that add up to 1, as of an interpolation, an average."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        if "transpose" in call.name or call.members or call.before:
            return None
        bound = call.bound()
        weight = bound.get("weight")
        if not isinstance(weight, Tensor) or bound.get("bias") is not None or bound.get("groups", 1) != 1:
            return None
        if math.prod(weight.shape[2:]) != 1 or weight.shape[1] < 2 or ordinary(weight):
            return None
        rows = weight.flatten(1).sum(1) - 1
        if bool((weight < 0).any()) or bool((rows.abs() > 1e-5).any()):
            return None
        return [replace(call, operation=replace(OPERATIONS["mean"], name="resample"))]

    tape.each(change, OpKind.LINEAR)


def _numbers(given: Any, d: int) -> tuple[int, ...] | None:
    if isinstance(given, str):
        return None
    return (int(given),) * d if isinstance(given, int) else tuple(int(g) for g in given) * (d // len(given))


def _none(padding: Any) -> bool:
    return padding in ("valid", 0) or (not isinstance(padding, str | int) and not any(padding))


def gather_patches(tape: Tape) -> None:
    """Make linear layers on patches of a map convolutions of the map."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        if not call.name.startswith("conv") or call.members or call.before:
            return None
        return as_convolution(call, tape)

    tape.each(change, OpKind.LINEAR)


def write_pads(tape: Tape) -> None:
    """Write zeros around a signal as a pad, whether they were concatenated or the signal was written into zeros."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        if call.kind not in (OpKind.VIEW, OpKind.CONCATENATE) or call.name == "pad" or len(call.outputs) != 1:
            return None
        out = call.outputs[0]
        source = source_of_views(out)
        if (
            source is out
            or len(source.shape) != len(out.shape)
            or len(out.shape) < 3
            or source.shape[0] != out.shape[0]
        ):
            return None
        if math.prod(out.shape) <= math.prod(source.shape) or out.shape[0] != tape.n:
            return None
        found = places(out, source, tape.n)
        if found is None or bool((found > 0).all()):
            return None
        amounts = _zeros_around(found[0], source.shape[1:])
        if amounts is None:
            return None
        draft = Draft(call)
        draft.apply("pad", F.pad, source, amounts, out=out)
        return draft.calls

    tape.each(change)
    tape.each(_pad_of_channels)
    tape.each(_pad_of_pad)
    tape.drop_unread()


def _zeros_around(found: Tensor, size: Sequence[int]) -> tuple[int, ...] | None:
    """How many zeros stand before and after a signal along each axis, the last first; ``None`` if it is no pad."""
    inside = found > 0
    amounts: list[int] = []
    for axis, extent in enumerate(size):
        rows = inside.movedim(axis, 0).flatten(1).any(1).nonzero().flatten()
        if len(rows) != extent or int(rows[-1] - rows[0]) != extent - 1:
            return None
        amounts = [int(rows[0]), found.shape[axis] - 1 - int(rows[-1]), *amounts]
    numbers = torch.arange(1, math.prod(size) + 1).reshape(tuple(size))
    if not torch.equal(F.pad(numbers, amounts), found):
        return None
    while len(amounts) > 2 and not any(amounts[-2:]):
        amounts = amounts[:-2]
    return tuple(amounts)


def _pad_of_channels(call: OpCall) -> Sequence[OpCall] | None:
    """A pad of channels and positions as one after the other."""
    amounts = _zero_pad(call) if call.name == "pad" and len(call.inputs) == 1 and not call.members else None
    spatial = 2 * (len(call.outputs[0].shape) - 2)
    if amounts is None or len(amounts) <= spatial or not any(amounts[:spatial]):
        return None
    draft = Draft(call)
    channels = draft.apply("pad", F.pad, call.inputs[0], (*[0] * spatial, *amounts[spatial:]))
    draft.apply("pad", F.pad, channels, amounts[:spatial], out=call.outputs[0])
    return draft.calls


def _pad_of_pad(call: OpCall) -> Sequence[OpCall] | None:
    """Two pads by zeros as one."""
    inner = call.inputs[0].producer if call.name == "pad" and call.inputs else None
    if inner is None or inner.name != "pad" or call.members or inner.members:
        return None
    first, second = _zero_pad(inner), _zero_pad(call)
    spatial = 2 * (len(call.inputs[0].shape) - 2)
    if first is None or second is None or len(first) > spatial or len(second) > spatial:
        return None
    length = max(len(first), len(second))
    first, second = ((*amounts, *[0] * (length - len(amounts))) for amounts in (first, second))
    draft = Draft(call)
    whole = tuple(a + b for a, b in zip(first, second, strict=True))
    draft.apply("pad", F.pad, inner.inputs[0], whole, out=call.outputs[0])
    return draft.calls


def _zero_pad(call: OpCall) -> tuple[int, ...] | None:
    bound = dict(zip(("input", "pad", "mode", "value"), call.args, strict=False)) | call.kwargs
    plain = bound.get("mode", "constant") == "constant" and not bound.get("value")
    amounts = tuple(bound["pad"])
    return amounts if plain and min(amounts, default=0) >= 0 else None


def absorb_padding(tape: Tape) -> None:
    """Make an explicit constant pad part of the convolution or pool that reads it: padded positions are no neurons."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        if not call.inputs or call.before or (call.kind is not OpKind.LINEAR and call.name not in _PADDED_POOLS):
            return None
        pad = call.inputs[0].producer
        if pad is None or pad.name != "pad" or pad.members:
            return None
        bound = dict(zip(("input", "pad", "mode", "value"), pad.args, strict=False)) | pad.kwargs
        amounts = tuple(bound["pad"])
        fill = bound.get("value") or 0.0
        expected = fill <= torch.finfo(torch.float16).min if call.kind is OpKind.MAX_POOL else fill == 0
        spatial = len(amounts) <= 2 * (len(call.inputs[0].shape) - 2)
        plain = bound.get("mode", "constant") == "constant" and min(amounts, default=0) >= 0
        if not (plain and expected and spatial):
            return None
        return [replace(call.reading({call.inputs[0]: pad.inputs[0]}), before=amounts)]

    tape.each(change)


_PADDED_POOLS = frozenset(f"{sort}_pool{d}d" for sort in ("avg", "max") for d in (1, 2, 3))
