"""A run as one HTML page: tables that can be sorted, figures, and the kept maps to look through."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from equipoise import report
from equipoise.experiments.presenting import tables
from equipoise.experiments.presenting.summary import blocks, reference_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from equipoise.experiments.model.rows import KeptMap
    from equipoise.experiments.presenting.summary import TableNumber, TableRow
    from equipoise.experiments.protocols.base import Unit
    from equipoise.experiments.running.runner import Block, Run


def page(
    run: Run, lines: Sequence[TableRow], notes: Sequence[str], figures: Mapping[str, bytes], *, photos: bool
) -> report.Report:
    """A finished run as a report.

    Args:
        run: The run.
        lines: Of its table.
        notes: What a reader has to know.
        figures: PNG files by name.
        photos: Whether the gallery may show the photos; without, it shows the maps alone.
    """
    photographed = photos_of(run)
    return report.Report(
        title=run.plan.recipe.title,
        notes=tuple(notes),
        tables=tuple(
            table
            for pair, block in blocks(lines).items()
            for table in _tables(pair, block, reference_of(run.plan.recipe), photographed[pair])
        ),
        figures=tuple(report.Figure(report.compact(data), name) for name, data in figures.items()),
        pictures=_gallery(run, photos=photos),
        record=_record(run),
    )


def _tables(
    pair: tuple[str, str], block: Sequence[TableRow], reference: str | None, photos: int
) -> Iterator[report.Table]:
    """The numbers of a network before a data set, and their differences to the reference."""
    heads = tables.head(block)
    rows = []
    for line, texts in zip(block, tables.cells(block, _value), strict=True):
        numbers = iter(line.entries)
        cells = []
        for head, text in zip(heads, texts, strict=True):
            if head in {"paper", "difference"}:
                cells.append(report.Cell(text, float(text) if text else None))
            elif head in {"method", "targets", "n", "verdict"}:
                cells.append(report.Cell(text))
            else:
                cells.append(_cell(next(numbers), text))
        rows.append(tuple(cells))
    name = ", ".join(pair)
    yield report.Table(tuple(heads), tuple(rows), f"{name}: {' '.join(tables.legend(block, photos))}")
    if any(entry.to_reference for line in block for entry in line.entries):
        heads, found = tables.compared(block)
        beside = tuple(tuple(map(report.Cell, texts)) for texts in found)
        yield report.Table(tuple(heads), beside, f"{name}: method less {reference} {tables.how_compared(block)}")


def photos_of(run: Run) -> dict[tuple[str, str], int]:
    """How many photos each data set and network were measured on; a unit may be of several."""
    found = {}
    for block in run.blocks:
        photos = {sample.key for unit in block.units for sample in unit.samples}
        found[block.dataset, block.model] = len(photos)
    return found


def _value(entry: TableNumber) -> str:
    return "undefined" if math.isnan(entry.ours.value) else f"{entry.ours.value:z.3f}"


def _cell(entry: TableNumber, text: str) -> report.Cell:
    ours = entry.ours
    if math.isnan(ours.value):
        return report.Cell(text)
    interval = None if math.isnan(ours.low) or math.isnan(ours.high) else (ours.low, ours.high)
    return report.Cell(text, ours.value, interval, entry.best)


def _gallery(run: Run, *, photos: bool) -> tuple[report.Picture, ...]:
    """The kept maps; those of several photos at once, such as grids, are in the figures alone."""
    from equipoise.experiments.presenting.figures.pictures import maps_of  # noqa: PLC0415  # matplotlib takes time to load

    found = [
        (block, unit, label, one)
        for block in run.blocks
        for unit in block.units
        if len(unit.samples) == 1
        for label, maps in maps_of(run, block, unit).items()
        for one in maps
    ]
    limit = report.byte_limit(len(found))
    return tuple(_picture(*one, limit=limit, photos=photos) for one in found)


def _picture(block: Block, unit: Unit, label: str, one: KeptMap, *, limit: int, photos: bool) -> report.Picture:
    from equipoise.experiments.presenting.figures.base import picture  # noqa: PLC0415  # as above

    image = report.thumbnail(picture(one.heatmap, block, unit, photos=photos), limit)
    tags = {"class": one.goal.name, "method": label, "model": block.model, "data set": block.dataset}
    if one.detail:
        tags["stage"] = one.detail
    said = {**tags, "class": one.goal.said()}
    caption = ", ".join([unit.key, *said.values()])
    record = {"unit": unit.key, **tags, "key": block.keys[unit.key, label]}
    return report.Picture(image, caption, tags, record)


def _record(run: Run) -> dict[str, Any]:
    """What the run wrote of itself."""
    found: dict[str, Any] = json.loads((run.store.folder / "run.json").read_text(encoding="utf-8"))
    return found
