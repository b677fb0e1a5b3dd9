"""Concatenations and copies, however entries came to lie where they are; layers that are one layer cut in parts.

What stands in a value that was put together from several others (by ``cat``, ``stack`` and views, or by writing
into a buffer) is found by moving numbers through it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from equipoise.engine.canonical.affine import AFFINE, affine
from equipoise.engine.canonical.patches import places, source_of_views, swaps_axes
from equipoise.engine.canonical.tape import Draft, Tape, members_between
from equipoise.engine.operations import OpKind
from equipoise.engine.trace import OpCall, Value, region

_MOVING = (OpKind.VIEW, OpKind.IDENTITY, OpKind.CONCATENATE)


def write_concatenations(tape: Tape) -> None:
    """Write what was put together channel by channel as ``cat``; a part that was taken out again as itself."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        if call.kind not in (OpKind.VIEW, OpKind.CONCATENATE) or _is_plain_cat(call):
            return None
        if len(call.outputs) > 1:
            return _taken_out(call)
        out = call.outputs[0]
        sources = _sources(out)
        if sources is None or not 1 <= len(sources) <= 512 or any(0 in value.shape for value in (out, *sources)):
            return None
        if len(sources) == 1 and (sources[0].shape != out.shape or call.inputs[0] is sources[0]):
            return None
        if len(sources) > 1 and not any(value.shape == out.shape for value in sources):
            whole = sum(math.prod(value.shape) for value in sources)
            if whole != math.prod(out.shape) or not all(_stackable(value, out) for value in sources):
                return None
        return _identified(call, sources)

    tape.each(change)
    tape.drop_unread()


def _taken_out(call: OpCall) -> Sequence[OpCall] | None:
    """A value that was put together, taken apart again: each part as itself."""
    sources = _sources(call.outputs[0])
    if sources is None or len(sources) != len(call.outputs) or call.inputs[0] in sources:
        return None
    if [value.shape for value in sources] != [out.shape for out in call.outputs]:
        return None
    numbers = _numbered(sources)
    members = members_between(call.outputs[0], sources)
    try:
        with torch.no_grad():
            known = dict(zip(sources, numbers, strict=True))
            for member in members:
                known.update(zip(member.outputs, member.run(*[known[value] for value in member.inputs]), strict=True))
    except (RuntimeError, TypeError, ValueError, KeyError):
        return None
    draft = Draft(call)
    for out in call.outputs:
        same = [value for value, own in zip(sources, numbers, strict=True) if torch.equal(known[out].cpu(), own)]
        if not same:
            return None
        draft.apply("alias", torch.Tensor.clone, same[0], out=out)
    return draft.calls


def _numbered(sources: Sequence[Value]) -> list[Tensor]:
    """Each entry of each of ``sources`` with a number of its own."""
    numbers, first = [], 1
    for value in sources:
        count = math.prod(value.shape)
        numbers.append(torch.arange(first, first + count, dtype=torch.float64).reshape(value.shape))
        first += count
    return numbers


