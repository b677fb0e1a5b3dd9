"""Average ranks of methods with the critical difference, drawn as Demsar 2006 does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from equipoise.experiments.presenting.figures.base import COLORS, blank, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from equipoise.experiments.model.ranks import Ranks


def critical_differences(ranks: Mapping[str, Ranks]) -> bytes:
    """A PNG file: for each column of a table a line of ranks, the best left; bars join what is not told apart."""
    methods = max(len(one.labels) for one in ranks.values())
    figure, axes = blank(len(ranks), 1, width=7.5, height=1.3 + 0.16 * methods)
    for axis, (name, one) in zip(axes, ranks.items(), strict=True):
        draw(axis, one)
        axis.set_title(f"{name}: average rank over {one.blocks} networks and data sets", fontsize=9, loc="left")
    return png(figure)


def draw(axis: Axes, ranks: Ranks) -> None:
    """One line of ranks on axes that hold nothing else."""
    count = len(ranks.labels)
    order = sorted(range(count), key=lambda place: ranks.average[place])
    half = (count + 1) // 2
    axis.set_xlim(1 - 0.32 * count, count + 0.32 * count)
    axis.set_ylim(-half - 1.4, 1.9)
    axis.set_axis_off()
    axis.plot([1, count], [0, 0], color="black", linewidth=1)
    for tick in range(1, count + 1):
        axis.plot([tick, tick], [0, 0.15], color="black", linewidth=1)
        axis.text(tick, 0.25, str(tick), ha="center", fontsize=7)
    shown = min(ranks.critical, count - 1)
    axis.plot([1, 1 + shown], [1.1, 1.1], color="black", linewidth=2)
    axis.text(1, 1.25, f"critical difference {ranks.critical:.2f}", fontsize=7)
    cliques = ranks.cliques()
    for place, clique in enumerate(cliques):
        ends = [ranks.average[one] for one in clique]
        height = -0.2 - 0.35 * place / max(1, len(cliques) - 1)
        axis.plot([min(ends) - 0.03, max(ends) + 0.03], [height, height], color=COLORS[1], linewidth=2.5)
    for place, method in enumerate(order):
        left = place < half
        depth = -1 - (place if left else count - 1 - place)
        end = 0.9 if left else count + 0.1
        rank = ranks.average[method]
        axis.plot([rank, rank, end], [0, depth, depth], color="black", linewidth=0.7)
        text = f"{ranks.labels[method]} ({rank:.2f})"
        axis.text(
            end - 0.05 if left else end + 0.05, depth, text, ha="right" if left else "left", va="center", fontsize=8
        )
