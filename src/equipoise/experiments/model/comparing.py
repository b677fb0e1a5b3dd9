"""Is one method better than another, and is a number the paper's? Tests on the same images, and verdicts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from equipoise.experiments.model.statistics import Estimate, Numbers

SIGNIFICANT: Final = 0.05
"""A corrected p below it is a difference."""

FLIPS: Final = 9999
"""Random flips of signs, where there are too many to try them all."""

DECIDABLE: Final = 0.1
"""An interval wider than this, in the units of the number, decides nothing by holding the paper's number."""

Verdict: TypeAlias = Literal["agrees", "does not agree", "cannot be decided"]

AGREES: Final = "agrees"
DIFFERS: Final = "does not agree"
UNDECIDED: Final = "cannot be decided"

_ALL: Final = 13  # images whose flips are all tried
_NORMAL: Final = 2000  # images of one weight whose flips are as good as normal


def sign_flips(parts: Iterable[Numbers], *, seed: int = 0) -> list[float]:
    """Two-sided p of paired differences: how often one is as large when each image's methods change places by chance.

    All flips are tried for up to 13 images that differ. Where the flips' distribution is as good as normal (its excess
    kurtosis is at most 0.001: several thousand images), its limit is taken; else `FLIPS` random ones, the same for
    every difference.

    Args:
        parts: Of each difference what each image adds to it, ``(n,)``.
        seed: Of the random flips.

    Source: Fisher's randomization test of pairs.
    """
    found: list[float] = []
    rest: dict[int, Numbers] = {}
    for place, one in enumerate(parts):
        found.append(_without_chance(one[one != 0]))
        if math.isnan(found[-1]):
            rest[place] = one
    if rest:
        together = np.stack(list(rest.values()))
        observed = _as_large_as(together)[:, None]
        hits = np.zeros(len(rest), np.int64)
        dice = np.random.default_rng(seed)
        at_once = max(1, min(FLIPS, 8_000_000 // together.shape[1]))
        for start in range(0, FLIPS, at_once):
            bits = dice.integers(0, 2, (together.shape[1], min(at_once, FLIPS - start)), np.int8)
            hits += (np.abs(together @ (2.0 * bits - 1.0)) >= observed).sum(1)
        for place, count in zip(rest, hits, strict=True):
            found[place] = (1 + int(count)) / (1 + FLIPS)
    return found


def _without_chance(parts: Numbers) -> float:
    """The p of what can be tried as a whole or is as good as normal; NaN for what has to be drawn."""
    if not len(parts):
        return 1.0
    squares = parts**2
    if len(parts) <= _ALL:
        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=len(parts))))
        return float((np.abs(signs @ parts) >= _as_large_as(parts)).mean())
    if (squares**2).sum() * _NORMAL <= squares.sum() ** 2:
        return math.erfc(abs(float(parts.sum())) / math.sqrt(2 * squares.sum()))
    return math.nan


def _as_large_as(parts: Numbers) -> Numbers:
    """The size of a difference, less what rounding may take from its equals."""
    found: Numbers = np.abs(parts.sum(-1)) - 1e-12 * np.abs(parts).sum(-1)
    return found


def holm(ps: Sequence[float]) -> list[float]:
    """Several p values, corrected for being several; NaN stays, and does not count.

    Source: Holm 1979.
    """
    found = list(ps)
    order = sorted((p, index) for index, p in enumerate(ps) if not math.isnan(p))
    highest = 0.0
    for place, (p, index) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - place) * p))
        found[index] = highest
    return found


def verdict(ours: Estimate, paper: float, *, decidable: float = DECIDABLE) -> Verdict:
    """Whether our number is the paper's.

    Args:
        ours: Ours.
        paper: The paper's.
        decidable: How wide an interval may be.

    Returns:
        `DIFFERS` if the interval does not hold the paper's number; `UNDECIDED` if there is no interval or it holds
        the number, but is wider than ``decidable``; else `AGREES`.
    """
    if math.isnan(ours.low) or math.isnan(ours.high):
        return UNDECIDED
    rounding = 0.0005  # of numbers that are printed with three digits
    if not ours.low - rounding <= paper <= ours.high + rounding:
        return DIFFERS
    return AGREES if ours.high - ours.low <= decidable else UNDECIDED
