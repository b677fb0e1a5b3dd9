"""Does the map's size say what the network loses? Parts of the image taken away one at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from equipoise._typing import Float, Int
from equipoise.errors import OptionError, ShapeError
from equipoise.metrics.base import MeanMetric, cataloged
from equipoise.metrics.canvases import CANVASES
from equipoise.metrics.maps import check_maps, finite, undefined_unless, wide
from equipoise.metrics.perturbation import Score, check_pair, scored
from equipoise.metrics.pixel_sets import places, ranking
from equipoise.metrics.similarity import rank_correlation


def single_deletion(
    score: Score,
    images: Float[Tensor, "n c h w"],
    heatmaps: Float[Tensor, "n h w"],
    *,
    patches: int = 4,
    canvas: str = "zero",
    chunk: int = 8,
) -> Float[Tensor, " n"]:
    """Spearman's correlation of each patch's relevance with what the score loses without that patch.

    The image is cut into ``patches`` by ``patches`` parts of one size; a part's relevance is the sum of the map
    there, its loss the score of the image less that of the image without that part alone. This is the single
    deletion protocol as it is; the authors first fine-tune the network on images with missing parts, so that those are
    in its domain, which this does not do.

    Args:
        score: See `perturbation_curve`, one number per image; the authors take the logit of the class.
        images: ``(n, c, h, w)``, pixels between 0 and 1.
        heatmaps: ``(n, h, w)``.
        patches: Along each side; they divide it.
        canvas: See `perturb`; ``"zero"`` is the authors' baseline.
        chunk: How many images ``score`` gets at once.

    Returns:
        ``(n,)`` between -1 and 1; NaN where all parts have the same relevance or the same loss, a loss is NaN, or the
        map is not finite.

    Raises:
        OptionError: If ``patches`` is below 2 or does not divide the sides, or ``chunk`` is below 1.
        ShapeError: If there is not one heat map, as large as the image, for each image, or ``score`` does not return
            one number for each image it got.
        UnknownNameError: If there is no such canvas.

    References:
        Hesse, Schaub-Meyer & Roth 2024 (*Benchmarking the Attribution Quality of Vision Models*), "IDSDS", without
        its fine-tuning.
    """
    heatmaps = check_maps(heatmaps)
    check_pair(images, heatmaps)
    height, width = heatmaps.shape[1:]
    if patches < 2 or height % patches or width % patches:
        raise OptionError(f"{patches} patches along each side do not divide {height} x {width}")
    rows = torch.arange(height) // (height // patches)
    part = rows[:, None] * patches + torch.arange(width) // (width // patches)
    lost = _losses(score, images, heatmaps, part.expand_as(heatmaps), patches**2, canvas=canvas, chunk=chunk)
    cut = (len(heatmaps), patches, height // patches, patches, width // patches)
    cells = wide(heatmaps).reshape(cut).sum((2, 4))
    found = rank_correlation(cells, lost.to(cells).reshape(cells.shape))
    return undefined_unless(found.to(heatmaps), finite(heatmaps))


def salience_faithfulness(
    score: Score,
    images: Float[Tensor, "n c h w"],
    heatmaps: Float[Tensor, "n h w"],
    *,
    groups: int = 10,
    canvas: str = "mean",
    chunk: int = 8,
) -> Float[Tensor, " n"]:
    r"""The salience-guided faithfulness coefficient (SaCo): do groups of pixels lose by as much as the map says?

    The pixels are sorted by the map, highest first, and cut into :math:`K` groups of one size (the last takes the
    rest). With :math:`s_i` the sum of the map in group :math:`i` and :math:`d_i` what the score loses without it:

    .. math::
        F = \frac{\sum_{i<j} \sigma_{ij} (s_i - s_j)}{\sum_{i<j} |s_i - s_j|}, \quad
        \sigma_{ij} = 1 \text{ if } d_i \ge d_j \text{ else } -1

    Args:
        score: See `perturbation_curve`, one number per image; the authors take the probability of the class.
        images: ``(n, c, h, w)``, pixels between 0 and 1.
        heatmaps: ``(n, h, w)``.
        groups: :math:`K`.
        canvas: See `perturb`; ``"mean"`` is the authors' choice.
        chunk: How many images ``score`` gets at once.

    Returns:
        ``(n,)`` between -1 and 1; NaN for a map that is constant or not finite, and where a loss is NaN.

    Raises:
        OptionError: If there are fewer than 2 groups, or more than pixels, or ``chunk`` is below 1.
        ShapeError: If there is not one heat map, as large as the image, for each image, or ``score`` does not return
            one number for each image it got.
        UnknownNameError: If there is no such canvas.

    References:
        Wu, Kang, Zhu & Wei 2024 (*On the Faithfulness of Vision Transformer Explanations*), algorithm 1.
    """
    heatmaps = check_maps(heatmaps)
    check_pair(images, heatmaps)
    pixels = heatmaps.shape[1] * heatmaps.shape[2]
    if not 2 <= groups <= pixels:
        raise OptionError(f"groups is {groups}; it lies between 2 and the {pixels} pixels")
    part = (places(ranking(heatmaps)) // (pixels // groups)).clamp(max=groups - 1)
    lost = _losses(score, images, heatmaps, part.reshape(heatmaps.shape), groups, canvas=canvas, chunk=chunk)
    sizes = wide(heatmaps).flatten(1)
    totals = sizes.new_zeros(len(sizes), groups).scatter_add_(1, part.to(sizes.device), sizes)
    first, second = torch.triu_indices(groups, groups, 1)
    weights = totals[:, first] - totals[:, second]
    lost = lost.to(totals)
    signs = torch.where(lost[:, first] >= lost[:, second], 1.0, -1.0).to(weights)
    whole = weights.abs().sum(1)
    found = (signs * weights).sum(1) / whole
    varied = heatmaps.amax((1, 2)) > heatmaps.amin((1, 2))
    return undefined_unless(found.to(heatmaps), finite(heatmaps) & varied & lost.isfinite().all(1).to(varied.device))


def _losses(
    score: Score,
    images: Float[Tensor, "n c h w"],
    heatmaps: Float[Tensor, "n h w"],
    part: Int[Tensor, "n h w"],
    count: int,
    *,
    canvas: str,
    chunk: int,
) -> Float[Tensor, "n g"]:
    """What each image's score loses without each of ``count`` parts; NaN for maps that are not finite."""
    if chunk < 1:
        raise OptionError(f"chunk must be at least 1, not {chunk}")
    paint, part = CANVASES[canvas], part.to(images.device)
    defined = finite(heatmaps).nonzero()[:, 0].cpu()
    pairs = torch.cartesian_prod(defined, torch.arange(-1, count))  # -1: nothing taken away
    found = []
    with torch.no_grad():
        for start in range(0, len(pairs), chunk):
            index, number = pairs[start : start + chunk].to(images.device).T
            gone = (part[index] == number.view(-1, 1, 1)).unsqueeze(1)
            values = scored(score, torch.where(gone, paint(images[index]), images[index]), index)
            if values.dim() != 1:
                raise ShapeError(f"score returns one number for each image here, not {tuple(values.shape)}")
            found.append(wide(values))
    losses = torch.full((len(images), count), torch.nan, dtype=torch.float64)
    if found:
        scores = torch.cat(found).reshape(len(defined), count + 1).to(losses)
        losses[defined] = scores[:, :1] - scores[:, 1:]
    return losses


class _MeanOfImages(MeanMetric):
    """The mean over images of what a function of this module returned."""

    def update(self, values: Float[Tensor, " n"]) -> None:
        """Take in one number per image."""
        self.add(values)


@cataloged("single_deletion")
class SingleDeletion(_MeanOfImages):
    """The mean of `single_deletion`."""


@cataloged("salience_faithfulness")
class SalienceFaithfulness(_MeanOfImages):
    """The mean of `salience_faithfulness`."""
