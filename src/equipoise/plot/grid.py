"""Several maps in a grid that fits a page: rows are classes, columns are methods or whatever else is compared."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, overload

import numpy as np

from equipoise.errors import OptionError
from equipoise.plot.bars import HEIGHT, color_bar, write
from equipoise.plot.captions import told
from equipoise.plot.drawing import WIDTHS, Drawing
from equipoise.plot.one import LINE, wrapped
from equipoise.plot.panels import Panel, Shown, Style, columns_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL import Image

TALLEST: Final = 9.2
"""Of a figure that is to fit a page, in inches."""

NARROWEST: Final = 1.05
"""Of a picture in a grid, in inches; more go on below."""

STEEPEST: Final = 1.6
"""Height of a picture's place, as a share of its width, at most."""

_GAP: Final = 0.05  # inches: between pictures, and at the edges


@dataclass(frozen=True)
class _Cell:
    picture: Image.Image
    title: str


@dataclass(frozen=True)
class _Grid:
    """What stands where: blocks of rows of cells; a label for each row of a block, or none; the text above all."""

    blocks: list[list[list[_Cell | None]]]
    labels: list[str]
    head: str


@overload
def compare(
    explanations: Sequence[Shown] | Mapping[str, Shown], ax: None = None, *, width: str = "page",
    cmap: str = "red_blue", scale: str = "map", photo: bool = True, across: int | None = None, percentile: float = 99.9,
    opacity: float | None = None,
) -> Drawing: ...  # fmt: skip
@overload
def compare(
    explanations: Sequence[Shown] | Mapping[str, Shown], ax: Axes, *, width: str = "page",
    cmap: str = "red_blue", scale: str = "map", photo: bool = True, across: int | None = None, percentile: float = 99.9,
    opacity: float | None = None,
) -> Axes: ...  # fmt: skip
def compare(
    explanations: Sequence[Shown] | Mapping[str, Shown],
    ax: Axes | None = None,
    *,
    width: str = "page",
    cmap: str = "red_blue",
    scale: str = "map",
    photo: bool = True,
    across: int | None = None,
    percentile: float = 99.9,
    opacity: float | None = None,
) -> Drawing | Axes:
    """Draw explanations side by side, one color bar for all; what does not fit the width goes on below.

    Args:
        explanations: Such as of one photo by several methods; the keys of a mapping are printed in place of the
            methods' names. Each of several targets has a row.
        ax: Where to draw, axes of any size with nothing in them; default: a figure of its own.
        width: Of that figure: a name in `WIDTHS`.
        cmap: The colors: a name in `equipoise.palettes.PALETTES`.
        scale: ``"map"``: each map has its own scale; ``"shared"``: the same relevance has the same color in all.
        photo: Whether what is explained stands before the maps, if it is the same in all.
        across: How many pictures stand side by side; default: as many as stay wide enough.
        percentile: Of the absolute values of a map: what gets the full color.
        opacity: Of the strongest relevance, 0 to 1; default: that of `equipoise.viz.overlay`.

    Returns:
        ``ax``, or the new figure.

    Raises:
        OptionError: If there is no explanation, or an option is outside its range.
        UnknownNameError: If there is no such palette, width or scale.
    """
    wide = WIDTHS[width]
    style = Style(cmap, scale, percentile, opacity)
    columns = columns_of(explanations, style)
    if ax is not None:
        box = ax.get_window_extent()
        wide = box.width / ax.figure.dpi
    if across is not None and across < 1:
        raise OptionError(f"across is {across}; at least one picture stands in a row")
    panels = [panel for column in columns for panel in column]
    if ax is not None:
        size = (wide, box.height / ax.figure.dpi)
        counts = range(1, len(columns) + 2) if across is None else [across]
        grids = [_arranged(columns, photo=photo, most=count) for count in counts]
        _draw(ax, max(grids, key=lambda one: _Places(one, *size).cell), size, panels[0], style)
        return ax
    grid = _arranged(columns, photo=photo, most=across or max(1, int(wide / NARROWEST)))
    tall = _Places(grid, wide, TALLEST).height
    figure = Drawing(figsize=(wide, tall), facecolor="white")
    _draw(figure.add_axes((0.0, 0.0, 1.0, 1.0)), grid, (wide, tall), panels[0], style)
    figure.caption = told(panels, style)
    return figure


