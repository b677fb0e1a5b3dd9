"""Render what makes maps smooth, benchmarks/results/blur/*.json, into docs/method.md.

python tools/blur_page.py
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "method.md"
RESULTS = ROOT / "benchmarks" / "results" / "blur"
BASE = "paper"
MANY = 60  # photos from which a run is a comparison; with fewer it is a first look
METRICS = ("detail", "positive ratio", "pattern 8", "insertion 5%", "insertion 5%, blur", "GridPG")
DRAWS = 2000


@dataclass(frozen=True)
class Measured:
    """One network in one run.

    Attributes:
        network: Its name.
        rows: Variant to metric to values, photo by photo.
        apart: Whether its photos had no part in choosing the profile.
    """

    network: str
    rows: dict[str, dict[str, list[float]]]
    apart: bool


def runs() -> Iterator[Measured]:
    """What was measured."""
    for path in sorted(RESULTS.glob("*.json")):
        found = json.loads(path.read_text())
        for network, rows in found["results"].items():
            yield Measured(network, rows, "after" in found["settings"])


def photos(rows: dict[str, Any]) -> int:
    """How many photos every variant of a run has."""
    return min(len(row["detail"]) for row in rows.values())


def differences(row: dict[str, list[float]], base: dict[str, list[float]], metric: str) -> list[float]:
    """Photo by photo, where both are defined."""
    pairs = zip(row[metric], base[metric], strict=False)
    return [a - b for a, b in pairs if not math.isnan(a - b)]


def mean(values: Sequence[float]) -> float:
    """NaN of nothing, and of what is not defined is left out."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def draws(count: int) -> Iterator[list[int]]:
    """Which photos are drawn, with replacement: the same for all that is measured of them."""
    dice = random.Random(0)  # noqa: S311  # no secret
    return (dice.choices(range(count), k=count) for _ in range(DRAWS))


def middle(found: Iterator[float]) -> tuple[float, float]:
    """What 95 % of the draws lie between."""
    ordered = sorted(found)
    return ordered[int(0.025 * DRAWS)], ordered[int(0.975 * DRAWS) - 1]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Of the mean."""
    return middle(mean([values[one] for one in draw]) for draw in draws(len(values)))


def ratio_interval(values: Sequence[float], base: Sequence[float]) -> tuple[float, float]:
    """Of the ratio of means, photo by photo."""
    both = ((mean([values[one] for one in draw]), mean([base[one] for one in draw])) for draw in draws(len(values)))
    return middle(over / under for over, under in both)


def row_of(row: dict[str, list[float]], base: dict[str, list[float]], *, spread: bool) -> list[str]:
    """Cells of a variant: detail and pattern in times, the others as differences, with intervals or without."""
    cells = []
    for key in METRICS:
        if key in {"detail", "pattern 8"}:
            text = f"{mean(row[key]) / mean(base[key]):.2f}"
            ends = [f"{end:.2f}" for end in ratio_interval(row[key], base[key])] if spread else []
        else:
            pairs = differences(row, base, key)
            text, ends = f"{mean(pairs):+.3f}", [f"{end:+.3f}" for end in interval(pairs)] if spread else []
        cells.append(f"{text} [{', '.join(ends)}]" if ends else text)
    return [*cells, str(len(row["detail"]))]


HEADS = ("network", "changed", "detail, times", "positive ratio", "pattern, times", "insertion", "on blur", "GridPG")


def ablation(*, many: bool) -> Iterator[str]:
    """What changes by changing one thing; with ``many`` photos with intervals, else what was looked at first."""
    yield "| " + " | ".join((*HEADS, "photos")) + " |"
    yield "|" + "---|" * (len(HEADS) + 1)
    every = sorted(runs(), key=lambda run: (run.network, -photos(run.rows)))
    known = {(run.network, variant) for run in every if photos(run.rows) >= MANY for variant in run.rows}
    seen = set() if many else known
    for run in every:
        if set(run.rows) <= {BASE, "fine"} or (photos(run.rows) >= MANY) is not many:
            continue
        for variant, row in run.rows.items():
            if variant == BASE or (run.network, variant) in seen:
                continue
            seen.add((run.network, variant))
            if row in list(run.rows.values())[: list(run.rows).index(variant)]:
                continue  # the same rule by another name
            name = f"`{variant}`" if variant in {"fine", "reference"} else variant.replace("|", "\\|")
            cells = [run.network, name]
            yield "| " + " | ".join(cells + row_of(row, run.rows[BASE], spread=many)) + " |"


def comparison() -> Iterator[str]:
    """The profile on many photos: both means, and the difference with its interval; of insertion, on all too."""
    yield "| network | photos | metric | `paper` | `fine` | difference | n |"
    yield "|---|---|---|---|---|---|---|"
    pairs = [run for run in runs() if photos(run.rows) >= MANY and set(run.rows) == {BASE, "fine"}]
    for network in dict.fromkeys(run.network for run in pairs):
        own = [run for run in pairs if run.network == network]
        for run in own:
            which = "held out" if run.apart else "development"
            yield from (_compared(network, which, metric, run.rows) for metric in METRICS)
        if len(own) == 1:
            continue
        every = {
            name: {key: [value for run in own for value in run.rows[name][key]] for key in METRICS}
            for name in (BASE, "fine")
        }
        yield from (_compared(network, "all", metric, every) for metric in METRICS if metric.startswith("insertion"))


def _compared(network: str, which: str, metric: str, rows: dict[str, dict[str, list[float]]]) -> str:
    found = differences(rows["fine"], rows[BASE], metric)
    low, high = interval(found)
    base, fine = (mean(rows[name][metric][: len(rows["fine"][metric])]) for name in (BASE, "fine"))
    gap = f"{mean(found):+.4f} [{low:+.4f}, {high:+.4f}]"
    return f"| {network} | {which} | {metric} | {base:.3f} | {fine:.3f} | {gap} | {len(found)} |"


def render(page: str) -> str:
    """The page with its tables."""
    tables = {
        "ablation": ablation(many=True),
        "looks": ablation(many=False),
        "comparison": comparison(),
    }
    for name, table in tables.items():
        head, _, rest = page.partition(f"<!-- blur {name} -->")
        _, end, after = rest.partition("<!-- end -->")
        if not end:
            raise SystemExit(f"{PAGE} has no place for the table {name}")
        text = "\n".join(table)
        page = f"{head}<!-- blur {name} -->\n\n{text}\n\n{end}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text()))
