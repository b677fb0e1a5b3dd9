"""Do the highest pixels of a map lie on the object, as many of them as the object has?"""

from __future__ import annotations

from torch import Tensor

from equipoise._typing import Bool, Float
from equipoise.metrics.base import MeanMetric, cataloged
from equipoise.metrics.maps import check_maps, check_masks, finite, undefined_unless


def relevance_rank_accuracy(heatmaps: Float[Tensor, "n h w"], masks: Bool[Tensor, "n h w"]) -> Float[Tensor, " n"]:
    """Of the map's :math:`K` highest pixels the share that lies on the object, :math:`K` being its number of pixels.

    Of equal values, some of which are among the :math:`K`, each is among them to the same part: a constant map scores
    the object's share of the image, as a drawing of pixels at random does on average. The authors take maps without
    negative values, such as the positive part: the same where at least :math:`K` pixels are positive. Where fewer are,
    the places left go to the highest of the others here, and to all of them alike after ``clamp(min=0)``.

    Args:
        heatmaps: ``(n, h, w)``.
        masks: ``(n, h, w)``, true on the object.

    Returns:
        ``(n,)`` between 0 and 1; NaN for an empty mask or a map that is not finite.

    Raises:
        ShapeError: If the shapes differ, or the masks are not bool.

    References:
        Arras, Osman & Samek 2022 (*CLEVR-XAI*), "relevance rank accuracy". Their "relevance mass accuracy", of the
        positive part, is `energy_pointing`.

    Example:
        >>> import torch
        >>> heatmaps = torch.tensor([[[3.0, 1.0], [2.0, 0.0]]])
        >>> relevance_rank_accuracy(heatmaps, torch.tensor([[[True, True], [False, False]]]))
        tensor([0.5000])
    """
    heatmaps = check_maps(heatmaps)
    masks = check_masks(masks, heatmaps)
    flat, inside = heatmaps.flatten(1), masks.flatten(1)
    size = inside.sum(1)
    last = flat.sort(dim=1, descending=True).values.gather(1, (size - 1).clamp(min=0)[:, None])
    above, equal = flat > last, flat == last
    open_places = size - above.sum(1)
    hits = (above & inside).sum(1) + (equal & inside).sum(1) * open_places / equal.sum(1)
    return undefined_unless((hits / size).to(heatmaps), finite(heatmaps) & (size > 0))


@cataloged("relevance_rank_accuracy")
class RelevanceRankAccuracy(MeanMetric):
    """The mean of `relevance_rank_accuracy`."""

    def update(self, heatmaps: Float[Tensor, "n h w"], masks: Bool[Tensor, "n h w"]) -> None:
        """Take in maps and masks."""
        self.add(relevance_rank_accuracy(heatmaps, masks))
