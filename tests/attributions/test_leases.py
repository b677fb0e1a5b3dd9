"""One run has a folder at a time, with its own workers; who is left of a killed one writes nothing any more."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from attribution_world import alive
from equipoise.attributions.folder import Folder
from equipoise.attributions.leases import Owner, Share, let_go
from equipoise.attributions.plan import Plan, Task
from equipoise.attributions.sources import open_source
from equipoise.attributions.worker import Attributing
from equipoise.errors import OptionError
from equipoise.executors import Place
from patience import PATIENCE, until

LEFT = "a worker of an earlier run is still writing to"
TAKEN = "another run has taken over"


def made(folder):
    folder.make()
    return folder


def test_one_run_at_a_time(tmp_path):
    folder = made(Folder.at(tmp_path / "out"))
    with closing(Owner(folder)), pytest.raises(OptionError, match="another run is writing to"):
        Owner(folder)
    Owner(folder).close()


def test_a_run_waits_for_a_worker_of_a_killed_one(tmp_path):
    folder = made(Folder.at(tmp_path / "out"))
    first = Owner(folder)
    worker = Share(folder, first.token)
    first.close()  # as if it were killed
    with pytest.raises(OptionError, match=LEFT):
        Owner(folder, patience=0.1)
    timer = threading.Timer(0.2, worker.close)
    timer.start()
    Owner(folder, patience=PATIENCE).close()
    timer.join()


@pytest.mark.parametrize("address", ["local", "memory"])
def test_a_worker_that_comes_too_late_is_refused(tmp_path, address):
    folder = made(Folder.at(tmp_path / "out" if address == "local" else "memory://late-worker"))
    first = Owner(folder)
    first.close()
    with closing(Owner(folder)) as second:
        with pytest.raises(OptionError, match=TAKEN):
            Share(folder, first.token)
        Share(folder, second.token).close()


def test_a_leftover_worker_writes_nothing_once_another_run_has_the_folder(photos, network):
    folder = made(Folder.at("memory://leftover"))  # where there are no locks
    with closing(Owner(folder)) as owner:
        plan = Plan(network, (("ae", {}),), folder=str(Path.cwd()))
        worker = Attributing(plan, open_source(str(photos)), folder.address, 0, owner.token).build(Place())
    with closing(worker):
        assert worker.do(Task(0, 2), None, lambda: False).rows == 2
        with closing(Owner(folder)), pytest.raises(OptionError, match=TAKEN):
            worker.do(Task(2, 4), None, lambda: False)
    assert folder.names("rows") == ["000000000000-000000000002.parquet"]


def _forked(folder, pipe):
    let_go()
    pipe.send("let go")
    pipe.recv()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_reader_that_outlives_its_run_does_not_hold_the_folder(tmp_path):
    folder = made(Folder.at(tmp_path / "out"))
    owner = Owner(folder)
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_forked, args=(folder, theirs))
    process.start()
    assert ours.recv() == "let go"
    with pytest.raises(OptionError, match="another run"):
        Owner(folder)  # whoever forked it holds it still
    owner.close()
    Owner(folder).close()
    ours.send("end")
    process.join()
    process.close()


DRIVER = """
import os, sys, time
from dataclasses import dataclass

from equipoise.executors import Place
from equipoise.executors.processes import Processes


@dataclass(frozen=True)
class Sleeping:
    def build(self, place):
        return self

    def do(self, task, upcoming, stopped):
        print(os.getpid(), flush=True)
        time.sleep(600)


if __name__ == "__main__":
    crew = Processes(Sleeping(), [Place()])
    crew.start(0)
    while not crew.wait(1):
        pass
    crew.give(0, 1, None)
    time.sleep(600)
"""


def test_a_worker_ends_with_the_run_that_started_it_whatever_it_does(tmp_path):
    (tmp_path / "driver.py").write_text(DRIVER)
    command = [sys.executable, str(tmp_path / "driver.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  # our own
        worker = int(process.stdout.readline())
        assert alive(worker)
        process.send_signal(signal.SIGKILL)
        process.wait()
    until(lambda: not alive(worker))
