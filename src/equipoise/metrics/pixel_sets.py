"""Which pixels come first: orders of a map's pixels, and sets of pixels that no map chose."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from equipoise._registry import Registry
from equipoise._typing import Bool, Float, Int
from equipoise.errors import OptionError, ShapeError
from equipoise.metrics.maps import check_maps

ORDERS: Registry[Callable[[Tensor, int], Tensor]] = Registry("order")
"""From maps ``(n, p)`` and a seed to the pixels of each, first to last, ``(n, p)``."""


@ORDERS.register("most_relevant", aliases=("MoRF",))
def _most_relevant(flat: Tensor, seed: int) -> Tensor:
    del seed
    return flat.argsort(dim=1, descending=True, stable=True)


@ORDERS.register("least_relevant", aliases=("LeRF",))
def _least_relevant(flat: Tensor, seed: int) -> Tensor:
    del seed
    return flat.argsort(dim=1, stable=True)


@ORDERS.register("random")
def _random(flat: Tensor, seed: int) -> Tensor:
    drawn = torch.randperm(flat.shape[1], generator=torch.Generator().manual_seed(seed))
    return drawn.to(flat.device).expand_as(flat)


def ranking(heatmaps: Float[Tensor, "n h w"], order: str = "most_relevant", seed: int = 0) -> Int[Tensor, "n p"]:
    """The pixels of each map in the order in which a perturbation takes them.

    Args:
        heatmaps: ``(n, h, w)``.
        order: ``"most_relevant"`` first, ``"least_relevant"`` first, or ``"random"``; equal values in raster order.
        seed: Of ``"random"``, which draws one order for every map, so that a batch does not matter.

    Returns:
        ``(n, h * w)``, raster numbers of pixels.

    Raises:
        ShapeError: If the heat maps are not floating ``(n, h, w)``.
        UnknownNameError: If ``order`` is unknown.

    References:
        Samek et al. 2017 (*Evaluating the Visualization of What a Deep Neural Network Has Learned*): MoRF and
        LeRF, most or least relevant first.
    """
    return ORDERS[order](check_maps(heatmaps).flatten(1), seed)


def places(order: Int[Tensor, "n p"]) -> Int[Tensor, "n p"]:
    """When each pixel is taken, counted from 0: the inverse of a `ranking`."""
    counting = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, counting)


def top_mask(heatmap: Float[Tensor, "h w"], k: int = 4000) -> Bool[Tensor, "h w"]:
    """The ``k`` most relevant pixels of one map, equal values in raster order.

    Raises:
        OptionError: If the map has fewer pixels, or ``k`` is negative.
        ShapeError: If the map is not floating ``(h, w)``.

    References:
        Nam & Lee 2024, Fig. 11, second row: 4,000 of 224 by 224 pixels.
    """
    if heatmap.dim() != 2:
        raise ShapeError(f"one heat map is (h, w), not {tuple(heatmap.shape)}")
    _check_count(k, (heatmap.shape[0], heatmap.shape[1]))
    return (places(ranking(heatmap.unsqueeze(0))) < k).reshape(heatmap.shape)


def scattered_mask(shape: tuple[int, int], k: int, seed: int = 0) -> Bool[Tensor, "h w"]:
    """``k`` pixels drawn anywhere: noise, to which networks are more sensitive than to one hole.

    Args:
        shape: Height and width, in pixels.
        k: How many.
        seed: Another seed, other pixels; torch's own random state is not touched.

    Raises:
        OptionError: If there are fewer pixels, or ``k`` is negative.

    References:
        Nam & Lee 2024, section 5.4 and Fig. 11 ("random noise").
    """
    _check_count(k, shape)
    drawn = torch.randperm(shape[0] * shape[1], generator=torch.Generator().manual_seed(seed))
    return _chosen(drawn[:k], shape)


def clustered_mask(shape: tuple[int, int], k: int, seed: int = 0) -> Bool[Tensor, "h w"]:
    """``k`` pixels in one disc whose center is drawn where the disc fits, or the middle where it fits nowhere.

    Args:
        shape: Height and width, in pixels.
        k: How many; of pixels at an equal distance the first in raster order are taken.
        seed: Another seed, another center; torch's own random state is not touched.

    Raises:
        OptionError: If there are fewer pixels, or ``k`` is negative.

    References:
        Nam & Lee 2024, section 5.4 and Fig. 11: relevance in one cluster, as many pixels as the noise.
    """
    _check_count(k, shape)
    generator = torch.Generator().manual_seed(seed)
    radius = (k / torch.pi) ** 0.5
    center = [
        float(margin + torch.rand((), generator=generator, dtype=torch.float64) * (side - 1 - 2 * margin))
        for side in shape
        for margin in [min(radius, (side - 1) / 2)]
    ]
    down = (torch.arange(shape[0], dtype=torch.float64) - center[0]) ** 2
    across = (torch.arange(shape[1], dtype=torch.float64) - center[1]) ** 2
    distance = (down[:, None] + across).flatten()
    return _chosen(distance.argsort(stable=True)[:k], shape)


def _check_count(k: int, shape: tuple[int, int]) -> None:
    if not 0 <= k <= shape[0] * shape[1]:
        raise OptionError(f"k is between 0 and the {shape[0] * shape[1]} pixels of {tuple(shape)}, not {k}")


def _chosen(pixels: Tensor, shape: tuple[int, int]) -> Tensor:
    mask = torch.zeros(shape[0] * shape[1], dtype=torch.bool)
    mask[pixels] = True
    return mask.reshape(shape)
