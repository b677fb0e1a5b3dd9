"""Pictures of arrays that are no photos, and of heat maps over them: signals as lines, volumes as slices.

Colors and options are those of `equipoise.viz.overlay`. Arrays are NumPy's, or tensors on the CPU.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageChops

from equipoise import viz
from equipoise.errors import OptionError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

SIGNAL_SIZE: Final = (960, 240)
"""Width and height of the picture of a signal, in pixels."""

SLICES: Final = 9
"""How many slices of a volume are shown."""

CELL: Final = 240
"""Longer side of a slice's picture, in pixels."""

_DOTS: Final = 100  # pixels per inch; sets the size of letters and the width of lines alone
_LABEL, _GAP = 24, 8  # pixels: above each slice, between slices
_LINES: Final = ("#1a1a1a", "#4d4d4d")  # of neighboring channels
_SIGNAL_OPACITY: Final = 0.75  # below the line that stays to be seen


def picture_of(array: ArrayLike, value_range: tuple[float, float] = (0.0, 1.0)) -> Image.Image:
    """What a person is shown of an array.

    Args:
        array: ``(c, h, w)``: gray, in color, or for other than one or three channels their mean; ``(c, l)``: a line
            for each channel, one below the other, in a picture of `SIGNAL_SIZE` whose left edge is the beginning of
            the first sample and whose right edge is the end of the last; ``(c, d, h, w)``: `SLICES` slices, evenly
            spaced, each with its number.
        value_range: What is black and white. A signal fills its picture, whatever its values.

    Returns:
        Mode ``RGB``; of a picture one pixel per value.

    Raises:
        ShapeError: If the array has another number of dimensions, or no values.
    """
    values = _numbers(array)
    draw = _PICTURES.get(values.ndim - 1)
    if draw is None or 0 in values.shape:
        raise ShapeError(f"a picture is made of (c, l), (c, h, w) or (c, d, h, w), not {values.shape}")
    return draw(values, value_range)


def overlay_of_signal(
    picture: Image.Image,
    heatmap: ArrayLike,
    *,
    opacity: float = _SIGNAL_OPACITY,
    percentile: float = 99.9,
    smoothing: float = viz.SMOOTHING,
    colors: str = "red_blue",
) -> Image.Image:
    """The picture of a signal on a ground that is colored by the relevance of each sample.

    Args:
        picture: As `picture_of` gives it; mode ``RGB``, any size.
        heatmap: ``(l,)``, signed.
        opacity: Of the strongest relevance, 0 to 1.
        percentile: As of `equipoise.viz.overlay`.
        smoothing: Sigma of a Gaussian as a share of the picture's width, 0 (none) to 0.5.
        colors: A name in `equipoise.palettes.PALETTES`.

    Returns:
        Mode ``RGB``, as large as ``picture``.

    Raises:
        ShapeError: If ``heatmap`` is not ``(l,)``.
        OptionError: If an option is outside its range.
        UnknownNameError: If there is no such palette.
    """
    values = _numbers(heatmap)
    if values.ndim != 1 or not values.size:
        raise ShapeError(f"the heat map of a signal has shape (l,), not {values.shape}")
    _check_share("opacity", opacity, 1.0)
    _check_share("smoothing", smoothing, 0.5)
    finite = np.where(np.isfinite(values), values, 0.0)[None]
    scaled = finite / (np.abs(finite).max() or 1.0)  # float32 holds no tiny numbers
    # A signal may have millions of samples; what is seen has as many as the picture has columns.
    row = np.asarray(Image.fromarray(scaled.astype(np.float32)).resize((picture.width, 1), Image.Resampling.BILINEAR))
    row = viz.smoothed(row.astype(np.float64), smoothing)
    ground = viz.heatmap_image(row, percentile=percentile, colors=colors).resize(picture.size, Image.Resampling.NEAREST)
    ground = Image.blend(Image.new("RGB", picture.size, "white"), ground, opacity)
    return ImageChops.multiply(picture, ground)


def most_relevant(heatmap: ArrayLike, count: int = SLICES) -> list[int]:
    """The slices of a volume with the most relevance, for or against.

    Args:
        heatmap: ``(d, h, w)``, signed.
        count: How many; fewer if there are fewer.

    Returns:
        Their numbers from 0, in the order of depth; of equals the first.

    Raises:
        ShapeError: If ``heatmap`` is not ``(d, h, w)``.
        OptionError: If ``count`` is no whole number from 1 on.
    """
    values = _volume_map(heatmap)
    _check_count(count)
    amount = np.abs(values).sum((1, 2))
    return sorted(np.argsort(-amount, kind="stable")[:count].tolist())


