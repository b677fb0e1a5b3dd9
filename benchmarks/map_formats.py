"""How maps are best kept: size, time to write and time of a random read of Zarr 3 with shards and of Parquet.

    python benchmarks/map_formats.py [--quick] [--maps 10000] [--output benchmarks/results/map_formats.json]

Attribution Equilibrium's maps of 96 photos by EfficientNet-Lite0 (``--base FILE``, a tensor ``(n, 3, 224, 224)`` that
``torch.save`` wrote, uses others), each rolled by other amounts to make as many as are asked for. Every format holds
float16 with a scale of its own for each map; a read is of one map, at random, from files that were closed.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import zarr
from measuring import commit, machine
from zarr.codecs import BloscCodec

import equipoise
from equipoise.datasets import open_dataset

SHARD = 64
READS = 300
RESULTS = Path(__file__).parent / "results"


def rolled(base: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """Maps, ``(3, h, w)`` float32, a new one each time."""
    dice = random.Random(0)
    for index in range(count):
        one = base[index % len(base)]
        yield np.roll(one, (dice.randrange(one.shape[1]), dice.randrange(one.shape[2])), (1, 2))


def half(one: np.ndarray, step: int | None) -> tuple[np.ndarray, float]:
    """As float16 with a scale; with a step, rounded to multiples of ``2 ** -step`` of the largest value."""
    scale = float(np.abs(one).max()) or 1.0
    values = one / np.float32(scale)
    if step is not None:
        values = np.round(values * 2.0**step) / 2.0**step
    return values.astype(np.float16), scale


def shards(maps: Iterator[np.ndarray], step: int | None) -> Iterator[tuple[np.ndarray, list[float]]]:
    """Several at a time: ``(SHARD, 3, h, w)``."""
    values, scales = [], []
    for one in maps:
        value, scale = half(one, step)
        values.append(value)
        scales.append(scale)
        if len(values) == SHARD:
            yield np.stack(values), scales
            values, scales = [], []
    if values:
        yield np.stack(values), scales


class Zarr:
    """An array ``(n, 3, h, w)``: one chunk a map, `SHARD` chunks a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, parts: Iterator[tuple[np.ndarray, list[float]]], shape: tuple[int, ...], count: int) -> None:
        array = zarr.create_array(
            str(self.folder / "maps"), shape=(count, *shape), shards=(SHARD, *shape), chunks=(1, *shape),
            dtype="float16", compressors=BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),
        )  # fmt: skip
        start = 0
        for values, _ in parts:
            array[start : start + len(values)] = values
            start += len(values)

    def reader(self) -> Callable[[int], np.ndarray]:
        array = zarr.open_array(str(self.folder / "maps"), mode="r")
        return lambda index: np.asarray(array[index])


class Parquet:
    """Files of `SHARD` rows, ``group`` rows in a row group, a column of lists of float16."""

    def __init__(self, folder: Path, group: int) -> None:
        self.folder, self.group = folder, group

    def write(self, parts: Iterator[tuple[np.ndarray, list[float]]], shape: tuple[int, ...], _count: int) -> None:
        self.folder.mkdir(parents=True)
        for index, (values, scales) in enumerate(parts):
            flat = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), int(np.prod(shape)))
            table = pa.table({"scale": scales, "map": flat})
            pq.write_table(
                table, self.folder / f"{index:06}.parquet", compression="zstd", compression_level=3,
                use_dictionary=False, column_encoding={"map.list.element": "BYTE_STREAM_SPLIT", "scale": "PLAIN"},
                row_group_size=self.group, write_statistics=False,
            )  # fmt: skip

    def reader(self) -> Callable[[int], np.ndarray]:
        files = sorted(self.folder.glob("*.parquet"))
        opened: dict[Path, Any] = {}

        def read(index: int) -> np.ndarray:
            path = files[index // SHARD]
            if path not in opened:
                opened[path] = pq.ParquetFile(path)
            within = index % SHARD
            table = opened[path].read_row_group(within // self.group, columns=["map"])
            lists = table.column("map").combine_chunks()
            size = lists.type.list_size
            start = (within % self.group) * size
            return lists.values.to_numpy(zero_copy_only=False)[lists.offset * size + start :][:size]

        return read


FORMATS: dict[str, Callable[[Path], Any]] = {
    "Zarr 3, a shard of 64": Zarr,
    "Parquet, row groups of 1": lambda folder: Parquet(folder, 1),
    "Parquet, row groups of 8": lambda folder: Parquet(folder, 8),
}
STEPS: dict[str, int | None] = {"float16": None, "float16 in steps of 2^-14": 14, "float16 in steps of 2^-12": 12}


def measure(base: np.ndarray, count: int, folder: Path) -> Iterator[dict[str, Any]]:
    """One row for each format and rounding."""
    shape = base.shape[1:]
    raw = count * int(np.prod(shape)) * 4
    started = time.perf_counter()
    for _ in shards(rolled(base, count), None):
        pass
    making = time.perf_counter() - started
    for rounding, step in STEPS.items():
        for name, make in FORMATS.items():
            place = folder / "one"
            one = make(place)
            started = time.perf_counter()
            one.write(shards(rolled(base, count), step), shape, count)
            seconds = time.perf_counter() - started
            size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
            read = one.reader()
            dice, times = random.Random(1), []
            for _ in range(READS):
                index = dice.randrange(count)
                begun = time.perf_counter()
                read(index)
                times.append(time.perf_counter() - begun)
            expected = next(value for value, _ in shards(rolled(base, SHARD), step))
            assert np.array_equal(np.asarray(read(3)).ravel(), expected[3].ravel())
            yield {
                "format": name, "values": rounding, "size / raw float32": size / raw, "write, seconds": seconds,
                "of it making the maps, seconds": making, "random read, median ms": 1000 * statistics.median(times),
                "random read, 95 % ms": 1000 * sorted(times)[int(0.95 * READS)],
            }  # fmt: skip
            shutil.rmtree(place)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--maps", type=int, default=10_000)
    parser.add_argument("--base", type=Path)
    parser.add_argument("--output", type=Path, default=RESULTS / "map_formats.json")
    asked = parser.parse_args()
    count = 128 if asked.quick else asked.maps
    base = torch.load(asked.base).numpy() if asked.base else photos()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for row in measure(base, count, Path(folder)):
            rows.append(row)
            sys.stdout.write(json.dumps(row) + "\n")
            sys.stdout.flush()
    if not asked.quick:
        told = {"machine": machine(), "commit": commit(), "maps": count, "shape": list(base.shape[1:]), "rows": rows}
        asked.output.write_text(json.dumps(told, indent=1) + "\n")


def photos() -> np.ndarray:
    """Attribution Equilibrium's maps of 96 photos."""
    model, spec = equipoise.load_model("efficientnet_lite0")
    data = open_dataset("imagenet")
    chosen = data[:: max(1, len(data) // 96)][:96]
    batches = [torch.stack([spec.preprocess(one.image()) for one in chosen[at : at + 8]]) for at in range(0, 96, 8)]
    return torch.cat([equipoise.attribute(model, batch) for batch in batches]).numpy()


if __name__ == "__main__":
    main()
