"""Means of rows and how sure they are: a bootstrap over images, since the rows of one image are no strangers.

A statistic depends on the rows through their sums and counts per image and class alone. So those are all that a
bootstrap sample weighs, and the same draws of images serve every cell of a table: that makes the samples of two
methods pairs, and their number of rows irrelevant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from equipoise._registry import Registry

DRAWS: Final = 1000
"""Bootstrap samples of an interval."""

LEVEL: Final = 0.95
"""Share of the bootstrap samples between the interval's ends."""

FEWEST: Final = 2
"""Of fewer images there is no interval, and nothing is tested."""

_AT_ONCE: Final = 50  # draws
_CELLS: Final = 32  # at once
_REMEMBERED: Final = 200_000_000  # images times draws, a byte each

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Statistic:
    """How the numbers of many rows become one.

    Args:
        by_class: Whether it needs the sums of each class; else those of all rows.
        of: From sums and counts ``(..., g, b)`` of ``g`` classes to numbers ``(..., b)``.
    """

    by_class: bool
    of: Callable[[Numbers, Numbers], Numbers]


STATISTICS: Registry[Statistic] = Registry("statistic")
"""How the numbers of a run's rows become one, by name."""


def _pooled(sums: Numbers, counts: Numbers) -> Numbers:
    """The mean of all rows."""
    with np.errstate(invalid="ignore"):
        found: Numbers = sums.sum(-2) / counts.sum(-2)
    return found


def _over_classes(sums: Numbers, counts: Numbers) -> Numbers:
    """The mean over the classes of each class's mean, as the pointing game counts; absent classes do not count."""
    present = counts > 0
    means = np.divide(sums, counts, out=np.zeros(np.broadcast_shapes(sums.shape, counts.shape)), where=present)
    with np.errstate(invalid="ignore"):
        found: Numbers = means.sum(-2) / present.sum(-2)
    return found


STATISTICS.add("mean", Statistic(by_class=False, of=_pooled))
STATISTICS.add("class_mean", Statistic(by_class=True, of=_over_classes))


@dataclass(frozen=True)
class Estimate:
    """A number from rows.

    Attributes:
        value: NaN where no row is defined.
        low: Of the interval that holds `LEVEL` of the bootstrap samples; NaN if there are fewer images than `FEWEST`.
        high: Its other end.
        rows: How many rows it is made of.
        undefined: How many rows were left out because their value is NaN.
        images: How many images the rows are of.
    """

    value: float
    low: float
    high: float
    rows: int
    undefined: int
    images: int


