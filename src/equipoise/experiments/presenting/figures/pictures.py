"""Figures that show maps: the gallery (Figs. 4 to 6), the cascade (Fig. 7), the perturbation study (Fig. 11)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from equipoise import records, viz
from equipoise.experiments.model.statistics import estimates, value
from equipoise.experiments.presenting.figures.base import (
    FIGURES,
    blank,
    frame_of,
    network,
    picture,
    png,
    style,
    title,
)
from equipoise.experiments.presenting.figures.telling import end_labels, legend_below
from equipoise.experiments.protocols.sanity import ORIGINAL
from equipoise.experiments.protocols.study import PerturbationStudy
from equipoise.metrics import top_mask
from equipoise.metrics.catalog import CATALOG

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from equipoise.experiments.model.rows import KeptMap
    from equipoise.experiments.protocols.base import Unit
    from equipoise.experiments.running.runner import Block, Run

CELL: Final = 200
"""Longer side of a picture, in pixels."""

ENDS: Final = ("against the class", "for the class")
"""Of the color bar of figures that show maps."""

ROWS: Final = 14
"""At most so many rows of pictures in one figure."""


def maps_of(run: Run, block: Block, unit: Unit) -> dict[str, list[KeptMap]]:
    """The kept maps of a unit by method label; methods without maps are left out."""
    labels = [one.label for one in run.plan.recipe.methods if (unit.key, one.label) in block.keys]
    found = {label: run.store.maps(block.keys[unit.key, label]) for label in labels}
    return {label: maps for label, maps in found.items() if maps}


def _kept(run: Run, block: Block) -> Iterator[tuple[Unit, dict[str, list[KeptMap]]]]:
    for unit in block.units:
        if maps := maps_of(run, block, unit):
            yield unit, maps


def _photo(unit: Unit) -> str:
    """What a photo is called beside its row: its file's name."""
    return PurePath(unit.samples[0].key).stem


def _empty() -> Image.Image:
    return Image.new("RGB", (CELL, CELL), (238, 238, 238))


@FIGURES.register("gallery")
def gallery(run: Run, photos: bool) -> dict[str, bytes]:  # noqa: FBT001  # one signature for all figures
    """A row per image and class: of one method a column per network, else a row per network, a column per method."""
    files = {}
    for dataset in dict.fromkeys(block.dataset for block in run.blocks):
        blocks = [block for block in run.blocks if block.dataset == dataset]
        of_recipe = [one.label for one in run.plan.recipe.methods]
        labels = [label for label in of_recipe if any(label not in block.left_out for block in blocks)]
        across = len(labels) == 1 and len(blocks) > 1
        rows: list[list[_Cell]] = []
        for unit in blocks[0].units:
            found = [(block, maps_of(run, block, unit)) for block in blocks]
            for place in range(max((len(maps) for _, of in found for maps in of.values()), default=0)):
                cells = [[_Cell.of(block, unit, of.get(label, [])[place:]) for label in labels] for block, of in found]
                rows += [[cell for row in cells for cell in row]] if across else cells
        rows = [row for row in rows if any(cell.kept is not None for cell in row)][:ROWS]
        if rows:
            heads = [network(block) for block in blocks] if across else labels
            headed = f"{run.plan.recipe.title} ({dataset}; {labels[0] if across else _names(blocks)})"
            files[f"{run.plan.recipe.name}-{dataset}"] = _grid(
                rows, heads, headed, photos=photos, across=across, several=len(blocks) > 1
            )
    return files


def _names(blocks: Sequence[Block]) -> str:
    return ", ".join(dict.fromkeys(map(network, blocks)))


@dataclass(frozen=True)
class _Cell:
    """A place in the gallery.

    Attributes:
        block: Network and data set.
        unit: The photo.
        kept: The map; ``None``: there is none.
    """

    block: Block
    unit: Unit
    kept: KeptMap | None

    @classmethod
    def of(cls, block: Block, unit: Unit, maps: Sequence[KeptMap]) -> _Cell:
        return cls(block, unit, maps[0] if maps else None)

    def picture(self, *, photos: bool) -> Image.Image:
        return _empty() if self.kept is None else picture(self.kept.heatmap, self.block, self.unit, photos=photos)

    @property
    def name(self) -> str:
        return "" if self.kept is None else self.kept.goal.name

    @property
    def said(self) -> str:
        return "" if self.kept is None else self.kept.goal.said("\n")

    @property
    def sure(self) -> str:
        return "" if self.kept is None else self.kept.goal.sure


def _grid(
    rows: Sequence[Sequence[_Cell]], heads: Sequence[str], headed: str, *, photos: bool, across: bool, several: bool
) -> bytes:
    """The pictures of a gallery; where a row's networks name different classes, each stands below its map."""
    names = [next(cell.name for cell in row if cell.kept is not None) for row in rows]
    differ = any(cell.name not in {"", name} for row, name in zip(rows, names, strict=True) for cell in row)
    pictures = [[cell.picture(photos=photos) for cell in row] for row in rows]
    captions, sides = None, names
    if differ:
        captions = [[cell.said for cell in row] for row in rows]
        sides = [_photo(row[0].unit) for row in rows]
    elif across:
        captions = [[cell.sure for cell in row] for row in rows]
    else:
        sides = [next(cell.said for cell in row if cell.kept is not None) for row in rows]
        if several:
            sides = [f"{side}\n{network(row[0].block)}" for side, row in zip(sides, rows, strict=True)]
    if photos:
        heads = ["photo", *heads]
        pictures = [[row[0].unit.samples[0].image(), *cells] for row, cells in zip(rows, pictures, strict=True)]
        captions = captions and [["", *row] for row in captions]
    image = viz.montage(pictures, sides, heads, title=headed, cell=CELL, bar=ENDS, captions=captions)
    return records.encoded(image)


