"""Does the network see what the map says it saw? Pixels shown or hidden in the map's order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from equipoise._typing import Bool, Float, Int
from equipoise.errors import OptionError, ShapeError
from equipoise.metrics.canvases import CANVASES
from equipoise.metrics.maps import check_maps, finite
from equipoise.metrics.pixel_sets import places, ranking

INSERTION_SHARES = tuple(percent / 100 for percent in range(1, 21))
"""Shares of the pixels shown by Nam & Lee 2024, section 5.4: 1 to 20 %, 1 % at a time."""

EARLY_SHARES = (0.01, 0.02, 0.05)
"""Shares of the pixels at which a map has to say which few matter: what a smooth map cannot."""

Mode = Literal["insertion", "deletion"]
Score = Callable[[Float[Tensor, "m c h w"], Int[Tensor, " m"]], Tensor]
"""From perturbed images, pixels between 0 and 1, and the number of the image that each was made from."""


def pixel_counts(shares: Sequence[float], pixels: int) -> list[int]:
    """How many pixels each share is, rounded to the nearest whole number, half to even.

    Raises:
        OptionError: If a share is not between 0 and 1.
    """
    if not all(0 <= share <= 1 for share in shares):
        raise OptionError(f"shares of the pixels are between 0 and 1, not {tuple(shares)}")
    return [round(share * pixels) for share in shares]


def perturb(
    images: Float[Tensor, "n c h w"],
    heatmaps: Float[Tensor, "n h w"],
    share: float,
    *,
    mode: Mode = "insertion",
    order: str = "most_relevant",
    canvas: str = "gaussian",
    seed: int = 0,
) -> Float[Tensor, "n c h w"]:
    """Show the first pixels of each map on a canvas, or hide them behind it; edges stay sharp.

    Args:
        images: ``(n, c, h, w)``, pixels between 0 and 1, before normalization.
        heatmaps: ``(n, h, w)``.
        share: Of the pixels, between 0 and 1.
        mode: ``"insertion"``: those pixels on the canvas; ``"deletion"``: the image without them.
        order: See `ranking`.
        canvas: A name in `CANVASES`.
        seed: Of the order ``"random"``.

    Raises:
        OptionError: If the share or the mode is another.
        ShapeError: If there is not one heat map, as large as the image, for each image.
        UnknownNameError: If ``order`` or ``canvas`` is unknown.

    References:
        Nam & Lee 2024, section 5.4 (insertion on a Gaussian).
    """
    heatmaps = check_maps(heatmaps)
    check_pair(images, heatmaps)
    _check_mode(mode)
    (count,) = pixel_counts([share], heatmaps.shape[1] * heatmaps.shape[2])
    place = places(ranking(heatmaps, order, seed)).reshape(heatmaps.shape)
    return _composed(images, CANVASES[canvas](images), place < count, mode)


def check_pair(images: Tensor, heatmaps: Tensor) -> None:
    """Check that there is a map for each image, as large as it.

    Raises:
        ShapeError: If not, or the images are not floating ``(n, c, h, w)``.
    """
    if images.dim() != 4 or not images.is_floating_point() or images.shape[2:] != heatmaps.shape[1:]:
        raise ShapeError(
            f"images are floating (n, c, h, w) with heat maps (n, h, w), not {images.dtype} {tuple(images.shape)} "
            f"with {tuple(heatmaps.shape)}"
        )
    if len(images) != len(heatmaps):
        raise ShapeError(f"one heat map for each of {len(images)} images, not {len(heatmaps)}")


def _check_mode(mode: str) -> None:
    if mode not in {"insertion", "deletion"}:
        raise OptionError(f"mode is 'insertion' or 'deletion', not {mode!r}")


def _composed(images: Tensor, canvases: Tensor, taken: Bool[Tensor, "m h w"], mode: str) -> Tensor:
    shown = taken if mode == "insertion" else ~taken
    return torch.where(shown.to(images.device).unsqueeze(1), images, canvases)


def perturbation_curve(
    score: Score,
    images: Float[Tensor, "n c h w"],
    heatmaps: Float[Tensor, "n h w"],
    *,
    shares: Sequence[float] = INSERTION_SHARES,
    mode: Mode = "insertion",
    order: str = "most_relevant",
    canvas: str = "gaussian",
    chunk: int = 8,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Score each image at each share of shown or hidden pixels.

    Args:
        score: Takes at most ``chunk`` perturbed images ``(m, c, h, w)``, pixels between 0 and 1, and the number
            ``(m,)`` of the image that each was made from; returns ``(m,)``, or ``(m, q)`` where several
            numbers, such as probability and correctness, are wanted of one forward pass. Called without gradient.
        images: ``(n, c, h, w)``, pixels between 0 and 1, before normalization.
        heatmaps: ``(n, h, w)``.
        shares: Of the pixels, each between 0 and 1.
        mode: See `perturb`.
        order: See `ranking`.
        canvas: See `perturb`.
        chunk: How many images ``score`` gets at once.
        seed: Of the order ``"random"``.
        progress: Called with the perturbed images scored so far and their total.

    Returns:
        ``(n, s)``, or ``(n, s, q)``, in the dtype of the scores but at least float32; NaN for maps that are not
        finite, which are not scored.

    Raises:
        OptionError: If a share, the mode or ``chunk`` is outside its range.
        ShapeError: If there is not one heat map, as large as the image, for each image, or ``score`` does not
            return one row for each image it got.
        UnknownNameError: If ``order`` or ``canvas`` is unknown.

    References:
        Nam & Lee 2024, section 5.4 and Fig. 10; Samek et al. 2017; Petsiuk et al. 2018 (*RISE*).
    """
    heatmaps = check_maps(heatmaps)
    check_pair(images, heatmaps)
    _check_mode(mode)
    if chunk < 1:
        raise OptionError(f"chunk must be at least 1, not {chunk}")
    counts = torch.tensor(pixel_counts(shares, heatmaps.shape[1] * heatmaps.shape[2]))
    paint = CANVASES[canvas]
    place = places(ranking(heatmaps, order, seed)).reshape(heatmaps.shape).to(images.device)
    defined = finite(heatmaps).nonzero()[:, 0].cpu()
    pairs = torch.cartesian_prod(defined, torch.arange(len(counts)))  # an image's shares lie side by side
    rows: list[Tensor] = []
    with torch.no_grad():
        for some in _slices(len(pairs), chunk):
            index, step = pairs[some].T
            index = index.to(images.device)
            taken = place[index] < counts[step].to(images.device).view(-1, 1, 1)
            rows.append(scored(score, _composed(images[index], paint(images[index]), taken, mode), index))
            if progress is not None:
                progress(min(some.stop, len(pairs)), len(pairs))
    shape = (len(images), len(counts))
    if not rows:
        return images.new_full(shape, torch.nan)
    scores = torch.cat(rows)
    curves = scores.new_full((*shape, *scores.shape[1:]), torch.nan)
    curves[defined] = scores.reshape(len(defined), len(counts), *scores.shape[1:])
    return curves


def _slices(length: int, chunk: int) -> Iterator[slice]:
    return (slice(start, start + chunk) for start in range(0, length, chunk))


def scored(score: Score, images: Tensor, index: Tensor) -> Tensor:
    """What ``score`` says, one row for each image, at least float32.

    Raises:
        ShapeError: If it returns another shape.
    """
    found = score(images, index)
    if found.dim() not in {1, 2} or len(found) != len(images):
        raise ShapeError(f"score returns (m,) or (m, q) for {len(images)} images, not {tuple(found.shape)}")
    return found if found.dtype == torch.float64 else found.float()
