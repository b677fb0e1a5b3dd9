"""Curves told apart by color, mark and a label at their end; the legend stands below the figure, never over data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.lines import Line2D

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

APART: Final = 0.055
"""Least distance of two labels, as a share of the axes' height."""

_LETTERS: Final = 7  # points


def end_labels(axis: Axes) -> None:
    """Write each curve's name at its right end, in its color, none over another; to be called last.

    Args:
        axis: Curves with the labels of a legend; those without are left out.
    """
    handles, labels = axis.get_legend_handles_labels()
    ends = []
    for handle, label in zip(handles, labels, strict=True):
        line = handle[0] if isinstance(handle, tuple) else handle  # of error bars the first is the line
        if not isinstance(line, Line2D):
            continue
        across, up = (np.asarray(values, dtype=float) for values in line.get_data())
        finite = np.flatnonzero(np.isfinite(across) & np.isfinite(up))
        if len(finite):
            ends.append((float(across[finite[-1]]), float(up[finite[-1]]), label, line.get_color()))
    if not ends:
        return
    bottom, top = axis.get_ylim()
    shares = [(y - bottom) / (top - bottom) for _, y, _, _ in ends]
    for (x, y, label, color), share in zip(ends, spread(shares), strict=True):
        axis.annotate(
            label, (x, y), (1.03, share), textcoords=axis.transAxes, fontsize=_LETTERS, color=color, va="center",
            annotation_clip=False, parse_math=False, arrowprops={"arrowstyle": "-", "color": color, "lw": 0.5,
                                                                 "alpha": 0.6, "shrinkA": 0, "shrinkB": 2},
        )  # fmt: skip


def spread(places: Sequence[float], apart: float = APART) -> NDArray[np.float64]:
    """Places as near to those given as can be, in their order, each at least ``apart`` from the next.

    Args:
        places: ``(n,)``; equals keep their order.
        apart: In the same unit.

    Returns:
        ``(n,)``, of the same mean where any has to move. Of all that can be, the squares of the moves are least.
    """
    wanted = np.asarray(places, dtype=float)
    order = np.argsort(wanted, kind="stable")
    steps = apart * np.arange(len(wanted))
    blocks: list[tuple[float, int]] = []  # means of runs of what touches, and how many: isotonic regression
    for value in (wanted[order] - steps).tolist():
        mean, count = value, 1
        while blocks and blocks[-1][0] > mean:
            before, many = blocks.pop()
            mean, count = (before * many + mean * count) / (many + count), many + count
        blocks.append((mean, count))
    found = np.empty_like(wanted)
    found[order] = np.repeat([mean for mean, _ in blocks], [count for _, count in blocks]) + steps
    return found


def legend_below(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend of all axes, below them.

    Args:
        figure: Laid out by matplotlib, so that the legend has its own room.
        axes: What is named in several of them is named once.
    """
    known: dict[str, Any] = {}
    for axis in axes:
        handles, labels = axis.get_legend_handles_labels()
        known |= {label: handle for label, handle in zip(labels, handles, strict=True) if label not in known}
    if known:
        columns = max(1, min(len(known), int(figure.get_figwidth() / 1.7)))
        figure.legend(
            list(known.values()), list(known), loc="outside lower center", ncols=columns, fontsize=_LETTERS,
            frameon=False,
        )  # fmt: skip
