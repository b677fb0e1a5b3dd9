"""How alike are two maps? Rank correlation, structural similarity, and correlation of gradients' histograms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from equipoise._typing import Bool, Float
from equipoise.errors import MissingPackageError, ShapeError
from equipoise.metrics.base import MeanMetric, cataloged
from equipoise.metrics.maps import check_maps, finite, undefined_unless, unit_range, wide

if TYPE_CHECKING:
    from types import ModuleType

_SSIM_SIGMA = 1.5
_SSIM_SIDE = 11  # of its window: 3.5 standard deviations, each way
_HOG_CELL, _HOG_BLOCK = 16, 3


def rank_correlation(
    a: Float[Tensor, "n h w"], b: Float[Tensor, "n h w"], *, absolute: bool = False
) -> Float[Tensor, " n"]:
    """Spearman's correlation of the pixels of two maps; equal values share the mean of their ranks.

    Args:
        a: ``(n, h, w)``.
        b: ``(n, h, w)``.
        absolute: Whether a map's magnitude alone counts. Scaling does not matter, so this and its negation are
            Adebayo's maps "normalized" with and without sign.

    Returns:
        ``(n,)`` between -1 and 1; NaN where a map is constant or not finite.

    Raises:
        ShapeError: If the maps are not floating or their shapes differ.

    References:
        Adebayo et al. 2018 (*Sanity Checks for Saliency Maps*), "Spearman rank correlation".
    """
    a, b = _pair(a, b)
    if absolute:
        a, b = a.abs(), b.abs()
    return undefined_unless(_correlation(_ranks(a.flatten(1)), _ranks(b.flatten(1))).to(a), finite(a) & finite(b))


def structural_similarity(
    a: Float[Tensor, "n h w"], b: Float[Tensor, "n h w"], *, absolute: bool = False
) -> Float[Tensor, " n"]:
    """The structural similarity of two maps, each scaled to 0..1, under a Gaussian window of 1.5 pixels.

    Computed by scikit-image on the CPU with a data range of 1.

    Args:
        a: ``(n, h, w)``, at least 11 by 11.
        b: ``(n, h, w)``.
        absolute: Whether a map's magnitude alone counts.

    Returns:
        ``(n,)`` between -1 and 1; NaN where a map is constant or not finite.

    Raises:
        MissingPackageError: If scikit-image is not installed.
        ShapeError: If the maps are not floating, smaller, or their shapes differ.

    References:
        Wang et al. 2004 (*Image Quality Assessment*); used on maps by Adebayo et al. 2018.
    """
    metrics = _skimage("metrics")
    a, b = _pair(a, b)
    _check_size(a, _SSIM_SIDE, "the structural similarity")
    one, other, defined = _scaled(a, b, absolute=absolute)
    found = a.new_full((len(a),), math.nan)
    for index in defined.nonzero()[:, 0].tolist():
        found[index] = float(
            metrics.structural_similarity(
                one[index], other[index], gaussian_weights=True, sigma=_SSIM_SIGMA, data_range=1.0
            )
        )
    return found


def hog_correlation(
    a: Float[Tensor, "n h w"], b: Float[Tensor, "n h w"], *, absolute: bool = False
) -> Float[Tensor, " n"]:
    """Spearman's correlation of two maps' histograms of oriented gradients, in cells of 16 by 16 pixels.

    Each map is scaled to 0..1 first; 9 orientations, blocks of 3 by 3 cells, by scikit-image on the CPU. An
    orientation has no sign, so a map and its negative are the same to it.

    Args:
        a: ``(n, h, w)``, at least 48 by 48.
        b: ``(n, h, w)``.
        absolute: Whether a map's magnitude alone counts.

    Returns:
        ``(n,)`` between -1 and 1; NaN where a map is constant or not finite.

    Raises:
        MissingPackageError: If scikit-image is not installed.
        ShapeError: If the maps are not floating, smaller, or their shapes differ.

    References:
        Adebayo et al. 2018, "Pearson correlation of HOGs"; their code correlates ranks, as here.
    """
    feature = _skimage("feature")
    a, b = _pair(a, b)
    _check_size(a, _HOG_CELL * _HOG_BLOCK, "the histogram of gradients")
    one, other, defined = _scaled(a, b, absolute=absolute)
    found = a.new_full((len(a),), math.nan)
    for index in defined.nonzero()[:, 0].tolist():
        histograms = [
            torch.from_numpy(feature.hog(heat[index], pixels_per_cell=(_HOG_CELL, _HOG_CELL))) for heat in (one, other)
        ]
        ranks = [_ranks(histogram.unsqueeze(0)) for histogram in histograms]
        found[index] = _correlation(*ranks)[0].to(found)
    return found


def _pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    a, b = check_maps(a), check_maps(b)
    if a.shape != b.shape:
        raise ShapeError(f"two maps of one shape, not {tuple(a.shape)} and {tuple(b.shape)}")
    return a, b.to(a.device)


def _check_size(heatmaps: Tensor, side: int, name: str) -> None:
    if min(heatmaps.shape[1:]) < side:
        raise ShapeError(f"{name} needs maps of at least {side} by {side}, not {tuple(heatmaps.shape[1:])}")


def _scaled(a: Tensor, b: Tensor, *, absolute: bool) -> tuple[Any, Any, Bool[Tensor, " n"]]:
    """Both as float64 arrays in 0..1, and which pairs are finite and not constant."""
    both = [unit_range((heat.abs() if absolute else heat).cpu().double()) for heat in (a, b)]
    return both[0].detach().numpy(), both[1].detach().numpy(), finite(both[0]) & finite(both[1])


def _ranks(values: Float[Tensor, "n p"]) -> Float[Tensor, "n p"]:
    """Ranks from 0, float64; the mean of their ranks for equal values."""
    ordered, order = values.sort(1)
    place = torch.arange(values.shape[1], device=values.device).expand_as(order)
    new = torch.ones_like(ordered, dtype=torch.bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    last = torch.ones_like(new)
    last[:, :-1] = new[:, 1:]
    first = torch.where(new, place, 0).cummax(1).values
    final = torch.where(last, place, values.shape[1]).flip(1).cummin(1).values.flip(1)
    halves = wide(first + final) / 2
    return torch.empty_like(halves).scatter_(1, order.to(halves.device), halves)


def _correlation(a: Float[Tensor, "n p"], b: Float[Tensor, "n p"]) -> Float[Tensor, " n"]:
    """Pearson's; NaN where a row is constant."""
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    size = a.square().sum(1).sqrt() * b.square().sum(1).sqrt()
    return ((a * b).sum(1) / size).clamp(-1, 1)


