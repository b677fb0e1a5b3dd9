"""Figures that are plotted: insertion curves (Fig. 10), the sweep over gamma (Fig. 8), the grid game (Fig. 9)."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from equipoise.experiments.presenting.figures.base import (
    FIGURES,
    blank,
    frame_of,
    mean_map,
    network,
    png,
    style,
    title,
)
from equipoise.experiments.presenting.figures.pictures import maps_of, plain
from equipoise.experiments.presenting.figures.telling import end_labels, legend_below
from equipoise.experiments.presenting.summary import clusters_of, summarize
from equipoise.metrics import aggregate_attributions
from equipoise.metrics.catalog import CATALOG
from equipoise.metrics.grid import EDGES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from equipoise.experiments.running.runner import Block, Run

BASELINE: Final = ("AE", "Grad-CAM")
"""The third graph of Fig. 10 compares these over networks."""


_DRAWS: Final = 300


@FIGURES.register("insertion")
def insertion(run: Run, photos: bool) -> dict[str, bytes]:  # noqa: ARG001, FBT001  # one signature for all figures
    """Accuracy over the share of pixels, a graph per network; and over networks, divided by their clean accuracy."""
    figure, axes = blank(1, len(run.blocks) + 1)
    metric, last, count = CATALOG["accuracy"].label, axes[-1], 0
    for axis, block in zip(axes, run.blocks, strict=False):
        frame = frame_of(run, block, "accuracy")
        for index, one in enumerate(run.plan.recipe.methods):
            steps = [step for step in frame.steps(metric, one.label) if step < 1]
            if not steps:
                continue
            *found, clean = frame.curve(one.label, metric, [*steps, 1.0], draws=_DRAWS)
            x, y = [100 * step for step in steps], [point.value for point in found]
            axis.plot(x, y, label=one.label, **style(index))
            axis.fill_between(
                x, [point.low for point in found], [point.high for point in found],
                color=style(index)["color"], alpha=0.08, linewidth=0,
            )  # fmt: skip
            if one.label in BASELINE:
                shares = [value / clean.value if clean.value else math.nan for value in y]
                last.plot(x, shares, label=f"{network(block)}: {one.label}", **style(count))
                count += 1
        axis.set_title(f"{network(block)} ({block.dataset})", fontsize=10)
        axis.set_xlabel("pixels, %")
        axis.set_ylabel("accuracy")
        end_labels(axis)
    last.set_title("divided by the clean accuracy", fontsize=10)
    last.set_xlabel("pixels, %")
    end_labels(last)
    legend_below(figure, axes)
    return {run.plan.recipe.name: png(figure)}


@FIGURES.register("sweep")
def sweep(run: Run, photos: bool) -> dict[str, bytes]:  # noqa: ARG001, FBT001  # one signature for all figures
    """Every column of the table over the methods' option gamma."""
    recipe = run.plan.recipe
    pairs = [(block.dataset, block.model) for block in run.blocks]
    lines = summarize(recipe, run.rows, pairs, clusters=clusters_of(run))
    gammas = {one.label: float(one.options["gamma"]) for one in recipe.methods if "gamma" in one.options}
    figure, axes = blank(1, len(recipe.columns), width=4.0)
    for place, (axis, column) in enumerate(zip(axes, recipe.columns, strict=True)):
        for index, block in enumerate(run.blocks):
            dataset, model = pairs[index]
            some = [line for line in lines if (line.dataset, line.model) == (dataset, model) and line.label in gammas]
            x = [gammas[line.label] for line in some]
            ours = [line.entries[place].ours for line in some]
            spread = [[one.value - one.low for one in ours], [one.high - one.value for one in ours]]
            axis.errorbar(x, [one.value for one in ours], yerr=spread, label=network(block), capsize=2, **style(index))
        axis.set_title(column.label, fontsize=10)
        axis.set_xlabel("gamma")
        end_labels(axis)
    legend_below(figure, axes)
    return {recipe.name: png(figure)}


