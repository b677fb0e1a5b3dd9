"""Traces of a network's strides in a map: grids; torch alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from equipoise._typing import Float
from equipoise.errors import OptionError
from equipoise.metrics.maps import check_maps, finite, undefined_unless, unit_peak, wide

STRIDE = 32
"""Pixels from one entry of the last maps to the next, in most networks for photos."""


def stride_energy(heatmaps: Float[Tensor, "n h w"], stride: int = STRIDE, width: int = 1) -> Float[Tensor, " n"]:
    r"""The share of a map's fine structure that repeats with the network's stride: a grid pattern.

    Of the power spectrum, frequencies below half a cycle per ``stride`` on both axes aside: the share of that within
    ``width`` cycles per map, on both axes, of a multiple of ``1 / stride`` cycles per pixel (0 included on one axis).
    A pattern of that period under a slowly changing envelope has nearly all there; a spectrum that is smooth, such
    as noise, about :math:`(2\,\mathtt{width} + 1)^2 s^2 / (h w)`: .18 at 224 pixels and a stride of 32, .01 at 8.

    Args:
        heatmaps: ``(n, h, w)``, signed; rows and columns beyond the last whole stride are left out.
        stride: In pixels, such as a network's total stride, or that of one of its layers.
        width: In cycles per map.

    Returns:
        ``(n,)`` between 0 and 1; NaN for a map without fine structure (such as a constant), or not finite.

    Raises:
        OptionError: If the stride is below 2, the map has fewer than two strides, or the width is so large that
            neighborhoods of two multiples touch.
        ShapeError: If the heat maps are not floating ``(n, h, w)``.
    """
    heatmaps = check_maps(heatmaps)
    cycles = [side // stride if stride > 1 else 0 for side in heatmaps.shape[1:]]
    if min(cycles) < 2:
        raise OptionError(f"a map of {tuple(heatmaps.shape[1:])} has fewer than two strides of {stride} pixels")
    if not 0 <= width <= (min(cycles) - 1) // 2:
        raise OptionError(f"width is {width}; it lies between 0 and {(min(cycles) - 1) // 2} cycles per map here")
    if not len(heatmaps):
        return heatmaps.new_zeros(0)  # some transforms refuse an empty batch
    part = wide(unit_peak(heatmaps))[:, : cycles[0] * stride, : cycles[1] * stride]
    power = torch.fft.fft2(part - part.mean((1, 2), keepdim=True)).abs().square()
    near, low = [], []
    for length in cycles:
        places = torch.arange(length * stride, device=power.device)
        near.append((places % length <= width) | (places % length >= length - width))
        low.append(torch.minimum(places, length * stride - places) * 2 < length)
    fine = ~(low[0][:, None] & low[1])
    high = (power * fine).sum((1, 2))
    share = (power * (fine & near[0][:, None] & near[1])).sum((1, 2)) / high
    some = high > 1e-12 * part.square().sum((1, 2)) * part[0].numel()  # else rounding alone
    return undefined_unless(share.clamp(max=1).to(heatmaps), finite(heatmaps) & some)


def dot_share(heatmaps: Float[Tensor, "n h w"], period: tuple[int, int], size: tuple[int, int]) -> Float[Tensor, " n"]:
    r"""How far a map is dots in a regular grid: in its average cell, the share of the magnitude in the fullest window.

    Cut into cells of one period, each scaled to a sum of 1, so that one bright object is one cell's matter; the cells'
    mean is :math:`c`, and :math:`W` goes over the windows of ``size`` in it, around its edges:

    .. math:: \max_W \sum_{i \in W} c_i

    A map that says the same everywhere, and noise of many cells, has the window's share of the area; dots in one place
    of every cell have nearly 1. With few cells the fullest window of whatever a map shows has more: of nine, up to
    twice the area.

    Args:
        heatmaps: ``(n, h, w)``, signed; rows and columns beyond the last whole cell are left out.
        period: Height and width of a cell, in pixels.
        size: Those of the window.

    Returns:
        ``(n,)`` between 0 and 1; NaN for a map of zeros or one that is not finite.

    Raises:
        OptionError: If the map holds no cell, or the window is empty or larger than one.
        ShapeError: If the heat maps are not floating ``(n, h, w)``.
    """
    heatmaps = check_maps(heatmaps)
    (down, across), (tall, broad) = period, size
    rows, columns = (side // one if one > 0 else 0 for side, one in zip(heatmaps.shape[1:], period, strict=True))
    if not rows * columns:
        raise OptionError(f"a map of {tuple(heatmaps.shape[1:])} holds no cell of {tuple(period)} pixels")
    if not (1 <= tall <= down and 1 <= broad <= across):
        raise OptionError(f"a window lies in a cell of {tuple(period)} pixels, not {tuple(size)}")
    part = wide(unit_peak(heatmaps)).abs()[:, : rows * down, : columns * across]
    cells = part.reshape(-1, rows, down, columns, across).transpose(2, 3).flatten(1, 2)
    sums = cells.sum((2, 3), keepdim=True)
    some = sums > 0
    mean = torch.where(some, cells / torch.where(some, sums, 1.0), 0.0).sum(1) / some.sum(1).clamp(min=1)
    around = F.pad(mean[:, None], (0, broad - 1, 0, tall - 1), mode="circular")
    share = F.avg_pool2d(around, (tall, broad), 1, divisor_override=1).flatten(1).amax(1)
    return undefined_unless(share.clamp(max=1).to(heatmaps), finite(heatmaps) & some.flatten(1).any(1))
