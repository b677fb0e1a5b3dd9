"""docs/benchmarks.md from benchmarks/results/ae_cost.json: ``python benchmarks/render.py``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
UNIT = "gradient"

_HEAD = """<!-- made by benchmarks/render.py from benchmarks/results/ae_cost.json; do not edit -->
# What Attribution Equilibrium costs

In units of one forward and backward pass to the pixels of the same network, {size}x{size} pixels, float32,
random weights (seed {seed}): median of {rounds} interleaved rounds, quartiles in brackets. The method is in
`benchmarks/README.md`.

{cpu}, {cores} cores, {threads} torch threads; load {before} before, {after} after (the benchmark itself included);
Python {python}, {versions}.

"""


def page(data: Mapping[str, Any]) -> str:
    """The page as Markdown."""
    machine = data["machine"]
    head = _HEAD.format(
        size=data["size"],
        seed=data["seed"],
        rounds=data["rounds"],
        cpu=machine["cpu"],
        cores=machine["cores"],
        threads=machine["torch threads"],
        before=machine["load before"][0],
        after=machine["load after"][0],
        python=machine["python"],
        versions=", ".join(f"{name} {version}" for name, version in machine["versions"].items()),
    )
    cases = [(name, batch, result) for name, batches in data["models"].items() for batch, result in batches.items()]
    return head + "\n".join([*_times(cases), "", *_classes(cases), "", *_where(cases)]) + "\n"


def _times(cases: list[tuple[str, str, Mapping[str, Any]]]) -> list[str]:
    lines = [
        "## Time and memory",
        "",
        "| network | batch | method | units | seconds | peak memory, MiB |",
        "|---|---|---|---|---|---|",
    ]
    for name, batch, result in cases:
        subjects = [UNIT, *(subject for subject in result if subject not in (UNIT, "where", "further_class"))]
        for subject in sorted(subjects, key=lambda subject: "fails" in result[subject]):
            found = result[subject]
            if "fails" in found:
                lines.append(f"| {name} | {batch} | {subject} | does not run: {found['fails']} | | |")
                continue
            low, high = found["units"]["quartiles"]
            units = f"{found['units']['median']:.2f} [{low:.2f}, {high:.2f}]"
            lines.append(
                f"| {name} | {batch} | {subject} | {units} | {found['seconds']['median']:.3f} | {found['peak_mib']} |"
            )
    return lines


def _classes(cases: list[tuple[str, str, Mapping[str, Any]]]) -> list[str]:
    lines = [
        "## A further class of the same image",
        "",
        "Time of two classes less that of one, over that of one, within each round.",
        "",
        "| network | batch | one more / first |",
        "|---|---|---|",
    ]
    for name, batch, result in cases:
        more = result["further_class"]
        low, high = more["quartiles"]
        lines.append(f"| {name} | {batch} | {more['median']:.2f} [{low:.2f}, {high:.2f}] |")
    return lines


def _where(cases: list[tuple[str, str, Mapping[str, Any]]]) -> list[str]:
    lines = [
        "## Where AE's time goes",
        "",
        "Share of the CPU time; `weights` are convolutions and matrix products, the forward pass among them.",
        "",
        "| network | batch | weights | convolution calls | largest operations |",
        "|---|---|---|---|---|",
    ]
    for name, batch, result in cases:
        where = result["where"]
        largest = ", ".join(f"{op['name'].removeprefix('aten::')} {op['share']:.0%}" for op in where["operations"][:6])
        calls = where["convolution_calls"]
        lines.append(f"| {name} | {batch} | {where['share_of_weights']:.0%} | {calls} | {largest} |")
    return lines


if __name__ == "__main__":
    found = json.loads((HERE / "results" / "ae_cost.json").read_text())
    (HERE.parent / "docs" / "benchmarks.md").write_text(page(found))
