"""The map as a segmentation of the object: average precision, pixel accuracy, IoU, F1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from equipoise._registry import Registry
from equipoise._typing import Bool, Float
from equipoise.metrics.base import AttributionMetric, MeanMetric, cataloged
from equipoise.metrics.maps import check_maps, check_masks, finite, undefined_unless, unit_range, wide
from equipoise.metrics.thresholds import THRESHOLDS

Scored = tuple[Float[Tensor, "n p"], Bool[Tensor, "n p"]]
"""Scores of pixels, and whether each is what is looked for."""

DEFINITIONS: Registry[Callable[[Tensor, Tensor, str], Scored]] = Registry("definition of average precision")
"""What is scored: from maps ``(n, h, w)``, masks ``(n, h, w)`` and the name of a threshold."""


@DEFINITIONS.register("foreground")
def _foreground(heatmaps: Tensor, masks: Tensor, threshold: str) -> Scored:
    """The map itself, for the object."""
    del threshold
    return heatmaps.flatten(1), masks.flatten(1)


@DEFINITIONS.register("two_channel")
def _two_channel(heatmaps: Tensor, masks: Tensor, threshold: str) -> Scored:
    """The map scaled to 0..1 for the object, and 1 less it for the background, in one list."""
    del threshold
    scaled = unit_range(heatmaps).flatten(1)
    return torch.cat([1 - scaled, scaled], 1), torch.cat([~masks.flatten(1), masks.flatten(1)], 1)


@DEFINITIONS.register("hard")
def _hard(heatmaps: Tensor, masks: Tensor, threshold: str) -> Scored:
    """As two channels, of the map cut at the threshold to 0 and 1."""
    above = (heatmaps > THRESHOLDS[threshold](heatmaps)).to(heatmaps).flatten(1)
    return torch.cat([1 - above, above], 1), torch.cat([~masks.flatten(1), masks.flatten(1)], 1)


def pixel_average_precision(
    heatmaps: Float[Tensor, "n h w"],
    masks: Bool[Tensor, "n h w"],
    definition: str = "foreground",
    *,
    threshold: str = "zero",
) -> Float[Tensor, " n"]:
    """The average precision of each map as a detector of its object's pixels.

    The sum over distinct thresholds of precision times the gain in recall; equal values enter together, so no
    order among them matters.

    Args:
        heatmaps: ``(n, h, w)``.
        masks: ``(n, h, w)``, true on the object.
        definition: ``"foreground"``: object pixels, scored by the map; a constant map has the object's share of
            the image. ``"two_channel"``: object and background pixels in one list, scored by R and 1 - R with R
            scaled to 0..1; half of the list is right, whatever the object's size. ``"hard"``: the same with R
            cut at the threshold to 0 and 1.
        threshold: For ``"hard"``: ``"zero"`` or ``"mean"``.

    Returns:
        ``(n,)`` between 0 and 1; NaN for a map that is not finite, for an empty mask, and with
        ``"two_channel"`` for a constant map.

    Raises:
        ShapeError: If the shapes differ, or the masks are not bool.
        UnknownNameError: If ``definition`` or ``threshold`` is unknown.

    References:
        ``"two_channel"``: Chefer et al. 2021 (*Transformer Interpretability Beyond Attention Visualization*);
        ``"hard"``: Gur et al. 2021 (*Visualization of Supervised and Self-Supervised Neural Networks via
        Attribution Guided Factorization*); both as their public code computes it.
    """
    heatmaps = check_maps(heatmaps)
    masks = check_masks(masks, heatmaps)
    scores, right = DEFINITIONS[definition](heatmaps, masks, threshold)
    defined = finite(heatmaps) & masks.flatten(1).any(1) & scores.isfinite().all(1)
    return undefined_unless(_average_precision(scores, right), defined)


def _average_precision(scores: Float[Tensor, "n p"], right: Bool[Tensor, "n p"]) -> Float[Tensor, " n"]:
    """The mean over what is right of the precision at the last score equal to its own."""
    ranked, order = scores.sort(1, descending=True)
    hits = wide(right.gather(1, order))
    rank = torch.arange(1, scores.shape[1] + 1, device=scores.device)
    precision = hits.cumsum(1) / rank.to(hits.device)
    last = torch.ones_like(right)
    last[:, :-1] = ranked[:, :-1] != ranked[:, 1:]
    ends = torch.where(last, rank - 1, scores.shape[1])
    ends = ends.flip(1).cummin(1).values.flip(1)  # of each pixel, where the run of its value ends
    found = (precision.gather(1, ends.to(hits.device)) * hits).sum(1) / hits.sum(1)
    return found.to(scores.dtype).to(scores.device)


def _counts(heatmaps: Tensor, masks: Tensor, threshold: str) -> tuple[Float[Tensor, "n 2 2"], Bool[Tensor, " n"]]:
    """Pixels by mask (background, object) and by map (background, object), float64; which maps are defined."""
    heatmaps = check_maps(heatmaps)
    masks = check_masks(masks, heatmaps)
    above = heatmaps > THRESHOLDS[threshold](heatmaps)
    kinds = torch.stack([(masks == truth) & (above == said) for truth in (False, True) for said in (False, True)], 1)
    counts = wide(kinds.sum((2, 3))).reshape(-1, 2, 2)
    return counts, finite(heatmaps).to(counts.device)


def _intersections_and_unions(counts: Float[Tensor, "n 2 2"]) -> tuple[Float[Tensor, "n 2"], Float[Tensor, "n 2"]]:
    """Of background and object."""
    intersections = counts.diagonal(dim1=1, dim2=2)
    return intersections, counts.sum(1) + counts.sum(2) - intersections


def pixel_accuracy(
    heatmaps: Float[Tensor, "n h w"], masks: Bool[Tensor, "n h w"], threshold: str = "zero"
) -> Float[Tensor, " n"]:
    """The share of pixels that the map, cut at a threshold, puts on the right side.

    Args:
        heatmaps: ``(n, h, w)``.
        masks: ``(n, h, w)``, true on the object.
        threshold: ``"zero"``, or ``"mean"`` of each map; scaling a map to 0..1 before does not matter to the mean.

    Returns:
        ``(n,)`` between 0 and 1; NaN for a map that is not finite.

    Raises:
        ShapeError: If the shapes differ, or the masks are not bool.
        UnknownNameError: If ``threshold`` is unknown.

    References:
        ``"zero"``: Gur et al. 2021; ``"mean"``: Chefer et al. 2021.
    """
    counts, defined = _counts(heatmaps, masks, threshold)
    return undefined_unless(counts.diagonal(dim1=1, dim2=2).sum(1) / counts.sum((1, 2)), defined)


def intersection_over_union(
    heatmaps: Float[Tensor, "n h w"], masks: Bool[Tensor, "n h w"], threshold: str = "zero"
) -> Float[Tensor, " n"]:
    """The mean of the intersections over unions of object and background.

    Args:
        heatmaps: ``(n, h, w)``.
        masks: ``(n, h, w)``, true on the object.
        threshold: As in `pixel_accuracy`.

    Returns:
        ``(n,)`` between 0 and 1; one of the two that neither mask nor map holds is left out of the mean; NaN for
        a map that is not finite.

    Raises:
        ShapeError: If the shapes differ, or the masks are not bool.
        UnknownNameError: If ``threshold`` is unknown.
    """
    counts, defined = _counts(heatmaps, masks, threshold)
    intersections, unions = _intersections_and_unions(counts)
    return undefined_unless((intersections / unions).nanmean(1), defined)


def f1(heatmaps: Float[Tensor, "n h w"], masks: Bool[Tensor, "n h w"], threshold: str = "zero") -> Float[Tensor, " n"]:
    """The harmonic mean of precision and recall on the object's pixels.

    Args:
        heatmaps: ``(n, h, w)``.
        masks: ``(n, h, w)``, true on the object.
        threshold: As in `pixel_accuracy`.

    Returns:
        ``(n,)`` between 0 and 1; NaN where neither mask nor map has a pixel, and for a map that is not finite.

    Raises:
        ShapeError: If the shapes differ, or the masks are not bool.
        UnknownNameError: If ``threshold`` is unknown.
    """
    counts, defined = _counts(heatmaps, masks, threshold)
    both, marked, said = counts[:, 1, 1], counts[:, 1].sum(1), counts[:, :, 1].sum(1)
    return undefined_unless(2 * both / (marked + said), defined)


class _Thresholded(AttributionMetric):
    """Base of the metrics that sum pixels of maps cut at a threshold.

    Args:
        threshold: See `pixel_accuracy`.
        options: Of ``torchmetrics.Metric``.
    """

    counts: Tensor

    def __init__(self, threshold: str = "zero", **options: Any) -> None:
        super().__init__(**options)
        self.threshold = THRESHOLDS.canonical(threshold)
        self.sum_state("counts", 2, 2)

    def update(self, heatmaps: Float[Tensor, "n h w"], masks: Bool[Tensor, "n h w"]) -> None:
        """Take in maps and masks."""
        counts, defined = _counts(heatmaps, masks, self.threshold)
        self.undefined_count += (~defined).sum().to(self.undefined_count)
        self.counts += counts[defined].sum(0).to(self.counts)


@cataloged("pixel_ap")
class PixelAP(MeanMetric):
    """The mean over maps of `pixel_average_precision`.

    Args:
        definition: See there.
        threshold: See there.
        options: Of ``torchmetrics.Metric``.
    """

    def __init__(self, definition: str = "foreground", *, threshold: str = "zero", **options: Any) -> None:
        super().__init__(**options)
        self.definition, self.threshold = DEFINITIONS.canonical(definition), THRESHOLDS.canonical(threshold)

    def update(self, heatmaps: Float[Tensor, "n h w"], masks: Bool[Tensor, "n h w"]) -> None:
        """Take in maps and masks."""
        self.add(pixel_average_precision(heatmaps, masks, self.definition, threshold=self.threshold))


@cataloged("pixel_accuracy")
class PixelAccuracy(_Thresholded):
    """Right pixels over all pixels of the data set, as Chefer et al. 2021 sum them.

    Args:
        threshold: See `pixel_accuracy`.
        options: Of ``torchmetrics.Metric``.
    """

    def compute(self) -> Tensor:
        """The share, float64, a scalar; NaN before the first map."""
        return self.counts.diagonal().sum() / self.counts.sum()


@cataloged("mean_iou")
class MeanIoU(_Thresholded):
    """Intersections over unions, both summed over the data set, mean of object and background.

    Args:
        threshold: See `intersection_over_union`.
        options: Of ``torchmetrics.Metric``.

    References:
        Chefer et al. 2021, whose public code sums both over the data set.
    """

    def compute(self) -> Tensor:
        """The mean, float64, a scalar; NaN before the first map."""
        intersections, unions = _intersections_and_unions(self.counts.unsqueeze(0))
        return (intersections / unions).nanmean()


@cataloged("f1")
class F1(MeanMetric):
    """The mean over maps of `f1`.

    Args:
        threshold: See there.
        options: Of ``torchmetrics.Metric``.
    """

    def __init__(self, threshold: str = "zero", **options: Any) -> None:
        super().__init__(**options)
        self.threshold = THRESHOLDS.canonical(threshold)

    def update(self, heatmaps: Float[Tensor, "n h w"], masks: Bool[Tensor, "n h w"]) -> None:
        """Take in maps and masks."""
        self.add(f1(heatmaps, masks, self.threshold))
