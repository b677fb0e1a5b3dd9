"""What every metric does with maps: check their shapes, say where it is defined, smooth and resize; torch alone."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from equipoise._typing import Bool, Float
from equipoise.errors import OptionError, ShapeError


def check_maps(heatmaps: Tensor) -> Float[Tensor, "n h w"]:
    """The heat maps themselves, half precision widened to float32.

    Raises:
        ShapeError: If they are not floating or not ``(n, h, w)``, or have no pixels.
    """
    if heatmaps.dim() != 3 or not heatmaps.is_floating_point() or 0 in heatmaps.shape[1:]:
        raise ShapeError(f"heat maps are floating (n, h, w), not {heatmaps.dtype} {tuple(heatmaps.shape)}")
    return heatmaps if heatmaps.dtype == torch.float64 else heatmaps.float()


def check_masks(masks: Tensor, heatmaps: Tensor) -> Bool[Tensor, "n h w"]:
    """The object masks themselves, on the device of the heat maps.

    Raises:
        ShapeError: If they are not bool or not as large as the heat maps.
    """
    if masks.dtype != torch.bool or masks.shape != heatmaps.shape:
        raise ShapeError(
            f"masks are bool and shaped as the heat maps {tuple(heatmaps.shape)}, "
            f"not {masks.dtype} {tuple(masks.shape)}"
        )
    return masks.to(heatmaps.device)


def wide(tensor: Tensor) -> Tensor:
    """``tensor`` in float64, where it is; on the CPU, if its device has no float64."""
    try:
        return tensor.to(torch.float64)
    except (TypeError, RuntimeError):  # mps
        return tensor.cpu().to(torch.float64)


def finite(heatmaps: Float[Tensor, "n h w"]) -> Bool[Tensor, " n"]:
    """Which maps hold finite numbers alone; no metric is defined for the others."""
    return heatmaps.isfinite().flatten(1).all(1)


def undefined_unless(values: Float[Tensor, " n"], defined: Bool[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The values, NaN where they are not defined."""
    return values.masked_fill(~defined, math.nan)


def unit_peak(heatmaps: Float[Tensor, "n h w"]) -> Float[Tensor, "n h w"]:
    """Scaled to a largest magnitude of 1, so that no square under- or overflows; maps of zeros as they are."""
    peak = heatmaps.abs().amax((1, 2), keepdim=True)
    return heatmaps / torch.where(peak > 0, peak, 1.0)


def power_of_two(heatmaps: Float[Tensor, "n h w"]) -> Float[Tensor, "n 1 1"]:
    """Of each map the largest power of two up to its largest magnitude; 1 for maps of zeros and not finite ones.

    Divided by it nothing is rounded, and sums and differences of what float32 just holds do not overflow.
    """
    peak = heatmaps.abs().amax((1, 2), keepdim=True)
    return torch.exp2(torch.floor(torch.log2(torch.where((peak > 0) & peak.isfinite(), peak, 1.0))))


def unit_range(heatmaps: Float[Tensor, "n h w"]) -> Float[Tensor, "n h w"]:
    """Each map scaled so that its lowest value is 0 and its highest 1; NaN where both are the same."""
    heatmaps = heatmaps / power_of_two(heatmaps)
    low, high = heatmaps.amin((1, 2), keepdim=True), heatmaps.amax((1, 2), keepdim=True)
    return (heatmaps - low) / (high - low)


def smooth(heatmaps: Float[Tensor, "... h w"], sigma: float = 0.02) -> Float[Tensor, "... h w"]:
    """Blur by a Gaussian, as the pointing game does with gradient-like maps.

    The kernel ends at four standard deviations, rounded up to whole pixels, and sums to 1; beyond the border
    the outermost pixels repeat, so a constant map stays as it is.

    Args:
        heatmaps: ``(..., h, w)``, floating.
        sigma: Standard deviation as a share of the longer side; 0 changes nothing.

    Raises:
        OptionError: If ``sigma`` is negative or not finite.
        ShapeError: If ``heatmaps`` are not floating with at least two dimensions.

    References:
        Fong et al. 2019 (*Extremal Perturbations*), TorchRay: 0.02 of the longer side.
    """
    if not 0 <= sigma < math.inf:
        raise OptionError(f"sigma must be at least 0 and finite, not {sigma}")
    if heatmaps.dim() < 2 or not heatmaps.is_floating_point():
        raise ShapeError(f"heat maps are floating (..., h, w), not {heatmaps.dtype} {tuple(heatmaps.shape)}")
    pixels = sigma * max(heatmaps.shape[-2:])
    if pixels == 0 or not heatmaps.numel():
        return heatmaps.clone()
    radius = math.ceil(4 * pixels)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (offsets / pixels) ** 2)
    widened = heatmaps if heatmaps.dtype == torch.float64 else heatmaps.float()
    kernel = (kernel / kernel.sum()).to(widened.dtype).to(widened.device)
    stack = widened.reshape(-1, 1, *heatmaps.shape[-2:])
    stack = F.conv2d(F.pad(stack, (radius, radius, 0, 0), mode="replicate"), kernel.view(1, 1, 1, -1))
    stack = F.conv2d(F.pad(stack, (0, 0, radius, radius), mode="replicate"), kernel.view(1, 1, -1, 1))
    return stack.reshape(heatmaps.shape).to(heatmaps.dtype)


def resize_map(heatmaps: Float[Tensor, "... h w"], size: tuple[int, int]) -> Float[Tensor, "... H W"]:
    """Resize bilinearly, pixel centers halfway between their edges (``align_corners=False``).

    Args:
        heatmaps: ``(..., h, w)``, floating.
        size: Height and width, in pixels.

    Raises:
        ShapeError: If ``heatmaps`` are not floating with at least two dimensions.
    """
    if heatmaps.dim() < 2 or not heatmaps.is_floating_point():
        raise ShapeError(f"heat maps are floating (..., h, w), not {heatmaps.dtype} {tuple(heatmaps.shape)}")
    if tuple(heatmaps.shape[-2:]) == tuple(size):
        return heatmaps.clone()
    stack = heatmaps.reshape(-1, 1, *heatmaps.shape[-2:])
    resized = F.interpolate(stack, size=tuple(size), mode="bilinear", align_corners=False)
    return resized.reshape(*heatmaps.shape[:-2], *size)
