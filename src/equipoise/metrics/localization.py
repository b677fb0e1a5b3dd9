"""Does the map lie on the object? Pointing games, the outside-inside ratio, the positive ratio."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from equipoise._registry import Registry
from equipoise._typing import Bool, Float, Int
from equipoise.errors import OptionError, ShapeError
from equipoise.metrics.base import AttributionMetric, MeanMetric, cataloged
from equipoise.metrics.maps import check_maps, check_masks, finite, power_of_two, undefined_unless, unit_range

TOLERANCE = 15
"""Pixels by which the pointing game's maximum may miss the object (Zhang et al. 2016)."""

_POINTS_AT_ONCE = 4096  # of a constant map, whose every pixel is a maximum


def pointing_hit(
    heatmaps: Float[Tensor, "n h w"],
    masks: Bool[Tensor, "n h w"],
    *,
    tolerance: float = TOLERANCE,
    ties: Literal["share", "first"] = "share",
) -> Float[Tensor, " n"]:
    """Whether a map's maximum lies on the object, or less than ``tolerance`` pixels away from it.

    Args:
        heatmaps: ``(n, h, w)``, at the size of the original image.
        masks: ``(n, h, w)``, true on the object.
        tolerance: A maximum hits if the squared distance to some pixel of the object is less than its square,
            in pixels; 1 means the object itself.
        ties: What several equal maxima give: ``"share"`` the share of them that hit, which makes a constant
            map as good as pointing at random; ``"first"`` what the first one in raster order gives, as a plain
            argmax does.

    Returns:
        ``(n,)``, 1 or 0, between them only for a share of ties; NaN for an empty mask or a map that is not finite.

    Raises:
        OptionError: If ``tolerance`` is not positive and finite, or ``ties`` neither of the two.
        ShapeError: If the shapes differ, or the masks are not bool.

    References:
        Zhang et al. 2016 (*Excitation Backprop*), "pointing game"; distance as in Fong et al. 2019, TorchRay.
    """
    heatmaps = check_maps(heatmaps)
    masks = check_masks(masks, heatmaps)
    if not 0 < tolerance < math.inf:
        raise OptionError(f"tolerance must be more than 0 and finite, not {tolerance}")
    if ties not in {"share", "first"}:
        raise OptionError(f"ties is 'share' or 'first', not {ties!r}")
    radius = math.ceil(tolerance) - 1  # the farthest whole distance below the tolerance
    offsets = torch.arange(-radius, radius + 1, device=heatmaps.device) ** 2
    disc = offsets[:, None] + offsets < tolerance**2
    defined = finite(heatmaps) & masks.flatten(1).any(1)
    hits = heatmaps.new_full((len(heatmaps),), math.nan)
    for index in defined.nonzero()[:, 0].tolist():
        heat = heatmaps[index]
        points = (heat == heat.max()).nonzero()
        hits[index] = _near(points[:1] if ties == "first" else points, masks[index], disc).to(hits).mean()
    return hits


def _near(points: Int[Tensor, "m 2"], mask: Bool[Tensor, "h w"], disc: Bool[Tensor, "d d"]) -> Bool[Tensor, " m"]:
    """Which points have a pixel of the mask under the disc laid around them."""
    radius = len(disc) // 2
    padded = F.pad(mask, (radius,) * 4)
    windows = padded.unfold(0, len(disc), 1).unfold(1, len(disc), 1)  # a view, (h, w, d, d)
    found = torch.empty(len(points), dtype=torch.bool, device=mask.device)
    for start in range(0, len(points), _POINTS_AT_ONCE):
        some = slice(start, start + _POINTS_AT_ONCE)
        found[some] = (windows[points[some, 0], points[some, 1]] & disc).flatten(1).any(1)
    return found


