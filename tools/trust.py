"""Which method can be trusted, from the tables of docs/results: scenes, planted, DiFull."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import result_tables
from method_pages import documented
from result_tables import number

from equipoise.experiments.recipes.scenes import EVERY

RESULTS: Final = Path(__file__).parents[1] / "docs" / "results"

Table = Mapping[str, Mapping[str, float]]
"""Column to method to number."""

QUESTIONS: Final = {
    "mass": ("Does its positive relevance lie on the cause?", True),
    "rank": ("Do its highest pixels?", True),
    "sign": ("Is the sum over the cause positive?", True),
    "sign of others": ("Has the sum over other objects the sign of what they do?", True),
    "unused mark": ("Does it leave a watermark alone that the network does not use?", False),
    "shortcut": ("Does it show a watermark that decides?", True),
}
"""Column of scenes to what it asks, and whether more is better."""


def tables(page: str) -> dict[str, Table]:
    """Network to its numbers."""
    text = (RESULTS / f"{page}.md").read_text(encoding="utf-8")
    return {
        network: {head: {row[0]: number(row[place]) for row in rows} for place, head in enumerate(heads) if place}
        for network, heads, rows in result_tables.tables(text)
    }


def means(page: str = "scenes") -> Table:
    """Over the networks that a column is defined for."""
    every = list(tables(page).values())
    found: dict[str, dict[str, float]] = {}
    for column in QUESTIONS:
        found[column] = {}
        for method in every[0][column]:
            known = [one[column][method] for one in every if not math.isnan(one[column].get(method, math.nan))]
            if known:
                found[column][method] = sum(known) / len(known)
    return found


ALMOST_ALL: Final = 0.8
"""Of the methods that any network has: a network counts that was asked by so many, so that means are over the same."""


def over_networks(kind: str, column: str) -> Mapping[str, float]:
    """Of each method the mean over the networks that almost all methods were measured on, of each by most images."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for page in sorted(RESULTS.glob(f"{kind}*.md")):
        for network, one in tables(page.stem).items():
            known = found.setdefault(network, {})
            for method, value in one[column].items():
                if not math.isnan(value) and one["n"][method] > known.get(method, (0.0, value))[0]:
                    known[method] = one["n"][method], value
    most = max(map(len, found.values()), default=0)
    counted = [known for known in found.values() if len(known) >= ALMOST_ALL * most]
    methods = dict.fromkeys(method for known in counted for method in known)
    each = {method: [known[method][1] for known in counted if method in known] for method in methods}
    return {method: sum(values) / len(values) for method, values in each.items()}


def _link(label: str) -> str:
    one = next((one for one in EVERY if one.label == label), None)
    return label if one is None or one.method not in documented() else f"[{label}](methods/{one.method}.md)"


def trust_table() -> str:
    """A row for each method: means over networks for scenes, then planted and DiFull where they are known."""
    of_scenes = means()
    planted, difull = over_networks("planted", "energy"), over_networks("difull", "outside share")
    heads = ["method", *QUESTIONS, "planted", "outside in DiFull"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    order = sorted(of_scenes["mass"], key=lambda label: -of_scenes["mass"][label])
    for label in order:
        cells = [_cell(of_scenes[column].get(label)) for column in QUESTIONS]
        lines.append(
            f"| {_link(label)} | {' | '.join([*cells, _cell(planted.get(label)), _cell(difull.get(label))])} |"
        )
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.2f}"


def first() -> str:
    """Of each question the three best, and where Attribution Equilibrium comes."""
    lines = []
    for column, (question, more) in QUESTIONS.items():
        numbers = {label: value for label, value in means()[column].items() if label != "Random"}
        order = sorted(
            numbers, key=lambda label, numbers=numbers, more=more: -numbers[label] if more else numbers[label]
        )
        ties = [label for label in order if round(numbers[label], 2) == round(numbers[order[0]], 2)]
        best = ", ".join(f"{_link(label)} {numbers[label]:.2f}" for label in order[:3])
        if len(ties) > 3:
            best = f"{len(ties)} methods {numbers[order[0]]:.2f}"
        places = " and ".join(
            f"{label} {numbers[label]:.2f} is number {order.index(label) + 1}" for label in ("AE", "AE fine")
        )
        lines.append(f"- **{question}** ({column}) {best}. Of {len(order)}, {places}.")
    return "\n".join(lines)
