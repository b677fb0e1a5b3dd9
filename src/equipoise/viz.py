"""Pictures of heat maps: signed colors, the map laid over its photo, and a labeled grid of several.

Red is evidence for the class, blue is evidence against it, white is zero, and the scale is symmetric about
zero; `PALETTES` has another pair of colors for eyes that see red as dark. `heatmap_image` shows the numbers as
they are, one pixel each. `overlay` is made for the eye at a glance: there a pixel-level map, whose relevance sits
in single pixels, is smoothed a little before drawing.
"""

from __future__ import annotations

import re
import textwrap
import warnings
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from equipoise.errors import OptionError, ShapeError
from equipoise.palettes import PALETTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LEVELS: Final = 255
"""Steps of the color scale; odd, so that zero has a step of its own, which is white."""

SMOOTHING: Final = 0.012
"""How much `overlay` smooths by default: the Gaussian's sigma as a share of the map's longer side."""

_ZERO: Final = LEVELS // 2
_DOTS: Final = 100  # pixels per inch of a montage; sets the size of its letters alone
_FRAME: Final = (1 / 300, ("#000000", "#ffffff"))  # its lines' width as a share of the photo, the inner line first
_GRAY_LIGHT: Final = (0.85, 20.0)  # brightness of the gray photo below the map: factor and offset
_ALPHA_POWER: Final = 0.8  # below 1, so that medium relevance is seen too
_PALEST: Final = 0.15  # where the overlay's colors begin on the scale: paler ones would only veil the photo


def scale_limit(heatmap: NDArray[np.floating], percentile: float = 100.0) -> float:
    """The relevance that gets the full color: a percentile of the absolute values, 100 is the largest.

    Args:
        heatmap: ``(h, w)``; values that are not finite count as zero.
        percentile: Above 0, up to 100.

    Returns:
        A positive number, or 1.0 for a map of zeros.

    Raises:
        OptionError: If ``percentile`` is outside its range.
    """
    if not 0.0 < percentile <= 100.0:
        raise OptionError(f"percentile is {percentile}; it has to be above 0 and at most 100")
    magnitude = np.abs(_values(heatmap))
    limit = float(np.percentile(magnitude, percentile)) or float(magnitude.max())
    return limit if limit > 0.0 else 1.0


def heatmap_image(
    heatmap: NDArray[np.floating], *, limit: float | None = None, percentile: float = 100.0, colors: str = "red_blue"
) -> Image.Image:
    """The heat map itself in colors, one pixel per value.

    Args:
        heatmap: ``(h, w)``, signed.
        limit: The absolute value that gets the full color; default: `scale_limit`.
        percentile: For `scale_limit`; values beyond it get the full color.
        colors: A name in `PALETTES`.

    Returns:
        Mode ``RGB``, ``w`` by ``h``; zero is white.

    Raises:
        ShapeError: If ``heatmap`` is not ``(h, w)``.
        OptionError: If ``percentile`` is outside ``(0, 100]`` or ``limit`` is not positive.
        UnknownNameError: If there is no such palette.
    """
    limit = scale_limit(heatmap, percentile) if limit is None else _positive(limit)
    return _in_colors(_steps(_values(heatmap) / limit), colors)


