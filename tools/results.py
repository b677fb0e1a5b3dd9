"""Put finished runs into docs/results: their tables as they are, their figures small.

    python tools/results.py RUNS

RUNS holds a folder per run, as ``equipoise reproduce ... --no-photos --output RUNS/NAME`` leaves it; without
``--no-photos`` the figures show photos of the data sets, which do not belong into the repository.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from outside_inside import section
from PIL import Image

from equipoise import records
from equipoise.experiments import RECIPES
from equipoise.experiments.recipes.recipe import describe_protocol

TARGET = Path(__file__).parents[1] / "docs" / "results"
CHECKS = TARGET / "checks.json"
"""Of each page one photo's numbers; ``tests/docs/test_results_pages.py`` measures them again."""

WIDEST, TALLEST = 1100, 1500  # pixels


def small(picture: Path) -> bytes:
    """The figure in its own colors, shrunk to fit."""
    image = Image.open(picture).convert("RGB")
    image.thumbnail((WIDEST, TALLEST), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def name(picture: Path) -> str:
    """The figure's name here: begins with its run's."""
    recipe = picture.parent.name.partition("-")[0]
    return f"{picture.parent.name}{picture.stem.removeprefix(recipe)}.png"


def again(record: Mapping[str, Any]) -> str:
    """The command that measures a run again, from what the run wrote of itself."""
    recipe = RECIPES[record["recipe"]]
    words = ["equipoise", "reproduce", recipe.name]
    datasets = list(dict.fromkeys(dataset for dataset, _ in record["pairs"]))
    models = list(dict.fromkeys(model for _, model in record["pairs"]))
    if datasets != list(dict.fromkeys(dataset for dataset, _ in recipe.pairs)):
        words += ["--dataset", ",".join(datasets)]
    if models != list(dict.fromkeys(model for _, model in recipe.pairs)):
        words += ["--model", ",".join(models)]
    measured, own = [one["label"] for one in record["methods"]], [one.label for one in recipe.methods]
    if measured != own:
        every = measured == [*own, *(one.label for one in recipe.more)]
        words += ["--method", "every" if every else ",".join(measured)]
    usual = json.loads(describe_protocol(recipe.protocol))
    for name, value in json.loads(record["protocol"]).items():
        if value != usual[name]:
            words += ["--option", f"{name}={str(value).lower() if isinstance(value, bool) else value}"]
    if record["limit"] is not None:
        words += ["--limit", str(record["limit"])]
    return " ".join(words if datasets == ["samples"] else [*words, "--no-photos"])  # those are free to be shown


def page(run: Path) -> str:
    """The run's table, what it was measured with, and its figures."""
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items() if version)
    figures = "\n\n".join(f"![{name(path)}]({name(path)})" for path in sorted(run.glob("*.png")))
    command = f"Made by `{again(record)}`."
    told = run / "measured.txt"  # of a run that went on with what another machine had begun
    where = told.read_text(encoding="utf-8").strip() if told.exists() else f"with {versions}, on {record['device']}"
    measured = f"Measured {where}. Protocol: `{record['protocol']}`."
    text = (run / "table.md").read_text(encoding="utf-8").rstrip()
    readings = section(run) if record["recipe"] == "table3" and any((run / "maps").iterdir()) else ""
    return "\n\n".join(part for part in (text, readings, figures, command, measured) if part) + "\n"


def check(run: Path) -> dict[str, Any]:
    """One photo of a run and what the first method gave on it, so that a test can measure it again."""
    import pyarrow.parquet as pq  # noqa: PLC0415  # the evaluation extra

    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    rows = pq.read_table(run / "rows.parquet").to_pylist()
    dataset, model = record["pairs"][0]
    known = [row for row in rows if (row["dataset"], row["model"]) == (dataset, model)]
    labels = [one["label"] for one in record["methods"]]
    label = "AE" if "AE" in labels else labels[0]
    unit = min(row["unit"] for row in known if row["method"] == label)
    fields = ("category", "cell", "metric", "step", "detail", "value")
    return {
        "recipe": record["recipe"],
        "protocol": record["protocol"],
        "dataset": dataset,
        "model": model,
        "method": label,
        "unit": unit,
        "fields": fields,
        "rows": [[row[name] for name in fields] for row in known if (row["method"], row["unit"]) == (label, unit)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    runs = sorted(path.parent for path in parser.parse_args().runs.glob("*/table.md"))
    TARGET.mkdir(parents=True, exist_ok=True)
    checks = json.loads(CHECKS.read_text(encoding="utf-8")) if CHECKS.exists() else {}
    for run in runs:
        checks[run.name] = check(run)
        records.write_atomically(TARGET / f"{run.name}.md", page(run).encode())
        for picture in sorted(run.glob("*.png")):
            records.write_atomically(TARGET / name(picture), small(picture))
        print(run.name)
    there = [name for name in sorted(checks) if (TARGET / f"{name}.md").exists()]
    lines = [f"{json.dumps(name)}: {json.dumps(checks[name])}" for name in there]
    records.write_atomically(CHECKS, ("{\n" + ",\n".join(lines) + "\n}\n").encode())


if __name__ == "__main__":
    main()