def _arranged(columns: list[list[Panel]], *, photo: bool, most: int) -> _Grid:
    count = max(len(column) for column in columns)
    rows = [[column[row] if row < len(column) else None for column in columns] for row in range(count)]
    same_target = all(len({one.target for one in row if one}) == 1 for row in rows)
    networks = list(dict.fromkeys(one.network for column in columns for one in column))
    same_photo = all(len({one.shown.image.tobytes() for one in row if one}) == 1 for row in rows)

    def title(panel: Panel, row: int) -> str:
        lines = [panel.method] if row == 0 or not same_target else []
        lines += [panel.network] if len(networks) > 1 and row == 0 else []
        return "\n".join(lines + ([] if same_target else [panel.target]))

    cells: list[list[_Cell | None]] = [
        [None if one is None else _Cell(one.picture, title(one, place)) for one in row]
        for place, row in enumerate(rows)
    ]
    if photo and same_photo:
        shown = [next(one.shown for one in row if one) for row in rows]
        cells = [
            [_Cell(one.image, one.kind if place == 0 else ""), *row]
            for place, (one, row) in enumerate(zip(shown, cells, strict=True))
        ]
    width = len(cells[0])
    across = math.ceil(width / math.ceil(width / most))
    blocks = [[row[start : start + across] for row in cells] for start in range(0, width, across)]
    labels = [next(one.target for one in row if one) for row in rows] if same_target else []
    head = networks[0] if len(networks) == 1 else ""
    if len(labels) == 1:
        said = labels.pop().replace("\n", ", ")
        head = f"{head}: {said}" if head else said
    return _Grid(blocks, labels, head)


class _Places:
    """Where a grid's parts stand, in inches from the left upper corner.

    Args:
        grid: What is placed.
        width: Of the whole.
        tallest: Its height, at most.
    """

    def __init__(self, grid: _Grid, width: float, tallest: float) -> None:
        across = len(grid.blocks[0][0])
        self.top = _GAP + (1.5 * LINE if grid.head else 0.0)
        self.shapes = [[_steepness(row) for row in block] for block in grid.blocks]
        steep = sum(shape for shapes in self.shapes for shape in shapes)
        lines = 2 if grid.labels else 0
        for _ in range(3):  # the labels' room depends on the pictures' height, and that on the labels' room
            self.side = lines * LINE + (0.07 if lines else _GAP)
            widest = (width - self.side - across * _GAP) / across
            self.heads = [[_head(row, widest) for row in block] for block in grid.blocks]
            fixed = self.top + HEIGHT + sum(head + _GAP for heads in self.heads for head in heads)
            self.cell = max(min(widest, (tallest - fixed) / steep), 0.05)
            lines = max([lines, *self._label_lines(grid)])
        self.left = self.side + (width - self.side - across * (self.cell + _GAP)) / 2
        self.height = fixed + self.cell * steep

    def _label_lines(self, grid: _Grid) -> Iterator[int]:
        for shapes in self.shapes if grid.labels else ():
            for shape, label in zip(shapes, grid.labels, strict=True):
                yield len(wrapped(label, self.cell * shape).splitlines())


def _steepness(row: Sequence[_Cell | None]) -> float:
    """Height of the pictures' places as a share of their width."""
    return min(STEEPEST, max(one.picture.height / one.picture.width for one in row if one))


def _head(row: Sequence[_Cell | None], width: float) -> float:
    lines = max(len(wrapped(one.title, width).splitlines()) for one in row if one)
    return LINE * lines + (0.04 if lines else 0.0)


def _draw(ax: Axes, grid: _Grid, size: tuple[float, float], panel: Panel, style: Style) -> None:
    wide, high = size
    places = _Places(grid, wide, high)
    ax.set_axis_off()
    write(ax, grid.head, (0.5, 1 - (_GAP + LINE / 2) / high))
    top = places.top
    for block, heads, shapes in zip(grid.blocks, places.heads, places.shapes, strict=True):
        for row, (cells, head, shape) in enumerate(zip(block, heads, shapes, strict=True)):
            tall = places.cell * shape
            if grid.labels:
                middle = 1 - (top + head + tall / 2) / high
                text = wrapped(grid.labels[row], tall)
                write(ax, text, ((places.left - _GAP) / wide, middle), ha="right", turned=True)
            for column, cell in enumerate(cells):
                if cell is None:
                    continue
                x = places.left + column * (places.cell + _GAP)
                place = ((x + places.cell / 2) / wide, 1 - (top + head - 0.05) / high)
                write(ax, wrapped(cell.title, places.cell), place, va="baseline")
                bounds = (x / wide, 1 - (top + head + tall) / high, places.cell / wide, tall / high)
                inner = ax.inset_axes(bounds)
                inner.imshow(np.asarray(cell.picture))
                inner.set_axis_off()
            top += head + tall + _GAP
    color_bar(ax, panel, style, size, top - _GAP)
