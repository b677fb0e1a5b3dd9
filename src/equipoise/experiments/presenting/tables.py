"""The numbers of a table as text: Markdown, LaTeX, CSV, JSON, and what fits into a terminal."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from equipoise.experiments.model.comparing import AGREES, DECIDABLE, DIFFERS, SIGNIFICANT, UNDECIDED
from equipoise.experiments.model.statistics import FEWEST
from equipoise.experiments.presenting.summary import blocks, reference_of

if TYPE_CHECKING:
    from equipoise.experiments.model.statistics import Estimate
    from equipoise.experiments.presenting.summary import TableNumber, TableRow
    from equipoise.experiments.recipes.recipe import Recipe

PAPER: Final = ("paper", "difference", "verdict")
"""What stands behind a column that has numbers of the paper."""

WIDTH: Final = 80
"""Of a terminal, in letters."""

_BETWEEN: Final = 3  # letters from a column to the next, as the terminal's tables are drawn


def head(lines: Sequence[TableRow]) -> list[str]:
    """The column heads that `cells` fills: columns that have numbers of the paper are followed by `PAPER`."""
    if not lines:
        return []
    with_paper = _published(lines)
    heads = ["method", *(["targets"] if _settings(lines) else []), "n"]
    for entry in lines[0].entries:
        heads += [entry.column, *PAPER] if entry.column in with_paper else [entry.column]
    return heads


def cells(lines: Sequence[TableRow], number: Callable[[TableNumber], str] | None = None) -> list[list[str]]:
    """The texts of a block of lines, one list per line, as many as `head` has.

    Args:
        lines: Of one data set and network.
        number: How an entry is written; default: `interval`.
    """
    number = number or interval
    with_paper, settings = _published(lines), _settings(lines)
    found = []
    for line in lines:
        texts = [line.label, *([line.setting] if settings else []), images(line)]
        for entry in line.entries:
            texts.append(number(entry))
            if entry.column in with_paper:
                texts.append("" if entry.paper is None else f"{entry.paper:z.3f}")
                texts.append("" if entry.difference is None else f"{entry.difference:+z.3f}")
                texts.append(entry.verdict or "")
        found.append(texts)
    return found


def images(line: TableRow) -> str:
    """Of how many images (or what else is sampled) a line's numbers are: one if it is the same for all, or several."""
    counts = line.images
    return str(counts[0]) if len(set(counts)) == 1 else ", ".join(map(str, counts))


def interval(entry: TableNumber) -> str:
    """An estimate with its interval, the best in bold letters of markdown."""
    text = plain(entry)
    value, space, rest = text.partition(" ")
    return f"**{value}**{space}{rest}" if entry.best else text


def plain(entry: TableNumber) -> str:
    """An estimate with its interval."""
    return "undefined" if math.isnan(entry.ours.value) else f"{entry.ours.value:z.3f}{_ends(entry.ours)}"


def _ends(found: Estimate, sign: str = "") -> str:
    """An interval behind its number; nothing if there is none."""
    if math.isnan(found.low) or math.isnan(found.high):
        return ""
    return f" [{found.low:{sign}z.3f}, {found.high:{sign}z.3f}]"


def markdown(
    recipe: Recipe,
    lines: Sequence[TableRow],
    notes: Sequence[str],
    photos: Mapping[tuple[str, str], int] | None = None,
) -> str:
    """The table as markdown: title, notes, then the tables of each data set and network.

    Args:
        recipe: Whose table it is.
        lines: The numbers.
        notes: What a reader has to know.
        photos: Of each data set and network, how many photos were measured, where that is known.
    """
    parts = [f"# {recipe.title}", "", *(f"- {note}" for note in notes), *([""] if notes else [])]
    for pair, block in blocks(lines).items():
        parts += [f"## {', '.join(pair)}", "", *(f"{one}" for one in legend(block, (photos or {}).get(pair))), ""]
        parts += [*_table(head(block), cells(block)), ""]
        if any(entry.to_reference for line in block for entry in line.entries):
            label = reference_of(recipe)
            parts += [f"### Difference to {label}", "", f"Method less {label} {how_compared(block)}", ""]
            parts += [*_table(*compared(block)), ""]
    return "\n".join(parts)


def how_compared(block: Sequence[TableRow]) -> str:
    """Goes on where the reference has been named."""
    sampled = _sampled(block)
    return (
        f"on the {sampled} and classes that both have numbers of, with paired bootstrap intervals; p by random flips "
        f"of signs over {sampled}, two-sided, Holm-corrected over the methods of a column."
    )


def legend(block: Sequence[TableRow], photos: int | None = None) -> list[str]:
    """What a reader has to know of a block's numbers, a sentence each."""
    counts = [count for line in block for count in line.images] or [0]
    most, sampled = max(counts), _sampled(block)
    found = [f"{photos} photos; "] if photos is not None else [f"{most} photos; "] if sampled == "images" else [""]
    found[0] += f"n: {sampled} behind a number, one per column where they differ"
    found[0] += f"; [low, high]: 95 % bootstrap intervals over {sampled}" if most >= FEWEST else "; no intervals"
    found[0] += f", none of fewer than {FEWEST}." if min(counts) < FEWEST <= most else "."
    if any(entry.best for line in block for entry in line.entries):
        found.append(f"Bold: not significantly worse than the best of the column (p >= {SIGNIFICANT}).")
    said = Counter(entry.verdict for line in block for entry in line.entries if entry.verdict)
    if said:
        found.append(
            f"Agrees: the interval holds the paper's number and is at most {DECIDABLE:g} wide; if it is wider or there "
            "is none, it cannot be decided."
        )
        found.append(
            f"Of {said.total()} numbers {said[AGREES]} agree with the paper's, {said[DIFFERS]} do not, and "
            f"{said[UNDECIDED]} cannot be decided."
        )
    elif _published(block):
        found.append("The paper's numbers are of another architecture: for orientation.")
    return found


