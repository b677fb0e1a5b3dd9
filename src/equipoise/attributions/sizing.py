"""How many photos are explained at once: as many as make it faster, and as memory holds."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from equipoise.attributions.memory import Memory

SHARE: Final = 0.6
"""Of the memory that is free, what a batch may take."""

GAIN: Final = 1.04
"""A larger batch has to be so much faster to be kept."""

FIRST: Final = 8
"""What is tried after one photo, which shows the memory that one takes: mostly near the best, on any device."""

TIE: Final = 1.01
"""Of sizes that are as good the smallest is taken."""

TRIES: Final = 2
"""Batches of one size before it is judged, at least; the first of a size takes new memory and is not counted."""

ENOUGH: Final = 0.2
"""Seconds of one size after which it is judged."""

PATIENCE: Final = 15.0
"""Seconds that a batch may take, where single photos do not take longer: a kill loses it, and progress waits for it."""

MOST: Final = 256
"""The largest batch that is tried."""


@dataclass
class Sizing:
    """The size of the next batch, from how the last ones went: larger while that is faster, else smaller.

    Args:
        memory: Of the device.
        fixed: So many, where memory holds them; ``None``: found out.

    Attributes:
        size: Of the next batch.
        growing: Whether other sizes are still to be tried.
        per_photo: Bytes that one photo of the largest shape takes.
    """

    memory: Memory
    fixed: int | None = None
    size: int = 1
    growing: bool = True
    per_photo: float = 0.0
    _rates: dict[int, list[float]] = field(default_factory=dict)
    _limit: int = MOST
    _before: int | None = None
    _rising: int = 0
    _falling: int = 0
    _seen: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if self.fixed is not None:
            self.growing = False
            self._limit = self.fixed

    def next(self, elements: int = 1) -> int:
        """How many photos at once: never more than what memory held one of allows.

        Args:
            elements: Of one photo as the network takes it; one that is larger than all before needs more in proportion.
        """
        fits = self._fitting(elements) if self._seen[0] else 1
        if self.fixed is not None:
            self.size = min(self.fixed, self._limit, fits)
            return self.size
        larger = elements > self._seen[1] and self._seen[1] > 0
        return max(1, min(self.size, fits) if larger else self.size)

    def begin(self, photos: int = 1, elements: int = 1) -> None:
        """A batch begins; what it takes is measured of the first photo, of the first batch, and of larger photos."""
        unknown = self._seen[0] <= 1 < photos or elements > self._seen[1]
        self._before = self.memory.begin() if unknown else None

    def note(self, photos: int, seconds: float, elements: int = 1) -> None:
        """A batch of so many photos took so long."""
        if self._before is not None:
            need = (self.memory.peak() - self._before) / photos
            self.per_photo = max(0.9 * self.per_photo, need)
        first = not self._seen[0]
        self._seen = max(self._seen[0], photos), max(self._seen[1], elements)
        if not self.growing or photos != self.size:
            return
        if first:
            self.size = max(1, min(FIRST, int(PATIENCE / max(seconds, 1e-9)), self._limit, self._fitting(elements)))
            return
        rates = self._rates.setdefault(self.size, [])
        rates.append(photos / max(seconds, 1e-9))
        enough = sum(self.size / rate for rate in rates) >= ENOUGH or len(rates) >= 4 * TRIES
        if len(rates) >= TRIES and enough:
            self._judge(elements)

    def too_large(self, photos: int) -> None:
        """A batch of so many did not fit."""
        self._limit = max(1, photos // 2)
        self.growing = False
        self.size = self._limit
        self.memory.clear()

    def _judge(self, elements: int) -> None:
        speed = {size: statistics.median(rates[1:]) for size, rates in self._rates.items()}
        begun, tried = next(iter(speed)), list(speed)
        if self.size >= begun:  # upwards, until two in a row are not faster
            smaller = [speed[size] for size in tried[:-1]]
            self._rising = 0 if not smaller or speed[self.size] > GAIN * max(smaller) else self._rising + 1
            larger = min(2 * self.size, self._limit, self._fitting(elements), int(PATIENCE * speed[self.size]))
            if self._rising < 2 and larger > self.size:
                self.size = larger
                return
        best, least = max(speed, key=lambda size: speed[size]), min(tried)
        if least < begun:
            larger_ones = max(speed[size] for size in tried if size > least)
            self._falling = 0 if speed[least] > GAIN * larger_ones else self._falling + 1
        if least > 1 and self._falling < 2 and (best <= begun or speed[best] <= GAIN * speed[begun]):  # downwards
            self.size = least // 2
            return
        self.growing = False
        self.size = min(size for size in speed if speed[size] * TIE >= speed[best])

    def _fitting(self, elements: int) -> int:
        free = self.memory.free()
        if free is None or not self.per_photo:
            return self._limit
        each = self.per_photo * max(1.0, elements / max(1, self._seen[1]))
        return max(1, int(SHARE * free / each))


SCATTERED: Final = 2.0
"""What a process may hold, in times of what methods took or was in use; more lies in pieces, and is given back."""

WARMING: Final = 2
"""In times of others, what a method's first photo may take."""

LITTLE: Final = 2 * 2**30
"""Bytes that are not worth it."""


@dataclass
class Needs:
    """How many photos a method may have at once: one while it is not known what one takes.

    A batch is as large as most methods like it; what perturbs, or keeps a map for every size, may take ten times the
    memory for a photo, or a hundred times as long: then as many as memory holds, or as a kill may lose.

    Args:
        memory: Of the device.
        clock: Seconds, rising.
    """

    memory: Memory
    clock: Callable[[], float] = time.perf_counter
    _each: dict[str, _Need] = field(default_factory=dict)
    _most: float = 0.0
    _kept: float = 0.0

    def fits(self, method: str, elements: int) -> int:
        """How many photos of so many elements."""
        need = self._each.get(method)
        if need is None or elements > need.elements:
            return 1
        free = self.memory.free()
        held = MOST if free is None or not need.room else int(SHARE * free / need.room)
        return max(1, min(held, int(WARMING * PATIENCE / max(need.seconds, WARMING * PATIENCE / MOST))))

    @contextlib.contextmanager
    def noted(self, method: str, photos: int, elements: int) -> Iterator[None]:
        """A method has its photos; the first time it is noted what one of them takes, and later if it is less time."""
        need, started = self._each.get(method), self.clock()
        if need is None or elements > need.elements:
            with self.memory.part() as taken:
                yield
            self._each[method] = _Need(max(0, taken()) / photos, (self.clock() - started) / photos, elements)
        else:
            yield
            seconds = (self.clock() - started) / photos
            if elements == need.elements and seconds < need.seconds:
                self._each[method] = replace(need, seconds=seconds)
        self._most = max(self._most, photos * max(one.room for one in self._each.values()))
        if self.memory.spread() > max(LITTLE, SCATTERED * max(self._most, self._kept)):
            self.memory.clear()
            self._kept = self.memory.spread()  # what is in use


@dataclass(frozen=True)
class _Need:
    """Of a method and one photo: bytes, seconds, and how large it was."""

    room: float
    seconds: float
    elements: int