def positive_ratio(heatmaps: Float[Tensor, "n h w"]) -> Float[Tensor, " n"]:
    """The share of pixels above 0: how large an area a map claims.

    Args:
        heatmaps: ``(n, h, w)``, signed.

    Returns:
        ``(n,)`` between 0 and 1; NaN for a map that is not finite.

    Raises:
        ShapeError: If the heat maps are not floating ``(n, h, w)``.

    References:
        Nam & Lee 2024, Table 1 ("PR").

    Example:
        >>> positive_ratio(torch.tensor([[[3.0, 1.0], [-1.0, 0.0]]]))
        tensor([0.5000])
    """
    heatmaps = check_maps(heatmaps)
    return undefined_unless((heatmaps > 0).flatten(1).to(heatmaps.dtype).mean(1), finite(heatmaps))


def energy_pointing(heatmaps: Float[Tensor, "n h w"], masks: Bool[Tensor, "n h w"]) -> Float[Tensor, " n"]:
    """The share of the positive relevance that lies on the object.

    Args:
        heatmaps: ``(n, h, w)``.
        masks: ``(n, h, w)``, true on the object.

    Returns:
        ``(n,)`` between 0 and 1; NaN without positive relevance, for an empty mask, or a map that is not finite.

    Raises:
        ShapeError: If the shapes differ, or the masks are not bool.

    References:
        Wang et al. 2020 (*Score-CAM*), "energy-based pointing game".

    Example:
        >>> heatmaps = torch.tensor([[[3.0, 1.0], [-1.0, 0.0]]])
        >>> energy_pointing(heatmaps, heatmaps > 2)
        tensor([0.7500])
    """
    heatmaps = check_maps(heatmaps)
    masks = check_masks(masks, heatmaps)
    positive = _positive(heatmaps)
    total = positive.sum((1, 2))
    defined = finite(heatmaps) & masks.flatten(1).any(1) & (total > 0)
    return undefined_unless((positive * masks).sum((1, 2)) / total, defined)


def _positive(heatmaps: Float[Tensor, "n h w"]) -> Float[Tensor, "n h w"]:
    """The positive part, by a power of two, so that its sum is a number."""
    positive = heatmaps.clamp(min=0)
    return positive / power_of_two(positive)


NORMALIZATIONS: Registry[Callable[[Tensor], Tensor]] = Registry("normalization")
"""What `outside_inside_ratio` averages, from heat maps ``(n, h, w)``; at least 0."""

NORMALIZATIONS.add("min_max", unit_range)
NORMALIZATIONS.add("positive", _positive)


def outside_inside_ratio(
    heatmaps: Float[Tensor, "n h w"], masks: Bool[Tensor, "n h w"], *, normalization: str = "min_max"
) -> Float[Tensor, " n"]:
    """The mean of the map outside the object over its mean inside; lower is better.

    Args:
        heatmaps: ``(n, h, w)``.
        masks: ``(n, h, w)``, true on the object.
        normalization: ``"min_max"`` scales each map to 0..1 first, as Attribution Equilibrium's table does: one
            extreme negative pixel then moves every other value, and a uniform negative background counts as an
            offset. ``"positive"`` counts positive relevance alone.

    Returns:
        ``(n,)``, at least 0; NaN for a mask that is empty or full, a map that is not finite, a map that is
        constant (``"min_max"``), or one whose mean inside is 0.

    Raises:
        ShapeError: If the shapes differ, or the masks are not bool.
        UnknownNameError: If ``normalization`` is neither of the two.

    References:
        Lapuschkin et al. 2016 (*Analyzing Classifiers*), with positive relevance and boxes;
        Nam & Lee 2024, Table 3, with masks and 0..1.
    """
    heatmaps = check_maps(heatmaps)
    masks = check_masks(masks, heatmaps)
    values = NORMALIZATIONS[normalization](heatmaps)
    inside = (values * masks).sum((1, 2)) / masks.sum((1, 2))
    outside = (values * ~masks).sum((1, 2)) / (~masks).sum((1, 2))
    defined = finite(heatmaps) & (inside > 0) & outside.isfinite()
    return undefined_unless(outside / inside, defined)


