"""Pixels removed and imputed from their neighbors, so that the hole itself says little (ROAD)."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from equipoise._typing import Bool, Float
from equipoise.errors import MissingPackageError, OptionError, ShapeError
from equipoise.metrics.maps import check_maps, finite
from equipoise.metrics.perturbation import Score, check_pair, pixel_counts, scored
from equipoise.metrics.pixel_sets import places, ranking

if TYPE_CHECKING:
    from types import ModuleType

ROAD_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
"""Shares of the pixels removed by Rong et al. 2022."""

NOISE = 0.01
"""Standard deviation of what is added to an imputed pixel, of values from 0 to 1."""

_NEIGHBORS: Final = tuple(
    (down, across, 1 / 6 if 0 in (down, across) else 1 / 12)
    for down in (-1, 0, 1)
    for across in (-1, 0, 1)
    if (down, across) != (0, 0)
)
"""Offsets and weights: direct neighbors count twice what diagonal ones do; together 1."""


def impute(
    images: Float[Tensor, "n c h w"], removed: Bool[Tensor, "n h w"], *, noise: float = NOISE, seed: int = 0
) -> Float[Tensor, "n c h w"]:
    r"""Each removed pixel as the weighted mean of its eight neighbors, removed ones among them, and a little noise.

    The linear system :math:`x_i \sum_j w_{ij} = \sum_j w_{ij} x_j` over the removed pixels :math:`i` and their
    neighbors :math:`j` within the image, with :math:`w = 1/6` for direct and :math:`1/12` for diagonal ones, is solved
    by scipy on the CPU in float64; then Gaussian noise is added to what was imputed.

    Args:
        images: ``(n, c, h, w)``, any values.
        removed: ``(n, h, w)``, true where a pixel is gone. An image of which nothing is left becomes 0 and noise.
        noise: Standard deviation, in the units of the images; 0: none.
        seed: Another seed, other noise; each image draws the same, so no batch matters. torch's own random state is
            not touched.

    Raises:
        MissingPackageError: If scipy is not installed.
        OptionError: If the noise is negative or not finite.
        ShapeError: If there is not one mask, as large as the image, for each image.

    References:
        Rong et al. 2022 (*A Consistent and Efficient Evaluation Strategy for Attribution Methods*), "noisy linear
        imputation".
    """
    shape = (len(images), *images.shape[2:])
    if images.dim() != 4 or not images.is_floating_point() or removed.dtype != torch.bool or removed.shape != shape:
        raise ShapeError(
            f"images are floating (n, c, h, w) with bool masks (n, h, w), not {images.dtype} {tuple(images.shape)} "
            f"with {removed.dtype} {tuple(removed.shape)}"
        )
    if not 0 <= noise < math.inf:
        raise OptionError(f"noise must be at least 0 and finite, not {noise}")
    drawn = torch.randn(images.shape[1:], generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * noise
    result = images.clone()
    for image, gone, filled in zip(images, removed.cpu(), result, strict=True):
        if bool(gone.any()):
            values = _solved(image.detach().cpu().double(), gone) + drawn[:, gone]
            filled[:, gone.to(filled.device)] = values.to(filled)
    return result


def _solved(image: Float[Tensor, "c h w"], gone: Bool[Tensor, "h w"]) -> Float[Tensor, "c g"]:
    """The values of the pixels that are gone, without noise, in raster order."""
    sparse, linalg = _scipy("scipy.sparse"), _scipy("scipy.sparse.linalg")
    count = int(gone.sum())
    if count == gone.numel():
        return image.new_zeros(len(image), count)
    number = torch.full(gone.shape, -1)
    number[gone] = torch.arange(count)
    down, across = gone.nonzero().T
    rows, columns, weights = [], [], []
    known = image.new_zeros(count, len(image))
    diagonal = image.new_zeros(count)
    for step_down, step_across, weight in _NEIGHBORS:
        y, x = down + step_down, across + step_across
        inside = (y >= 0) & (y < gone.shape[0]) & (x >= 0) & (x < gone.shape[1])
        here, y, x = inside.nonzero()[:, 0], y[inside], x[inside]
        diagonal[here] += weight
        missing = gone[y, x]
        known[here[~missing]] += weight * image[:, y[~missing], x[~missing]].T
        rows.append(here[missing])
        columns.append(number[y[missing], x[missing]])
        weights.append(torch.full((int(missing.sum()),), -weight, dtype=torch.float64))
    rows.append(torch.arange(count))
    columns.append(torch.arange(count))
    weights.append(diagonal)
    entries = (torch.cat(weights).numpy(), (torch.cat(rows).numpy(), torch.cat(columns).numpy()))
    system = sparse.csc_matrix(entries, shape=(count, count))
    found: Any = linalg.splu(system).solve(known.numpy())
    return torch.from_numpy(found).T


def _scipy(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingPackageError("imputation needs scipy: pip install equipoise[evaluate]") from error


def road_curve(
    score: Score,
    images: Float[Tensor, "n c h w"],
    heatmaps: Float[Tensor, "n h w"],
    *,
    shares: Sequence[float] = ROAD_SHARES,
    order: str = "most_relevant",
    noise: float = NOISE,
    chunk: int = 8,
    seed: int = 0,
) -> Float[Tensor, "n s"]:
    """Remove and debias: score each image without the first pixels of its map, which are imputed.

    Args:
        score: See `perturbation_curve`, one number per image; the authors take whether the class is named.
        images: ``(n, c, h, w)``, pixels between 0 and 1.
        heatmaps: ``(n, h, w)``.
        shares: Of the pixels, each between 0 and 1.
        order: See `ranking`: with ``"most_relevant"`` lower is better, with ``"least_relevant"`` higher.
        noise: See `impute`.
        chunk: How many images ``score`` gets at once.
        seed: Of the noise and of the order ``"random"``.

    Returns:
        ``(n, s)``; NaN for maps that are not finite, which are not scored.

    Raises:
        MissingPackageError: If scipy is not installed.
        OptionError: If a share, the noise or ``chunk`` is outside its range.
        ShapeError: If there is not one heat map, as large as the image, for each image, or ``score`` does not return
            one number for each image it got.
        UnknownNameError: If ``order`` is unknown.

    References:
        Rong et al. 2022 (*A Consistent and Efficient Evaluation Strategy for Attribution Methods*).
    """
    heatmaps = check_maps(heatmaps)
    check_pair(images, heatmaps)
    if chunk < 1:
        raise OptionError(f"chunk must be at least 1, not {chunk}")
    counts = torch.tensor(pixel_counts(shares, heatmaps.shape[1] * heatmaps.shape[2]))
    place = places(ranking(heatmaps, order, seed)).reshape(heatmaps.shape).cpu()
    defined = finite(heatmaps).nonzero()[:, 0].cpu()
    pairs = torch.cartesian_prod(defined, torch.arange(len(counts)))
    curves = images.new_full((len(images), len(counts)), torch.nan)
    with torch.no_grad():
        for start in range(0, len(pairs), chunk):
            index, step = pairs[start : start + chunk].T
            removed = place[index] < counts[step].view(-1, 1, 1)
            at = index.to(images.device)
            values = scored(score, impute(images[at], removed, noise=noise, seed=seed), at)
            if values.dim() != 1:
                raise ShapeError(f"score returns one number for each image here, not {tuple(values.shape)}")
            curves[at, step.to(at.device)] = values.to(curves)
    return curves
