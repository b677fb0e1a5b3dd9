"""A hundred kills of workers, of runs, and of both, at random moments: nothing is lost, nothing is there twice."""

import os
import random
import subprocess
import sys
import time
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

SCRIPT = """
import sys

import equipoise
from equipoise.attributions import run
from equipoise.errors import EquipoiseError
from tinynet_attributions import slow

run.FIRST, run.SECONDS = 4, 0.5

if __name__ == "__main__":
    try:
        equipoise.attribute_dataset(
            sys.argv[1], "tinynet_attributions:build", ["ae", slow], "top2", output=sys.argv[2], values="float32",
            resume=True, batch=2, threads=1, workers=2, ray=sys.argv[3] == "ray",
        )
    except EquipoiseError as error:
        sys.exit(f"equipoise: {error}")
"""


class Campaign:
    """Runs that are killed until there were enough kills, each to its end.

    Args:
        photos: What is explained.
        home: A folder.
        crew: ``"processes"`` or ``"ray"``.
        workers: From a command line to whether it is a worker's.
    """

    def __init__(self, photos, home, crew, workers):
        self.photos, self.home, self.crew, self.is_worker = photos, home, crew, workers
        self.dice = random.Random(SEED)
        self.kills = {"worker": 0, "run": 0, "both": 0}
        self.starts = self.rounds = self.resumed_for_failures = 0
        self.refused: list[str] = []

    @property
    def total(self):
        return sum(self.kills.values())

    def start(self, output):
        self.starts += 1
        environment = dict(
            os.environ, PYTHONPATH=os.pathsep.join([str(Path.cwd()), *sys.path]), OMP_NUM_THREADS="1",
            RAY_DEDUP_LOGS="0",
        )  # fmt: skip
        command = [sys.executable, "-c", SCRIPT, str(self.photos), str(output), self.crew]
        log = (self.home / "errors.txt").open("w")
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=log)  # noqa: S603
        log.close()
        return process

    def said(self):
        return (self.home / "errors.txt").read_text()

    def workers(self, process):
        return [pid for pid, line in below(process.pid).items() if self.is_worker(line)]

    def moment(self, process, output):
        """A random moment: of any kind, or soon after something new was written."""
        if self.dice.random() < 0.6:
            before = len(list(output.glob("rows/0*")))
            give_up = time.monotonic() + PATIENCE
            while process.poll() is None and len(list(output.glob("rows/0*"))) <= before:
                assert time.monotonic() < give_up
                time.sleep(0.01)
            pause = self.dice.uniform(0, 0.7)
        else:
            pause = self.dice.uniform(0, 6)
        until_then = time.monotonic() + pause
        while process.poll() is None and time.monotonic() < until_then:
            time.sleep(0.005)

    def strike(self, process):
        """Kill somebody."""
        what = self.dice.choice(["worker", "worker", "worker", "run", "both"])
        workers = self.workers(process)
        if what == "worker":
            if workers and kill(self.dice.choice(workers)):
                self.kills[what] += 1
            return
        others = list(below(process.pid))
        victims = [process.pid, *(workers if what == "both" else [])]
        self.dice.shuffle(victims)
        for one in victims:
            kill(one)
        self.kills[what] += 1
        process.wait()
        if self.dice.random() < 0.5:  # else the next run comes while there may be leftovers
            until(lambda: not any(alive(one) for one in others))

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
                process.wait(PATIENCE)
            if process.poll() is None:
                continue
            if process.returncode == 0:
                if not open_attributions(output).failures:
                    return
                self.resumed_for_failures += 1  # it was killed twice at one photo, which it took for a cause
            elif process.returncode > 0:
                said = self.said()
                assert "died before they did anything" in said or "another run is writing" in said, said
                self.refused.append(said.strip().splitlines()[-1])
            process = self.start(output)

    def run(self, kills, expected):
        while self.total < kills:
            output = self.home / f"out{self.rounds}"
            self.round(output, kills)
            check(output, expected)
        print(f"kills {self.kills}, {self.starts} starts, {self.rounds} rounds, "
              f"{self.resumed_for_failures} resumed for photos blamed, refused: {self.refused}")  # fmt: skip


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
    campaign = Campaign(photos, tmp_path, "processes", lambda line: "spawn_main" in line)
    campaign.run(100, expected)
    assert min(campaign.kills.values()) >= 10


def test_ten_kills_with_ray(undisturbed, tmp_path):
    photos, expected = undisturbed
    campaign = Campaign(photos, tmp_path, "ray", lambda line: line.startswith("ray::_Actor"))
    campaign.run(10, expected)
