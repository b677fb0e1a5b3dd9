"""A hundred kills of workers, of runs, and of both, at random moments: nothing is lost, nothing is there twice."""

import os
import random
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
import torch
from test_attribute_dataset import same_rows

import equipoise
from attribution_world import alive, below, kill, write_photos
from equipoise.attributions import open_attributions
from equipoise.attributions.parts import parts
from patience import PATIENCE, until

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")]

PHOTOS = 300
SEED = 14

# What a run is. A run of processes is forked off one that has loaded everything, and so are its workers: each is
# the process that it would be otherwise, seconds earlier.
SCRIPT = """
import multiprocessing
import os
import sys
import traceback
from multiprocessing import forkserver

import equipoise
from equipoise.attributions import api, run
from equipoise.errors import EquipoiseError
from equipoise.executors import processes
from tinynet_attributions import slow

PHOTOS, CREW, ERRORS, PIDS = sys.argv[1:]
run.FIRST, run.SECONDS = 4, 0.3
context = multiprocessing.get_context("forkserver")


class Noted(processes.Processes):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._context = context

    def start(self, member):
        super().start(member)
        with open(PIDS, "a") as file:
            file.write(f"{os.getpid()} {self.pid(member)}\\n")


def attribute(output):
    try:
        equipoise.attribute_dataset(
            PHOTOS, "tinynet_attributions:build", ["ae", slow], "top2", output=output, values="float32",
            resume=True, batch=2, threads=1, workers=2, ray=CREW == "ray",
        )
    except EquipoiseError as error:
        with open(ERRORS, "w") as file:
            file.write(f"equipoise: {error}")
        return 2
    except BaseException:
        with open(ERRORS, "w") as file:
            traceback.print_exc(file=file)
        return 1
    return 0


def serve():
    processes.Processes = Noted
    context.set_forkserver_preload(["equipoise.attributions.api", "equipoise.methods", "tinynet_attributions"])
    forkserver.ensure_running()
    forkserver._forkserver.ensure_running = lambda: None  # it is the child of this process, not of those forked
    for line in sys.stdin:
        what, value = line.rstrip("\\n").split(" ", 1)
        if what == "start":
            pid = os.fork()
            if not pid:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Ray prints there, too
                os._exit(attribute(value))
            print(pid, flush=True)
        else:
            pid, status = os.waitpid(int(value), os.WNOHANG)
            print(os.waitstatus_to_exitcode(status) if pid else "runs", flush=True)


if __name__ == "__main__":
    serve()
"""


