"""Entries that were moved before a layer: found by moving their numbers, so by what a view does, not by its name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from equipoise.engine.canonical.tape import Draft, Tape, members_between
from equipoise.engine.operations import OpKind
from equipoise.engine.trace import OpCall, Value, region
from equipoise.errors import UnsupportedOperationError


def source_of_views(value: Value) -> Value:
    """The value whose entries ``value`` holds, moved, copied or padded with a constant."""
    while value.producer is not None and value.producer.kind in (OpKind.VIEW, OpKind.IDENTITY, OpKind.CONCATENATE):
        if any(source.discrete for source in value.producer.inputs):
            break
        sources = set(value.producer.inputs)
        if len(sources) > 1:
            sources = {source_of_views(source) for source in sources}
        if len(sources) != 1 or 0 in value.shape:
            break
        (value,) = sources
    return value


def places(value: Value, source: Value, n: int) -> Tensor | None:
    """For each entry of the first image of ``value``, which entry of its image of ``source`` it is, from 1; 0: none.

    The result has the shape of ``value``, with as many rows as an image has.

    ``None`` if that is no copy of entries, such as where a constant other than zero stands.
    """
    members = members_between(value, [source])
    numbers = torch.arange(1, math.prod(source.shape) + 1, dtype=torch.float64).reshape(source.shape)
    try:
        with torch.no_grad():
            found = region(members, [source], value)(numbers).cpu()  # the network may move it elsewhere on the way
            # A constant would stay where all numbers are moved on.
            again = region(members, [source], value)(torch.where(numbers > 0, numbers + 0.5, numbers)).cpu()
    except (RuntimeError, TypeError, ValueError):
        return None
    moved = again - found
    if not bool(((moved == 0.5) | ((moved == 0) & (found == 0))).all()):
        return None
    return found[: max(found.shape[0] // max(n, 1), 1)].round().long()


SWAPS = frozenset({"permute", "transpose", "movedim", "swapaxes", "swapdims", "moveaxis"})


def axes_of(call: OpCall) -> tuple[int, ...] | None:
    """Which axis of what it shows each axis of a swap of axes is; ``None`` for any other call."""
    if call.name not in SWAPS or len(call.inputs) != 1 or len(call.outputs) != 1:
        return None
    shape = tuple(range(2, 2 + len(call.inputs[0].shape)))
    try:
        moved = call.run(torch.empty(shape, device="meta"))[0]
    except (RuntimeError, TypeError, ValueError, IndexError):
        return None
    return tuple(size - 2 for size in moved.shape) if sorted(moved.shape) == list(shape) else None


def swaps_axes(call: OpCall, source: Value) -> bool:
    """Whether a call does nothing to ``source`` but give its axes another order: no position becomes a channel."""
    return call.name in ("movedim", "permute", "transpose") and not call.members and call.inputs == (source,)


def distinct(numbers: Tensor) -> int:
    """How many different numbers there are."""
    return len(set(numbers.flatten().tolist()))


def as_convolution(call: OpCall, tape: Tape) -> Sequence[OpCall] | None:
    """A layer of a 1x1 kernel on patches as the convolution that it is.

    Raises:
        UnsupportedOperationError: If it reads windows that overlap, in an order that no convolution has.
    """
    bound = call.bound()
    source = _map_behind(call, tape)
    if source is None:
        return None
    x: Value = bound["input"]
    if math.prod(x.shape) == math.prod(source.shape) and x.shape[1] == source.shape[1]:
        return _on_source(call, source, bound, tape)
    if x.shape[0] != tape.n:
        return None
    more = math.prod(x.shape) > math.prod(source.shape)
    deeper = x.shape[1] > source.shape[1] and math.prod(x.shape[2:]) < math.prod(source.shape[2:])
    found = places(x, source, tape.n) if more or deeper else None
    geometry = None if found is None else _geometry(found[0], source.shape[1:])
    if geometry is not None:
        return _written(call, source, bound, geometry)
    if more and found is not None and distinct(found) < found.numel() // 2:
        raise UnsupportedOperationError(
            f"a layer of weights at {call.site} reads overlapping windows of {source.shape} that were laid side by "
            "side in an order that equipoise does not know as a convolution; write it as one (torch's conv2d)"
        )
    return None


def _map_behind(call: OpCall, tape: Tape) -> Value | None:
    """The map whose entries a 1x1 layer reads, if they were moved on the way; ``None`` if they were not."""
    bound = call.bound()
    x, weight = bound.get("input"), bound.get("weight")
    if not isinstance(x, Value) or not isinstance(weight, Tensor) or math.prod(weight.shape[2:]) != 1:
        return None
    if call.before or not _alone(bound):
        return None
    source = source_of_views(x)
    view = x.producer
    if view is not None and swaps_axes(view, source):
        order = axes_of(view)
        if x.shape[1:2] != source.shape[1:2] or (order is not None and order[:2] == (0, 1)):
            return None
    rows = source.shape[0] == tape.n and len(x.shape) > 2 and x.shape[0] % max(tape.n, 1) == 0
    return source if source is not x and rows and len(source.shape) in (3, 4, 5) else None


def _alone(bound: dict[str, Any]) -> bool:
    """Whether a 1x1 layer makes one output at each position: it neither skips any nor adds some around."""
    stride, padding = bound.get("stride", 1), bound.get("padding", 0)
    each = stride if isinstance(stride, tuple | list) else (stride,)
    around = padding if isinstance(padding, tuple | list) else (padding,)
    return all(step == 1 for step in each) and all(side in (0, "valid", "same") for side in around)


def _on_source(call: OpCall, source: Value, bound: dict[str, Any], tape: Tape) -> Sequence[OpCall] | None:
    """A 1x1 layer on positions in another order, as one on the map whose positions they are, and a view of it."""
    x, weight, out = bound["input"], bound["weight"], call.outputs[0]
    found = places(x, source, tape.n)
    if found is None or not bool((found > 0).all()):
        return None
    channels, positions = source.shape[1], math.prod(source.shape[2:])
    folded = len(found)  # rows of an image: windows or frames
    flat = found.transpose(0, 1).reshape(channels, -1) - 1
    order = flat[0]
    if not bool((flat == order + torch.arange(channels).unsqueeze(1) * positions).all()):
        return None
    d = len(source.shape) - 2
    convolve = (F.conv1d, F.conv2d, F.conv3d)[d - 1]
    kernel = weight.reshape(*weight.shape[:2], *[1] * d)
    draft = Draft(call)
    groups = int(bound.get("groups", 1))
    straight = bool((order == torch.arange(positions)).all())
    whole = straight and out.shape == (source.shape[0], len(weight), *source.shape[2:])
    size = (source.shape[0], len(weight), *source.shape[2:])
    y = draft.apply(f"conv{d}d", convolve, source, kernel, bound.get("bias"), 1, 0, 1, groups,
                    out=out if whole else None, shape=size)  # fmt: skip
    if not whole:
        shape = out.shape

        def arranged(t: Tensor) -> Tensor:
            t = t.flatten(2)
            t = t if straight else t.index_select(2, order.to(t.device))
            return (t if folded == 1 else t.reshape(*t.shape[:2], folded, -1).transpose(1, 2)).reshape(shape)

        draft.view(y, arranged, out)
    return draft.calls


def _written(call: OpCall, source: Value, bound: dict[str, Any], geometry: _Geometry) -> Sequence[OpCall]:
    weight: Tensor = bound["weight"]
    d = len(source.shape) - 2
    kernel = weight.new_zeros(len(weight), source.shape[1], *geometry.kernel)
    groups = int(bound.get("groups", 1))
    flat = _ungrouped(weight.reshape(len(weight), -1), groups)
    kernel.index_put_(
        (torch.arange(len(weight)).unsqueeze(1), geometry.channel.unsqueeze(0),
         *[offset.unsqueeze(0) for offset in geometry.offsets]), flat, accumulate=True,
    )  # fmt: skip
    kernel, groups = _grouped(kernel, groups)
    draft = Draft(call)
    before = tuple(side for pair in reversed(geometry.padding) for side in pair)
    x = source
    if any(before):
        x = draft.apply("pad", F.pad, x, before)
    convolve = (F.conv1d, F.conv2d, F.conv3d)[d - 1]
    size = (source.shape[0], len(weight), *geometry.size)
    y = draft.apply(f"conv{d}d", convolve, x, kernel, bound.get("bias"), geometry.stride, 0, 1, groups, shape=size)
    shape = call.outputs[0].shape
    draft.view(y, lambda t: t.reshape(shape), call.outputs[0])
    return draft.calls


def _ungrouped(weight: Tensor, groups: int) -> Tensor:
    """Weights ``(out, in / groups)`` as ``(out, in)``, zero between groups."""
    if groups == 1:
        return weight
    blocks = weight.chunk(groups)
    width = weight.shape[1]
    whole = weight.new_zeros(len(weight), width * groups)
    for number, rows in enumerate(blocks):
        whole[number * len(rows) : (number + 1) * len(rows), number * width : (number + 1) * width] = rows
    return whole


def _grouped(kernel: Tensor, groups: int) -> tuple[Tensor, int]:
    """A kernel ``(out, in, ...)`` without the zeros between groups, if its groups read consecutive channels."""
    if groups == 1 or kernel.shape[1] % groups:
        return kernel, 1
    width = kernel.shape[1] // groups
    blocks = [rows[:, i * width : (i + 1) * width] for i, rows in enumerate(kernel.chunk(groups))]
    inside = torch.cat(blocks)
    same = bool(inside.abs().sum() == kernel.abs().sum())
    return (inside, groups) if same else (kernel, 1)


class _Geometry:
    """A convolution read off the places of its patches' entries."""

    def __init__(self, size: tuple[int, ...], stride: tuple[int, ...]) -> None:
        self.size, self.stride = size, stride
        self.kernel: tuple[int, ...] = ()
        self.padding: list[tuple[int, int]] = []
        self.channel = torch.empty(0, dtype=torch.long)
        self.offsets: list[Tensor] = []


