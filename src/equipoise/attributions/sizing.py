"""How many photos are explained at once: as many as make it faster, and as memory holds."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Final

from equipoise.attributions.memory import Memory

SHARE: Final = 0.6
"""Of the memory that is free, what a batch may take."""

GAIN: Final = 1.04
"""A larger batch has to be so much faster to be kept."""

TRIES: Final = 2
"""Batches of one size before it is judged, at least; short ones are tried longer."""

ENOUGH: Final = 0.2
"""Seconds of one size after which it is judged."""

MOST: Final = 256
"""The largest batch that is tried."""


@dataclass
class Sizing:
    """The size of the next batch, from how the last ones went.

    Args:
        memory: Of the device.
        fixed: So many, where memory holds them; ``None``: found out.
        first: What is tried after one photo; on an accelerator a few photos take as long as one.

    Attributes:
        size: Of the next batch.
        growing: Whether larger ones are still to be tried.
    """

    memory: Memory
    fixed: int | None = None
    first: int = 1
    size: int = 1
    growing: bool = True
    per_photo: float = 0.0
    _rates: dict[int, list[float]] = field(default_factory=dict)
    _limit: int = MOST
    _before: int = 0
    _free: int | None = None
    _rising: int = 0
    _seen: bool = False

    def __post_init__(self) -> None:
        if self.fixed is not None:
            self.growing = False
            self._limit = self.fixed

    def next(self) -> int:
        """How many photos at once: never more than what memory held one of allows."""
        if self.fixed is not None:
            self.size = min(self.fixed, self._limit, self._fitting() if self._seen else 1)
        return max(1, self.size)

    def begin(self) -> None:
        """A batch begins."""
        self._free = self.memory.free()
        self._before = self.memory.begin()

    def note(self, photos: int, seconds: float) -> None:
        """A batch of so many photos took so long."""
        self._seen = True
        need = (self.memory.peak() - self._before) / photos  # none, where what was freed before was taken again
        if need > 0:
            self.per_photo = need if not self.per_photo else max(0.9 * self.per_photo, need)
        if not self.growing or photos != self.size:
            return
        rates = self._rates.setdefault(self.size, [])
        rates.append(photos / max(seconds, 1e-9))
        least = TRIES + (self.size == 1)  # the first of all is slow for other reasons
        enough = sum(self.size / rate for rate in rates) >= ENOUGH or len(rates) >= 4 * TRIES
        if len(rates) < least or not enough:
            return
        self._judge()

    def too_large(self, photos: int) -> None:
        """A batch of so many did not fit."""
        self._limit = max(1, photos // 2)
        self.growing = False
        self.size = self._limit
        self.memory.give_back()

    def _judge(self) -> None:
        speed = {size: statistics.median(rates[1:]) for size, rates in self._rates.items()}
        best = max(speed, key=lambda size: speed[size])
        smaller = [speed[size] for size in speed if size < self.size]
        self._rising = 0 if not smaller or speed[self.size] > GAIN * max(smaller) else self._rising + 1
        larger = min(max(2 * self.size, self.first), self._limit, self._fitting())
        if self._rising >= 2 or larger <= self.size:
            self.growing = False
            # the smallest of those that are as good
            self.size = min(size for size in speed if speed[size] * GAIN >= speed[best])
        else:
            self.size = larger

    def _fitting(self) -> int:
        free = self.memory.free()
        if free is None or not self.per_photo:
            return self._limit
        return max(1, int(SHARE * free / self.per_photo))
