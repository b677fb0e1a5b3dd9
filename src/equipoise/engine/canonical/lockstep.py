"""The same calls on several parts of one signal, as one call on the whole: a network that loops over frames.

``stack([f(x[:, :, t]) for t in ...], 2)`` is ``f`` on all frames at once, and a layer on frames is one of a clip
whose kernel spans one frame. In the other direction, what was concatenated along its positions, went through
layers that see each position alone, and was split again, went through them part by part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from equipoise.engine.canonical.cropping import sides_of
from equipoise.engine.canonical.patches import places, source_of_views
from equipoise.engine.canonical.tape import Draft, Tape
from equipoise.engine.operations import OpKind
from equipoise.engine.trace import OpCall, Value

_AXIS = 2  # where the parts are counted: after images and channels
_MOST_PARTS = 64


def join_frames(tape: Tape) -> None:
    """Write what was made part by part and then stacked as made of the whole."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        parts = call.bound().get("tensors", ()) if call.name == "stack" else ()
        if (
            not isinstance(parts, tuple | list)
            or not 1 < len(parts) <= _MOST_PARTS
            or not all(isinstance(part, Value) for part in parts)
        ):
            return None
        rank = len(call.outputs[0].shape)
        if rank not in (4, 5):  # maps of one or two dimensions, stacked
            return None
        axis = call.bound().get("dim", 0) % rank
        lift = _Lift(tape, call)
        whole = lift.of(tuple(parts)) if axis else None
        if whole is None or not lift.alone() or not lift.calls:
            return None
        draft = Draft(call)
        draft.calls = lift.calls
        draft.apply("movedim", torch.movedim, whole, _AXIS, axis, out=call.outputs[0])
        return draft.calls

    tape.each(change)
    tape.drop_unread()