def gather_maxima(tape: Tape) -> None:
    """Write what is gathered by a maximum pool's own indices as the pool's result."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        if call.name not in ("gather", "take_along_dim") or len(call.inputs) != 2:
            return None
        index = next((value for value in call.inputs if value.discrete), None)
        signal = next((value for value in call.inputs if not value.discrete), None)
        if index is None or signal is None:
            return None
        while index.producer is not None and index.producer.kind is OpKind.VIEW and len(index.producer.inputs) == 1:
            index = index.producer.inputs[0]
        pool, out = index.producer, call.outputs[0]
        if pool is None or pool.kind is not OpKind.MAX_POOL or source_of_views(signal) is not pool.inputs[0]:
            return None
        best = pool.outputs[0]
        size = out.shape
        data = tape.trace.data
        if math.prod(best.shape) != math.prod(size) or not torch.equal(data(best).reshape(size), data(out)):
            return None
        draft = Draft(call)
        draft.view(best, lambda t: t.reshape(size), out)
        return draft.calls

    tape.each(change)
    tape.drop_unread()


def _is_plain_cat(call: OpCall) -> bool:
    return call.name == "cat" and all(
        value.producer is None or value.producer.kind not in _MOVING for value in call.inputs
    )


def _sources(value: Value) -> list[Value] | None:
    """The values that the entries of ``value`` come from, in the order in which they are read."""
    found: dict[Value, None] = {}
    pending = [value]
    seen: set[Value] = set()
    while pending:
        current = pending.pop(0)
        if current in seen:
            continue
        seen.add(current)
        call = current.producer
        if call is None or call.kind not in _MOVING:
            found[current] = None
        elif any(source.discrete for source in call.inputs):
            return None
        else:
            pending.extend(call.inputs)
    return list(found)


def _stackable(value: Value, out: Value) -> bool:
    sizes = (value.shape[:1], value.shape[2:])
    return len(value.shape) == len(out.shape) and sizes == (out.shape[:1], out.shape[2:])


def _identified(call: OpCall, sources: Sequence[Value]) -> Sequence[OpCall] | None:
    """The call as a copy of one of its sources, or their concatenation; ``None`` if it is neither."""
    out = call.outputs[0]
    numbers = _numbered(sources)
    try:
        with torch.no_grad():
            found = region(members_between(out, sources), sources, out)(*numbers).cpu()
    except (RuntimeError, TypeError, ValueError):
        return None
    draft = Draft(call)
    for value, own in zip(sources, numbers, strict=True):
        if found.shape == own.shape and torch.equal(found, own):
            draft.apply("alias", torch.Tensor.clone, value, out=out)
            return draft.calls
    if len(sources) == 1 or call.name == "cat" or not all(_stackable(value, out) for value in sources):
        return None
    order = sorted(range(len(sources)), key=lambda i: _where(found, numbers[i]))
    if not torch.equal(found, torch.cat([numbers[i] for i in order], 1)):
        return None
    parts = [sources[i] for i in order]
    draft.apply("cat", torch.cat, parts, 1, out=out)
    return draft.calls


def _where(found: Tensor, own: Tensor) -> int:
    spots = (found[0].flatten() == own.flatten()[0]).nonzero()
    return int(spots[0]) if len(spots) else -1


@dataclass(frozen=True)
class _Part:
    """A convolution whose outputs are some of the channels of a larger one."""

    call: OpCall
    weight: Tensor
    bias: Tensor | None
    geometry: tuple[Any, ...]


def join_layers(tape: Tape) -> None:
    """Write convolutions whose outputs are concatenated as one: of one signal, or a grouped one of its slices."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        if call.name != "cat" or call.bound().get("dim", 0) != 1 or len(call.inputs) < 2:
            return None
        parts = [_part(value, tape) for value in call.bound().get("tensors", ()) if isinstance(value, Value)]
        known = [part for part in parts if part is not None]
        if len(known) != len(call.inputs) or len({part.geometry for part in known}) != 1:
            return None
        signals = [part.call.inputs[0] for part in known]
        if len(set(signals)) == 1 and known[0].geometry[-1] == 1:
            return _written(call, known, signals[0], 1)
        source = source_of_views(signals[0])
        if known[0].geometry[-1] != 1 or not _slices_in_order(signals, source, tape):
            return None
        return _written(call, known, source, len(known))

    tape.each(change)
    tape.drop_unread()


def _part(value: Value, tape: Tape) -> _Part | None:
    layer = value.producer
    if (
        layer is None
        or layer.kind is not OpKind.LINEAR
        or not tape.inner(value)
        or layer.members
        or len(layer.inputs) != 1
    ):
        return None
    bound = layer.bound()
    if layer.name == "linear":
        return _Part(layer, bound["weight"], bound.get("bias"), ("linear", bound["weight"].shape[1], (), 1))
    if not layer.name.startswith("conv") or "transpose" in layer.name:
        return None
    options = [bound.get(name, default) for name, default in (("stride", 1), ("padding", 0), ("dilation", 1))]
    plain = tuple(tuple(option) if isinstance(option, list | tuple) else option for option in options)
    d = bound["weight"].dim() - 2
    plain = tuple((option,) * d if isinstance(option, int) else option for option in plain)
    shape = tuple(bound["weight"].shape[1:])
    geometry = (layer.name, shape, layer.before, *plain, bound.get("groups", 1))
    return _Part(layer, bound["weight"], bound.get("bias"), geometry)


