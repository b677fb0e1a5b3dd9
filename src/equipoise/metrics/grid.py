"""The grid pointing game: several images in one, and the share of the relevance that finds the right one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from equipoise._typing import Float, Int
from equipoise.errors import OptionError, ShapeError
from equipoise.metrics.base import MeanMetric, cataloged
from equipoise.metrics.maps import check_maps, finite, power_of_two, undefined_unless

LEAST_MASS = 1e-7
"""Positive relevance up to which a map has none; the public benchmark's constant."""

EDGES = (0, 2, 5, 50, 95, 98, 100)
"""Percentiles between which `aggregate_attributions` averages, best maps first."""


def tile(images: Float[Tensor, "g c h w"], side: int) -> Float[Tensor, "c H W"]:
    """One image of ``side`` times ``side`` images, row by row.

    Args:
        images: ``(side * side, c, h, w)``.
        side: How many images a row and a column hold.

    Returns:
        ``(c, side * h, side * w)``.

    Raises:
        ShapeError: If there are not ``side * side`` images.
    """
    if images.dim() != 4 or side < 1 or len(images) != side**2:
        raise ShapeError(f"a grid of {side} by {side} is made of ({side**2}, c, h, w), not {tuple(images.shape)}")
    _, channels, height, width = images.shape
    rows = images.reshape(side, side, channels, height, width)
    return rows.permute(2, 0, 3, 1, 4).reshape(channels, side * height, side * width)


def keep_top(heatmaps: Float[Tensor, "n h w"], share: float | Float[Tensor, " n"]) -> Float[Tensor, "n h w"]:
    """The largest positive values of each map, zero elsewhere: maps compared at an equal area.

    Args:
        heatmaps: ``(n, h, w)``.
        share: How many pixels to keep at most, as a share of all, rounded to whole pixels; one number or one per
            map. Of equal values the first in raster order are kept.

    Raises:
        OptionError: If a share is not between 0 and 1.
        ShapeError: If there is neither one share nor one for each map.

    References:
        Nam & Lee 2024, section 5.3.1: the other methods cut to Attribution Equilibrium's positive ratio.
    """
    heatmaps = check_maps(heatmaps)
    shares = torch.as_tensor(share.cpu() if isinstance(share, Tensor) else share, dtype=torch.float64)
    if shares.dim() > 1 or (shares.dim() == 1 and len(shares) != len(heatmaps)):
        raise ShapeError(f"one share, or one for each of {len(heatmaps)} maps, not {tuple(shares.shape)}")
    if not bool(((shares >= 0) & (shares <= 1)).all()):
        raise OptionError(f"a share is between 0 and 1, not {share}")
    flat = heatmaps.flatten(1)
    order = flat.argsort(dim=1, descending=True, stable=True)
    counts = (shares * flat.shape[1]).round().reshape(-1, 1).long().to(flat.device)
    chosen = torch.arange(flat.shape[1], device=flat.device) < counts
    kept = torch.zeros_like(flat, dtype=torch.bool).scatter(1, order, chosen.expand_as(flat))
    return flat.clamp(min=0).masked_fill(~kept, 0).reshape(heatmaps.shape)