class _Lift:
    """Finds the calls on a whole that do what calls on its parts do.

    Args:
        tape: The tape.
        call: What puts the parts together.
    """

    def __init__(self, tape: Tape, call: OpCall) -> None:
        self.tape, self.call, self.draft = tape, call, Draft(call)
        self.known: dict[tuple[Value, ...], Value] = {}
        self.swallowed: dict[Value, None] = {}
        self.makers: set[OpCall] = {call}

    @property
    def calls(self) -> list[OpCall]:
        return self.draft.calls

    def alone(self) -> bool:
        """Whether nothing else reads what was made of the parts."""
        ends = {self.tape.trace.output, *self.tape.trace.barriers}
        return all(value not in ends and self.makers.issuperset(self.tape.readers(value)) for value in self.swallowed)

    def of(self, parts: tuple[Value, ...]) -> Value | None:
        """The whole ``(n, c, parts, ...)`` of which these are the parts; ``None`` if they were not made alike."""
        if parts in self.known:
            return self.known[parts]
        if len({part.shape for part in parts}) != 1 or len(set(parts)) != len(parts):
            return None
        whole = self._sliced(parts)
        if whole is None:
            whole = self._made_alike(parts)
        if whole is not None:
            self.known[parts] = whole
        return whole

    def _sliced(self, parts: tuple[Value, ...]) -> Value | None:
        source = source_of_views(parts[0])
        if source is parts[0] or any(source_of_views(part) is not source for part in parts):
            return None
        rows = len(parts[0].shape) + 1 == len(source.shape) and source.shape[0] == self.tape.n
        if not rows or math.prod(source.shape) != len(parts) * math.prod(parts[0].shape):
            return None
        found = [places(part, source, self.tape.n) for part in parts]
        if any(part is None or len(part) != 1 for part in found):
            return None
        there = torch.stack([part[0] for part in found if part is not None], _AXIS - 1)
        numbers = torch.arange(1, there.numel() + 1).reshape(source.shape[1:])
        for order in permutations(range(numbers.dim())):
            if torch.equal(numbers.permute(order), there):
                axes = (0, *[axis + 1 for axis in order])
                if order == tuple(range(numbers.dim())):
                    return source
                return self.draft.apply("permute", torch.permute, source, axes)
        return None

    def _made_alike(self, parts: tuple[Value, ...]) -> Value | None:
        makers = [part.producer for part in parts]
        first = makers[0]
        if first is None or first.members or len(first.outputs) != 1:
            return None
        columns = []
        for maker in makers:
            if maker is None or not _alike(maker, first) or len(maker.outputs) != 1:
                return None
            columns.append(maker.inputs)
        wholes = [self.of(tuple(column)) for column in zip(*columns, strict=True)]
        if any(whole is None for whole in wholes):
            return None
        self.swallowed.update(dict.fromkeys(parts))
        self.makers.update(maker for maker in makers if maker is not None)
        return self._written(first, [whole for whole in wholes if whole is not None], len(parts))

    def _written(self, call: OpCall, wholes: Sequence[Value], count: int) -> Value | None:
        out = call.outputs[0]
        shape = (*out.shape[:_AXIS], count, *out.shape[_AXIS:])
        if call.kind in (OpKind.LINEAR, OpKind.MAX_POOL):
            return self._windowed(call, wholes[0], shape)
        pointwise = call.operation is not None and call.operation.pointwise
        if not pointwise or any(value.shape != out.shape for value in call.inputs) or call.before:
            return None
        rank = len(out.shape)

        def deeper(item: Any) -> Any:
            if not isinstance(item, Tensor) or item.dim() == 0 or call.name == "batch_norm":
                return item
            item = item.reshape(*[1] * (rank - item.dim()), *item.shape)
            return item.unsqueeze(_AXIS)

        args = tuple(deeper(item) for item in call.args)
        kwargs = {name: deeper(item) for name, item in call.kwargs.items()}
        changed = replace(call, args=args, kwargs=kwargs).reading(dict(zip(call.inputs, wholes, strict=True)))
        whole = replace(out, shape=shape, index=self._index(wholes), tensor=None, maker=None, producer=changed)
        changed.outputs = (whole,)
        self.calls.append(changed)
        return whole

    def _index(self, wholes: Sequence[Value]) -> float:
        return max(self.call.outputs[0].index - 0.5, *(value.index for value in wholes))

    def _windowed(self, call: OpCall, whole: Value, shape: tuple[int, ...]) -> Value | None:
        sides = sides_of(call)
        if sides is None:
            return None
        d, bound = len(shape) - 3, call.bound()
        padding, before = sides.padding()
        if call.kind is OpKind.LINEAR:
            y = self.draft.apply(
                f"conv{d + 1}d", (F.conv2d, F.conv3d)[d - 1], whole, bound["weight"].unsqueeze(_AXIS),
                bound.get("bias"), (1, *sides.stride), (0, *padding), (1, *sides.dilation), bound.get("groups", 1),
                shape=shape)  # fmt: skip
        else:
            y = self.draft.apply(
                f"max_pool{d + 1}d", (F.max_pool2d, F.max_pool3d)[d - 1], whole, (1, *sides.reach),
                (1, *sides.stride), (0, *padding), shape=shape)  # fmt: skip
        self.calls[-1] = y.producer = replace(self.calls[-1], before=before)
        return y


def _alike(call: OpCall, other: OpCall) -> bool:
    """Whether two calls do the same to their signals."""
    same = call.function is other.function and call.operation == other.operation and call.before == other.before
    if not same or call.members or len(call.inputs) != len(other.inputs) or call.kwargs.keys() != other.kwargs.keys():
        return False
    pairs = [*zip(call.args, other.args, strict=False), *((call.kwargs[k], other.kwargs[k]) for k in call.kwargs)]
    given = dict(zip(call.inputs, other.inputs, strict=True))
    return len(call.args) == len(other.args) and all(_same(a, b, given) for a, b in pairs)


def _same(a: Any, b: Any, given: dict[Value, Value]) -> bool:
    if isinstance(a, Value):
        return given.get(a) is b
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return a is b or (isinstance(a, Tensor) and isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b))
    if isinstance(a, tuple | list):
        alike = isinstance(b, tuple | list) and len(a) == len(b)
        return alike and all(_same(i, j, given) for i, j in zip(a, b, strict=True))
    return type(a) is type(b) and bool(a == b)


