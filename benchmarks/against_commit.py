"""What Attribution Equilibrium costs now, over what it cost at another commit: CPU time, side by side.

    python benchmarks/against_commit.py --commit 8689c55 [--quick] [--output benchmarks/results/against_commit.json]

Two workers, one for each source tree, explain the same image by networks with the same random weights, in turn, round
by round. The other commit is checked out into a temporary folder. CPU seconds of the worker's process, not seconds by
the clock: another process on the same cores then disturbs them less. The workers keep the memory that they were given:
what the system takes back and clears anew is a matter of luck of the heap's layout, and was worth 10 % either way.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measuring import RESULTS, ROUNDS, SEED, SIZE, Record, parser, ratios, spread

HERE = Path(__file__).parent
# glibc's words for: never give memory back, and ask for it in large pieces.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
    "MALLOC_TOP_PAD_": str(2**28),
}
MODELS = ("vgg16", "resnet50", "efficientnet_lite0")

# Runs in the other tree, too, so it uses nothing but what every commit has.
WORKER = """
import gc, sys, time, warnings
import torch
import equipoise
from equipoise.models import build

warnings.simplefilter("ignore")
torch.set_num_threads(1)
seed, size = int(sys.argv[1]), int(sys.argv[2])
image = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(seed))
models = {}
for line in sys.stdin:
    name = line.strip()
    if name not in models:
        torch.manual_seed(seed)
        models[name] = build(name).eval()
        equipoise.attribute(models[name], image, [0], method="ae")
    gc.collect()
    start = time.process_time()
    found = equipoise.attribute(models[name], image, [0], method="ae")
    print(time.process_time() - start, float(found.abs().sum()), flush=True)
"""


class Worker:
    """A process that explains with the code of one source tree.

    Args:
        tree: The checkout.
        size: Pixels along each side of the image.
    """

    def __init__(self, tree: Path, size: int) -> None:
        command = [sys.executable, "-c", WORKER, str(SEED), str(size)]
        self.process = subprocess.Popen(  # noqa: S603  # our own code
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1", **KEEP_MEMORY},
        )  # fmt: skip

    def seconds(self, network: str) -> float:
        """CPU seconds of one map."""
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("the worker has no pipes")
        self.process.stdin.write(network + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline().split()[0])

    def close(self) -> None:
        """End the process."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process.wait()


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """The files of a commit in a temporary folder."""
    git = shutil.which("git")
    if git is None:
        raise SystemExit("there is no git, which checks the other commit out")
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        subprocess.run([git, "-C", str(HERE), "worktree", "add", "--detach", "--quiet", str(tree), commit], check=True)  # noqa: S603
        try:
            yield tree
        finally:
            subprocess.run([git, "-C", str(HERE), "worktree", "remove", "--force", str(tree)], check=True)  # noqa: S603


def compare(trees: Sequence[Path], network: str, rounds: int, size: int) -> dict[str, Any]:
    """Seconds in each tree, and the second tree's over the first's."""
    workers = [Worker(tree, size) for tree in trees]
    try:
        for worker in workers:
            worker.seconds(network)
        times: list[list[float]] = [[], []]
        for turn in range(rounds):
            for i in (0, 1) if turn % 2 else (1, 0):
                times[i].append(workers[i].seconds(network))
    finally:
        for worker in workers:
            worker.close()
    before, now = times
    return {"before": spread(before), "now": spread(now), "now / before": spread(ratios(now, before))}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the JSON."""
    options = parser(__doc__)
    options.add_argument("--commit", default="8689c55", help="what to compare with")
    given = options.parse_args(arguments)
    path = given.output or RESULTS / ("against_commit_quick.json" if given.quick else "against_commit.json")
    size, rounds, models = (64, 2, MODELS[2:]) if given.quick else (SIZE, 3 * ROUNDS, MODELS)
    settings = {"against": given.commit, "size": size, "seed": SEED, "rounds": rounds, "batch": 1}
    record = Record(path, settings, go_on=not given.quick)
    with checked_out(given.commit) as tree:
        for network in models:
            with record.part("models", network) as found:
                found.update(compare((tree, HERE.parent), network, rounds, size))
    print(json.dumps(record.data["models"], indent=1))


if __name__ == "__main__":
    main()
