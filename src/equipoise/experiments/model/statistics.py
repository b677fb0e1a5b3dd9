"""Means of rows and how sure they are: a bootstrap over images, since the rows of one image are no strangers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from equipoise._registry import Registry

DRAWS: Final = 1000
"""Bootstrap samples of an interval."""

LEVEL: Final = 0.95
"""Share of the bootstrap samples between the interval's ends."""

Statistic: TypeAlias = Callable[[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]], NDArray[np.float64]]
"""From the weights of the rows ``(b, r)``, their values ``(r,)`` and their groups ``(r,)`` to ``(b,)`` numbers."""

STATISTICS: Registry[Statistic] = Registry("statistic")


@STATISTICS.register("mean")
def mean(weights: NDArray[np.float64], values: NDArray[np.float64], _groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean of all rows."""
    with np.errstate(invalid="ignore"):
        found: NDArray[np.float64] = weights @ values / weights.sum(1)
    return found


@STATISTICS.register("class_mean")
def class_mean(
    weights: NDArray[np.float64], values: NDArray[np.float64], groups: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The mean over the classes of each class's mean, as the pointing game counts; absent classes do not count."""
    classes = np.eye(groups.max() + 1)[groups]
    counts = weights @ classes
    with np.errstate(invalid="ignore"):
        means = (weights * values) @ classes / counts
    present = counts > 0
    with np.errstate(invalid="ignore"):
        found: NDArray[np.float64] = np.where(present, means, 0.0).sum(1) / present.sum(1)
    return found


@dataclass(frozen=True)
class Estimate:
    """A number from rows.

    Attributes:
        value: NaN where no row is defined.
        low: Of the interval that holds `LEVEL` of the bootstrap samples.
        high: Its other end.
        rows: How many rows it is made of.
        undefined: How many rows were left out because their value is NaN.
    """

    value: float
    low: float
    high: float
    rows: int
    undefined: int


def estimate(
    values: Sequence[float] | NDArray[np.float64],
    groups: Sequence[int],
    clusters: Sequence[str],
    *,
    statistic: str = "mean",
    draws: int = DRAWS,
    seed: int = 0,
) -> Estimate:
    """A statistic of rows with a percentile bootstrap interval over clusters.

    Args:
        values: Of the rows; NaN is left out and counted.
        groups: Of the rows: the class.
        clusters: Of the rows: the image. A bootstrap sample draws as many images as there are, with all
            their rows.
        statistic: A name of `STATISTICS`.
        draws: Bootstrap samples.
        seed: Of the draws.

    Raises:
        UnknownNameError: If there is no such statistic.
    """
    function = STATISTICS[statistic]
    defined = [index for index, value in enumerate(values) if not math.isnan(value)]
    undefined = len(values) - len(defined)
    if not defined:
        return Estimate(math.nan, math.nan, math.nan, 0, undefined)
    kept = np.array([values[index] for index in defined], dtype=np.float64)
    _, group = np.unique([groups[index] for index in defined], return_inverse=True)
    names, cluster = np.unique([clusters[index] for index in defined], return_inverse=True)
    value = float(function(np.ones((1, len(kept))), kept, group)[0])
    dice = np.random.default_rng(seed)
    found = []
    for start in range(0, draws, 100):  # a few at a time: draws x rows would not fit for large data sets
        counts = dice.multinomial(len(names), np.full(len(names), 1 / len(names)), size=min(100, draws - start))
        found.append(function(counts[:, cluster].astype(np.float64), kept, group))
    edge = 50 * (1 - LEVEL)
    low, high = np.nanpercentile(np.concatenate(found), [edge, 100 - edge])
    return Estimate(value, float(low), float(high), len(kept), undefined)
