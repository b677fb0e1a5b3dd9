"""What a run leaves for people: the table as markdown and as a page, its numbers as JSON, the figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise import records
from equipoise.experiments.presenting import tables
from equipoise.experiments.presenting.page import page
from equipoise.report import render

if TYPE_CHECKING:
    from pathlib import Path

    from equipoise.experiments.presenting.tables import TableRow
    from equipoise.experiments.running.runner import Run


def write(run: Run, *, photos: bool = True) -> tuple[list[TableRow], list[Path]]:
    """Write ``table.md``, ``table.json``, ``table.html`` and the figures into the run's folder.

    The page holds the tables, the figures, and a gallery of the kept maps of single photos.

    Args:
        run: A finished run.
        photos: Whether figures and gallery may show the photos; without, the maps alone.

    Returns:
        The table's lines, and the files.
    """
    recipe = run.plan.recipe
    pairs = [(block.dataset, block.model) for block in run.blocks]
    lines = tables.summarize(recipe, run.rows, pairs)
    folder = run.store.folder
    notes = [
        *run.notes,
        *(
            f"{label} could not be run on {block.model}: {why}"
            for block in run.blocks
            for label, why in block.left_out.items()
        ),
    ]
    contents = {
        "table.md": tables.markdown(recipe, lines, notes).encode(),
        "table.json": (records.to_json(tables.as_json(lines)) + "\n").encode(),
    }
    figures: dict[str, bytes] = {}
    if recipe.figure is not None and run.rows:
        from equipoise.experiments.presenting.figures import FIGURES  # noqa: PLC0415  # matplotlib takes time to load

        figures = FIGURES[recipe.figure](run, photos)
        contents |= {f"{name}.png": data for name, data in figures.items()}
    contents["table.html"] = render(page(run, lines, notes, figures, photos=photos)).encode()
    return lines, [records.write_atomically(folder / name, data) for name, data in contents.items()]
