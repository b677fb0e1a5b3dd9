"""Reads, decodes and resizes ahead of the network: in threads, or in processes by torch's DataLoader."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from equipoise.arrays import as_tensor
from equipoise.attributions.leases import let_go
from equipoise.attributions.sources import Label, Source
from equipoise.errors import EquipoiseError, ImageError
from equipoise.images import one_line
from equipoise.models.own_preprocessing import OwnPreprocessing
from equipoise.view import Photo

GROUP: Final = 8
"""Photos that are read in one go."""

AHEAD: Final = 4
"""How many such groups are read ahead."""


@dataclass(frozen=True, eq=False)
class Read:
    """An item that was read.

    Attributes:
        index: Of the item.
        inputs: What the network takes, ``(c, *space)``; ``None`` if it could not be had.
        labels: What is known of it.
        sha256: Of its file or values.
        size: Of the photo, width and height in pixels.
        box: The part of it that the network sees.
        problem: Why it could not be read.
    """

    index: int
    inputs: Tensor | None
    labels: tuple[Label, ...] = ()
    sha256: str = ""
    size: tuple[int, int] = (1, 1)
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    problem: str = ""


@dataclass(frozen=True, eq=False)
class Packed:
    """Items on their way from another process: one block of memory for all of one shape, not one for each.

    Attributes:
        reads: The items without what the network takes.
        blocks: What it takes, ``(m, c, *space)`` of each shape.
        places: For each item which block, and where in it; ``None`` where there is nothing.
    """

    reads: list[Read]
    blocks: list[Tensor]
    places: list[tuple[int, int] | None]

    @classmethod
    def of(cls, reads: list[Read]) -> Packed:
        """Pack items."""
        rows: dict[tuple[int, ...], list[Tensor]] = {}
        places: list[tuple[int, int] | None] = []
        for read in reads:
            if read.inputs is None:
                places.append(None)
                continue
            shape = tuple(read.inputs.shape)
            block = rows.setdefault(shape, [])
            places.append((list(rows).index(shape), len(block)))
            block.append(read.inputs)
        return cls([replace(read, inputs=None) for read in reads], [torch.stack(one) for one in rows.values()], places)

    def pin_memory(self) -> Packed:
        """The same in pinned memory, for torch's DataLoader."""
        return replace(self, blocks=[block.pin_memory() for block in self.blocks])

    def unpacked(self) -> list[Read]:
        """The items."""
        return [
            read if place is None else replace(read, inputs=self.blocks[place[0]][place[1]])
            for read, place in zip(self.reads, self.places, strict=True)
        ]


class Items(Dataset[Read]):
    """Items as a network takes them.

    Args:
        source: Of the photos.
        preprocessing: Of the network.
    """

    def __init__(self, source: Source, preprocessing: Any) -> None:
        self.source, self.preprocessing = source, preprocessing

    def __getitem__(self, index: int) -> Read:
        try:
            photo = Photo.read(self.source.read(index), self.preprocessing)
            inputs = self._inputs(photo)
            labels = self.source.labels(index)
        except EquipoiseError as error:
            return Read(index, None, problem=one_line(error))
        except (OSError, MemoryError, ValueError, RuntimeError) as error:
            return Read(index, None, problem=f"{self.source.key(index)}: {type(error).__name__}: {one_line(error)}")
        size = photo.image.size
        return Read(index, inputs, labels, photo.sha256, size, self.preprocessing.box(*size))

    def _inputs(self, photo: Photo) -> Tensor:
        if photo.array is None:
            return as_tensor(self.preprocessing(photo.image))
        if isinstance(self.preprocessing, OwnPreprocessing):
            raise ImageError("the preprocessing is a function of a photo, and this is an array")
        return as_tensor(self.preprocessing.of_array(photo.array))


