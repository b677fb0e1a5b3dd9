"""Put finished runs into docs/results: their tables as they are, their figures small.

Curves and bars stay PNG. A figure of many photos or maps takes a megabyte or two as PNG: it becomes a JPEG with all of
its color (no chroma subsampling), so that red and blue keep their edges.

    python tools/results.py RUNS

RUNS holds a folder per run, as ``equipoise reproduce ... --no-photos --output RUNS/NAME`` leaves it; without
``--no-photos`` the figures show photos of the data sets, which do not belong into the repository.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Iterable, Mapping
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

WIDEST, TALLEST = 1100, 2400  # pixels
LARGE = 600_000
"""A PNG of more bytes becomes a JPEG."""


def small(picture: Path) -> tuple[str, bytes]:
    """The figure in its own colors, shrunk to fit: the ending of its name, and the file."""
    image = Image.open(picture).convert("RGB")
    image.thumbnail((WIDEST, TALLEST), Image.Resampling.LANCZOS)
    kinds: list[tuple[str, dict[str, Any]]] = [("png", {"optimize": True})]
    kinds += [("jpg", {"quality": quality, "subsampling": 0}) for quality in (90, 80)]
    for ending, options in kinds:
        buffer = io.BytesIO()
        image.save(buffer, Image.registered_extensions()[f".{ending}"], **options)
        if len(buffer.getvalue()) <= LARGE:
            break
    return ending, buffer.getvalue()


def figures(run: Path) -> dict[str, bytes]:
    """The run's figures by the names that they have here, which begin with the run's."""
    recipe, found = run.name.partition("-")[0], {}
    for picture in sorted(run.glob("*.png")):
        ending, content = small(picture)
        found[f"{run.name}{picture.stem.removeprefix(recipe)}.{ending}"] = content
    return found


def put(run: Path, into: Path) -> None:
    """Write the run's page and figures; a figure that was of another kind before is gone."""
    pictures = figures(run)
    for name, content in pictures.items():
        records.write_atomically(into / name, content)
        for other in {"png", "jpg"} - {name.rpartition(".")[2]}:
            (into / name).with_suffix(f".{other}").unlink(missing_ok=True)
    records.write_atomically(into / f"{run.name}.md", page(run, pictures).encode())


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


def page(run: Path, pictures: Iterable[str]) -> str:
    """The run's table, what it was measured with, and its figures by their names."""
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items() if version)
    shown = "\n\n".join(f"![{name}]({name})" for name in pictures)
    command = f"Made by `{again(record)}`."
    told = run / "measured.txt"  # of a run that went on with what another machine had begun
    device = "the CPU" if record["device"] == "cpu" else f"one {record['device']}"
    where = told.read_text(encoding="utf-8").strip() if told.exists() else f"with {versions}, on {device}"
    measured = f"Measured {where}. Protocol: `{record['protocol']}`."
    text = (run / "table.md").read_text(encoding="utf-8").rstrip()
    readings = section(run) if record["recipe"] == "table3" and any((run / "maps").iterdir()) else ""
    return "\n\n".join(part for part in (text, readings, shown, command, measured) if part) + "\n"


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
        put(run, TARGET)
        print(run.name)
    there = [name for name in sorted(checks) if (TARGET / f"{name}.md").exists()]
    lines = [f"{json.dumps(name)}: {json.dumps(checks[name])}" for name in there]
    records.write_atomically(CHECKS, ("{\n" + ",\n".join(lines) + "\n}\n").encode())


if __name__ == "__main__":
    main()
