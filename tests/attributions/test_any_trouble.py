"""Whatever fails, dies or is ended early: once nothing does any more, resuming gives the undisturbed table."""

import os
import signal
import sys
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import equipoise
from attribution_world import write_network
from equipoise.attributions import run as running
from equipoise.attributions.folder import Folder
from equipoise.attributions.plan import Plan
from equipoise.attributions.run import StoppedError, Where, run
from equipoise.attributions.sources import open_source
from equipoise.errors import EquipoiseError, ImageError
from equipoise.executors import Crew, Place
from equipoise.executors.base import Died, Done, Raised, Ready
from equipoise.loading import load

ITEMS = 12


class Photos:
    """Grey photos, each of its own brightness, of which some cannot be read."""

    def __init__(self):
        self.broken = set()

    def __len__(self):
        return ITEMS

    def __getitem__(self, index):
        if index in self.broken:
            raise ImageError(f"photo {index} cannot be read")
        return np.full((16, 16, 3), 19 * index + 30, np.uint8)


class Picky:
    """A method that fails at some photos, which it knows by their brightness."""

    __name__ = "picky"

    def __init__(self):
        self.refused = set()

    def __call__(self, model, inputs, target):  # noqa: ARG002  # a method's signature
        seen = ((inputs.mean((1, 2, 3)) * 0.5 + 0.5) * 255).round()
        if {round((float(one) - 30) / 19) for one in seen} & self.refused:
            raise EquipoiseError("not this one")
        return inputs * 2


class Mortal(Crew):
    """Workers of this process that die by a script: before a task, after it was written, or while it is."""

    def __init__(self, job, size, script, stop_after):
        super().__init__(size)
        self.job, self.script, self.stop_after = job, list(script), stop_after
        self.events, self.given, self.workers, self.ended = [], {}, {}, 0

    def start(self, member):
        self.events.append(Ready(member))

    def give(self, member, task, upcoming):
        self.given[member] = task, upcoming

    def wait(self, seconds):  # noqa: ARG002  # nothing takes time
        events, self.events = self.events, []
        if events or not self.given:
            return events
        member = sorted(self.given)[self.ended % len(self.given)]
        task, upcoming = self.given.pop(member)
        self.ended += 1
        if self.stop_after is not None and self.ended >= self.stop_after:
            os.kill(os.getpid(), signal.SIGUSR1)
        action = self.script.pop() if self.script else "done"
        if action == "before":
            return [Died(member, "killed")]
        try:
            if member not in self.workers:
                self.workers[member] = self.job.build(Place(member, self.size))
            answer = self.workers[member].do(task, upcoming, lambda: action == "early" and self.asked())
        except Exception as error:  # noqa: BLE001  # as of every crew
            return [Raised(member, error)]
        return [Died(member, "killed") if action == "after" else Done(member, answer)]

    def stop(self):
        pass

    def close(self):
        for one in self.workers.values():
            one.close()
        self.workers.clear()


session = st.fixed_dictionaries({
    "broken": st.sets(st.integers(0, ITEMS - 1), max_size=3),
    "refused": st.sets(st.integers(0, ITEMS - 1), max_size=3),
    "size": st.integers(1, 3),
    "script": st.lists(st.sampled_from(["before", "after", "early", "done"]), max_size=8),
    "stop_after": st.none() | st.integers(1, 4),
    "first": st.integers(1, 7),
})  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    home = tmp_path_factory.mktemp("any_trouble") / "home"
    write_network(home)
    sys.path.insert(0, str(home))
    network = load("tinynet_attributions:build")
    yield home.parent, network
    sys.path.remove(str(home))
    sys.modules.pop("tinynet_attributions", None)


def table(found):
    return found.table().drop_columns(["file", "row", "score", "probability", "sum", "positive_sum", "negative_sum",
                                       "positive_ratio", "lowest", "highest"])  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sessions=st.lists(session, min_size=1, max_size=3))
def test_resuming_after_any_trouble_gives_the_undisturbed_table(world, tmp_path_factory, sessions):
    home, network = world
    photos, picky = Photos(), Picky()
    plan = Plan(network, (("gradient", {}), (picky, {})), ("top2",), batch=3)
    source = open_source(photos)

    def attributed(name, size=1, script=(), stop_after=None):
        where = Where(Folder.at(f"{home}/{name}"), resume=True)
        return run(plan, source, where, lambda job: Mortal(job, size, script, stop_after))

    if not (home / "calm").exists():
        attributed("calm")
    expected = equipoise.open_attributions(home / "calm")
    name = tmp_path_factory.mktemp("run").name
    for one in sessions:
        photos.broken, picky.refused = one["broken"], one["refused"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(running, "FIRST", one["first"])
            patch.setattr(running, "SECONDS", 1e-9)
            with suppress(StoppedError):
                attributed(name, one["size"], one["script"], one["stop_after"])
    photos.broken, picky.refused = set(), set()
    found = attributed(name)
    assert found.failures == []
    assert table(found) == table(expected)
    for one, other in zip(found, expected, strict=True):
        assert abs(one.row["sum"] - other.row["sum"]) < 1e-4
        assert float((one.attribution - other.attribution).abs().max()) < 1e-2


def test_an_item_that_was_written_is_not_blamed_for_the_death_of_its_worker(world, tmp_path, monkeypatch):
    _, network = world
    plan = Plan(network, (("gradient", {}),), batch=3)
    monkeypatch.setattr(running, "FIRST", 1)
    monkeypatch.setattr(running, "SECONDS", 1e-9)
    where, script = Where(Folder.at(tmp_path / "out")), ["after"] * 2 * ITEMS
    found = run(plan, open_source(Photos()), where, lambda job: Mortal(job, 2, script, None))
    assert found.failures == []
    assert [entry.index for entry in found] == list(range(ITEMS))