class Reader(ABC):
    """Items in the order in which they are expected."""

    @abstractmethod
    def expect(self, indices: Sequence[int]) -> None:
        """These are wanted next, after all that are expected already."""

    @abstractmethod
    def take(self) -> list[Read]:
        """The next few; none if none is expected."""

    @abstractmethod
    def forget(self) -> None:
        """Nothing is expected any more."""

    @abstractmethod
    def close(self) -> None:
        """Let threads and processes go."""


class ThreadReader(Reader):
    """Reads in threads of this process: decoding and resizing do not hold Python's lock.

    Args:
        items: What is read.
        threads: How many.
    """

    def __init__(self, items: Items, threads: int = 1) -> None:
        self._items = items
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="equipoise-reader")
        self._pending: deque[list[int]] = deque()
        self._reading: deque[Future[list[Read]]] = deque()

    def expect(self, indices: Sequence[int]) -> None:
        """See `Reader`."""
        self._pending.extend(grouped(indices))
        self._fill()

    def take(self) -> list[Read]:
        """See `Reader`."""
        self._fill()
        if not self._reading:
            return []
        found = self._reading.popleft().result()
        self._fill()
        return found

    def forget(self) -> None:
        """See `Reader`."""
        self._pending.clear()
        for one in self._reading:
            one.cancel()
        self._reading.clear()

    def close(self) -> None:
        """See `Reader`."""
        self.forget()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _fill(self) -> None:
        while self._pending and len(self._reading) < AHEAD:
            self._reading.append(self._pool.submit(self._group, self._pending.popleft()))

    def _group(self, indices: list[int]) -> list[Read]:
        return [self._items[index] for index in indices]


class LoaderReader(Reader):
    """Reads in processes of torch's DataLoader, into pinned memory where there is an accelerator.

    Args:
        items: What is read.
        processes: How many.
        pinned: Whether to pin.
    """

    def __init__(self, items: Items, processes: int, *, pinned: bool) -> None:
        self._stream = _Stream()
        self._loader: DataLoader[Any] = DataLoader(
            items, batch_sampler=self._stream, num_workers=processes, collate_fn=Packed.of, prefetch_factor=AHEAD,
            persistent_workers=True, pin_memory=pinned, worker_init_fn=_deaf,
        )  # fmt: skip
        self._iterator: Iterator[Any] | None = None
        self._ahead = 0

    def expect(self, indices: Sequence[int]) -> None:
        """See `Reader`."""
        groups = grouped(indices)
        self._stream.groups.extend(groups)
        self._ahead += len(groups)

    def take(self) -> list[Read]:
        """See `Reader`."""
        while self._ahead:
            if self._iterator is None:
                self._iterator = iter(self._loader)
            found = next(self._iterator, None)
            if found is None:  # all that was expected when it began; more came since
                self._iterator = None
                continue
            self._ahead -= 1
            return list(found.unpacked())
        return []

    def forget(self) -> None:
        """See `Reader`."""
        self._ahead -= len(self._stream.groups)
        self._stream.groups.clear()
        while self.take():
            pass

    def close(self) -> None:
        """See `Reader`."""
        self._iterator = None


class _Stream(Sampler[list[int]]):
    """Groups of items, as many as are expected; a round of the loader ends where none is."""

    def __init__(self) -> None:
        self.groups: deque[list[int]] = deque()

    def __iter__(self) -> Iterator[list[int]]:
        while self.groups:
            yield self.groups.popleft()


def _deaf(_worker: int) -> None:
    """Leave it to the process that reads for whom when to stop: a scheduler's signals reach every process of a job.

    What that process holds, it holds alone: a reader that outlives it must not keep the next run out.
    """
    let_go()
    for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def grouped(indices: Sequence[int]) -> list[list[int]]:
    """Indices, a few at a time."""
    return [list(indices[start : start + GROUP]) for start in range(0, len(indices), GROUP)]


def reader_for(items: Items, processes: int, device: torch.device) -> Reader:
    """A reader of so many processes; with none, threads of this one."""
    if processes:
        return LoaderReader(items, processes, pinned=device.type == "cuda")
    return ThreadReader(items)
