"""What millions of rows cost: the parts of a run brought into order, and the table with its intervals.

    python benchmarks/rows.py [--quick] [--output benchmarks/results/rows.json]

Each step is a process of its own, for its peak of memory.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from measuring import RESULTS, SEED, SIZE, Record, parser, settle, spread
from numpy.typing import NDArray

from equipoise.experiments.model.method_run import MethodRun
from equipoise.experiments.model.table import Rows
from equipoise.experiments.presenting.writing import write
from equipoise.experiments.protocols.base import Unit
from equipoise.experiments.protocols.pointing import Pointing
from equipoise.experiments.recipes.recipe import Column, Recipe, Setting
from equipoise.experiments.running.parts import schema, write_rows
from equipoise.experiments.running.runner import Block, Plan, Run
from equipoise.experiments.running.store import FLUSH_ROWS, Store
from equipoise.models import ModelSpec, Preprocessing

UNITS, ROUNDS = 50_000, 3
REPORTED = ("merge", "table")
METHODS = ("AE", "Grad-CAM", "RAP", "RSP", "AGF", "LRP-COMP", "c*LRP", "c*EB", "Relevance-CAM", "Random")
NETWORKS = tuple(f"network{index}" for index in range(5))
METRICS = ("pointing", "positive ratio", "energy", "AP")
CLASSES = 1000


@dataclass(frozen=True)
class Measures(Pointing):
    metrics: ClassVar[tuple[str, ...]] = (*Pointing.metrics, "pixel_ap")


def recipe() -> Recipe:
    """As Table 1, with a column more and ten methods."""
    return Recipe(
        name="rows",
        title="Synthetic rows",
        summary="as Table 1",
        protocol=Measures(),
        pairs=tuple(("synthetic", name) for name in NETWORKS),
        methods=tuple(MethodRun(label, "ae" if label == "AE" else f"module:{label}") for label in METHODS),
        columns=(
            Column("ALL PG", "pointing_game"),
            Column("ALL PR", "positive_ratio", statistic="class_mean"),
            Column("DIF PG", "pointing_game", {"hard": True}),
            Column("DIF PR", "positive_ratio", {"hard": True}, "class_mean"),
            Column("energy", "energy_pointing_game", statistic="class_mean"),
            Column("mAP", "pixel_ap"),
        ),
        settings=(Setting("L"), Setting("P", {"predicted": True})),
    )


def unit_key(index: int) -> str:
    return f"photo{index:08d}"


def result_key(network: str, unit: int, method: str) -> str:
    return hashlib.sha256(f"{network} {unit} {method}".encode()).hexdigest()


def keys(units: int) -> Any:
    """In a run's order."""
    return (result_key(name, unit, method) for name in NETWORKS for unit in range(units) for method in METHODS)


def make(folder: Path, units: int) -> int:
    """Parts as a run leaves them; a tenth of the photos shows two classes, a thousandth of the numbers is NaN."""
    (folder / "parts").mkdir(parents=True)
    dice = np.random.default_rng(SEED)
    per_part = FLUSH_ROWS // int(1.1 * len(METHODS) * len(METRICS))
    count = 0
    for network in NETWORKS:
        for first in range(0, units, per_part):
            some = np.arange(first, min(first + per_part, units))
            made = [result_key(network, unit, method) for unit in some for method in METHODS]
            table = rows(network, some, made, dice)
            write_rows(
                folder / "parts" / f"{hashlib.sha256(''.join(made).encode()).hexdigest()[:32]}.parquet", [table], made
            )
            count += len(table)
    return count


