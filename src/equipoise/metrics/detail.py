"""How fine a map is: detail beyond its starting grid, how few pixels hold it, and traces of the network's strides.

None of these says that a map is right: noise has the most detail there can be. Read them beside insertion or a grid
pointing game.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from equipoise._typing import Float
from equipoise.errors import OptionError
from equipoise.metrics.base import MeanMetric, cataloged
from equipoise.metrics.maps import check_maps, finite, resize_map, undefined_unless, unit_peak, wide
from equipoise.metrics.strides import STRIDE, stride_energy


def starting_detail(heatmaps: Float[Tensor, "n h w"], grid: tuple[int, int] = (7, 7)) -> Float[Tensor, " n"]:
    r"""What of a map no class activation map can show: the part that no coarse grid, upsampled, explains.

    With :math:`U` the bilinear upsampling from ``grid`` to the map's size (as `resize_map`) and :math:`\hat m` the
    nearest map to :math:`m` among all :math:`U g`, least squares:

    .. math:: 1 - R^2 = \lVert m - \hat m \rVert^2 / \lVert m - \bar m \rVert^2

    0 for a class activation map at that grid, 1 for a map that is orthogonal to all of them; noise at 224 x 224 has
    .999. High for a sharp map and for noise alike.

    Args:
        heatmaps: ``(n, h, w)``, signed.
        grid: Height and width of the map where relevance started, in entries.

    Returns:
        ``(n,)`` between 0 and 1; NaN for a map that is constant or not finite.

    Raises:
        OptionError: If the grid is empty or larger than the map.
        ShapeError: If the heat maps are not floating ``(n, h, w)``.

    Example:
        >>> coarse = torch.rand(1, 3, 3, generator=torch.Generator().manual_seed(0))
        >>> bool(starting_detail(resize_map(coarse, (24, 24)), (3, 3)) < 1e-6)
        True
    """
    heatmaps = check_maps(heatmaps)
    height, width = heatmaps.shape[1:]
    if not (1 <= grid[0] <= height and 1 <= grid[1] <= width):
        raise OptionError(f"a starting grid has 1 x 1 entries to the map's {height} x {width}, not {grid}")
    scaled = wide(unit_peak(heatmaps))
    down, across = _projection(grid[0], height).to(scaled), _projection(grid[1], width).to(scaled)
    rest = scaled - down @ scaled @ across
    whole = (scaled - scaled.mean((1, 2), keepdim=True)).square().sum((1, 2))
    defined = finite(heatmaps) & ~_constant(heatmaps)
    share = (rest.square().sum((1, 2)) / whole).clamp(max=1)
    return undefined_unless(share.to(heatmaps), defined)


def _projection(coarse: int, fine: int) -> Float[Tensor, "f f"]:
    """Onto what bilinear upsampling along one axis can make; symmetric, float64."""
    up = resize_map(torch.eye(coarse, dtype=torch.float64).unsqueeze(-1), (fine, 1)).squeeze(-1).T
    inverse: Tensor = torch.linalg.pinv(up)
    return up @ inverse


def _constant(heatmaps: Float[Tensor, "n h w"]) -> Tensor:
    return heatmaps.amax((1, 2)) == heatmaps.amin((1, 2))


def sparseness(heatmaps: Float[Tensor, "n h w"]) -> Float[Tensor, " n"]:
    r"""The Gini index of the magnitudes: how few pixels hold the map.

    With magnitudes :math:`c_{(1)} \le \dots \le c_{(N)}`:

    .. math:: 1 - 2 \sum_{k=1}^{N} \frac{c_{(k)}}{\lVert c \rVert_1} \frac{N - k + 1/2}{N}

    0 where all magnitudes are equal, :math:`1 - 1/N` where one pixel has all.

    Args:
        heatmaps: ``(n, h, w)``, signed.

    Returns:
        ``(n,)`` between 0 and 1; NaN for a map of zeros or one that is not finite.

    Raises:
        ShapeError: If the heat maps are not floating ``(n, h, w)``.

    References:
        Hurley & Rickard 2009 (*Comparing Measures of Sparsity*), the Gini index; Chalasani et al. 2020 (*Concise
        Explanations of Neural Networks using Adversarial Training*), of the magnitudes of an attribution.

    Example:
        >>> sparseness(torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[1.0, -1.0], [1.0, 1.0]]]))
        tensor([0.7500, 0.0000])
    """
    heatmaps = check_maps(heatmaps)
    rising = wide(unit_peak(heatmaps)).abs().flatten(1).sort(dim=1).values
    count = rising.shape[1]
    places = torch.arange(1, count + 1, dtype=rising.dtype, device=rising.device)
    total = rising.sum(1)
    index = 1 - 2 * (rising / total[:, None] * ((count - places + 0.5) / count)).sum(1)
    return undefined_unless(index.clamp(0, 1).to(heatmaps), finite(heatmaps) & (heatmaps != 0).flatten(1).any(1))


def complexity(heatmaps: Float[Tensor, "n h w"]) -> Float[Tensor, " n"]:
    r"""The entropy of each pixel's share of the map's total magnitude, in nats; lower is simpler.

    .. math:: -\sum_i p_i \ln p_i, \qquad p_i = |m_i| / \lVert m \rVert_1

    Args:
        heatmaps: ``(n, h, w)``, signed.

    Returns:
        ``(n,)`` from 0 (one pixel) to the logarithm of the number of pixels (equal magnitudes); NaN for a map of
        zeros or one that is not finite.

    Raises:
        ShapeError: If the heat maps are not floating ``(n, h, w)``.

    References:
        Bhatt, Weller & Moura 2020 (*Evaluating and Aggregating Feature-based Model Explanations*), definition 3.
    """
    heatmaps = check_maps(heatmaps)
    sizes = wide(unit_peak(heatmaps)).abs().flatten(1)
    shares = sizes / sizes.sum(1, keepdim=True)
    entropy = -torch.special.xlogy(shares, shares).sum(1)
    return undefined_unless(entropy.clamp(min=0).to(heatmaps), finite(heatmaps) & (heatmaps != 0).flatten(1).any(1))


@cataloged("starting_detail")
class StartingDetail(MeanMetric):
    """The mean of `starting_detail`.

    Args:
        grid: See there.
        options: Of ``torchmetrics.Metric``.
    """

    def __init__(self, grid: tuple[int, int] = (7, 7), **options: Any) -> None:
        super().__init__(**options)
        self.grid = grid

    def update(self, heatmaps: Float[Tensor, "n h w"]) -> None:
        """Take in maps."""
        self.add(starting_detail(heatmaps, self.grid))


@cataloged("sparseness")
class Sparseness(MeanMetric):
    """The mean of `sparseness`."""

    def update(self, heatmaps: Float[Tensor, "n h w"]) -> None:
        """Take in maps."""
        self.add(sparseness(heatmaps))


@cataloged("complexity")
class Complexity(MeanMetric):
    """The mean of `complexity`."""

    def update(self, heatmaps: Float[Tensor, "n h w"]) -> None:
        """Take in maps."""
        self.add(complexity(heatmaps))


@cataloged("stride_energy")
class StrideEnergy(MeanMetric):
    """The mean of `stride_energy`.

    Args:
        stride: See there.
        width: See there.
        options: Of ``torchmetrics.Metric``.
    """

    def __init__(self, stride: int = STRIDE, width: int = 1, **options: Any) -> None:
        super().__init__(**options)
        self.stride, self.width = stride, width

    def update(self, heatmaps: Float[Tensor, "n h w"]) -> None:
        """Take in maps."""
        self.add(stride_energy(heatmaps, self.stride, self.width))
