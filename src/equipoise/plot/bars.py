"""The color bar of a figure, and its words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from equipoise.palettes import PALETTES
from equipoise.plot.drawing import FONT
from equipoise.plot.panels import wording

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from equipoise.plot.panels import Panel, Style

HEIGHT: Final = 0.4
"""Of the color bar with its numbers, in inches."""

_WIDE, _THICK, _ABOVE = 0.36, 0.08, 0.1  # share of the width; inches: of the bar, above it
_LABEL: Final = "color bar"


def color_bar(ax: Axes, panel: Panel, style: Style, size: tuple[float, float], top: float) -> Axes:
    """Draw the bar that all maps of a figure share.

    Args:
        ax: What it belongs to.
        panel: Any of the maps.
        style: How they are drawn.
        size: Width and height of ``ax``, in inches.
        top: How far below the upper edge of ``ax`` its place begins, in inches.

    Returns:
        The axes of the bar.
    """
    width, height = size
    down = 1 - (top + _ABOVE + _THICK) / height
    bar = ax.inset_axes((0.5 - _WIDE / 2, down, _WIDE, _THICK / height), label=_LABEL)
    shared = style.shared and panel.limit is not None
    limit = panel.limit if shared and panel.limit is not None else 1.0
    colors = ScalarMappable(Normalize(-limit, limit), PALETTES[style.cmap].colormap())
    drawn = ax.figure.colorbar(colors, cax=bar, orientation="horizontal", ticks=[-limit, 0.0, limit])
    drawn.set_ticklabels([f"{-limit:.2g}", "0", f"{limit:.2g}"] if shared else ["\N{MINUS SIGN}max", "0", "max"])
    bar.tick_params(labelsize=FONT - 1, length=2, width=0.5, pad=1.5)
    drawn.outline.set_linewidth(0.4)
    against, for_ = wording(panel.shown).pointed[::-1]
    gap = 0.08 / width
    for text, x, side in ((against, 0.5 - _WIDE / 2 - gap, "right"), (for_, 0.5 + _WIDE / 2 + gap, "left")):
        write(ax, text, (x, down + _THICK / height / 2), ha=side)
    return bar


def write(
    ax: Axes, text: str, place: tuple[float, float], *, ha: str = "center", va: str = "center", turned: bool = False
) -> None:
    """Write a text at a place in shares of the axes; a formula's signs are letters as others are."""
    ax.text(
        *place, text, transform=ax.transAxes, fontsize=FONT, ha=ha, va=va, rotation=90.0 if turned else 0.0,
        parse_math=False, linespacing=1.1,
    )  # fmt: skip