def center_map(size: tuple[int, int]) -> Float[Tensor, "h w"]:
    """The baseline that has seen nothing and bets on the center: 1 less the squared distance to it.

    Args:
        size: Height and width, in pixels.

    Returns:
        ``(h, w)``, float32, 0 in the corners; sides of even length have equal maxima next to the center.

    References:
        The row "Center" of the tables in Zhang et al. 2016 and Fong et al. 2019.
    """
    height, width = size
    down = (2 * torch.arange(height) - (height - 1)) ** 2  # whole numbers: equal distances are exactly equal
    across = (2 * torch.arange(width) - (width - 1)) ** 2
    return 1 - (down[:, None] + across) / max((height - 1) ** 2 + (width - 1) ** 2, 1)


@cataloged("pointing_game")
class PointingGame(AttributionMetric):
    """The mean over classes of `pointing_hit`; classes without maps are left out.

    Args:
        num_classes: How many classes there are.
        tolerance: See `pointing_hit`.
        ties: See `pointing_hit`.
        options: Of ``torchmetrics.Metric``.

    References:
        Fong et al. 2019 (*Extremal Perturbations*), TorchRay; hits over hits and misses for each class.
    """

    hits: Tensor
    counts: Tensor

    def __init__(
        self,
        num_classes: int,
        *,
        tolerance: float = TOLERANCE,
        ties: Literal["share", "first"] = "share",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.num_classes = num_classes
        self.tolerance, self.ties = tolerance, ties
        self.sum_state("hits", num_classes)
        self.sum_state("counts", num_classes)

    def update(
        self, heatmaps: Float[Tensor, "n h w"], masks: Bool[Tensor, "n h w"], classes: Int[Tensor, " n"]
    ) -> None:
        """Take in maps, masks and the class of each.

        Raises:
            ShapeError: If there is not one class for each map.
            OptionError: If a class is not below ``num_classes``.
        """
        if classes.shape != heatmaps.shape[:1]:
            raise ShapeError(f"one class for each of {len(heatmaps)} maps, not {tuple(classes.shape)}")
        if bool(((classes < 0) | (classes >= self.num_classes)).any()):
            raise OptionError(f"classes are 0 to {self.num_classes - 1}, not {classes.tolist()}")
        values = pointing_hit(heatmaps, masks, tolerance=self.tolerance, ties=self.ties)
        known = self.defined(values)
        where = classes.to(self.hits.device)[known.to(self.hits.device)]
        self.hits.index_add_(0, where, values[known].to(self.hits))
        self.counts.index_add_(0, where, torch.ones_like(where).to(self.counts))

    def per_class(self) -> Float[Tensor, " c"]:
        """The accuracy of each class, NaN without maps."""
        return self.hits / self.counts

    def compute(self) -> Tensor:
        """The mean over the classes that have maps; NaN if none has."""
        return self.per_class().nanmean()


@cataloged("positive_ratio")
class PositiveRatio(MeanMetric):
    """The mean of `positive_ratio`."""

    def update(self, heatmaps: Float[Tensor, "n h w"]) -> None:
        """Take in maps."""
        self.add(positive_ratio(heatmaps))


@cataloged("energy_pointing_game")
class EnergyPointingGame(MeanMetric):
    """The mean of `energy_pointing`."""

    def update(self, heatmaps: Float[Tensor, "n h w"], masks: Bool[Tensor, "n h w"]) -> None:
        """Take in maps and masks."""
        self.add(energy_pointing(heatmaps, masks))


@cataloged("outside_inside_ratio")
class OutsideInsideRatio(MeanMetric):
    """The mean of `outside_inside_ratio`.

    Args:
        normalization: See there.
        options: Of ``torchmetrics.Metric``.
    """

    def __init__(self, *, normalization: str = "min_max", **options: Any) -> None:
        super().__init__(**options)
        self.normalization = NORMALIZATIONS.canonical(normalization)

    def update(self, heatmaps: Float[Tensor, "n h w"], masks: Bool[Tensor, "n h w"]) -> None:
        """Take in maps and masks."""
        self.add(outside_inside_ratio(heatmaps, masks, normalization=self.normalization))
