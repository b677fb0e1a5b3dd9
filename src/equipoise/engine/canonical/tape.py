"""Editing a tape: calls replaced by others that make the same values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from equipoise.engine.operations import OPERATIONS, Operation, OpKind
from equipoise.engine.sites import Site
from equipoise.engine.trace import OpCall, Trace, Value, region

Change = Callable[[OpCall], "Sequence[OpCall] | None"]
"""What takes a call's place: other calls, the last of which make the same outputs; ``None`` leaves it."""


class Tape:
    """The calls of a trace while they are being changed.

    Attributes:
        trace: The trace.
        calls: The calls, each after those whose outputs it reads.
        n: Number of images.
        kinds: The kinds of operation among the calls.
        names: The names of the calls.
    """

    def __init__(self, trace: Trace, calls: Iterable[OpCall]) -> None:
        self.trace = trace
        self.n = trace.n
        self.calls: list[OpCall] = []
        self.kinds: set[OpKind | None] = set()
        self.names: set[str] = set()
        self._readers: dict[Value, list[OpCall]] = {}
        self._read = {value for call in trace.recorded for value in call.inputs}
        self._all_read = False  # whether `drop_unread` has nothing to drop
        self.set(calls)

    def set(self, calls: Iterable[OpCall]) -> None:
        """Put other calls in place of all."""
        self.calls = list(calls)
        self.trace.written.update(self.calls)
        self.kinds = {call.kind for call in self.calls}
        self.names = {call.name for call in self.calls}
        readers: dict[Value, list[OpCall]] = {}
        self._readers = readers
        self._all_read = False
        for call in self.calls:
            for value in call.outputs:
                value.producer = call
            for value in call.inputs:
                readers.setdefault(value, []).append(call)

    def each(self, change: Change, kind: OpKind | None = None) -> bool:
        """Let ``change`` see every call in order, or those of one kind; what it returns takes the call's place.

        Returns:
            Whether there was a change.
        """
        kept: list[OpCall] = []
        changed = False
        for call in self.calls:
            instead = change(call) if kind is None or call.kind is kind else None
            if instead is None:
                kept.append(call)
                continue
            changed = True
            for new in instead:
                kept.append(new)
                for value in new.outputs:
                    value.producer = new
        if changed:
            self.set(kept)
        return changed

    def readers(self, value: Value) -> list[OpCall]:
        """The calls that read ``value``."""
        return self._readers.get(value, [])

    def inner(self, value: Value) -> bool:
        """Whether nothing but one call ever looks at ``value``, so that a larger call can swallow it."""
        ends = value is self.trace.output or value in self.trace.barriers
        return not ends and value.producer is not None and len(self.readers(value)) == 1

    def substitute(self, same: Mapping[Value, Value]) -> None:
        """Let every call read other values in place of some that are the same; what nothing reads then is dropped."""
        if not same:
            return
        changed = [call if same.keys().isdisjoint(call.inputs) else call.reading(same) for call in self.calls]
        self.set(changed)
        self.drop_unread()

    def drop_unread(self) -> None:
        """Drop calls that were replaced: nothing reads what they make, though something once read some of it."""
        read = self._read
        while not self._all_read:
            kept = [
                call
                for call in self.calls
                if any(
                    self.readers(value) or value is self.trace.output or value in self.trace.barriers
                    for value in call.outputs
                )
                or all(value.maker is not None and value not in read for value in call.outputs)
            ]
            if len(kept) == len(self.calls):
                self._all_read = True
            else:
                self.set(kept)


class Draft:
    """Calls that take the place of one call, being written.

    Args:
        call: The call.
    """

    def __init__(self, call: OpCall) -> None:
        self.call = call
        self.site: Site = call.site
        self.calls: list[OpCall] = []
        self._index = call.outputs[0].index

    def apply(
        self,
        name: str | Operation,
        function: Callable[..., Any],
        *args: Any,
        out: Value | None = None,
        shape: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> Value:
        """Write one call.

        Args:
            name: Its word in the vocabulary, or the word itself.
            function: What it runs.
            *args: Its arguments, signals as `Value`.
            out: The value it makes; ``None`` makes a new one.
            shape: Of a new value; ``None`` finds it.
            **kwargs: Keyword arguments, none of them a signal.

        Returns:
            The value.
        """
        operation = OPERATIONS[name] if isinstance(name, str) else name
        inputs = tuple(dict.fromkeys(value for value in _values(args)))
        call = OpCall(function, operation, args, kwargs, inputs, self.site)
        if out is None:
            pixels = all(value.pixels for value in inputs) and operation.kind in _KEEP_PIXELS
            size = shape_of(call) if shape is None else tuple(shape)
            self._index -= 1 / 1024
            index = max((value.index for value in inputs), default=0.0) if self._index < 0 else self._index
            dtype = next((v.dtype for v in inputs if not v.discrete), inputs[0].dtype)
            out = Value(index, size, dtype, call, pixels)
        call.outputs = (out,)
        self.calls.append(call)
        return out

    def view(self, value: Value, function: Callable[[Tensor], Tensor], out: Value | None = None) -> Value:
        """Write a call that only moves entries."""
        return self.apply("view", function, value, out=out)


_KEEP_PIXELS = frozenset({OpKind.VIEW, OpKind.IDENTITY, OpKind.ADD, OpKind.MULTIPLY})


def _values(item: Any) -> Iterator[Value]:
    if isinstance(item, Value):
        yield item
    elif isinstance(item, tuple | list):
        for part in item:
            yield from _values(part)


def shape_of(call: OpCall) -> tuple[int, ...]:
    """The shape of what a call makes, found without data."""
    blanks = [torch.zeros((), dtype=value.dtype).expand(value.shape) for value in call.inputs]
    with torch.no_grad():
        return tuple(call.run(*blanks)[0].shape)


def joined(call: OpCall, members: Sequence[OpCall], entries: Sequence[Value], operation: Operation) -> OpCall:
    """One call that stands for several, the last of which is ``call``."""
    flat = [part for member in members for part in (member.members or (member,))]
    function = region(tuple(members), tuple(entries), call.outputs[0])
    return OpCall(function, operation, tuple(entries), {}, tuple(entries), call.site, (call.outputs[0],),
                  members=tuple(flat))  # fmt: skip


def members_between(value: Value, entries: Iterable[Value]) -> list[OpCall]:
    """The calls that make ``value`` from ``entries``, in order; constants are no entries."""
    found: dict[OpCall, None] = {}
    _visit(value, set(entries), found)
    return list(found)


def _visit(value: Value, ends: set[Value], found: dict[OpCall, None]) -> None:
    call = value.producer
    if value in ends or call is None or call in found:
        return
    for source in call.inputs:
        _visit(source, ends, found)
    found[call] = None


def through_identity(value: Value) -> Value:
    """The value itself, before it was cloned, cast or passed through a dropout."""
    while (
        value.producer is not None
        and value.producer.kind is OpKind.IDENTITY
        and value.producer.inputs[0].dtype == value.dtype
    ):
        value = value.producer.inputs[0]
    return value
