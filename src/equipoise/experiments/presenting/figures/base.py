"""What figures share: the registry, colors that the color-blind can tell apart, axes without clutter."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from equipoise import viz
from equipoise._registry import Registry
from equipoise.experiments.model.frame import Frame
from equipoise.experiments.presenting.summary import clusters_of
from equipoise.metrics.catalog import CATALOG

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL import Image
    from torch import Tensor

    from equipoise.experiments.protocols.base import Unit
    from equipoise.experiments.running.runner import Block, Run

FigureMaker: TypeAlias = "Callable[[Run, bool], dict[str, bytes]]"
"""From a run, and whether photos may be shown, to PNG files by their names without ending."""

FIGURES: Registry[FigureMaker] = Registry("figure")

COLORS: Final = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#000000",
    "#999999",
    "#8c564b",
    "#bcbd22",
)
"""Okabe and Ito's, which differ for every kind of color vision, and two more."""

MARKS: Final = "osD^vP*X<>"

_DOTS: Final = 110


def blank(rows: int, columns: int, *, width: float = 5.2, height: float = 3.9) -> tuple[Figure, list[Axes]]:
    """A figure with a grid of axes, each of ``width`` by ``height`` inches."""
    figure = Figure(figsize=(width * columns, height * rows), dpi=_DOTS, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(rows, columns, index + 1) for index in range(rows * columns)]
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(visible=True, alpha=0.25)
    return figure, axes


def png(figure: Figure) -> bytes:
    """A figure as a file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def style(index: int) -> dict[str, Any]:
    """Color and mark of the ``index``-th curve: as many pairs as there are of them."""
    turn = index // len(COLORS)
    return {"color": COLORS[index % len(COLORS)], "marker": MARKS[(index + turn) % len(MARKS)], "markersize": 4}


def frame_of(run: Run, block: Block, *metrics: str) -> Frame:
    """The rows of a block as arrays; of some metrics, named as in the catalog, or of all."""
    labels = {"metric": tuple(CATALOG[metric].label for metric in metrics)} if metrics else {}
    return Frame(run.rows.where(dataset=block.dataset, model=block.model, **labels), clusters=clusters_of(run))


def network(block: Block) -> str:
    """The network's own name, without where it comes from."""
    return block.spec.name.rpartition("/")[2]


def title(run: Run, block: Block) -> str:
    """What a figure of one network and data set is headed by."""
    return f"{run.plan.recipe.title} ({block.dataset}; {network(block)})"


def picture(one: Tensor, block: Block, unit: Unit, *, photos: bool) -> Image.Image:
    """A map over its photo, or the map alone."""
    values = one.numpy()
    if not photos:
        smoothed = viz.smoothed(values, viz.SMOOTHING)
        return viz.heatmap_image(smoothed, percentile=99.9)
    photo = unit.samples[0].image()
    scale = min(1.0, 640 / max(photo.size))
    photo = photo.resize((max(1, round(photo.width * scale)), max(1, round(photo.height * scale))))
    return viz.overlay(photo, values, None if block.whole else block.spec.preprocessing.box(*photo.size))


def mean_map(maps: Sequence[Tensor]) -> NDArray[np.float32]:
    """The mean of maps of one shape, each scaled by its own largest absolute value."""
    scaled = [one.numpy() / (np.abs(one.numpy()).max() or 1.0) for one in maps]
    found: NDArray[np.float32] = np.mean(scaled, axis=0)
    return found