def _slices_in_order(signals: Sequence[Value], source: Value, tape: Tape) -> bool:
    """Whether ``signals`` are all channels of ``source``, cut in equal parts, in order."""
    if len({value.shape for value in signals}) != 1 or signals[0].shape[0] != tape.n:
        return False
    if len(source.shape) != len(signals[0].shape) or sum(value.shape[1] for value in signals) != source.shape[1]:
        return False
    first = 1
    for value in signals:
        if source_of_views(value) is not source:
            return False
        found = places(value, source, tape.n)
        count = math.prod(value.shape[1:])
        if found is None or not torch.equal(found.flatten(), torch.arange(first, first + count)):
            return False
        first += count
    return True


def _written(call: OpCall, parts: Sequence[_Part], source: Value, groups: int) -> Sequence[OpCall]:
    weight = torch.cat([part.weight for part in parts])
    bias = None
    if any(part.bias is not None for part in parts):
        each = [part.weight.new_zeros(len(part.weight)) if part.bias is None else part.bias for part in parts]
        bias = torch.cat(each)
    draft = Draft(call)
    if parts[0].geometry[0] == "linear":
        draft.apply("linear", F.linear, source, weight, bias, out=call.outputs[0])
        return draft.calls
    name, _, before, stride, padding, dilation, _ = parts[0].geometry
    draft.apply(
        name, parts[0].call.function, source, weight, bias, stride, padding, dilation, groups, out=call.outputs[0]
    )
    draft.calls[-1] = replace(draft.calls[-1], before=before)
    return draft.calls


def spread_patches(tape: Tape) -> None:
    """Write a layer whose channels are spread over positions, as by a pixel shuffle, as a transposed convolution."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        out = call.outputs[0]
        if call.kind is not OpKind.VIEW or len(call.outputs) != 1 or len(out.shape) not in (3, 4, 5):
            return None
        source = source_of_views(out)
        layer = source.producer
        if (
            source is out
            or swaps_axes(call, source)
            or layer is None
            or layer.kind is not OpKind.LINEAR
            or not layer.name.startswith("conv")
        ):
            return None
        bound = layer.bound()
        kernel, signal = bound.get("weight"), bound.get("input")
        if not isinstance(kernel, Tensor) or not isinstance(signal, Value) or math.prod(kernel.shape[2:]) != 1:
            return None
        if bound.get("groups", 1) != 1 or len(source.shape) != len(out.shape) or signal.shape[2:] != source.shape[2:]:
            return None
        if out.shape[1] >= source.shape[1] or math.prod(out.shape) != math.prod(source.shape) or out.shape[0] != tape.n:
            return None
        return _transposed(call, layer, source, tape)

    tape.each(change)
    tape.drop_unread()


def _transposed(call: OpCall, layer: OpCall, source: Value, tape: Tape) -> Sequence[OpCall] | None:
    out, d = call.outputs[0], len(source.shape) - 2
    found = places(out, source, tape.n)
    if found is None or any(o % i for o, i in zip(out.shape[2:], source.shape[2:], strict=True)):
        return None
    stride = tuple(o // i for o, i in zip(out.shape[2:], source.shape[2:], strict=True))
    numbers = found[0] - 1
    positions = math.prod(source.shape[2:])
    channel, place = numbers // positions, numbers % positions
    corner = (slice(None), *[slice(0, step) for step in stride])
    chosen = channel[corner]
    repeated = chosen.repeat(1, *source.shape[2:])
    grid = torch.arange(positions).reshape(source.shape[2:])
    for axis, step in enumerate(stride):
        grid = grid.repeat_interleave(step, axis)
    if not torch.equal(channel, repeated) or not bool((place == grid).all()):
        return None
    bound = layer.bound()
    weight = bound["weight"].flatten(1)[chosen.flatten()].reshape(*chosen.shape, -1).movedim(-1, 0)
    bias = bound.get("bias")
    shift = None if bias is None else bias[chosen.flatten()].reshape(chosen.shape)
    uniform = shift is None or bool((shift == shift.flatten(1)[:, :1].reshape(-1, *[1] * d)).all())
    own = None if shift is None or not uniform else shift.flatten(1)[:, 0].contiguous()
    function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[d - 1]
    draft = Draft(call)
    arguments = (bound["input"], weight.contiguous(), own, stride)
    if uniform or shift is None:
        draft.apply(f"conv_transpose{d}d", function, *arguments, out=out)
    else:
        y = draft.apply(f"conv_transpose{d}d", function, *arguments, shape=out.shape)
        tiled = shift.repeat(1, *source.shape[2:]).unsqueeze(0)
        draft.apply(AFFINE, affine, y, torch.ones_like(tiled), tiled, out=out)
    return draft.calls