def overlay_of_volume(
    array: ArrayLike,
    heatmap: ArrayLike,
    value_range: tuple[float, float] = (0.0, 1.0),
    *,
    slices: int = SLICES,
    cell: int = CELL,
    percentile: float = 99.9,
    smoothing: float = viz.SMOOTHING,
    **options: Any,
) -> Image.Image:
    """The slices of a volume with the most relevance, each under its part of the map, all on one scale.

    Args:
        array: ``(c, d, h, w)``.
        heatmap: ``(d, h, w)``, signed.
        value_range: What is black and white.
        slices: How many; they stand in the order of depth, each with its number.
        cell: Longer side of a slice's picture, in pixels.
        percentile: Of the absolute values of the smoothed map of the whole volume: what gets the full color.
        smoothing: Sigma of a Gaussian within each slice, as of `equipoise.viz.overlay`.
        **options: ``opacity`` and ``colors`` of `equipoise.viz.overlay`.

    Returns:
        Mode ``RGB``.

    Raises:
        ShapeError: If the map is not of the volume.
        OptionError: If an option is outside its range.
        UnknownNameError: If there is no such palette.
    """
    values, volume = _volume_map(heatmap), _numbers(array)
    if volume.ndim != 4 or volume.shape[1:] != values.shape or 0 in volume.shape:
        raise ShapeError(
            f"the volume is {volume.shape} and its map {values.shape}; expected (c, d, h, w) and (d, h, w)"
        )
    _check_share("smoothing", smoothing, 0.5)
    chosen = most_relevant(values, slices)
    smooth = np.stack([viz.smoothed(one, smoothing) for one in values])
    limit = viz.scale_limit(smooth.reshape(len(smooth), -1), percentile)
    pictures = [
        viz.overlay(
            _fitted(_image(volume[:, index], value_range), cell), smooth[index], smoothing=0, limit=limit, **options
        )
        for index in chosen
    ]
    return _grid(pictures, [_slice_label(index, len(values)) for index in chosen], cell)


def _image(values: NDArray[np.float64], value_range: tuple[float, float]) -> Image.Image:
    """``(c, h, w)``, one pixel per value."""
    low, high = value_range
    seen = values if len(values) == 3 else np.repeat(values.mean(0, keepdims=True), 3, axis=0)
    light = np.nan_to_num((seen - low) / ((high - low) or 1.0)).clip(0.0, 1.0)
    return Image.fromarray((255 * light + 0.5).astype(np.uint8).transpose(1, 2, 0))


def _signal(values: NDArray[np.float64], value_range: tuple[float, float]) -> Image.Image:
    """``(c, l)``: a lane for each channel, all of one scale."""
    del value_range  # a signal is looked at for its shape
    figure = Figure(figsize=(SIGNAL_SIZE[0] / _DOTS, SIGNAL_SIZE[1] / _DOTS), dpi=_DOTS, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    channels, length = values.shape
    finite = np.nan_to_num(values)
    low, high = float(finite.min()), float(finite.max())
    relative = (finite - low) / (high - low) if high > low else np.full_like(finite, 0.5)
    places = np.arange(length) + 0.5  # the middle of each sample
    width = 1.2 if channels <= 4 else 0.8
    for channel, line in enumerate(relative):
        lane = channels - 1 - channel + 0.06 + 0.88 * line  # the first channel at the top
        marker = "o" if length == 1 else ""  # one point is no line
        axes.plot(places, lane, color=_LINES[channel % len(_LINES)], linewidth=width, marker=marker)
    axes.set_xlim(0, length)
    axes.set_ylim(0, channels)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _volume(values: NDArray[np.float64], value_range: tuple[float, float]) -> Image.Image:
    """``(c, d, h, w)``: slices, evenly spaced."""
    depth = values.shape[1]
    count = min(SLICES, depth)
    chosen = [int((number + 0.5) * depth / count) for number in range(count)]
    pictures = [_fitted(_image(values[:, index], value_range), CELL) for index in chosen]
    return _grid(pictures, [_slice_label(index, depth) for index in chosen], CELL)


_PICTURES: Final[dict[int, Callable[[NDArray[np.float64], tuple[float, float]], Image.Image]]] = {
    1: _signal,
    2: _image,
    3: _volume,
}
"""By the number of positions' dimensions."""


def _grid(pictures: Sequence[Image.Image], labels: Sequence[str], cell: int) -> Image.Image:
    """Pictures of one size in rows, each below its label."""
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    wide, high = max(pictures[0].width, min(cell, 120)), pictures[0].height  # a label needs its room
    size = (columns * (wide + _GAP) + _GAP, rows * (high + _LABEL + _GAP))
    figure = Figure(figsize=(size[0] / _DOTS, size[1] / _DOTS), dpi=_DOTS, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        left = _GAP + number % columns * (wide + _GAP)
        top = number // columns * (high + _LABEL + _GAP)
        place = ((left + wide / 2) / size[0], 1 - (top + _LABEL / 2) / size[1])
        figure.text(*place, label, fontsize=9, ha="center", va="center", parse_math=False)
        figure.figimage(
            np.asarray(picture), xo=left + (wide - picture.width) // 2, yo=size[1] - top - _LABEL - picture.height
        )
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _slice_label(index: int, depth: int) -> str:
    """Counted from 0, as the array's index is."""
    return f"slice {index} of 0 to {depth - 1}"


def _fitted(picture: Image.Image, cell: int) -> Image.Image:
    """As large as a cell, aspect kept."""
    scale = cell / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)


def _volume_map(heatmap: ArrayLike) -> NDArray[np.float64]:
    values = _numbers(heatmap)
    if values.ndim != 3 or 0 in values.shape:
        raise ShapeError(f"the heat map of a volume has shape (d, h, w), not {values.shape}")
    return np.where(np.isfinite(values), values, 0.0)


def _numbers(array: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(array, dtype=np.float64)


def _check_share(name: str, value: float, most: float) -> None:
    if not 0.0 <= value <= most:
        raise OptionError(f"{name} is {value}; it has to be between 0 and {most:g}")


def _check_count(count: int) -> None:
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise OptionError(f"slices is {count!r}; it must be a whole number from 1 on")
