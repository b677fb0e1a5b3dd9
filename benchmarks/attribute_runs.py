"""A data set by `equipoise attribute`: beside the bare method, by several workers, how it grows, what it keeps.

    python benchmarks/attribute_runs.py [--quick] [--output benchmarks/results/attribute_runs.json]

Every run is a process of its own, and its rate counts from the first task: loading is not in it. Photos are drawn, as
JPEG files of 500 x 375 pixels; what is compared is run in turns.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import RESULTS, ROUNDS, SEED, SIZE, Record, parser, ratios, settle, spread
from PIL import Image
from torch import Tensor, nn

import equipoise
from equipoise.attributions.memory import kept_for_later
from equipoise.methods import METHODS
from equipoise.models.preprocessing import Preprocessing
from equipoise.models.spec import ModelSpec
from equipoise.view import Photo

NETWORKS = {"efficientnet_lite0": None, "torchvision/resnet50": "random"}
BATCHES = (1, 4, 8, 16, 32)
PHOTOS, SMALL = 96, 10_000
LONG = 240  # photos of a run in which the search for a batch weighs little


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.features(x).mean((2, 3)))
        return found


def tiny() -> tuple[nn.Module, ModelSpec]:
    torch.manual_seed(SEED)
    pixels = Preprocessing((32, 32), (32, 32), mean=(0.5,) * 3, std=(0.5,) * 3)
    return Tiny().eval(), ModelSpec("tiny", "own", "tiny", ("a", "b", "c"), pixels, "random", "0" * 64)


def nothing(_model: nn.Module, inputs: Tensor, _target: Any) -> Tensor:
    return torch.zeros_like(inputs)


def draw(folder: Path, count: int, size: tuple[int, int], ending: str) -> None:
    """Smooth noise, which compresses as photos do."""
    folder.mkdir(parents=True)
    dice = np.random.default_rng(SEED)
    for index in range(count):
        coarse = Image.fromarray(dice.integers(0, 255, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8))
        coarse.resize(size, Image.Resampling.BICUBIC).save(folder / f"{index:06}.{ending}")


def peak() -> int:
    """MiB of resident memory of this process, at most so far."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) // 1024


def run(job: dict[str, Any]) -> dict[str, Any]:
    """One run in this process: images per second, and the peak of memory."""
    threads = job.get("threads") or int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    torch.set_num_threads(threads)
    if job["kind"] == "bare":
        model, spec = equipoise.load_model(job["model"], job["weights"])
        method = METHODS["ae"](model, input_bounds=spec.input_bounds)
        paths = sorted(Path(job["source"]).iterdir())[: job["batch"]]
        images = torch.stack([spec.preprocessing(Photo.read(path, spec.preprocessing).image) for path in paths])
        kept = kept_for_later(torch.device("cpu")) if job.get("kept") else contextlib.nullcontext()
        with kept:  # what `attribute` does for its own process
            method.attribute(images)
            count, start = 0, time.perf_counter()
            while count < job["photos"]:
                method.attribute(images)
                count += len(images)
            return {"rate": count / (time.perf_counter() - start), "MiB": peak()}
    method = nothing if job.get("empty") else "ae"
    output = Path(job["output"])
    shutil.rmtree(output, ignore_errors=True)
    start = time.perf_counter()
    found = equipoise.attribute_dataset(
        job["source"], job["model"], method, output=output, weights=job.get("weights"), batch=job.get("batch", "auto"),
        workers=job.get("workers"), ray=job.get("ray", False), threads=job.get("threads"), keep=job.get("keep", "maps"),
        limit=job["photos"],
    )  # fmt: skip
    seconds = time.perf_counter() - start
    status = json.loads((output / "status.json").read_text())
    size = sum(path.stat().st_size for path in (output / "maps").glob("*")) if (output / "maps").exists() else 0
    raw = sum(one.attribution.numel() * 4 for one in found[:1]) * len(found) if size else 1
    return {
        "rate": status["images_per_second"], "MiB": peak(), "whole": seconds, "size": size / raw,
        "batch": status["batch"],
    }  # fmt: skip


def apart(**job: Any) -> dict[str, Any]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--job", json.dumps(job)]
    passive = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}  # as the command sets it
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=passive)  # noqa: S603  # our own code
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def beside_the_method(networks: dict[str, str | None], folder: Path, photos: int, rounds: int) -> dict[str, Any]:
    """Each network: the bare method at its best batch, and runs by one process of all cores, in turns."""
    found: dict[str, Any] = {}
    for model, weights in networks.items():
        common = {"model": model, "weights": weights, "photos": photos, "source": str(folder)}
        bare = {size: apart(kind="bare", batch=size, **common)["rate"] for size in BATCHES}
        best = max(bare, key=lambda size: bare[size])
        pairs, kept = [], []
        for _ in range(rounds):
            method = apart(kind="bare", batch=best, **common)
            kept.append(apart(kind="bare", batch=best, kept=True, **common)["rate"])
            ours = apart(kind="run", output=str(folder) + ".out", **common)
            pairs.append((ours, method))
        rate = [ours["rate"] for ours, _ in pairs]
        found[model] = {
            "bare, images per second by batch": {str(size): round(value, 2) for size, value in bare.items()},
            "best batch": best,
            "images per second": spread(rate),
            "ratio to the bare method": spread(ratios(rate, [method["rate"] for _, method in pairs])),
            "ratio to the bare method that keeps memory too": spread(ratios(rate, kept)),
            "batch chosen": statistics.mode(ours["batch"] for ours, _ in pairs),
            "size / raw float32": round(pairs[-1][0]["size"], 4),
        }
    return found


