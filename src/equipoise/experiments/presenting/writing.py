"""What a run leaves for people: the table in five forms, the figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise import records
from equipoise.experiments.presenting import tables
from equipoise.experiments.presenting.page import page, photos_of
from equipoise.experiments.presenting.summary import clusters_of, ranked, summarize
from equipoise.report import render

if TYPE_CHECKING:
    from pathlib import Path

    from equipoise.experiments.presenting.summary import TableRow
    from equipoise.experiments.running.runner import Run


def write(run: Run, *, photos: bool = True) -> tuple[list[TableRow], list[Path]]:
    """Write ``table.md``, ``.tex``, ``.csv``, ``.json`` and ``.html`` and the figures into the run's folder.

    The page holds the tables, the figures, and a gallery of the kept maps of single photos. Where there are several
    networks or data sets, a figure shows the methods' average ranks over them.

    Args:
        run: A finished run.
        photos: Whether figures and gallery may show the photos; without, the maps alone.

    Returns:
        The table's lines, and the files.
    """
    recipe = run.plan.recipe
    pairs = [(block.dataset, block.model) for block in run.blocks]
    lines = summarize(recipe, run.rows, pairs, clusters=clusters_of(run))
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
        "table.md": tables.markdown(recipe, lines, notes, photos_of(run)).encode(),
        "table.tex": tables.latex(recipe, lines).encode(),
        "table.csv": tables.as_csv(lines).encode(),
        "table.json": (records.to_json(tables.as_json(lines)) + "\n").encode(),
    }
    figures: dict[str, bytes] = {}
    if recipe.figure is not None and run.rows:
        from equipoise.experiments.presenting.figures import FIGURES  # noqa: PLC0415  # matplotlib takes time to load

        figures = FIGURES[recipe.figure](run, photos)
    if ranks := ranked(recipe, lines):
        from equipoise.experiments.presenting.figures.ranks import critical_differences  # noqa: PLC0415  # as above

        figures = {**figures, f"{recipe.name}-ranks": critical_differences(ranks)}
    contents |= {f"{name}.png": data for name, data in figures.items()}
    contents["table.html"] = render(page(run, lines, notes, figures, photos=photos)).encode()
    return lines, [records.write_atomically(folder / name, data) for name, data in contents.items()]