def rows(network: str, units: NDArray[np.int64], made: list[str], dice: np.random.Generator) -> pa.Table:
    """Of a few units: unit by unit, method by method, class by class, metric by metric."""
    two = units % 10 == 0
    unit = np.repeat(np.repeat(units, 1 + two), len(METRICS))
    second = np.concatenate([np.repeat(np.arange(1 + more), len(METRICS)) for more in two])
    places = np.concatenate([
        start + np.tile(np.arange(length), len(METHODS))
        for start, length in zip(np.flatnonzero(np.diff(unit, prepend=-1)), len(METRICS) * (1 + two), strict=True)
    ])  # fmt: skip
    method = np.concatenate([np.repeat(np.arange(len(METHODS)), len(METRICS) * (1 + more)) for more in two])
    metric = np.tile(np.arange(len(METRICS)), int((1 + two).sum()))[places]
    unit, second = unit[places], second[places]
    category = (unit * 7919 + second * 13) % CLASSES
    quality = 0.5 + 0.02 * method + 0.1 * np.sin(unit)
    value = np.clip(quality + 0.2 * dice.standard_normal(len(unit)), 0, 1)
    value = np.where(metric == 0, dice.random(len(unit)) < quality, value)
    value[(dice.random(len(unit)) < 0.001) & (metric == 2)] = np.nan

    def named(codes: NDArray[np.int64], names: list[str]) -> pa.Array:
        return pa.DictionaryArray.from_arrays(codes.astype(np.int32), names).cast(pa.string())

    count = len(unit)
    place = unit - units[0]
    columns = {
        "recipe": pa.repeat("rows", count), "dataset": pa.repeat("synthetic", count),
        "model": pa.repeat(network, count),
        "method": named(method, list(METHODS)), "unit": named(place, [unit_key(one) for one in units]),
        "category": pa.array(category, pa.int32()),
        "class": named(category, [f"class {one}" for one in range(CLASSES)]),
        "cell": pa.nulls(count, pa.int32()), "predicted": pa.array((unit + second) % 4 > 0),
        "hard": pa.array(unit % 5 == 0), "metric": named(metric, list(METRICS)), "step": pa.nulls(count, pa.float64()),
        "detail": pa.repeat("", count), "value": pa.array(value),
        "key": named(place * len(METHODS) + method, made),
    }  # fmt: skip
    return pa.table(columns, schema())


def peak() -> int:
    """MiB of resident memory of this process, at most so far."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) // 1024


def step(name: str, folder: Path, units: int) -> dict[str, Any]:
    """Run one step here: its seconds by the clock and of all threads, and the peak of memory of the whole process."""
    settle()
    start, before = time.perf_counter(), time.process_time()
    store = Store(folder, resume=True)
    if name == "merge":
        found = len(store.merge(keys(units)))
    else:
        one = recipe()
        pixels = Preprocessing((8, 8), (8, 8), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        spec = ModelSpec("synthetic", "none", "none", ("one", "two"), pixels, "none", "0" * 64)
        every = tuple(Unit(unit_key(index), ()) for index in range(units))
        blocks = [Block("synthetic", model, spec, every) for model in NETWORKS]
        opened = Rows.opened(folder / "rows.parquet")
        (folder / "run.json").write_text("{}")
        write(Run(Plan(one, folder), blocks, opened, [], [], store))
        found = len(opened)
    store.close()
    spent = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - before}
    return {"rows": found, **spent, "MiB": peak()}


def apart(name: str, folder: Path, units: int) -> dict[str, Any]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--step", name, "--folder", str(folder), "--units", str(units)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  # our own code
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--step", choices=REPORTED, help="one step alone, in this process")
    options.add_argument("--folder", type=Path)
    options.add_argument("--units", type=int, default=None, help="photos")
    chosen = options.parse_args(arguments)
    units = chosen.units or (200 if chosen.quick else UNITS)
    if chosen.step:
        print(json.dumps(step(chosen.step, chosen.folder, units)))
        return
    settle()
    rounds = 1 if chosen.quick else ROUNDS
    output = chosen.output or RESULTS / ("rows_quick.json" if chosen.quick else "rows.json")
    record = Record(output, {"size": SIZE, "seed": SEED, "rounds": rounds, "units": units}, go_on=False)
    with tempfile.TemporaryDirectory() as name:
        folders = {count: Path(name) / str(count) for count in (units // 10, units)}
        for count, folder in folders.items():
            make(folder, count)
        with record.part("steps") as found:
            runs = [
                (count, each, apart(each, folder, count))
                for _ in range(rounds)
                for count, folder in folders.items()
                for each in REPORTED
            ]
            for each in REPORTED:
                small, large = ([one for at, job, one in runs if (at, job) == (count, each)] for count in folders)
                growth = [
                    (most["cpu"] / most["rows"]) / (least["cpu"] / least["rows"])
                    for least, most in zip(small, large, strict=True)
                ]
                found[each] = {
                    "rows": large[0]["rows"],
                    "seconds": spread([one["seconds"] for one in large]),
                    "CPU seconds": spread([one["cpu"] for one in large]),
                    "MiB": spread([float(one["MiB"]) for one in large]),
                    "CPU seconds per row, to a tenth of the rows": spread(growth),
                }


if __name__ == "__main__":
    main()
