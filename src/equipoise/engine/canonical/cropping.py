"""Layers and pools in their smallest form: nothing computed that is then cut away, no weights that are always zero.

A convolution with more padding whose result is sliced is one with less; one whose result is read at every other
place has a larger stride; zeros put between the entries of its input make it a transposed convolution; a rim of
zeros around its kernel is no kernel; blocks of zeros make it a grouped one; a channel of constants is a bias.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from equipoise.engine.canonical.affine import AFFINE, affine, compressed
from equipoise.engine.canonical.patches import axes_of, places, source_of_views
from equipoise.engine.canonical.pools import window_pool
from equipoise.engine.canonical.tape import Draft, Tape
from equipoise.engine.operations import OpKind, per_dimension
from equipoise.engine.remembered import ordinary
from equipoise.engine.trace import OpCall, Value

_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


@dataclass(frozen=True)
class Sides:
    """How a layer's or a pool's windows lie on its input, one number for each dimension of positions.

    Attributes:
        reach: How many positions a window spans.
        stride: From one window to the next.
        left: How many positions are added before the first.
        right: How many are added after the last.
        dilation: Distance of a window's entries.
    """

    reach: tuple[int, ...]
    stride: tuple[int, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    dilation: tuple[int, ...]

    def padding(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The padding as torch's argument, if it is the same on both sides, and as a pad put before otherwise."""
        if self.left == self.right:
            return self.left, ()
        before = [side for pair in zip(reversed(self.left), reversed(self.right), strict=True) for side in pair]
        return (0,) * len(self.left), tuple(before)