def _skimage(name: str) -> ModuleType:
    import importlib  # noqa: PLC0415  # for the two functions that need it

    try:
        return importlib.import_module(f"skimage.{name}")
    except ModuleNotFoundError as error:
        raise MissingPackageError("this needs scikit-image: pip install equipoise[evaluate]") from error


class _PairMetric(MeanMetric):
    """Base of the means over pairs of maps.

    Args:
        absolute: Whether a map's magnitude alone counts.
        options: Of ``torchmetrics.Metric``.
    """

    def __init__(self, *, absolute: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.absolute = absolute


@cataloged("rank_correlation")
class RankCorrelation(_PairMetric):
    """The mean of `rank_correlation`.

    Args:
        absolute: Whether a map's magnitude alone counts.
        options: Of ``torchmetrics.Metric``.
    """

    def update(self, a: Float[Tensor, "n h w"], b: Float[Tensor, "n h w"]) -> None:
        """Take in pairs of maps."""
        self.add(rank_correlation(a, b, absolute=self.absolute))


@cataloged("ssim")
class StructuralSimilarity(_PairMetric):
    """The mean of `structural_similarity`.

    Args:
        absolute: Whether a map's magnitude alone counts.
        options: Of ``torchmetrics.Metric``.
    """

    def update(self, a: Float[Tensor, "n h w"], b: Float[Tensor, "n h w"]) -> None:
        """Take in pairs of maps."""
        self.add(structural_similarity(a, b, absolute=self.absolute))


@cataloged("hog")
class HogCorrelation(_PairMetric):
    """The mean of `hog_correlation`.

    Args:
        absolute: Whether a map's magnitude alone counts.
        options: Of ``torchmetrics.Metric``.
    """

    def update(self, a: Float[Tensor, "n h w"], b: Float[Tensor, "n h w"]) -> None:
        """Take in pairs of maps."""
        self.add(hog_correlation(a, b, absolute=self.absolute))
