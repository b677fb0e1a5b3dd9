"""Memory that several tensors share: what was written where, so that each can be read as a function of the input.

torch's views write into each other. The tape has no memory, only values; here a write into shared memory
becomes a function: the old contents with the written part replaced.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from equipoise.engine.operations import OPERATIONS
from equipoise.engine.sites import Site
from equipoise.engine.trace import OpCall, Value

_OVERWRITE = "overwrite"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor lies in its memory, in entries."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int

    @classmethod
    def of(cls, tensor: Tensor) -> Place:
        """The place of ``tensor``."""
        return cls(tuple(tensor.shape), tuple(tensor.stride()), int(tensor.storage_offset()))

    def read(self, memory: Tensor) -> Tensor:
        """The tensor at this place of ``memory`` ``(entries,)``."""
        return memory[self._numbers(memory)].reshape(self.size)

    def write(self, memory: Tensor, tensor: Tensor) -> Tensor:
        """``memory`` with ``tensor`` at this place, out of place."""
        return memory.index_copy(0, self._numbers(memory), tensor.reshape(-1))

    def _numbers(self, memory: Tensor) -> Tensor:
        """Which entries they are: torch's ``as_strided`` has a wrong derivative after another write."""
        every = torch.arange(len(memory), device=memory.device)
        return every.as_strided(self.size, self.stride, self.offset).reshape(-1)


@dataclass(frozen=True, slots=True)
class _Write:
    place: Place
    value: Value
    before: Tensor | None  # the whole memory, if it held a constant


@dataclass
class Writes:
    """The log of one forward pass, by memory."""

    _log: dict[int, list[_Write]] = field(default_factory=dict)
    _before: dict[int, Tensor] = field(default_factory=dict)

    def count(self, tensor: Tensor) -> int:
        """How many writes the memory of ``tensor`` has seen."""
        return len(self._log.get(_memory(tensor), ())) if self._log else 0

    def remember(self, tensor: Tensor) -> None:
        """Copy the constant memory behind ``tensor``, which is about to be written to."""
        memory = tensor.detach().as_strided((_entries(tensor),), (1,), 0)
        self._before[_memory(tensor)] = memory.clone()

    def add(self, tensor: Tensor, value: Value) -> None:
        """Note that ``tensor`` was written to and stands for ``value`` now."""
        key = _memory(tensor)
        self._log.setdefault(key, []).append(_Write(Place.of(tensor), value, self._before.pop(key, None)))

    def overwritten(self, tensor: Tensor, value: Value | None, since: int, site: Site) -> OpCall:
        """The call that makes what ``tensor`` holds now.

        Args:
            tensor: A tensor whose memory was written to through others.
            value: What it stood for; ``None`` for a constant.
            since: How many writes it had seen then.
            site: Where it is read.
        """
        log = self._log[_memory(tensor)][since:]
        before = next((write.before for write in log if write.before is not None), None)
        place, entries = Place.of(tensor), _entries(tensor)
        written = [write.value for write in log]
        inputs = written if value is None else [value, *written]
        memory = before if before is not None else tensor.new_zeros(entries)
        function = partial(_overwrite, memory, place, value is not None, tuple(write.place for write in log))
        return OpCall(function, OPERATIONS[_OVERWRITE], (*inputs,), {}, tuple(dict.fromkeys(inputs)), site)

    def clear(self) -> None:
        """Forget everything."""
        self._log.clear()
        self._before.clear()


def _overwrite(memory: Tensor, place: Place, known: bool, places: tuple[Place, ...], *parts: Tensor) -> Tensor:  # noqa: FBT001  # bound by partial
    memory = memory.to(dtype=parts[0].dtype, device=parts[0].device)
    if known:
        memory, parts = place.write(memory, parts[0]), parts[1:]
    for spot, part in zip(places, parts, strict=True):
        memory = spot.write(memory, part)
    return place.read(memory)


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _entries(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes() // tensor.element_size()