def sides_of(call: OpCall) -> Sides | None:
    """The windows of a convolution or of a plain maximum pool; ``None`` of anything else."""
    if call.members or len(call.outputs) != 1 or not call.inputs:
        return None
    d = len(call.outputs[0].shape) - 2
    before = (*call.before, *[0] * (2 * d - len(call.before)))
    outer = [tuple(before[2 * (d - 1 - i) + side] for i in range(d)) for side in (0, 1)]
    if call.kind is OpKind.MAX_POOL:
        found = window_pool(replace(call, before=()))
        if found is None or len(found[0]) != d:
            return None
        kernel, stride, padding = found
        return Sides(kernel, stride, _added(outer[0], padding), _added(outer[1], padding), (1,) * d)
    if call.name != f"conv{d}d" or len(call.inputs[0].shape) != d + 2:
        return None
    bound = call.bound()
    if not isinstance(bound.get("weight"), Tensor) or bound.get("input") is not call.inputs[0]:
        return None
    dilation = per_dimension(bound, d, "dilation", 1)
    reach = tuple(step * (size - 1) + 1 for step, size in zip(dilation, bound["weight"].shape[2:], strict=True))
    if bound.get("padding") == "same":  # torch puts the odd zero at the end
        first = tuple((size - 1) // 2 for size in reach)
        inner = [first, tuple(size - 1 - side for size, side in zip(reach, first, strict=True))]
    else:
        padding = (0,) * d if bound.get("padding") == "valid" else per_dimension(bound, d, "padding", 0)
        inner = [padding, padding]
    left, right = (_added(a, b) for a, b in zip(outer, inner, strict=True))
    return Sides(reach, per_dimension(bound, d, "stride", 1), left, right, dilation)


def _added(a: Sequence[int], b: Sequence[int]) -> tuple[int, ...]:
    return tuple(i + j for i, j in zip(a, b, strict=True))


def _with_sides(call: OpCall, sides: Sides, out: Value, weight: Tensor | None = None, groups: int = 0) -> list[OpCall]:
    """The same layer or pool with other windows."""
    padding, before = sides.padding()
    draft, x = Draft(call), call.inputs[0]
    if call.kind is OpKind.MAX_POOL:
        draft.apply(call.name, call.function, x, sides.reach, sides.stride, padding, out=out)
    else:
        bound = call.bound()
        kernel = bound["weight"] if weight is None else weight
        d = kernel.dim() - 2
        draft.apply(call.name, (F.conv1d, F.conv2d, F.conv3d)[d - 1], x, kernel, bound.get("bias"), sides.stride,
                    padding, sides.dilation, groups or int(bound.get("groups", 1)), out=out)  # fmt: skip
    draft.calls[-1] = replace(draft.calls[-1], before=before)
    return draft.calls


def crop_outputs(tape: Tape) -> None:
    """Write a layer or a maximum pool of whose result only some positions are read as one that makes only these."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        if call.kind is not OpKind.VIEW or len(call.inputs) != 1 or len(call.outputs) != 1:
            return None
        made, out = call.inputs[0], call.outputs[0]
        layer = made.producer
        if layer is None or layer.kind not in (OpKind.LINEAR, OpKind.MAX_POOL) or not tape.inner(made):
            return None
        if len(made.shape) != len(out.shape) or made.shape[:2] != out.shape[:2]:
            return None
        fewer = 0 < math.prod(out.shape) < math.prod(made.shape)
        cut = _cut(call) if fewer else None
        write = _cropped_transposed if "transpose" in layer.name else _cropped
        return None if cut is None else write(layer, cut, out)

    tape.each(change)
    tape.drop_unread()


def _cut(call: OpCall) -> list[tuple[int, int]] | None:
    """Which positions a view keeps along each axis: the first, and the step to the next; ``None`` if it moves any."""
    made = call.inputs[0]
    found: list[tuple[int, int]] = []
    for axis in range(2, len(made.shape)):
        shape = [1] * len(made.shape)
        shape[axis] = made.shape[axis]
        numbers = torch.arange(made.shape[axis], dtype=torch.float64).reshape(shape).expand(made.shape)
        try:
            with torch.no_grad():
                kept = call.run(numbers)[0]
        except (RuntimeError, TypeError, ValueError, IndexError):
            return None
        line = kept.movedim(axis, 0).flatten(1)
        places_ = line[:, 0]
        step = int(places_[1] - places_[0]) if len(places_) > 1 else 1
        wanted = places_[0] + step * torch.arange(len(places_), dtype=torch.float64)
        if step < 1 or not torch.equal(places_, wanted) or not bool((line == line[:, :1]).all()):
            return None
        found.append((int(places_[0]), step))
    return found


def _cropped(layer: OpCall, cut: Sequence[tuple[int, int]], out: Value) -> Sequence[OpCall] | None:
    sides = sides_of(layer)
    if sides is None:
        return None
    stride = tuple(old * step for old, (_, step) in zip(sides.stride, cut, strict=True))
    left = tuple(side - first * old for side, old, (first, _) in zip(sides.left, sides.stride, cut, strict=True))
    right = []
    for extent, size, reach, step, side in zip(
        layer.inputs[0].shape[2:], out.shape[2:], sides.reach, stride, left, strict=True
    ):
        last = max(0, (size - 1) * step + reach - extent - side)
        if side < 0 or (extent + side + last - reach) // step + 1 != size:
            return None
        right.append(last)
    return _with_sides(layer, replace(sides, stride=stride, left=left, right=tuple(right)), out)


def _cropped_transposed(layer: OpCall, cut: Sequence[tuple[int, int]], out: Value) -> Sequence[OpCall] | None:
    bound, d = layer.bound(), len(out.shape) - 2
    weight = bound["weight"]
    if any(step != 1 for _, step in cut) or layer.members or layer.before:
        return None
    numbers = {name: per_dimension(bound, d, name, default) for name, default in
               (("stride", 1), ("padding", 0), ("dilation", 1))}  # fmt: skip
    padding = _added(numbers["padding"], [first for first, _ in cut])
    extra = []
    for i, extent in enumerate(layer.inputs[0].shape[2:]):
        step, apart = numbers["stride"][i], numbers["dilation"][i]
        more = out.shape[2 + i] - ((extent - 1) * step - 2 * padding[i] + apart * (weight.shape[2 + i] - 1) + 1)
        if not 0 <= more < max(step, apart):
            return None
        extra.append(more)
    draft = Draft(layer)
    draft.apply(layer.name, _TRANSPOSED[d], layer.inputs[0], weight, bound.get("bias"), numbers["stride"], padding,
                tuple(extra), bound.get("groups", 1), numbers["dilation"], out=out)  # fmt: skip
    return draft.calls


def spread_inputs(tape: Tape) -> None:
    """Write a convolution of a map with zeros put between its entries as the transposed convolution that it is."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        if not call.inputs or call.inputs[0].producer is None:
            return None
        x = call.inputs[0]
        source = source_of_views(x)
        if source is x or source.shape[:2] != x.shape[:2] or len(source.shape) != len(x.shape):
            return None
        sides = sides_of(call)
        if sides is None or math.prod(x.shape) <= math.prod(source.shape) or source.shape[0] != tape.n:
            return None
        if {*sides.stride, *sides.dilation, call.bound().get("groups", 1)} != {1}:
            return None
        found = places(x, source, tape.n)
        spread = None if found is None else _spread(found[0], source.shape[1:])
        return None if spread is None else _as_transposed(call, source, sides, spread)

    tape.each(change, OpKind.LINEAR)
    tape.drop_unread()


def _spread(found: Tensor, size: Sequence[int]) -> list[tuple[int, int]] | None:
    """Where a map's first entry stands among zeros along each axis, and how far apart its entries are."""
    result, index = [], []
    for axis in range(1, len(size)):
        rows = (found > 0).movedim(axis, 0).flatten(1).any(1).nonzero().flatten()
        step = int(rows[1] - rows[0]) if len(rows) > 1 else 1
        if len(rows) != size[axis] or not torch.equal(rows, rows[0] + step * torch.arange(len(rows))):
            return None
        result.append((int(rows[0]), step))
        index.append(rows)
    if all(step == 1 for _, step in result):
        return None
    whole = torch.zeros_like(found)
    grid = torch.meshgrid(torch.arange(size[0]), *index, indexing="ij")
    whole[grid] = torch.arange(1, math.prod(size) + 1).reshape(tuple(size))
    return result if torch.equal(whole, found) else None


def _as_transposed(
    call: OpCall, source: Value, sides: Sides, spread: Sequence[tuple[int, int]]
) -> Sequence[OpCall] | None:
    bound, d = call.bound(), len(spread)
    stride, padding, extra = [], [], []
    for i, (first, step) in enumerate(spread):
        extent = source.shape[2 + i]
        left = sides.left[i] + first
        right = sides.right[i] + call.inputs[0].shape[2 + i] - 1 - first - (extent - 1) * step
        stride.append(step)
        padding.append(sides.reach[i] - 1 - left)
        extra.append(right - left)
    if min(padding) < 0 or any(not 0 <= more < step for more, step in zip(extra, stride, strict=True)):
        return None
    kernel = bound["weight"].flip(*range(2, 2 + d)).transpose(0, 1).contiguous()
    draft = Draft(call)
    draft.apply(f"conv_transpose{d}d", _TRANSPOSED[d], source, kernel, bound.get("bias"), tuple(stride),
                tuple(padding), tuple(extra), 1, 1, out=call.outputs[0])  # fmt: skip
    return draft.calls


def trim_kernels(tape: Tape) -> None:
    """Write convolutions without the rim of zeros around their kernels, and without blocks of zeros beside others."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        if call.name not in ("conv1d", "conv2d", "conv3d") or call.members:
            return None
        weight = call.bound().get("weight")
        if not isinstance(weight, Tensor) or weight.numel() == 0 or ordinary(weight) or bool(weight[0].all()):
            return None
        return _without_rim(call, weight) or _without_blocks(call, weight)

    tape.each(change, OpKind.LINEAR)


def _without_rim(call: OpCall, weight: Tensor) -> Sequence[OpCall] | None:
    first = weight[0, 0]
    axes = range(first.dim())
    if all(bool(first.select(i, 0).any() & first.select(i, -1).any()) for i in axes):
        return None
    sides = sides_of(call)
    if sides is None:
        return None
    kernel, left, right, reach = weight, list(sides.left), list(sides.right), list(sides.reach)
    for i in axes:
        used = weight.movedim(2 + i, 0).flatten(1).any(1).nonzero().flatten()
        if len(used) == 0:
            return None
        apart = sides.dilation[i]
        low = min(int(used[0]), left[i] // apart)
        high = min(weight.shape[2 + i] - 1 - int(used[-1]), right[i] // apart)
        kernel = kernel.narrow(2 + i, low, weight.shape[2 + i] - low - high)
        left[i], right[i], reach[i] = left[i] - low * apart, right[i] - high * apart, reach[i] - (low + high) * apart
    if kernel.shape == weight.shape:
        return None
    smaller = replace(sides, left=tuple(left), right=tuple(right), reach=tuple(reach))
    return _with_sides(call, smaller, call.outputs[0], kernel.contiguous())


def _without_blocks(call: OpCall, weight: Tensor) -> Sequence[OpCall] | None:
    if call.bound().get("groups", 1) != 1 or bool(weight[0].flatten(1).any(1).all()):
        return None
    used = weight.flatten(2).any(2)
    outputs, inputs = used.shape
    for groups in range(math.gcd(outputs, inputs), 1, -1):
        if outputs % groups or inputs % groups:
            continue
        block = torch.eye(groups, dtype=torch.bool, device=used.device)
        block = block.repeat_interleave(outputs // groups, 0).repeat_interleave(inputs // groups, 1)
        if not bool((used & ~block).any()):
            rows = zip(weight.chunk(groups), range(0, inputs, inputs // groups), strict=True)
            kernel = torch.cat([part.narrow(1, first, inputs // groups) for part, first in rows])
            sides = sides_of(call)
            return None if sides is None else _with_sides(call, sides, call.outputs[0], kernel, groups)
    return None


def constant_channels(tape: Tape) -> None:
    """Write what a layer makes of constant channels beside the signal's, such as coordinates, as its bias."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        if call.kind is not OpKind.LINEAR or "transpose" in call.name or call.members or len(call.inputs) != 1:
            return None
        cat, bound = call.inputs[0].producer, call.bound()
        order = None if cat is None else axes_of(cat)
        cat = cat.inputs[0].producer if cat is not None and order is not None else cat
        if cat is None or cat.name != "cat" or cat.members:
            return None
        rank, parts = len(call.inputs[0].shape), cat.bound().get("tensors", ())
        order = tuple(range(rank)) if order is None else order
        if cat.bound().get("dim", 0) % rank != order[1]:
            return None
        signals = [part for part in parts if isinstance(part, Value)] if isinstance(parts, tuple | list) else []
        if not signals or len(signals) == len(parts) or bound.get("groups", 1) != 1:
            return None
        if call.name == "linear" and len(call.inputs[0].shape) != 2:  # (n, c)
            return None
        return _without_constants(call, bound, parts, order)

    tape.each(change)
    tape.drop_unread()


def _without_constants(
    call: OpCall, bound: dict[str, Any], parts: Sequence[Any], order: tuple[int, ...]
) -> Sequence[OpCall]:
    weight, out, draft = bound["weight"], call.outputs[0], Draft(call)
    if order != tuple(range(len(order))):
        parts = [draft.apply("permute", torch.permute, part, order) if isinstance(part, Value) else part.permute(order)
                 for part in parts]  # fmt: skip
    filled, kept, first = [], [], 0
    for part in parts:
        size = part.shape[1]
        if isinstance(part, Value):
            kept.append(weight[:, first : first + size])
            filled.append(weight.new_zeros(part.shape))
        else:
            filled.append(part.to(weight))
        first += size
    with torch.no_grad():
        whole = torch.cat(filled, 1)
        whole = whole[:1] if bool((whole == whole[:1]).all()) else whole
        shift = compressed(call.run(whole)[0])  # the layer's own bias with it
    signals = [part for part in parts if isinstance(part, Value)]
    x = signals[0] if len(signals) == 1 else draft.apply("cat", torch.cat, signals, 1)
    changed = call.reading({call.inputs[0]: x})
    changed.args = tuple(None if item is bound.get("bias") else item for item in changed.args)
    changed.kwargs = {name: item for name, item in changed.kwargs.items() if name != "bias"}
    changed.args = tuple(torch.cat(kept, 1) if item is weight else item for item in changed.args)
    changed.kwargs = {name: torch.cat(kept, 1) if item is weight else item for name, item in changed.kwargs.items()}
    y = replace(out, index=out.index - 1 / 2048, tensor=None, maker=None, producer=changed)
    changed.outputs = (y,)
    draft.calls.append(changed)
    draft.apply(AFFINE, affine, y, torch.ones_like(shift[:1]), shift, out=out)
    return draft.calls