def overlay(
    photo: Image.Image,
    heatmap: NDArray[np.floating],
    box: tuple[float, float, float, float] | None = None,
    *,
    opacity: float = 0.9,
    percentile: float = 99.9,
    smoothing: float = SMOOTHING,
    colors: str = "red_blue",
    limit: float | None = None,
) -> Image.Image:
    """Lay a heat map over the part of the photo that the network saw.

    The photo turns gray there, and stays as it is where the network did not look; a line runs between the two, on the
    side that was not seen. The more relevance, the more opaque its color: a pixel without relevance shows the photo.

    Args:
        photo: Mode ``RGB``, any size.
        heatmap: ``(h, w)``, signed.
        box: ``(left, top, right, bottom)`` in pixels of ``photo``, where the map belongs; it may reach
            beyond the photo. Default: the whole photo.
        opacity: Of the strongest relevance, 0 to 1.
        percentile: Of the absolute values of the smoothed map, above 0 to 100: what gets the full color.
        smoothing: Sigma of a Gaussian as a share of the map's longer side, 0 (none) to 0.5.
        colors: A name in `PALETTES`.
        limit: The absolute value of the smoothed map that gets the full color, such as one that several maps share;
            default: as ``percentile`` says.

    Returns:
        Mode ``RGB``, as large as ``photo``.

    Raises:
        ShapeError: If ``heatmap`` is not ``(h, w)``, or the box has no area.
        OptionError: If an option is outside its range.
        UnknownNameError: If there is no such palette.
    """
    if not 0.0 <= opacity <= 1.0:
        raise OptionError(f"opacity is {opacity}; it has to be between 0 and 1")
    if not 0.0 <= smoothing <= 0.5:
        raise OptionError(f"smoothing is {smoothing}; it has to be between 0 and 0.5")
    values = smoothed(_values(heatmap), smoothing)
    values = values / (scale_limit(values, percentile) if limit is None else _positive(limit))
    left, top, right, bottom = (round(edge) for edge in (box or (0, 0, *photo.size)))
    if right <= left or bottom <= top:
        raise ShapeError(f"the box {box} has no area")

    view = (max(left, 0), max(top, 0), min(right, photo.width), min(bottom, photo.height))
    ground = photo.copy()
    if view[2] <= view[0] or view[3] <= view[1]:
        return ground
    _frame(ground, view)
    seen = photo.crop(view).convert("L").point(lambda value: value * _GRAY_LIGHT[0] + _GRAY_LIGHT[1])
    # the share of the map that lies inside the photo, in units of the map's pixels
    rows, columns = values.shape
    across, down = columns / (right - left), rows / (bottom - top)
    part = (
        (view[0] - left) * across,
        (view[1] - top) * down,
        min((view[2] - left) * across, columns),
        min((view[3] - top) * down, rows),
    )
    fitted = Image.fromarray(values.astype(np.float32)).resize(seen.size, Image.Resampling.BILINEAR, box=part)
    steps = _steps(np.asarray(fitted))
    strength = np.abs(np.arange(256) - _ZERO).clip(0, _ZERO) / _ZERO
    mask = Image.fromarray(steps).point((255.0 * opacity * strength**_ALPHA_POWER).round().tolist())
    colored = _in_colors(steps, colors, palest=_PALEST)
    ground.paste(Image.composite(colored, seen.convert("RGB"), mask), view[:2])
    return ground


