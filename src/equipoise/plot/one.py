"""One map on axes of its own, or on those of a larger figure."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, Final, overload

import numpy as np

from equipoise.plot.bars import HEIGHT, color_bar
from equipoise.plot.captions import told
from equipoise.plot.drawing import FONT, WIDTHS, Drawing
from equipoise.plot.panels import Panel, Shown, Style, columns_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LETTER: Final = 0.053
"""Width of a letter, in inches, about."""

LINE: Final = 0.118
"""Height of a line of text, in inches."""

_EDGE: Final = 0.04  # inches: beside the picture


@overload
def single(explanation: Shown, ax: None = None, *, width: str = "column", **style: Any) -> Drawing: ...
@overload
def single(explanation: Shown, ax: Axes, *, width: str = "column", **style: Any) -> Axes: ...
def single(explanation: Shown, ax: Axes | None = None, *, width: str = "column", **style: Any) -> Drawing | Axes:
    """Draw the map of the first target over what it explains, with class, probability, method, network, color bar.

    Args:
        explanation: Of a photo, a signal or a volume.
        ax: Where to draw; default: a figure of its own.
        width: Of that figure: a name in `WIDTHS`.
        **style: ``cmap``, ``scale``, ``percentile`` and ``opacity`` as of `compare`.

    Returns:
        ``ax``, or the new figure.

    Raises:
        OptionError: If an option is outside its range.
        UnknownNameError: If there is no such palette, width or scale.
    """
    wide = WIDTHS[width]
    drawn = Style(**style)
    panel = columns_of([explanation], drawn)[0][0]
    if ax is not None:
        _draw(ax, panel, drawn, ax.get_window_extent().width / ax.figure.dpi)
        return ax
    inner = wide - 2 * _EDGE
    high = inner * panel.picture.height / panel.picture.width
    head = _EDGE + LINE * (0.5 + len(_title(panel, inner).splitlines()))
    figure = Drawing(figsize=(wide, head + high + HEIGHT), facecolor="white")
    tall = head + high + HEIGHT
    _draw(figure.add_axes((_EDGE / wide, HEIGHT / tall, inner / wide, high / tall)), panel, drawn, inner)
    figure.caption = told([panel], drawn)
    return figure


def _draw(ax: Axes, panel: Panel, style: Style, width: float) -> None:
    show(ax, panel)
    ax.set_title(_title(panel, width), fontsize=FONT, pad=3, parse_math=False, linespacing=1.1)
    ax.apply_aspect()
    box = ax.get_window_extent()
    size = (box.width / ax.figure.dpi, box.height / ax.figure.dpi)
    color_bar(ax, panel, style, size, size[1] - 0.04)


def show(ax: Axes, panel: Panel) -> None:
    """Put a picture on axes that hold nothing else."""
    ax.imshow(np.asarray(panel.picture))
    ax.set_axis_off()


def _title(panel: Panel, width: float) -> str:
    said = panel.target.replace("\n", ", ")
    return "\n".join(wrapped(line, width) for line in (f"{panel.method}: {said}", panel.network))


def wrapped(text: str, inches: float) -> str:
    """A text in lines that fit a width, at most three for each of its own; line breaks stay."""
    letters = max(8, int(inches / LETTER))
    return "\n".join(line for part in text.splitlines() for line in textwrap.wrap(part, letters, max_lines=3))