def grid_pointing(
    heatmaps: Float[Tensor, "n h w"],
    cells: int,
    target: Int[Tensor, " n"],
    *,
    keep: float | Float[Tensor, " n"] | None = None,
) -> Float[Tensor, " n"]:
    """The share of the positive relevance that lies in the cell of the explained class.

    Args:
        heatmaps: ``(n, h, w)`` of images made by `tile`; ``h`` and ``w`` are multiples of ``cells``.
        cells: How many cells a row and a column hold.
        target: ``(n,)``, the cell of the class, counted row by row from 0.
        keep: Share of the pixels that count, the largest positive ones; see `keep_top`. ``None``: all.

    Returns:
        ``(n,)`` between 0 and 1; NaN for a map that is not finite or whose positive relevance is at most
        `LEAST_MASS`. The public benchmark says 0 there: ``nan_to_num(0)`` gives its mean.

    Raises:
        ShapeError: If the cells do not divide the map, or there is not one target for each map.
        OptionError: If a target is no cell, or ``keep`` is not between 0 and 1.

    References:
        Rao et al. 2022 (*Towards Better Understanding Attribution Methods*), "GridPG".
    """
    heatmaps = check_maps(heatmaps)
    n, height, width = heatmaps.shape
    if cells < 1 or height % cells or width % cells:
        raise ShapeError(f"{cells} by {cells} cells do not divide maps of {height} by {width}")
    if target.shape != (n,):
        raise ShapeError(f"one target for each of {n} maps, not {tuple(target.shape)}")
    if bool(((target < 0) | (target >= cells**2)).any()):
        raise OptionError(f"cells are 0 to {cells**2 - 1}, not {target.tolist()}")
    positive = heatmaps.clamp(min=0) if keep is None else keep_top(heatmaps, keep)
    unit = power_of_two(positive)
    mass = (positive / unit).reshape(n, cells, height // cells, cells, width // cells).sum((2, 4)).reshape(n, cells**2)
    total = mass.sum(1)
    inside = mass.gather(1, target.to(mass.device).long().unsqueeze(1))[:, 0]
    return undefined_unless(inside / total, finite(heatmaps) & (total * unit[:, 0, 0] > LEAST_MASS))


def aggregate_attributions(
    maps: Float[Tensor, "n h w"],
    scores: Float[Tensor, " n"],
    edges: Sequence[float] = EDGES,
    *,
    inside: Float[Tensor, " n"] | None = None,
) -> Float[Tensor, "b h w"]:
    """Mean maps of the best, the typical and the worst, instead of chosen examples.

    Args:
        maps: ``(n, h, w)``.
        scores: ``(n,)``, higher is better; NaN comes last.
        edges: Percentiles from 0 to 100, rising; bin ``b`` holds the sorted maps from ``n * edges[b] / 100`` on,
            both ends rounded down.
        inside: ``(n,)``, such as the relevance within the cell; of equal scores the larger comes first. Then, and
            without it, the order given.

    Returns:
        ``(len(edges) - 1, h, w)``; NaN for a bin without maps.

    Raises:
        OptionError: If the edges do not rise from 0 to 100.
        ShapeError: If there is not one score for each map.

    References:
        Rao et al. 2022, "AggAtt".
    """
    maps = check_maps(maps)
    ends = list(edges)
    if len(ends) < 2 or ends[0] != 0 or ends[-1] != 100 or any(a >= b for a, b in itertools.pairwise(ends)):
        raise OptionError(f"edges rise from 0 to 100, not {tuple(edges)}")
    if scores.shape != (len(maps),) or (inside is not None and inside.shape != scores.shape):
        raise ShapeError(f"one score for each of {len(maps)} maps, not {tuple(scores.shape)}")
    order = torch.arange(len(maps), device=maps.device)
    for key in (inside, scores):  # least significant first; each sort keeps the order of the one before
        if key is not None:
            ranks = key.to(maps.device).nan_to_num(-math.inf)[order]
            order = order[ranks.argsort(descending=True, stable=True)]
    cuts = [int(len(maps) * end // 100) for end in ends]
    bins = [maps[order[start:stop]].mean(0) for start, stop in itertools.pairwise(cuts)]
    return torch.stack(bins)


@cataloged("grid_pointing_game")
class GridPointingGame(MeanMetric):
    """The mean of `grid_pointing`.

    Args:
        cells: How many cells a row and a column hold.
        options: Of ``torchmetrics.Metric``.
    """

    def __init__(self, cells: int = 2, **options: Any) -> None:
        super().__init__(**options)
        self.cells = cells

    def update(
        self,
        heatmaps: Float[Tensor, "n h w"],
        target: Int[Tensor, " n"],
        keep: float | Float[Tensor, " n"] | None = None,
    ) -> None:
        """Take in maps, the cell of each, and the share of pixels that counts."""
        self.add(grid_pointing(heatmaps, self.cells, target, keep=keep))