@FIGURES.register("cascade")
def cascade(run: Run, photos: bool) -> dict[str, bytes]:  # noqa: FBT001  # one signature for all figures
    """A row per image, class and method, a column per stage; and the similarity to the trained network's map."""
    files = {}
    for block in run.blocks:
        rows, names, heads = [], [], []
        for unit, found in _kept(run, block):
            for label, maps in found.items():
                for goal in dict.fromkeys(one.goal for one in maps):
                    stages = sorted((one for one in maps if one.goal == goal), key=lambda one: one.step or 0.0)
                    heads = [one.detail for one in stages]
                    rows.append([picture(one.heatmap, block, unit, photos=photos) for one in stages])
                    names.append(f"{goal.said()}\n{label}")
        stem = f"{run.plan.recipe.name}-{block.dataset}-{plain(block.model)}"
        if rows:
            image = viz.montage(rows[:ROWS], names[:ROWS], heads, title=title(run, block), cell=CELL, bar=ENDS)
            files[f"{stem}-maps"] = records.encoded(image)
        files[f"{stem}-similarity"] = _similarity(run, block)
    return files


def _similarity(run: Run, block: Block) -> bytes:
    metrics = [CATALOG[name].label for name in ("rank_correlation", "rank_correlation_absolute", "ssim", "hog")]
    figure, axes = blank(1, len(metrics), width=3.9)
    frame = frame_of(run, block)
    stages = run.rows.where(dataset=block.dataset, model=block.model)
    names = dict(sorted(dict(zip(stages.column("step"), stages.column("detail"), strict=True)).items()))
    for axis, metric in zip(axes, metrics, strict=True):
        for index, one in enumerate(run.plan.recipe.methods):
            values = [value(frame.design, frame.cell(one.label, metric, step=step)) for step in names]
            axis.plot(list(names), values, label=one.label, **style(index))
        axis.set_title(metric, fontsize=10)
        axis.set_xticks(list(names), [name if name == ORIGINAL else name[-14:] for name in names.values()])
        axis.tick_params(axis="x", labelsize=7)
        for text in axis.get_xticklabels():
            text.set(rotation=50, ha="right", rotation_mode="anchor")
        axis.set_ylim(-0.65, 1.05)
        end_labels(axis)
    axes[0].set_ylabel("similarity to the trained network's map")
    figure.suptitle(title(run, block), fontsize=10)
    legend_below(figure, axes)
    return png(figure)


@FIGURES.register("study")
def study(run: Run, photos: bool) -> dict[str, bytes]:  # noqa: FBT001  # one signature for all figures
    """Maps, the pixels chosen, and the photo without them; and how often the class flips."""
    protocol = run.plan.recipe.protocol
    files = {}
    for block in run.blocks:
        stem = f"{run.plan.recipe.name}-{block.dataset}-{plain(block.model)}"
        files[f"{stem}-flips"] = _flips(run, block)
        rows, names, heads = [], [], []
        for unit, found in _kept(run, block):
            heads = list(found)
            maps = {label: some[0].heatmap for label, some in found.items()}
            rows.append([viz.heatmap_image(one.numpy(), percentile=99.9) for one in maps.values()])
            explained = next(iter(found.values()))[0].goal
            names.append(f"{_photo(unit)}\n{explained.said()}\nmap")
            share = protocol.share if isinstance(protocol, PerturbationStudy) else 0.0
            masks = {label: top_mask(one, round(share * one.numel())).numpy() for label, one in maps.items()}
            rows.append(
                [Image.fromarray(np.where(mask, 0, 255).astype(np.uint8)).convert("RGB") for mask in masks.values()]
            )
            names.append("chosen pixels")
            if photos:
                rows.append([_erased(block, unit, mask) for mask in masks.values()])
                names.append("erased")
        if rows:
            image = viz.montage(rows[:ROWS], names[:ROWS], heads, title=title(run, block), cell=CELL, bar=ENDS)
            files[f"{stem}-maps"] = records.encoded(image)
    return files


def _erased(block: Block, unit: Unit, mask: NDArray[np.bool_]) -> Image.Image:
    seen = np.array(block.spec.preprocessing.image(unit.samples[0].image()))
    seen[mask] = 0
    return Image.fromarray(seen)


def _flips(run: Run, block: Block) -> bytes:
    metrics = [CATALOG[name].label for name in ("flip", "kept", "clustering")]
    figure, axes = blank(1, len(metrics), width=4.2, height=3.4)
    labels = [one.label for one in run.plan.recipe.methods if one.label not in block.left_out]
    frame = frame_of(run, block, "flip", "kept", "clustering")
    for axis, metric in zip(axes, metrics, strict=True):
        found = estimates(frame.design, [frame.cell(label, metric) for label in labels])
        values = [one.value for one in found]
        spread = [[one.value - one.low for one in found], [one.high - one.value for one in found]]
        axis.barh(labels, values, xerr=spread, color=style(0)["color"], error_kw={"elinewidth": 1})
        axis.set_title(metric, fontsize=10)
        axis.set_xlim(0, 1)
        axis.invert_yaxis()
    figure.suptitle(title(run, block), fontsize=10)
    return png(figure)


def plain(name: str) -> str:
    """A network's name as a part of a file's."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)
