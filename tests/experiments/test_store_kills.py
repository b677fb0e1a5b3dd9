"""A store that is killed thirty times while it writes rows and maps: nothing is lost, nothing is there twice."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from equipoise.experiments.model.rows import Goal, KeptMap
from equipoise.experiments.running.store import COLUMNS, Part, Store

pytestmark = pytest.mark.slow

UNITS, KILLS, SEED = 400, 30, 14

# Forked off a process that has loaded everything, a run is there at once.
SCRIPT = """
import os
import sys
import time

from equipoise.experiments.running import store
from test_store_kills import UNITS, filled

store.FLUSH_SECONDS = 0.01
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        filled(line.strip(), pause=0.002)
        os._exit(0)
    print(pid, flush=True)
    sys.stdin.readline()  # until then it is not buried, and its number is nobody else's
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


def part(index):
    values = dict.fromkeys(COLUMNS[:-1]) | {"unit": f"{index}", "category": 0, "predicted": True, "hard": False}
    rows = [values | {"metric": metric, "value": float(index)} for metric in ("pointing", "energy")]
    maps = [KeptMap(Goal(index, "crane"), torch.full((9, 9), 1.0 + index))] if index % 3 == 0 else []
    return Part(f"{index:064}", rows, maps)


def filled(folder, pause=0.0):
    """A store with every unit, of which those that are there already are not done again."""
    from pathlib import Path

    store = Store(Path(folder), resume=True)
    for index in range(UNITS):
        if f"{index:064}" not in store:
            time.sleep(pause)
            store.add([part(index)])
    store.close()


def contents(folder):
    store = Store(folder, resume=True)
    keys = [f"{index:064}" for index in range(UNITS)]
    rows = [dict(one) for one in store.merge(keys)]
    maps = {key: [(one.goal, one.heatmap.tolist()) for one in store.maps(key)] for key in keys}
    store.close()
    return [str(one) for one in rows], maps


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_thirty_kills_leave_the_rows_of_a_run_that_nobody_disturbed(tmp_path):
    filled(tmp_path / "calm")
    expected = contents(tmp_path / "calm")
    assert len(expected[0]) == 2 * UNITS
    dice = random.Random(SEED)
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path), OMP_NUM_THREADS="1")
    command = [sys.executable, "-c", SCRIPT]
    kills = rounds = 0
    with subprocess.Popen(  # noqa: S603  # our own
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as nursery:
        while kills < KILLS:
            folder = tmp_path / f"run{rounds}"
            rounds += 1
            ended = None
            while ended != 0:
                nursery.stdin.write(f"{folder}\n")
                pid = int(nursery.stdout.readline())
                if kills < KILLS:
                    time.sleep(dice.uniform(0, 0.4))
                    os.kill(pid, signal.SIGKILL)
                nursery.stdin.write("how did it end\n")
                ended = int(nursery.stdout.readline())
                assert ended in {0, -signal.SIGKILL}
                kills += ended != 0
            assert contents(folder) == expected
        nursery.stdin.close()
    assert kills == KILLS
