"""From rows to the paper's table: ours with an interval, the paper's, the difference."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from equipoise.experiments.model.statistics import Estimate, estimate

if TYPE_CHECKING:
    from equipoise.experiments.recipes.recipe import Column, Recipe


@dataclass(frozen=True)
class TableNumber:
    """One number of a table.

    Attributes:
        column: The column's label.
        ours: The estimate.
        paper: The paper's number; ``None`` if it has none.
        best: Whether no other method of the same network and data set does better.
    """

    column: str
    ours: Estimate
    paper: float | None
    best: bool = False

    @property
    def difference(self) -> float | None:
        """Ours less the paper's; ``None`` if either is missing."""
        if self.paper is None or math.isnan(self.ours.value):
            return None
        return self.ours.value - self.paper


@dataclass(frozen=True)
class TableRow:
    """One row of a table.

    Attributes:
        dataset: Name of the data set.
        model: Name of the network.
        label: The method.
        setting: Label of the setting, which may be empty.
        entries: One per column.
    """

    dataset: str
    model: str
    label: str
    setting: str
    entries: tuple[TableNumber, ...]


def summarize(
    recipe: Recipe, rows: Sequence[Mapping[str, Any]], pairs: Sequence[tuple[str, str]], *, seed: int = 0
) -> list[TableRow]:
    """The lines of a recipe's table, data set and network by data set and network.

    Args:
        recipe: Whose columns, settings and published numbers are used.
        rows: As in ``rows.parquet``.
        pairs: Data sets and networks, in the table's order.
        seed: Of the bootstrap.
    """
    chosen: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        chosen.setdefault((row["dataset"], row["model"], row["method"]), []).append(row)
    lines = []
    for dataset, model in pairs:
        block = [
            TableRow(
                dataset,
                model,
                method.label,
                setting.label,
                tuple(
                    TableNumber(
                        column.label,
                        _estimate(
                            chosen[dataset, model, method.label], {**setting.where, **column.where}, column, seed
                        ),
                        recipe.paper_value(dataset, model, method.label, setting.label, column.label),
                    )
                    for column in recipe.columns
                ),
            )
            for method in recipe.methods
            for setting in recipe.settings
            if (dataset, model, method.label) in chosen
        ]
        lines += _marked(recipe, block)
    return lines


def _estimate(rows: Sequence[Mapping[str, Any]], where: Mapping[str, Any], column: Column, seed: int) -> Estimate:
    fitting = [
        row
        for row in rows
        if row["metric"] == column.facts.label
        and (column.step is None or (row["step"] is not None and math.isclose(row["step"], column.step)))
        and all(row[key] == value for key, value in where.items())
    ]
    return estimate(
        [row["value"] for row in fitting],
        [row["category"] for row in fitting],
        [row["unit"] for row in fitting],
        statistic=column.statistic or column.facts.aggregation,
        seed=seed,
    )


def _marked(recipe: Recipe, block: list[TableRow]) -> list[TableRow]:
    """The same lines with the best of each column and setting marked."""
    best: dict[tuple[str, int], float] = {}
    for index, column in enumerate(recipe.columns):
        if column.higher_is_better is None:
            continue
        for line in block:
            value = line.entries[index].ours.value
            sign = 1.0 if column.higher_is_better else -1.0
            key = line.setting, index
            if not math.isnan(value) and sign * value > sign * best.get(key, -sign * math.inf):
                best[key] = value
    return [
        TableRow(
            line.dataset,
            line.model,
            line.label,
            line.setting,
            tuple(
                TableNumber(entry.column, entry.ours, entry.paper, best.get((line.setting, index)) == entry.ours.value)
                for index, entry in enumerate(line.entries)
            ),
        )
        for line in block
    ]


def head(lines: Sequence[TableRow]) -> list[str]:
    """The column heads that `cells` fills: columns that have numbers of the paper take three."""
    if not lines:
        return []
    with_paper = _published(lines)
    heads = ["method", *(["targets"] if any(line.setting for line in lines) else [])]
    for entry in lines[0].entries:
        heads += [entry.column, "paper", "difference"] if entry.column in with_paper else [entry.column]
    return heads


def cells(lines: Sequence[TableRow], number: Callable[[TableNumber], str] | None = None) -> list[list[str]]:
    """The texts of a block of lines, one list per line, as many as `head` has.

    Args:
        lines: Of one data set and network.
        number: How an entry is written; default: `interval`.
    """
    number = number or interval
    with_paper = _published(lines)
    settings = any(line.setting for line in lines)
    found = []
    for line in lines:
        texts = [line.label, *([line.setting] if settings else [])]
        for entry in line.entries:
            texts.append(number(entry))
            if entry.column in with_paper:
                texts.append("" if entry.paper is None else f"{entry.paper:.3f}")
                texts.append("" if entry.difference is None else f"{entry.difference:+.3f}")
        found.append(texts)
    return found


def interval(entry: TableNumber) -> str:
    """An estimate with its interval, the best in bold letters of markdown."""
    ours = entry.ours
    if math.isnan(ours.value):
        return "undefined"
    value = f"**{ours.value:.3f}**" if entry.best else f"{ours.value:.3f}"
    return f"{value} [{ours.low:.3f}, {ours.high:.3f}]"


def short(entry: TableNumber) -> str:
    """An estimate with half the width of its interval, for narrow places; the best in bold as in `interval`."""
    ours = entry.ours
    if math.isnan(ours.value):
        return "undefined"
    value = f"**{ours.value:.3f}**" if entry.best else f"{ours.value:.3f}"
    return f"{value} ± {(ours.high - ours.low) / 2:.3f}"


def blocks(lines: Sequence[TableRow]) -> dict[tuple[str, str], list[TableRow]]:
    """The lines by data set and network."""
    found: dict[tuple[str, str], list[TableRow]] = {}
    for line in lines:
        found.setdefault((line.dataset, line.model), []).append(line)
    return found


def narrow(lines: Sequence[TableRow]) -> Iterator[tuple[tuple[str, str], list[str], list[list[str]]]]:
    """For a terminal: of each data set and network its names, the column heads, and the rows in `short` numbers."""
    for pair, block in blocks(lines).items():
        yield pair, head(block), cells(block, short)


def markdown(recipe: Recipe, lines: Sequence[TableRow], notes: Sequence[str]) -> str:
    """The table as markdown: title, notes, then one table per data set and network."""
    parts = [f"# {recipe.title}", "", *(f"- {note}" for note in notes), *([""] if notes else [])]
    for (dataset, model), block in blocks(lines).items():
        counts = {entry.ours.rows + entry.ours.undefined for line in block for entry in line.entries} or {0}
        parts += [f"## {dataset}, {model}", ""]
        parts += [f"Rows per number: {min(counts)} to {max(counts)}; 95 % bootstrap intervals over images.", ""]
        heads = head(block)
        parts += [_line(heads), _line(["---"] * len(heads)), *map(_line, cells(block)), ""]
    return "\n".join(parts)


def as_json(lines: Sequence[TableRow]) -> list[dict[str, Any]]:
    """The lines as JSON types."""
    return [
        {
            **{key: value for key, value in asdict(line).items() if key != "entries"},
            "entries": [asdict(entry) | {"difference": entry.difference} for entry in line.entries],
        }
        for line in lines
    ]


def _published(lines: Sequence[TableRow]) -> set[str]:
    return {entry.column for line in lines for entry in line.entries if entry.paper is not None}


def _line(texts: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"
