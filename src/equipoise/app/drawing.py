"""How a map is shown over its photo: the ways to choose from on the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from matplotlib.colors import to_hex
from PIL import Image, ImageDraw, ImageFilter

from equipoise import viz
from equipoise._registry import Registry
from equipoise.errors import OptionError
from equipoise.palettes import PALETTES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from equipoise.explanation import Explanation

ENCLOSED: Final = 0.5
"""A contour encloses the fewest pixels that hold this share of the evidence of one sign."""


@dataclass(frozen=True)
class Style:
    """How a visitor wants maps drawn.

    Attributes:
        mode: A name in `MODES`.
        opacity: Of the strongest relevance, 0 to 1.
        colors: A name in `equipoise.palettes.PALETTES`.
        seen: Whether the picture that the network saw is shown beside the maps.
    """

    mode: str = "overlay"
    opacity: float = 0.9
    colors: str = "red_blue"
    seen: bool = False


_OF_PICTURES: Final = frozenset({"contour"})  # modes that need rows and columns

MODES: Registry[Callable[[Explanation, Style], Image.Image]] = Registry("drawing")
"""From an explanation of one class to a picture as large as its photo."""


def draw(explanation: Explanation, style: Style) -> Image.Image:
    """The map of one class as the visitor wants it, as large as the explanation's photo.

    Raises:
        UnknownNameError: If there is no such mode or palette.
        OptionError: If the opacity is outside 0 to 1, or only photos are drawn so.
    """
    return MODES[style.mode](explanation, style)


def modes_for(dims: int) -> list[str]:
    """The modes in which a map of so many dimensions of positions can be drawn."""
    return [name for name in MODES if dims == 2 or name not in _OF_PICTURES]


def values(explanation: Explanation) -> NDArray[np.float32]:
    """The heat map ``(h, w)``, of a signal or volume with other positions, as an array."""
    found: NDArray[np.float32] = explanation.heatmap.detach().to("cpu", torch.float32).numpy()
    return found


@MODES.register("overlay")
def _overlay(explanation: Explanation, style: Style) -> Image.Image:
    return explanation.overlay(opacity=style.opacity, colors=style.colors)


@MODES.register("positive only")
def _positive(explanation: Explanation, style: Style) -> Image.Image:
    positive = replace(explanation, heatmap=explanation.heatmap.clamp(min=0))
    return positive.overlay(opacity=style.opacity, colors=style.colors)


@MODES.register("heat map")
def _heatmap(explanation: Explanation, style: Style) -> Image.Image:
    """The numbers themselves where the network looked, not smoothed; black where it did not."""
    drawn = explanation.heatmap_image(percentile=99.9, colors=style.colors)
    if explanation.heatmap.dim() == 3:  # slices side by side, which are no part of one picture
        return enlarged(drawn, max(explanation.image.size))
    left, top, right, bottom = (round(edge) for edge in explanation.box)
    ground = Image.new("RGB", explanation.image.size)
    size = (max(1, right - left), max(1, bottom - top))
    ground.paste(drawn.resize(size, Image.Resampling.NEAREST), (left, top))
    return ground


@MODES.register("contour")
def _contour(explanation: Explanation, style: Style) -> Image.Image:
    """The photo in color, with a line around half of the evidence for the class, and one around half against it."""
    if explanation.heatmap.dim() != 2:
        raise OptionError(f"a contour is drawn on photos; this is a {explanation.kind}, which can be shown otherwise")
    photo = explanation.image.copy()
    left, top, right, bottom = (round(edge) for edge in explanation.box)
    size = (max(1, right - left), max(1, bottom - top))
    smoothed = viz.smoothed(values(explanation).astype(np.float64), max(explanation.smoothing, viz.SMOOTHING))
    line_for, line_against = (to_hex(PALETTES[style.colors].colormap()(place)) for place in (0.75, 0.25))
    for signed, line in ((-smoothed, line_against), (smoothed, line_for)):
        region = enclosing(np.clip(signed, 0, None))
        mask = Image.fromarray(region.astype(np.uint8) * 255).resize(size, Image.Resampling.BILINEAR)
        inside = mask.point(lambda value: 255 * (value > 127))
        edge = np.asarray(inside) > np.asarray(inside.filter(ImageFilter.MinFilter(3)))
        thick = Image.fromarray(edge.astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(3))
        faded = thick.point(lambda value: int(value * style.opacity))
        photo.paste(Image.new("RGB", size, line), (left, top), faded)
    return photo


def enclosing(positive: NDArray[np.floating]) -> NDArray[np.bool_]:
    """The fewest pixels that hold `ENCLOSED` of the total of a map ``(h, w)`` without negative values."""
    flat = np.sort(positive, axis=None)[::-1]
    total = float(flat.sum())
    if total <= 0:
        return np.zeros(positive.shape, dtype=bool)
    threshold = flat[int(np.searchsorted(np.cumsum(flat), ENCLOSED * total))]
    found: NDArray[np.bool_] = positive >= threshold
    return found


Corners = tuple[float, float, float, float]
"""Left, top, right and bottom."""


def outlined(image: Image.Image, places: Sequence[Corners], names: Sequence[str] = ()) -> Image.Image:
    """A picture with rectangles around places in it, white within black, so that they are seen on anything.

    Args:
        image: It is not changed.
        places: In pixels of the image; what lies outside it is cut off.
        names: Written at the upper left corners; fewer than places, or none.
    """
    drawn = image.copy()
    pen = ImageDraw.Draw(drawn)
    thin = max(1, round(max(image.size) / 300))
    for place in places:
        box = _within(place, image.size)
        pen.rectangle(box, outline="black", width=3 * thin)
        inner = (box[0] + thin, box[1] + thin, max(box[2] - thin, box[0] + thin), max(box[3] - thin, box[1] + thin))
        pen.rectangle(inner, outline="white", width=thin)
    size = max(10, round(max(image.size) / 36))
    for place, name in zip(places, names, strict=False):
        left, top, _, _ = _within(place, image.size)
        corner = (left + 4 * thin, top + 3 * thin)
        pen.text(corner, name, fill="white", font_size=size, stroke_width=max(1, thin), stroke_fill="black")
    return drawn


def _within(place: Corners, size: tuple[int, int]) -> Corners:
    """A rectangle cut off at the sides of a picture."""
    across, down = (sorted((place[axis], place[axis + 2])) for axis in (0, 1))
    left, right = (min(max(x, 0.0), size[0] - 1.0) for x in across)
    top, bottom = (min(max(y, 0.0), size[1] - 1.0) for y in down)
    return left, top, right, bottom


def enlarged(image: Image.Image, side: int) -> Image.Image:
    """A small picture with its pixels as squares, its longer side about ``side``; a large one as it is."""
    times = side // max(image.size)
    if times < 2:
        return image
    return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