def _geometry(found: Tensor, shape: Sequence[int]) -> _Geometry | None:
    """The convolution whose patches ``found`` ``(features, *positions)`` are; ``None`` if they are no patches."""
    features = found.shape[0]
    flat = found.reshape(features, -1) - 1  # -1 where a pad is
    inside = flat >= 0
    spots: list[Tensor] = []
    rest = flat.clamp(min=0)
    for extent in reversed(shape[1:]):
        spots.insert(0, rest % extent)
        rest = rest // extent
    channel = torch.where(inside, rest, -1).amax(1)
    if bool((channel < 0).any()) or not bool(((rest == channel.unsqueeze(1)) | ~inside).all()):
        return None
    full = [int(row) for row in inside.all(1).nonzero().flatten()]
    if not full:
        return None
    grid = [spot[full[0]] for spot in spots]
    values = [torch.tensor(sorted(set(axis.tolist()))) for axis in grid]
    size = tuple(map(len, values))
    if math.prod(size) != flat.shape[1]:
        return None
    steps = [axis.diff() for axis in values]
    if any(len(step) and bool((step != step[0]).any()) for step in steps):
        return None
    stride = tuple(int(step[0]) if len(step) else 1 for step in steps)
    counters = torch.meshgrid(*[torch.arange(count) for count in size], indexing="ij")
    result = _Geometry(size, stride)
    result.channel = channel
    for spot, counter, step, extent in zip(spots, counters, stride, shape[1:], strict=True):
        offset = spot - counter.flatten() * step
        first = torch.where(inside, offset, offset.new_tensor(10**9)).amin(1)
        if not bool(((offset == first.unsqueeze(1)) | ~inside).all()):
            return None
        low = int(first.amin())
        reach = int(first.amax()) - low + 1
        end = (counter.max().item() * step) + low + reach
        if low > 0:  # what lies before the first window is skipped by a larger kernel of zeros
            reach, low = reach + low, 0
        result.offsets.append(first - low)
        result.kernel = (*result.kernel, reach)
        result.padding.append((-low, max(0, int(end) - extent)))
    return result