def compared(block: Sequence[TableRow]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of the differences to the reference."""
    settings = _settings(block)
    heads = ["method", *(["targets"] if settings else []), *(entry.column for entry in block[0].entries)]
    rows = [
        [line.label, *([line.setting] if settings else []), *map(_compared, line.entries)]
        for line in block
        if any(entry.to_reference for entry in line.entries)
    ]
    return heads, rows


def _compared(entry: TableNumber) -> str:
    one = entry.to_reference
    if one is None or math.isnan(one.difference.value):
        return "undefined"
    p = "" if math.isnan(one.p) else ", p < 0.001" if one.p < 0.001 else f", p = {one.p:.3f}"
    return f"{one.difference.value:+z.3f}{_ends(one.difference, '+')}{p}"


def latex(recipe: Recipe, lines: Sequence[TableRow]) -> str:
    """The tables for a paper, with the rules of booktabs, one per data set and network."""
    parts = [f"% {recipe.title}; needs \\usepackage{{booktabs}}"]
    for pair, block in blocks(lines).items():
        heads, rows = head(block), cells(block)
        parts += [
            f"% {', '.join(pair)}: " + " ".join(legend(block)),
            f"\\begin{{tabular}}{{{'l' * len(heads)}}}",
            "\\toprule",
            _latex_line(heads),
            "\\midrule",
            *map(_latex_line, rows),
            "\\bottomrule",
            "\\end{tabular}",
            "",
        ]
    return "\n".join(parts)


def _latex_line(texts: Sequence[str]) -> str:
    return " & ".join(map(_latex, texts)) + r" \\"


def _latex(text: str) -> str:
    bold, stars, rest = text.removeprefix("**").partition("**") if text.startswith("**") else (text, "", "")
    escaped = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    escaped |= {letter: f"\\{letter}" for letter in "&%$#_{}"}
    bold, rest = ("".join(escaped.get(letter, letter) for letter in one) for one in (bold, rest))
    return rf"\textbf{{{bold}}}{rest}" if stars else bold


def as_csv(lines: Sequence[TableRow]) -> str:
    """The numbers as CSV, a line each, at full precision; empty where there is none."""
    found = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for line in lines:
        for entry in line.entries:
            values = _flat(line, entry)
            if writer is None:
                writer = csv.DictWriter(found, list(values), lineterminator="\n")
                writer.writeheader()
            writer.writerow({name: "" if _missing(value) else value for name, value in values.items()})
    return found.getvalue()


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _flat(line: TableRow, entry: TableNumber) -> dict[str, Any]:
    beside = entry.to_reference
    found: dict[str, Any] = {"dataset": line.dataset, "model": line.model, "method": line.label}
    found |= {"targets": line.setting, "column": entry.column, **asdict(entry.ours), "best": entry.best}
    found |= {"paper": entry.paper, "difference": entry.difference, "verdict": entry.verdict}
    names = ("value", "low", "high")
    return (
        found
        | {f"to_reference_{name}": None if beside is None else getattr(beside.difference, name) for name in names}
        | {"to_reference_p": None if beside is None else beside.p}
    )


def as_json(lines: Sequence[TableRow]) -> list[dict[str, Any]]:
    """The lines as JSON types."""
    return [
        {
            **{key: value for key, value in asdict(line).items() if key != "entries"},
            "entries": [
                asdict(entry) | {"difference": entry.difference, "verdict": entry.verdict} for entry in line.entries
            ],
        }
        for line in lines
    ]


def narrow(
    lines: Sequence[TableRow], width: int = WIDTH
) -> Iterator[tuple[tuple[str, str], list[str], list[list[str]]]]:
    """For a terminal: of each data set and network its names, heads and rows, in as many tables as the width asks for.

    Each begins with the method; a column's number is followed by the paper's. A single column may be wider.
    """
    for pair, block in blocks(lines).items():
        heads, rows = head(block), cells(block)
        shown = [place for place, name in enumerate(heads) if name not in PAPER[1:]]
        fixed = [place for place in shown if heads[place] in {"method", "targets"}]
        letters = [max(len(row[place].replace("**", "")) for row in [heads, *rows]) for place in range(len(heads))]
        sizes = [count + _BETWEEN for count in letters]
        room = width + _BETWEEN - sum(sizes[place] for place in fixed)  # after the last column there is no space
        for some in _lots([place for place in shown if place not in fixed], sizes, room):
            places = fixed + some
            yield pair, [heads[place] for place in places], [[row[place] for place in places] for row in rows]


def _lots(places: Sequence[int], sizes: Sequence[int], room: int) -> Iterator[list[int]]:
    """Places in lots that fit into the room, each at least one."""
    lot: list[int] = []
    for place in places:
        if lot and sum(sizes[one] for one in (*lot, place)) > room:
            yield lot
            lot = []
        lot.append(place)
    if lot:
        yield lot


def _published(lines: Sequence[TableRow]) -> set[str]:
    return {entry.column for line in lines for entry in line.entries if entry.paper is not None}


def _sampled(lines: Sequence[TableRow]) -> str:
    return lines[0].sampled if lines else "images"


def _settings(lines: Sequence[TableRow]) -> bool:
    return any(line.setting for line in lines)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [_line(heads), _line(["---"] * len(heads)), *map(_line, rows)]


def _line(texts: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"