def part_positions(tape: Tape) -> None:
    """Write what was concatenated along its positions, seen position by position and split again, part by part."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        if call.kind is not OpKind.VIEW or len(call.inputs) != 1:
            return None
        joined = _Joined.before(call.inputs[0], tape)
        if joined is None or any(joined.shown(reader) is None for reader in tape.readers(call.inputs[0])):
            return None
        draft = Draft(call)
        for out, part in zip(call.outputs, joined.shown(call) or (), strict=True):
            joined.write(draft, part, out)
        return draft.calls

    tape.each(change)
    tape.drop_unread()


@dataclass(frozen=True)
class _Joined:
    """Parts that were concatenated along an axis of positions, and the calls that then saw each position alone."""

    parts: tuple[Value, ...]
    axis: int
    chain: tuple[OpCall, ...]

    @classmethod
    def before(cls, value: Value, tape: Tape) -> _Joined | None:
        """What ``value`` was made of; ``None`` if it was made in another way."""
        chain: list[OpCall] = []
        while value.producer is not None and value not in tape.trace.barriers:
            call = value.producer
            if call.name == "cat":
                parts = call.bound().get("tensors", ())
                axis = call.bound().get("dim", 0) % len(value.shape)
                plain = isinstance(parts, tuple | list) and all(isinstance(part, Value) for part in parts)
                alike = plain and len(set(parts)) == len(parts) and axis >= _AXIS
                return cls(tuple(parts), axis, tuple(reversed(chain))) if alike and chain else None
            if not _sees_positions_alone(call) or (chain and not tape.inner(value)):
                return None
            chain.append(call)
            value = call.inputs[0]
        return None

    def shown(self, call: OpCall) -> list[Value] | None:
        """Which part each output of a view shows; ``None`` if one shows anything else."""
        made = call.inputs[0]
        shape = [1] * len(made.shape)
        shape[self.axis] = made.shape[self.axis]
        numbers = torch.arange(made.shape[self.axis]).reshape(shape).expand(made.shape)
        try:
            found = call.run(numbers)
        except (RuntimeError, TypeError, ValueError, IndexError):
            return None
        first, ranges = 0, {}
        for part in self.parts:
            ranges[first, part.shape[self.axis]] = part
            first += part.shape[self.axis]
        result = []
        for tensor in found:
            if tensor.dim() != len(made.shape) or tensor.numel() == 0:
                return None
            line = tensor.movedim(self.axis, 0).flatten(1)
            start, count = int(line[0, 0]), len(line)
            wanted = (*made.shape[: self.axis], count, *made.shape[self.axis + 1 :])
            if not bool((line == start + torch.arange(count).unsqueeze(1)).all()) or (start, count) not in ranges:
                return None
            if tuple(tensor.shape) != wanted:
                return None
            result.append(ranges[start, count])
        return result

    def write(self, draft: Draft, part: Value, out: Value) -> None:
        """Write the calls on one part."""
        x, count = part, part.shape[self.axis]
        for number, call in enumerate(self.chain, start=1):
            made = call.outputs[0]
            shape = (*made.shape[: self.axis], count, *made.shape[self.axis + 1 :])
            changed = call.reading({call.inputs[0]: x})
            last = number == len(self.chain)
            index = max(x.index, out.index - 1 / 1024)
            x = out if last else replace(made, shape=shape, index=index, tensor=None, maker=None, producer=changed)
            changed.outputs = (x,)
            draft.calls.append(changed)


def _sees_positions_alone(call: OpCall) -> bool:
    if len(call.inputs) != 1 or len(call.outputs) != 1 or call.members or call.before:
        return False
    if call.kind is OpKind.LINEAR:
        sides = sides_of(call)
        return sides is not None and {*sides.reach, *sides.stride} == {1} and not any((*sides.left, *sides.right))
    if call.name == "batch_norm":
        return True
    pointwise = call.operation is not None and call.operation.pointwise
    items = (*call.args, *call.kwargs.values())
    return pointwise and not any(isinstance(item, Tensor) and math.prod(item.shape[_AXIS - 1 :]) > 1 for item in items)
