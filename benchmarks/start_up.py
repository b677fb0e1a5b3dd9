"""What it takes until a command answers: CPU seconds of its process, beside those of importing torch alone.

    python benchmarks/start_up.py [--quick] [--output benchmarks/results/start_up.json]

User and system time of the process, which other work on the machine changes less than the clock; interleaved rounds,
after one that warms the file cache. What is imported is held by tests/cli/test_start_up.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from measuring import RESULTS, ROUNDS, SEED, SIZE, Job, Record, interleaved, parser, settle, spread

import equipoise

TORCH = "import torch"
COMMANDS = (
    "--help",
    "list datasets",
    "list methods",
    "list recipes",
    "list models",
    "explain absent.jpg",
    "explain . --method nonsense",
    "reproduce tabel1",
)
"""Lists, and command lines that are refused."""


def process(*arguments: str) -> None:
    """Run Python to its end; what it prints is thrown away."""
    paths = [str(Path(equipoise.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    quiet = subprocess.DEVNULL
    subprocess.run([sys.executable, *arguments], env=environment, stdout=quiet, stderr=quiet, check=False)  # noqa: S603


def cpu(run: Job) -> float:
    """CPU seconds of the processes that a run starts and waits for."""
    before = os.times()
    run()
    after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__).parse_args(arguments)
    settle()
    rounds = 1 if options.quick else ROUNDS
    output = options.output or RESULTS / ("start_up_quick.json" if options.quick else "start_up.json")
    record = Record(output, {"size": SIZE, "seed": SEED, "rounds": rounds}, go_on=False)
    runs: dict[str, Job] = {TORCH: partial(process, "-c", TORCH)}
    runs |= {command: partial(process, "-m", "equipoise", *command.split()) for command in COMMANDS}
    for run in runs.values():
        run()
    with record.part("seconds") as found:
        found.update({name: spread(values) for name, values in interleaved(runs, rounds, cpu).items()})


if __name__ == "__main__":
    main()
