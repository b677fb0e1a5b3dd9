"""One number for a curve of scores: areas over, under and between, and RISE's insertion and deletion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from equipoise._typing import Float
from equipoise.errors import OptionError, ShapeError
from equipoise.metrics.base import AttributionMetric, cataloged
from equipoise.metrics.imputation import ROAD_SHARES
from equipoise.metrics.maps import wide
from equipoise.metrics.perturbation import EARLY_SHARES, INSERTION_SHARES, Score, perturbation_curve


def aopc(curve: Float[Tensor, "... s"]) -> Float[Tensor, ...]:
    """The area over a curve: how far the score fell on the mean, counted from the first entry.

    Args:
        curve: ``(..., s)``, such as a deletion with share 0 first.

    References:
        Samek et al. 2017, the equation of the AOPC: the mean over all entries, the first included.
    """
    return (curve[..., :1] - curve).mean(-1)


def abpc(most: Float[Tensor, "... s"], least: Float[Tensor, "... s"]) -> Float[Tensor, ...]:
    """The area between two deletion curves: least relevant first over most relevant first.

    Args:
        most: ``(..., s)``, most relevant pixels hidden first.
        least: ``(..., s)``, least relevant pixels hidden first, at the same shares.

    References:
        Samek et al. 2017 compare these two orders.
    """
    return (least - most).mean(-1)


def area(curve: Float[Tensor, "... s"], shares: Sequence[float]) -> Float[Tensor, ...]:
    """The area under a curve by trapezoids, over the width of its shares: a mean height.

    Args:
        curve: ``(..., s)``.
        shares: ``s`` of them, rising.

    Raises:
        ShapeError: If there is not one share for each entry.
        OptionError: If there are fewer than two shares, or they do not rise.
    """
    if curve.shape[-1] != len(shares):
        raise ShapeError(f"one share for each of {curve.shape[-1]} entries, not {len(shares)}")
    widths = torch.tensor(shares, dtype=torch.float64).diff()
    if not len(widths) or not bool((widths > 0).all()):
        raise OptionError(f"an area needs at least two rising shares, not {tuple(shares)}")
    heights = (curve[..., 1:] + curve[..., :-1]) / 2
    return (heights * (widths / widths.sum()).to(curve)).sum(-1)


def rise_shares(size: tuple[int, int], step: int | None = None) -> tuple[float, ...]:
    """Shares from none to all pixels, ``step`` pixels at a time; the last step may be shorter.

    Args:
        size: Height and width, in pixels.
        step: In pixels; ``None``: as many as a row has, 224 at 224 by 224.

    Raises:
        OptionError: If ``step`` is less than 1.
    """
    pixels, step = size[0] * size[1], size[1] if step is None else step
    if step < 1:
        raise OptionError(f"step must be at least 1 pixel, not {step}")
    return (*(count / pixels for count in range(0, pixels, step)), 1.0)


def insertion_auc(
    score: Score,
    images: Float[Tensor, "n c h w"],
    heatmaps: Float[Tensor, "n h w"],
    *,
    step: int | None = None,
    canvas: str = "blur",
    chunk: int = 8,
) -> Float[Tensor, " n"]:
    """The area under the score while pixels appear, from none to all; higher is better.

    Args:
        score: As in `perturbation_curve`, one number per image.
        images: ``(n, c, h, w)``, pixels between 0 and 1.
        heatmaps: ``(n, h, w)``.
        step: See `rise_shares`.
        canvas: See `perturb`.
        chunk: How many images ``score`` gets at once.

    References:
        Petsiuk et al. 2018 (*RISE*), section 4.3, on the blurred image.
    """
    shares = rise_shares((images.shape[-2], images.shape[-1]), step)
    curves = perturbation_curve(score, images, heatmaps, shares=shares, mode="insertion", canvas=canvas, chunk=chunk)
    return area(curves, shares)


def deletion_auc(
    score: Score,
    images: Float[Tensor, "n c h w"],
    heatmaps: Float[Tensor, "n h w"],
    *,
    step: int | None = None,
    canvas: str = "zero",
    chunk: int = 8,
) -> Float[Tensor, " n"]:
    """The area under the score while pixels vanish, from none to all; lower is better.

    Args:
        score: As in `perturbation_curve`, one number per image.
        images: ``(n, c, h, w)``, pixels between 0 and 1.
        heatmaps: ``(n, h, w)``.
        step: See `rise_shares`.
        canvas: See `perturb`; the public code sets normalized pixels to 0.
        chunk: How many images ``score`` gets at once.

    References:
        Petsiuk et al. 2018 (*RISE*), section 4.3.
    """
    shares = rise_shares((images.shape[-2], images.shape[-1]), step)
    curves = perturbation_curve(score, images, heatmaps, shares=shares, mode="deletion", canvas=canvas, chunk=chunk)
    return area(curves, shares)


class _CurveMetric(AttributionMetric):
    """Base of the metrics that are the area under a mean curve.

    Args:
        shares: Of the pixels, as the curves have them.
        options: Of ``torchmetrics.Metric``.
    """

    total: Tensor
    count: Tensor

    def __init__(self, shares: Sequence[float] = INSERTION_SHARES, **options: Any) -> None:
        super().__init__(**options)
        self.shares = tuple(shares)
        self.sum_state("total", len(self.shares))
        self.sum_state("count")

    def update(self, curves: Float[Tensor, "n s"]) -> None:
        """Take in what `perturbation_curve` returned.

        Raises:
            ShapeError: If there is not one entry for each share.
        """
        if curves.dim() != 2 or curves.shape[1] != len(self.shares):
            raise ShapeError(f"curves are (n, {len(self.shares)}), not {tuple(curves.shape)}")
        known = self.defined(curves.sum(1))
        self.total += wide(curves[known]).sum(0).to(self.total)
        self.count += known.sum().to(self.count)

    def curve(self) -> Float[Tensor, " s"]:
        """The mean score at each share, float64; NaN before the first curve."""
        return self.total / self.count

    def compute(self) -> Tensor:
        """The `area` under the mean curve, float64, a scalar."""
        return area(self.curve(), self.shares)


@cataloged("insertion")
class Insertion(_CurveMetric):
    """The area under the mean score while pixels appear, most relevant first.

    Args:
        shares: Of the pixels, as the curves have them.
        options: Of ``torchmetrics.Metric``.
    """


@cataloged("early_insertion")
class EarlyInsertion(_CurveMetric):
    """The mean score when the few most relevant pixels are shown alone: `compute` is the mean over the shares.

    Args:
        shares: Of the pixels, as the curves have them.
        options: Of ``torchmetrics.Metric``.
    """

    def __init__(self, shares: Sequence[float] = EARLY_SHARES, **options: Any) -> None:
        super().__init__(shares, **options)

    def compute(self) -> Tensor:
        """The mean over the shares of the mean score, float64, a scalar; `curve` has each."""
        return self.curve().mean()


@cataloged("road")
class Road(_CurveMetric):
    """Remove and debias: the mean score while the most relevant pixels are removed and imputed; see `road_curve`.

    Args:
        shares: Of the pixels, as the curves have them.
        options: Of ``torchmetrics.Metric``.
    """

    def __init__(self, shares: Sequence[float] = ROAD_SHARES, **options: Any) -> None:
        super().__init__(shares, **options)

    def compute(self) -> Tensor:
        """The mean over the shares of the mean score, float64, a scalar; `curve` has each."""
        return self.curve().mean()


@cataloged("deletion")
class Deletion(_CurveMetric):
    """The area under the mean score while pixels vanish, most relevant first.

    Args:
        shares: Of the pixels, as the curves have them.
        options: Of ``torchmetrics.Metric``.
    """
