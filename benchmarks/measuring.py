"""What the benchmarks share: interleaved rounds, medians with quartiles, the machine's description, growing results.

The method is described in benchmarks/README.md.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
import warnings
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from equipoise.records import write_atomically

Job = Callable[[], Any]

RESULTS = Path(__file__).parent / "results"
SIZE, SEED, ROUNDS = 224, 0, 7
_PACKAGES = ("torch", "torchvision", "timm", "zennit", "captum")


def parser(doc: str | None) -> ArgumentParser:
    """The options that every benchmark has."""
    made = ArgumentParser(description=doc, formatter_class=RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="small and few: to see that it works")
    made.add_argument("--output", type=Path, default=None, help="the JSON; by default in benchmarks/results")
    return made


def settle() -> None:
    """Seed, threads and warnings as every benchmark wants them."""
    warnings.simplefilter("ignore")
    torch.manual_seed(SEED)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))


def interleaved(
    runs: Mapping[str, Job], rounds: int, timed: Callable[[Job], float] | None = None
) -> dict[str, list[float]]:
    """Seconds of every run, once in each round, in rotating order; nothing is warmed up here.

    Args:
        runs: Name to what is timed.
        rounds: How often.
        timed: Runs one and returns its seconds; by default by the clock.
    """
    timed = timed or clock
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    order = list(runs)
    for turn in range(rounds):
        first = turn % len(order)
        for name in order[first:] + order[:first]:
            seconds[name].append(timed(runs[name]))
    return seconds


def clock(run: Job) -> float:
    """Seconds of one run; garbage of the ones before is collected first."""
    gc.collect()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def ratios(mine: list[float], unit: list[float]) -> list[float]:
    """The ratio within each round: what slowed the machine down slowed both."""
    return [one / other for one, other in zip(mine, unit, strict=True)]


def spread(values: list[float]) -> dict[str, Any]:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"median": round(middle, 4), "quartiles": [round(low, 4), round(high, 4)], "runs": len(values)}


def sentence(error: BaseException) -> str:
    """What went wrong, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "torch threads": torch.get_num_threads(),
        "versions": {name: version(name).partition("+")[0] for name in _PACKAGES},
        "python": platform.python_version(),
    }


def load() -> float:
    """How many processes wanted the machine, on average over the last minute."""
    return round(os.getloadavg()[0], 2)


def commit() -> str:
    """The checked-out commit, ``-dirty`` if ``src`` differs from it; empty outside a checkout."""
    git = shutil.which("git")
    if git is None:
        return ""

    def ask(*words: str) -> str:
        command = [git, "-C", str(RESULTS.parent.parent), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603  # fixed words

    return ask("rev-parse", "--short", "HEAD") + ("-dirty" if ask("status", "--porcelain", "--", "src") else "")


class Record:
    """A result file that grows part by part, so that a run that was cut off can go on.

    Args:
        path: The JSON.
        settings: What has to agree for parts to stand in one file, beside the machine.
        go_on: Keep the parts that are in the file, if they were measured on this machine and with these settings.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], *, go_on: bool) -> None:
        self.path = path
        same = {"machine": machine(), **settings}
        self.data: dict[str, Any] = {**same, "measured": {}}
        if go_on and path.exists():
            found = json.loads(path.read_text(encoding="utf-8"))
            if all(found.get(key) == value for key, value in same.items()):
                self.data = found
            else:
                print(f"{path.name} is of another machine or other settings, so it is begun anew", file=sys.stderr)

    @contextmanager
    def part(self, *keys: str) -> Iterator[dict[str, Any]]:
        """Measure one part into the mapping that this gives; then the file is written.

        Args:
            keys: Where in the file it goes.
        """
        print(", ".join(keys), file=sys.stderr, flush=True)
        before = load()
        found: dict[str, Any] = {}
        yield found
        place = self.data
        for key in keys[:-1]:
            place = place.setdefault(key, {})
        place[keys[-1]] = found
        self.data["measured"]["/".join(keys)] = {"load": [before, load()], "commit": commit()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, (json.dumps(self.data, indent=1) + "\n").encode())