class Nursery:
    """Starts runs.

    Args:
        photos: What is explained.
        home: A folder, for what they say.
        crew: ``"processes"`` or ``"ray"``.
    """

    def __init__(self, photos, home, crew):
        self.errors, self.pids = home / "errors.txt", home / "pids.txt"
        self.pids.write_text("")
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(Path.cwd()), *sys.path]), OMP_NUM_THREADS="1")
        command = [sys.executable, "-c", SCRIPT, str(photos), crew, str(self.errors), str(self.pids)]
        self.process = subprocess.Popen(  # noqa: S603  # our own
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        return self.process.stdout.readline().strip()

    def start(self, output):
        self.errors.write_text("")
        return Run(self, int(self.ask(f"start {output}")))

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(PATIENCE)


class Run:
    """A run as a process."""

    def __init__(self, nursery, pid):
        self.nursery, self.pid, self.returncode = nursery, pid, None

    def poll(self):
        if self.returncode is None and (status := self.nursery.ask(f"status {self.pid}")) != "runs":
            self.returncode = int(status)
        return self.returncode

    def wait(self):
        until(lambda: self.poll() is not None)

    def workers(self):
        """Its workers of now, and what was started for them."""
        noted = [line.split() for line in self.nursery.pids.read_text().splitlines()]
        found = [int(worker) for run, worker in noted if int(run) == self.pid]
        found += [pid for pid, line in below(self.pid).items() if line.startswith("ray::_Actor")]
        return [pid for pid in found if alive(pid)]


class Campaign:
    """Runs that are killed until there were enough kills, each to its end."""

    def __init__(self, photos, home, crew):
        self.home, self.nursery = home, Nursery(photos, home, crew)
        self.dice = random.Random(SEED)
        self.kills = {"worker": 0, "run": 0, "both": 0}
        self.starts = self.rounds = self.resumed_for_failures = 0
        self.refused = []

    @property
    def total(self):
        return sum(self.kills.values())

    def start(self, output):
        self.starts += 1
        return self.nursery.start(output)

    def moment(self, process, output):
        """A random moment: of any kind, or soon after something new was written."""
        if self.dice.random() < 0.6:
            before = len(list(output.glob("rows/0*")))
            until(lambda: process.poll() is not None or len(list(output.glob("rows/0*"))) > before)
            pause = self.dice.uniform(0, 0.7)
        else:
            pause = self.dice.uniform(0, 3)
        until_then = time.monotonic() + pause
        while process.poll() is None and time.monotonic() < until_then:
            time.sleep(0.005)

    def strike(self, process):
        """Kill somebody."""
        what = self.dice.choice(["worker", "worker", "worker", "run", "both"])
        workers = process.workers()
        if what == "worker":
            if workers and kill(self.dice.choice(workers)):
                self.kills[what] += 1
            return
        victims = [process.pid, *(workers if what == "both" else [])]
        self.dice.shuffle(victims)
        for one in victims:
            kill(one)
        self.kills[what] += 1
        process.wait()
        if self.dice.random() < 0.5:  # else the next run comes while there may be leftovers
            until(lambda: not any(alive(one) for one in workers))

    def round(self, output, most):
        """One run, killed and resumed until it is through."""
        self.rounds += 1
        process = self.start(output)
        while True:
            if self.total < most:
                self.moment(process, output)
                if process.poll() is None:
                    self.strike(process)
            else:
                process.wait()
            if process.poll() is None:
                continue
            if process.returncode == 0:
                if not open_attributions(output).failures:
                    return
                self.resumed_for_failures += 1  # it was killed twice at one photo, which it took for a cause
            elif process.returncode > 0:
                said = self.nursery.errors.read_text()
                assert "died before they did anything" in said, said
                self.refused.append(said)
            process = self.start(output)

    def run(self, kills, expected):
        with closing(self.nursery):
            while self.total < kills:
                output = self.home / f"out{self.rounds}"
                self.round(output, kills)
                check(output, expected)
                told = f"{self.resumed_for_failures} resumed for photos blamed, given up: {self.refused}"
                print(f"kills {self.kills}, {self.starts} starts, {self.rounds} rounds, {told}", flush=True)


def check(output, expected):
    """The rows and maps of an undisturbed run, and no other file."""
    found = open_attributions(output)
    same_rows(found, expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.attribution, other.attribution, rtol=1e-4, atol=1e-6)
    assert set(found.folder.names("maps")) == {part.maps for part in parts(found.folder)}
    hidden = {path.name for path in output.rglob(".*")}
    assert hidden == {".lock", ".workers"}


@pytest.fixture
def undisturbed(tmp_path, network):
    from tinynet_attributions import slow

    photos = write_photos(tmp_path / "many", PHOTOS)
    found = equipoise.attribute_dataset(
        photos, network, ["ae", slow], "top2", output=tmp_path / "calm", values="float32", batch=2
    )
    assert len(found) == PHOTOS * 4
    return photos, found


def test_a_hundred_kills_of_workers_and_of_runs(undisturbed, tmp_path):
    photos, expected = undisturbed
    campaign = Campaign(photos, tmp_path, "processes")
    campaign.run(100, expected)
    assert min(campaign.kills.values()) >= 10


def test_ten_kills_with_ray(undisturbed, tmp_path):
    photos, expected = undisturbed
    Campaign(photos, tmp_path, "ray").run(10, expected)