def by_workers(folder: Path, photos: int, rounds: int) -> dict[str, Any]:
    """EfficientNet-Lite0 by other workers, beside one process."""
    common = {
        "kind": "run", "source": str(folder), "output": str(folder) + ".out", "model": "efficientnet_lite0",
        "photos": photos,
    }  # fmt: skip
    cases = {
        "one process, all threads": {},
        "one process, one thread": {"threads": 1},
        "two processes of one thread": {"workers": 2, "threads": 1},
        "two Ray workers of one thread": {"workers": 2, "threads": 1, "ray": True},
        "one Ray worker, one thread": {"workers": 1, "threads": 1, "ray": True},
    }
    rates: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(rounds):
        names = list(cases)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            rates[name].append(apart(**common, **cases[name])["rate"])
    names = ("two Ray workers of one thread", "one process, all threads")
    long = common | {"photos": min(LONG, len(list(folder.iterdir())))}
    pairs = [tuple(apart(**long, **cases[name])["rate"] for name in names) for _ in range(rounds)]
    return {
        "images per second": {name: spread(values) for name, values in rates.items()},
        f"two Ray workers / one process, {photos} photos": spread(ratios(*(rates[name] for name in names))),
        "two Ray workers / one process": spread(ratios([two for two, _ in pairs], [one for _, one in pairs])),
        "one Ray worker / in process": spread(
            ratios(rates["one Ray worker, one thread"], rates["one process, one thread"])
        ),
    }


def growth(folder: Path, photos: int, rounds: int) -> dict[str, Any]:
    """A method that does nothing on a tiny network: what a run costs by itself, and how it grows."""
    common = {
        "kind": "run", "source": str(folder), "output": str(folder) + ".out", "model": "attribute_runs:tiny",
        "empty": True, "threads": 1, "batch": 32,  # found out, it would be larger where there are more
    }  # fmt: skip
    sizes = (photos // 100, photos // 10, photos)
    runs = {count: [apart(**common, photos=count) for _ in range(rounds)] for count in sizes}
    each = {count: [1000 / one["rate"] for one in some] for count, some in runs.items()}
    small, middle, large = sizes
    return {
        "photos": photos,
        "ms per image": spread(each[large]),
        "time per image at 10 times the images": spread(ratios(each[large], each[middle])),
        "peak memory, MiB": {str(count): spread([one["MiB"] for one in some]) for count, some in runs.items()},
        "memory at 100 times the images": spread(
            ratios([one["MiB"] for one in runs[large]], [one["MiB"] for one in runs[small]])
        ),
    }


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--job", help="one run alone, in this process")
    options.add_argument("--rounds", type=int, default=min(ROUNDS, 5))
    options.add_argument("--photos", type=int, default=PHOTOS)
    options.add_argument("--network", choices=tuple(NETWORKS), help="one network alone")
    options.add_argument("--only", choices=("beside", "workers", "growth"))
    chosen = options.parse_args(arguments)
    os.chdir(Path(__file__).parent)  # the tiny network is looked for here, by workers too
    settle()
    if chosen.job:
        print(json.dumps(run(json.loads(chosen.job))))
        return
    rounds = 1 if chosen.quick else chosen.rounds
    photos, small = (8, 200) if chosen.quick else (chosen.photos, SMALL)
    networks = {name: NETWORKS[name] for name in NETWORKS if chosen.network in {None, name}}
    output = chosen.output or RESULTS / ("attribute_runs_quick.json" if chosen.quick else "attribute_runs.json")
    record = Record(output, {"size": SIZE, "seed": SEED, "rounds": rounds}, go_on=True)
    with tempfile.TemporaryDirectory() as name:
        draw(Path(name) / "photos", photos if chosen.quick else max(photos, LONG), (500, 375), "jpg")
        draw(Path(name) / "small", small, (32, 32), "png")
        parts = {
            "growth": lambda: growth(Path(name) / "small", small, rounds),
            "workers": lambda: by_workers(Path(name) / "photos", photos, rounds),
            "beside": lambda: beside_the_method(networks, Path(name) / "photos", photos, rounds),
        }
        for key, measure in parts.items():
            if chosen.only in {None, key}:
                with record.part(key) as found:
                    found.update(measure())


if __name__ == "__main__":
    main()
