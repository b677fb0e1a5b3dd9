"""Render what makes maps smooth, benchmarks/results/blur/*.json, into docs/method.md.

python tools/blur_page.py
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "method.md"
RESULTS = ROOT / "benchmarks" / "results" / "blur"
BASE = "paper"
MANY = 60  # photos from which a run is a comparison; with fewer it is a first look
METRICS = ("detail", "positive ratio", "pattern 8", "insertion 5%", "insertion 5%, blur", "GridPG")
DRAWS = 2000


def runs() -> Iterator[tuple[str, dict[str, dict[str, list[float]]]]]:
    """Each network that a run measured, and its rows: variant to metric to values, photo by photo."""
    for path in sorted(RESULTS.glob("*.json")):
        yield from json.loads(path.read_text())["results"].items()


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


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % of the means of draws with replacement."""
    dice = random.Random(0)  # noqa: S311  # no secret
    means = sorted(mean(dice.choices(values, k=len(values))) for _ in range(DRAWS))
    return means[int(0.025 * DRAWS)], means[int(0.975 * DRAWS) - 1]


def looks() -> Iterator[str]:
    """First looks: what changes by changing one thing, on the same few photos."""
    heads = ("network", "changed", "detail, times", "positive ratio", "pattern, times", "insertion", "on blur")
    yield "| " + " | ".join((*heads, "GridPG", "photos")) + " |"
    yield "|---|---|---|---|---|---|---|---|---|"
    seen = set()
    for network, rows in sorted(runs(), key=lambda run: (run[0], -photos(run[1]))):
        if photos(rows) >= MANY:
            continue
        for variant, row in rows.items():
            if variant == BASE or (network, variant) in seen:
                continue
            seen.add((network, variant))
            base = rows[BASE]
            times = [f"{mean(row[key]) / mean(base[key]):.2f}" for key in ("detail", "pattern 8")]
            less = [
                f"{mean(differences(row, base, key)):+.3f}"
                for key in ("positive ratio", "insertion 5%", "insertion 5%, blur", "GridPG")
            ]
            cells = [network, variant, times[0], less[0], times[1], *less[1:], str(len(row["detail"]))]
            yield "| " + " | ".join(cells) + " |"


def comparison() -> Iterator[str]:
    """The profile on many photos: both means, and the difference with its interval."""
    yield "| network | metric | `paper` | `fine` | difference | n |"
    yield "|---|---|---|---|---|---|"
    for network, rows in runs():
        if photos(rows) < MANY:
            continue
        for metric in METRICS:
            pairs = differences(rows["fine"], rows[BASE], metric)
            low, high = interval(pairs)
            count = len(pairs)
            base, fine = (mean(rows[name][metric][: len(rows["fine"][metric])]) for name in (BASE, "fine"))
            gap = f"{mean(pairs):+.4f} [{low:+.4f}, {high:+.4f}]"
            yield f"| {network} | {metric} | {base:.3f} | {fine:.3f} | {gap} | {count} |"


def render(page: str) -> str:
    """The page with its tables."""
    for name, table in (("looks", looks), ("comparison", comparison)):
        text = "\n".join(table())
        page, count = re.subn(
            f"<!-- blur {name} -->.*?<!-- end -->",
            lambda _match, name=name, text=text: f"<!-- blur {name} -->\n\n{text}\n\n<!-- end -->",
            page,
            flags=re.DOTALL,
        )
        if count != 1:
            raise SystemExit(f"{PAGE} has {count} places for the table {name}")
    return page


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text()))