@FIGURES.register("grid")
def grid(run: Run, photos: bool) -> dict[str, bytes]:  # noqa: ARG001, FBT001  # one signature for all figures
    """The spread of the scores per method; and the mean map of each bin of scores, the right cell top left."""
    files = {}
    for block in run.blocks:
        labels = [one.label for one in run.plan.recipe.methods if one.label not in block.left_out]
        frame = frame_of(run, block, "grid_pointing_game", "grid_pointing_game_top_k")
        figure, axes = blank(1, 2, width=5.6)
        for axis, metric in zip(axes, ("grid_pointing_game", "grid_pointing_game_top_k"), strict=True):
            values = [frame.values(label, CATALOG[metric].label) for label in labels]
            values = [some[~np.isnan(some)] for some in values]
            axis.boxplot(values, showmeans=True, orientation="horizontal")
            axis.set_yticks(range(1, len(labels) + 1), labels)
            axis.set_xlim(0, 1)
            axis.set_title(f"{CATALOG[metric].label}, {network(block)}", fontsize=10)
            axis.invert_yaxis()
        stem = f"{run.plan.recipe.name}-{block.dataset}"
        if len({other.model for other in run.blocks}) > 1:
            stem += f"-{plain(block.model)}"
        files[f"{stem}-scores"] = png(figure)
        scored = {label: _scored(run, block, label) for label in labels}
        if kept := {label: one for label, one in scored.items() if one[0]}:
            files[f"{stem}-bins"] = _bins(title(run, block), kept)
    return files


def _bins(name: str, of_label: Mapping[str, tuple[list[torch.Tensor], list[float]]]) -> bytes:
    edges = filled_edges(min(len(maps) for maps, _ in of_label.values()))
    figure, axes = blank(len(of_label), len(edges) - 1, width=1.8, height=1.9)
    for row, (label, (maps, scores)) in enumerate(of_label.items()):
        bins = aggregate_attributions(torch.stack(maps), torch.tensor(scores), edges=edges)
        for place, one in enumerate(bins):
            axis = axes[row * (len(edges) - 1) + place]
            values = np.asarray(one)
            axis.imshow(values, cmap="Reds", vmin=0, vmax=np.nanpercentile(values, 99.5) or 1.0)
            axis.axhline(values.shape[0] / 2, color="black", linewidth=0.6)
            axis.axvline(values.shape[1] / 2, color="black", linewidth=0.6)
            axis.grid(visible=False)
            axis.set_xticks([])
            axis.set_yticks([])
            if row == 0:
                axis.set_title(f"{edges[place]} to {edges[place + 1]} %", fontsize=8)
            if place == 0:
                axis.set_ylabel(label, fontsize=8)
    figure.suptitle(f"{name}: the mean map between percentiles of the score", fontsize=9)
    colors = ScalarMappable(Normalize(0, 1), "Reds")
    bar = figure.colorbar(colors, ax=axes, location="bottom", shrink=0.36, aspect=40, pad=0.01, ticks=[0, 1])
    bar.set_ticklabels(["0", "largest of each map"], fontsize=7)
    bar.set_label("for the class; each cell of the grid is a photo, the class's own is top left", fontsize=8)
    return png(figure)


def _scored(run: Run, block: Block, label: str) -> tuple[list[torch.Tensor], list[float]]:
    """The positive part of a method's kept maps of the first cell's class, and their scores."""
    metric = CATALOG["grid_pointing_game"].label
    first = run.rows.where(dataset=block.dataset, model=block.model, method=label, metric=metric, cell=0)
    scores = dict(zip(first.column("unit"), first.column("value"), strict=True))
    maps, found = [], []
    for unit in block.units:
        some = maps_of(run, block, unit).get(label, [])
        if some and unit.key in scores:
            maps.append(torch.from_numpy(mean_map([some[0].heatmap])).clamp(min=0))
            found.append(scores[unit.key])
    return maps, found


def filled_edges(count: int) -> list[int]:
    """The percentiles of Rao et al. between which maps are averaged, less those that would leave a bin empty.

    Args:
        count: How many maps there are, at least 1.
    """
    edges = [EDGES[0]]
    edges += [end for before, end in pairwise(EDGES) if count * end // 100 > count * before // 100]
    return edges