@dataclass(frozen=True, eq=False)
class Design:
    """Which images and classes there are rows of: what all cells of a table's block share.

    Attributes:
        image: Of each pair of an image and a class, the image, ``(k,)``; images are counted from 0.
        group: Its class, rising.
        images: How many images may be drawn.
    """

    image: NDArray[np.int64]
    group: NDArray[np.int64]
    images: int

    @classmethod
    def of(cls, image: NDArray[np.integer[Any]], group: NDArray[np.integer[Any]]) -> tuple[Design, NDArray[np.int32]]:
        """The design of rows, by their images and classes, each from 0; and the pair of each row."""
        images = int(image.max()) + 1 if len(image) else 0
        pairs, pair = np.unique(group.astype(np.int64) * max(images, 1) + image, return_inverse=True)
        return cls(pairs % max(images, 1), pairs // max(images, 1), images), pair.astype(np.int32)


@dataclass(frozen=True, eq=False)
class Cell:
    """The rows behind one number, as sums.

    Attributes:
        statistic: How they become one.
        total: Sum of the rows of each pair of the design, ``(k,)``.
        count: How many they are.
        undefined: How many more are left out because they are NaN.
    """

    statistic: Statistic
    total: Numbers
    count: Numbers
    undefined: int = 0

    @classmethod
    def of(cls, design: Design, pair: NDArray[np.int32], values: Numbers, statistic: Statistic) -> Cell:
        """From rows: the pair of each, and its value."""
        defined = ~np.isnan(values)
        pair, values = pair[defined], values[defined]
        places = len(design.image)
        return cls(
            statistic,
            _summed(pair, values, places),
            _summed(pair, np.ones(len(pair)), places),
            int(len(defined) - len(values)),
        )

    def less(self, other: Cell) -> Cell:
        """The difference on the pairs that both know: its statistic is the difference of the statistics there."""
        if self.count is other.count:
            return Cell(self.statistic, self.total - other.total, self.count)
        both = np.minimum(self.count, other.count)
        with np.errstate(invalid="ignore"):
            total = self.total * (both / self.count) - other.total * (both / other.count)
        return Cell(self.statistic, np.where(both > 0, total, 0.0), both)


def _summed(places: NDArray[np.integer[Any]], values: Numbers, length: int = 0) -> Numbers:
    """The sum of the values of each place."""
    found: Numbers = np.bincount(places, values, length).astype(np.float64)
    return found


def value(design: Design, cell: Cell) -> float:
    """The number itself; NaN without rows."""
    if not cell.count.any():
        return math.nan
    sums, counts = _summed(design.group, cell.total), _summed(design.group, cell.count)
    return float(cell.statistic.of(sums[:, None], counts[:, None])[0])


def per_image(design: Design, cell: Cell) -> Numbers:
    """What each image adds to the number, ``(images,)``, the counts of rows taken as they are."""
    if cell.statistic.by_class:
        counts = _summed(design.group, cell.count)
        weight = 1 / np.maximum(counts, 1)[design.group] / max(1, int((counts > 0).sum()))
    else:
        weight = np.full(len(design.image), 1 / max(cell.count.sum(), 1.0))
    return _summed(design.image, cell.total * weight, design.images)


def images_of(design: Design, cell: Cell) -> int:
    """How many images its rows are of."""
    return int(np.count_nonzero(np.bincount(design.image, cell.count, design.images)))


def estimates(design: Design, cells: Sequence[Cell], *, draws: int = DRAWS, seed: int = 0) -> list[Estimate]:
    """The numbers of a block's cells with percentile bootstrap intervals over its images.

    A sample draws as many images as the design has, with all their rows, the same for every cell.
    """
    samples = _samples(design, cells, draws, seed)
    edge = 50 * (1 - LEVEL)
    found = []
    for cell, sample in zip(cells, samples, strict=True):
        images, low, high = images_of(design, cell), math.nan, math.nan
        if images >= FEWEST:
            low, high = (float(end) for end in np.nanpercentile(sample, [edge, 100 - edge]))
        found.append(Estimate(value(design, cell), low, high, int(cell.count.sum()), cell.undefined, images))
    return found


def estimate(
    values: Sequence[float] | Numbers,
    groups: Sequence[int] | NDArray[np.int64],
    clusters: Sequence[str] | NDArray[np.int64],
    *,
    statistic: str = "mean",
    draws: int = DRAWS,
    seed: int = 0,
) -> Estimate:
    """A statistic of rows with a percentile bootstrap interval over clusters.

    Args:
        values: Of the rows; NaN is left out and counted.
        groups: Of the rows: the class.
        clusters: Of the rows: the image. A bootstrap sample draws as many images as have a value, with all
            their rows.
        statistic: A name of `STATISTICS`.
        draws: Bootstrap samples.
        seed: Of the draws.

    Raises:
        UnknownNameError: If there is no such statistic.
    """
    function = STATISTICS[statistic]
    every = np.asarray(values, np.float64)
    defined = ~np.isnan(every)
    _, group = np.unique(np.asarray(groups)[defined], return_inverse=True)
    _, image = np.unique(np.asarray(clusters)[defined], return_inverse=True)
    design, pair = Design.of(image, group)
    cell = Cell.of(design, pair, every[defined], function)
    (found,) = estimates(design, [cell], draws=draws, seed=seed)
    return Estimate(found.value, found.low, found.high, found.rows, int((~defined).sum()), found.images)


def _samples(design: Design, cells: Sequence[Cell], draws: int, seed: int) -> Numbers:
    """The number of every cell in every bootstrap sample, ``(cells, draws)``."""
    found = np.full((len(cells), draws), np.nan)
    if not design.images:
        return found
    lots = [
        _Lot(design, {place: cells[place] for place in places[first : first + _CELLS]}, by_class=by_class)
        for by_class in (False, True)
        for places in [[place for place, one in enumerate(cells) if one.statistic.by_class == by_class]]
        for first in range(0, len(places), _CELLS)
    ]
    edges = np.flatnonzero(np.diff(design.group, prepend=-1)), np.zeros(1, np.int64)
    for start, weights in _weights(design.images, draws, seed):
        of_pairs = weights[design.image] if any(lot.by_class for lot in lots) else weights
        for lot in lots:
            weighed = lot.weighed(*((of_pairs, edges[0]) if lot.by_class else (weights, edges[1])))
            for place, numbers in weighed:
                found[place, start : start + weights.shape[1]] = numbers
    return found


class _Lot:
    """Sums and counts of some cells as the rows of a matrix, ``(m, k)``; counts that cells share are one row."""

    def __init__(self, design: Design, cells: dict[int, Cell], *, by_class: bool) -> None:
        self.by_class, self._cells = by_class, cells
        counts = {id(cell.count): cell.count for cell in cells.values()}
        rows = [*(cell.total for cell in cells.values()), *counts.values()]
        self._rows = np.stack(rows if by_class else [_summed(design.image, one, design.images) for one in rows])
        self._which = {name: len(cells) + place for place, name in enumerate(counts)}

    def weighed(self, weights: Numbers, edges: NDArray[np.int64]) -> Iterator[tuple[int, Numbers]]:
        """Of each cell its place and its numbers ``(b,)`` under weights ``(k, b)``; classes begin at the edges."""
        ends = [*edges[1:], self._rows.shape[1]]
        sums = np.empty((len(edges), len(self._rows), weights.shape[1]))
        for place, (first, last) in enumerate(zip(edges, ends, strict=True)):
            np.matmul(self._rows[:, first:last], weights[first:last], out=sums[place])
        for row, (place, cell) in enumerate(self._cells.items()):
            yield place, cell.statistic.of(sums[:, row], sums[:, self._which[id(cell.count)]])


def _weights(images: int, draws: int, seed: int) -> Iterator[tuple[int, Numbers]]:
    """How often each image is drawn, ``(images, b)``, a few draws at a time, with the first one's number."""
    lots = _remembered(images, draws, seed) if images * draws <= _REMEMBERED else _lots(images, draws, seed)
    start = 0
    for lot in lots:
        yield start, np.ascontiguousarray(lot.T, np.float64)
        start += len(lot)


def _lots(images: int, draws: int, seed: int) -> Iterator[NDArray[Any]]:
    dice = np.random.default_rng(seed)
    even = np.full(images, 1 / images)
    for start in range(0, draws, _AT_ONCE):
        lot = dice.multinomial(images, even, size=min(_AT_ONCE, draws - start))
        yield lot.astype(np.min_scalar_type(int(lot.max())))


@lru_cache(maxsize=1)
def _remembered(images: int, draws: int, seed: int) -> list[NDArray[Any]]:
    """The same, kept for the next block of as many images."""
    return list(_lots(images, draws, seed))
