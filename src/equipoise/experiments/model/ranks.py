"""Methods over several networks and data sets: average ranks, and by how much they must differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from equipoise.errors import ShapeError
from equipoise.experiments.model.statistics import Numbers


@dataclass(frozen=True)
class Ranks:
    """Average ranks of methods.

    Attributes:
        labels: The methods.
        average: The rank of each, 1 the best.
        critical: Two average ranks that differ by less are not told apart.
        p: Of the Friedman test that all methods rank alike; NaN where every method ties everywhere.
        blocks: Over how many networks and data sets.
    """

    labels: tuple[str, ...]
    average: tuple[float, ...]
    critical: float
    p: float
    blocks: int

    def cliques(self) -> list[tuple[int, ...]]:
        """The largest sets of methods, by their places, that are not told apart, from the best on."""
        order = sorted(range(len(self.average)), key=lambda place: self.average[place])
        found: list[tuple[int, ...]] = []
        for first, place in enumerate(order):
            near = [one for one in order[first:] if self.average[one] - self.average[place] < self.critical]
            if len(near) > 1 and not (found and set(near) <= set(found[-1])):
                found.append(tuple(near))
        return found


def average_ranks(
    labels: Sequence[str], values: Numbers, *, higher_is_better: bool = True, level: float = 0.05
) -> Ranks:
    """Ranks within each block, averaged, with Nemenyi's critical difference.

    Args:
        labels: Of the methods.
        values: ``(blocks, methods)``, finite.
        higher_is_better: Which end is rank 1; ties share their mean rank.
        level: Of the test.

    Raises:
        ShapeError: If there are fewer than two blocks or methods, or a label too many.

    Source: Demsar 2006, section 3.2.2: the critical difference is ``q sqrt(k (k + 1) / (6 N))``, ``q`` being the
    quantile of the studentized range over the root of 2.
    """
    from scipy import stats  # noqa: PLC0415  # the evaluation extra

    blocks, methods = values.shape
    if methods != len(labels) or min(blocks, methods) < 2:
        raise ShapeError(f"ranks of {len(labels)} methods from numbers {values.shape}; two by two are the least")
    ranks = stats.rankdata(-values if higher_is_better else values, axis=1)
    quantile = float(stats.studentized_range.ppf(1 - level, methods, math.inf)) / math.sqrt(2)
    critical = quantile * math.sqrt(methods * (methods + 1) / (6 * blocks))
    average = ranks.mean(0)
    ties = sum(float((counts**3 - counts).sum()) for counts in (np.unique(row, return_counts=True)[1] for row in ranks))
    spread = 12 * blocks * float(((average - (methods + 1) / 2) ** 2).sum()) / (methods * (methods + 1))
    left = 1 - ties / (blocks * methods * (methods**2 - 1))
    p = float(stats.chi2.sf(spread / left, methods - 1)) if left > 0 else math.nan
    return Ranks(tuple(labels), tuple(float(one) for one in average), critical, p, blocks)