def montage(
    rows: Sequence[Sequence[Image.Image]],
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    *,
    title: str = "",
    cell: int = 320,
    bar: tuple[str, str] | None = None,
    colors: str = "red_blue",
    captions: Sequence[Sequence[str]] | None = None,
) -> Image.Image:
    """A labeled grid of pictures, such as targets by methods.

    Args:
        rows: Pictures, as many in each row as there are ``column_labels``; scaled to fit, aspect kept.
        row_labels: One text per row, shown at its left.
        column_labels: One text per column, shown above it.
        title: Shown above all.
        cell: Longer side of a picture, in pixels.
        bar: What stands at the ends of a color bar below all, negative and positive; ``None``: there is none.
        colors: Of that bar: a name in `PALETTES`.
        captions: One text per picture, shown below it; ``None``: there are none.

    Returns:
        Mode ``RGB``.

    Raises:
        ShapeError: If there is no picture, or the labels do not fit the rows.
    """
    widths = {len(row) for row in rows}
    if widths != {len(column_labels)} or len(rows) != len(row_labels) or not column_labels:
        raise ShapeError(f"{len(row_labels)} x {len(column_labels)} labels for {len(rows)} rows of {sorted(widths)}")
    if captions is not None and [len(row) for row in captions] != [len(row) for row in rows]:
        raise ShapeError(f"captions of {[len(row) for row in captions]} pictures for {[len(row) for row in rows]}")
    shrunk = [[_shrunk(picture, cell) for picture in row] for row in rows]
    heights = [max(picture.height for picture in row) for row in shrunk]
    label, head, gap = 150, 55, 12  # pixels: of the row labels, of the column labels, between pictures
    said = 20 if captions is not None else 0
    first = head + (40 if title else 5)
    below = 0 if bar is None else 45
    size = (label + len(column_labels) * (cell + gap) + gap, first + sum(heights) + (gap + said) * len(rows) + below)
    figure = Figure(figsize=(size[0] / _DOTS, size[1] / _DOTS), dpi=_DOTS, facecolor="white")
    canvas = FigureCanvasAgg(figure)

    def write(text: str, x: float, y: float, fontsize: int, ha: str = "center") -> None:
        place = (x / size[0], 1 - y / size[1])
        figure.text(*place, text, fontsize=fontsize, ha=ha, va="center", parse_math=False)

    write(title, size[0] / 2, 25, 13)
    for column, text in enumerate(column_labels):
        write(_wrapped(text, cell // 11), label + column * (cell + gap) + cell / 2, first - head / 2, 11)
    top = first
    for row, (pictures, text, height) in enumerate(zip(shrunk, row_labels, heights, strict=True)):
        write(_wrapped(text, 16), label / 2, top + height / 2, 11)
        for column, picture in enumerate(pictures):
            if captions is not None:
                short = textwrap.shorten(captions[row][column], cell // 8, placeholder="...")
                write(short, label + column * (cell + gap) + cell / 2, top + height + said / 2, 9)
            x = label + column * (cell + gap) + (cell - picture.width) // 2
            y = size[1] - top - (height - picture.height) // 2 - picture.height
            figure.figimage(np.asarray(picture), xo=x, yo=y)
        top += height + said + gap
    if bar is not None:
        middle, half, high = size[0] // 2, size[0] // 6, 12
        scale = heatmap_image(np.linspace(-1.0, 1.0, 2 * half)[None], colors=colors).resize((2 * half, high))
        figure.figimage(np.asarray(scale), xo=middle - half, yo=below // 2 - high // 2)
        write(bar[0], middle - half - 10, size[1] - below / 2, 10, "right")
        write(bar[1], middle + half + 10, size[1] - below / 2, 10, "left")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a label's letter that the font lacks is drawn as a box
        canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _frame(photo: Image.Image, view: tuple[int, int, int, int]) -> None:
    """Draw two lines around a part of a photo, outside of it: one can be seen on any ground."""
    share, colors = _FRAME
    width = max(1, round(share * max(photo.size)))
    draw = ImageDraw.Draw(photo)
    for place in range(len(colors), 0, -1):
        out = width * place
        left, top, right, bottom = view
        draw.rectangle((left - out, top - out, right - 1 + out, bottom - 1 + out), fill=colors[place - 1])


class _Wrapper(textwrap.TextWrapper):
    """Breaks behind ``_`` and ``/``, too, so that a name is cut where it has parts."""

    wordsep_re = re.compile(r"(\s+|(?<=[-_/])(?=\w))")


def _wrapped(text: str, width: int) -> str:
    """At most four lines, of about ``width`` letters; line breaks of ``text`` stay."""
    wrapper = _Wrapper(max(width, 8), max_lines=3)
    lines = [line for part in text.splitlines() for line in wrapper.wrap(part)]
    return "\n".join(lines[:4])


def _shrunk(picture: Image.Image, cell: int) -> Image.Image:
    scale = cell / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    smooth = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    return picture.resize(size, smooth)


def _positive(limit: float) -> float:
    if not 0.0 < limit < float("inf"):
        raise OptionError(f"limit is {limit}; it has to be positive")
    return limit


def _values(heatmap: NDArray[np.floating]) -> NDArray[np.float64]:
    values = np.asarray(heatmap, dtype=np.float64)
    if values.ndim != 2 or 0 in values.shape:
        raise ShapeError(f"a heat map has shape (h, w), not {values.shape}")
    return np.where(np.isfinite(values), values, 0.0)


def smoothed(values: NDArray[np.floating], share: float) -> NDArray[np.floating]:
    """Convolve ``(h, w)`` with a Gaussian of sigma ``share`` times the longer side; edges keep their mean."""
    sigma = share * max(values.shape)
    if sigma <= 0.0:
        return values
    blurs = []
    for side in values.shape:
        offsets = np.arange(side)[:, None] - np.arange(side)[None, :]
        blur = np.exp(-0.5 * (offsets / sigma) ** 2)
        blurs.append(blur / blur.sum(axis=1, keepdims=True))
    found: NDArray[np.floating] = blurs[0] @ values @ blurs[1].T
    return found


def _steps(relative: NDArray[np.floating]) -> NDArray[np.uint8]:
    """-1..1 to the steps 0..254 of the color scale; 0 to the white one."""
    steps: NDArray[np.uint8] = (np.clip(relative, -1.0, 1.0) * _ZERO + (_ZERO + 0.5)).astype(np.uint8)
    return steps


@cache
def _palette(name: str, palest: float) -> bytes:
    """The scale's colors from against to for, 3 bytes each; those between -palest and palest are left out."""
    relative = np.linspace(-1.0, 1.0, LEVELS)
    lifted = np.sign(relative) * (palest + (1.0 - palest) * np.abs(relative))
    colors = PALETTES[name].colormap().resampled(LEVELS)((lifted + 1.0) / 2.0, bytes=True)
    return bytes(colors[:, :3].tobytes())


def _in_colors(steps: NDArray[np.uint8], colors: str, palest: float = 0.0) -> Image.Image:
    image = Image.fromarray(steps)
    image.putpalette(_palette(colors, palest))
    return image.convert("RGB")
