"""docs/metrics.md: its tables are what the code says and does, its example runs."""

import contextlib
import io
import math
import re
from pathlib import Path

import pytest
import torch

import equipoise.metrics as m
from equipoise.metrics import CATALOG, METRICS

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()

EDGES = {
    "pointing_hit": m.pointing_hit,
    "energy_pointing": m.energy_pointing,
    "outside_inside_ratio": m.outside_inside_ratio,
    'outside_inside_ratio, "positive"': lambda heat, mask: m.outside_inside_ratio(heat, mask, normalization="positive"),
    "positive_ratio": lambda heat, *_: m.positive_ratio(heat),
    "grid_pointing": lambda heat, *_: m.grid_pointing(heat, 2, torch.tensor([0])),
    "pixel_average_precision": m.pixel_average_precision,
    'pixel_average_precision, "two_channel"': lambda heat, mask: m.pixel_average_precision(heat, mask, "two_channel"),
    "pixel_accuracy": m.pixel_accuracy,
    "intersection_over_union": m.intersection_over_union,
    "f1": m.f1,
    "rank_correlation": lambda heat, *_: m.rank_correlation(heat, spread()),
    "structural_similarity": lambda heat, *_: m.structural_similarity(heat, spread()),
    "hog_correlation": lambda heat, *_: m.hog_correlation(heat, spread()),
}


def spread():
    """A map that is positive in the upper half, and falls everywhere."""
    return torch.linspace(1, -1, 64 * 64).reshape(1, 64, 64)


def edges():
    """Values on an upper left quarter as object, where one thing is out of the ordinary."""
    mask = torch.zeros(1, 64, 64, dtype=torch.bool)
    mask[0, :32, :32] = True
    broken = spread()
    broken[0, 9, 9] = math.nan
    cases = [
        (torch.zeros(1, 64, 64), mask),
        (broken, mask),
        (spread(), torch.zeros_like(mask)),
        (spread(), torch.ones_like(mask)),
    ]
    yield "| | map of zeros | map with a NaN | empty mask | full mask |"
    yield "|---|---|---|---|---|"
    for name, function in EDGES.items():
        values = [function(*case).item() for case in cases]
        yield f"| `{name}` | " + " | ".join("NaN" if math.isnan(value) else f"{value:.3g}" for value in values) + " |"


def catalog():
    yield "| name | class | what it says | range | better | a map is left out when |"
    yield "|---|---|---|---|---|---|"
    words = {True: "higher", False: "lower", None: "neither"}
    for name, kind in sorted(METRICS.items()):
        low, high = (f"{end:g}" for end in kind.range)
        row = [
            f"`{name}`",
            f"`{kind.__name__}`",
            kind.summary,
            f"{low} to {high}",
            words[kind.higher_is_better],
            kind.undefined,
        ]
        yield "| " + " | ".join(row) + " |"


def others():
    yield "| name | label | what it says | better |"
    yield "|---|---|---|---|"
    words = {True: "higher", False: "lower", None: "neither"}
    for name, facts in CATALOG.items():
        if name not in METRICS:
            yield f"| `{name}` | {facts.label} | {facts.summary} | {words[facts.higher_is_better]} |"


@pytest.mark.parametrize("table", [catalog, others, edges])
def test_the_tables_are_up_to_date(table):
    expected = "\n".join(table())
    assert expected in PAGE, f"docs/metrics.md wants:\n{expected}"


def test_the_example_runs_and_prints_what_it_says():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (said,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "metrics.md", "exec"), {})  # noqa: S102  # that is the test
    assert printed.getvalue() == said


WORDS = {"two_channel", "min_max", "undefined_count", "per_class", "nan_to_num", "reset_parameters"}
"""On the page, but not names of this package."""


def test_every_name_on_the_page_exists():
    for name in {*re.findall(r"`([a-z]+_[a-z_]+)[`(]", PAGE)}:
        assert hasattr(m, name) or name in CATALOG or name in m.ORDERS or name in WORDS, name
