"""Tasks are done once each, whatever dies; what kills is found; the rest is not lost."""

import os
import signal
from dataclasses import dataclass
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.errors import OptionError
from equipoise.executors import Crew, Dispatch, Here, Place, WorkersDiedError
from equipoise.executors.base import Died, Done, Raised, Ready
from equipoise.executors.processes import Processes


@dataclass(frozen=True)
class Part:
    start: int
    stop: int

    def alone(self):
        return [Part(index, index + 1) for index in range(self.start, self.stop)]


class Scripted(Crew):
    """Dies by a script: of each task of which it says so, and of every task that holds a killer."""

    def __init__(self, size, killers, deaths):
        super().__init__(size)
        self.killers, self.deaths = killers, list(deaths)
        self.events, self.given, self.announced, self.closed = [], {}, {}, False

    def start(self, member):
        self.events.append(Ready(member))

    def give(self, member, task, upcoming):
        assert member not in self.given
        self.given[member] = task
        self.announced[member] = upcoming

    def wait(self, seconds):  # noqa: ARG002
        events, self.events = self.events, []
        if events:
            return events
        for member in sorted(self.given):
            task = self.given.pop(member)
            if any(task.start <= one < task.stop for one in self.killers) or (self.deaths and self.deaths.pop()):
                return [Died(member, "killed")]
            return [Done(member, task)]
        return []

    def stop(self):
        pass

    def close(self):
        self.closed = True


def parts(total, length):
    return iter([Part(start, min(total, start + length)) for start in range(0, total, length)])


@settings(max_examples=200, deadline=None)
@given(
    size=st.integers(1, 4),
    total=st.integers(0, 40),
    length=st.integers(1, 9),
    killers=st.sets(st.integers(0, 39), max_size=3),
    deaths=st.lists(st.booleans(), max_size=6),
)
def test_every_item_is_done_once_or_known_to_kill(size, total, length, killers, deaths):
    killers = {one for one in killers if one < total}
    done, lost = [], []
    crew = Scripted(size, killers, deaths)
    Dispatch(crew, parts(total, length), done.append, lambda task, _: lost.append(task)).run()
    assert crew.closed
    items = sorted(index for part in done for index in range(part.start, part.stop))
    blamed = {part.start for part in lost}
    assert items == [index for index in range(total) if index not in blamed]
    assert killers <= blamed
    assert len(blamed - killers) <= len(deaths) // 2  # only who died twice of an item alone blames it


def test_a_crew_that_never_starts_is_given_up():
    class Stillborn(Scripted):
        def start(self, member):
            self.events.append(Died(member, "no memory"))

    with pytest.raises(WorkersDiedError, match="3 workers in a row died before they did anything: no memory"):
        Dispatch(Stillborn(2, (), ()), parts(4, 1), print, print).run()


def test_what_a_worker_raises_ends_the_run():
    class Raising(Scripted):
        def wait(self, seconds):
            if self.given:
                return [Raised(self.given.popitem()[0], OptionError("no such thing"))]
            return super().wait(seconds)

    crew = Raising(1, (), ())
    with pytest.raises(OptionError, match="no such thing"):
        Dispatch(crew, parts(4, 1), print, print).run()
    assert crew.closed


def test_who_works_knows_what_comes_next():
    crew = Scripted(1, (), ())
    seen = []
    Dispatch(crew, parts(3, 1), lambda task: seen.append((task, crew.announced[0])), print).run()
    assert [(task.start, upcoming and upcoming.start) for task, upcoming in seen] == [(0, 1), (1, 2), (2, None)]


def test_it_ends_early_when_stopped():
    done = []
    Dispatch(Scripted(1, (), ()), parts(100, 1), done.append, print, stopped=lambda: len(done) >= 3).run()
    assert len(done) == 3


@dataclass(frozen=True)
class Counting:
    """Workers that say their place and process, and die or fail by the task."""

    def build(self, place):
        return Counter(place)


class Counter:
    def __init__(self, place):
        self.place = place

    def do(self, task, upcoming, stopped):  # noqa: ARG002
        if task.start == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        if task.start == 7:
            raise OptionError("seven")
        if task.start == 8:
            raise OSError(5, "a disk that fails")
        return task, self.place.index, os.getpid()


def test_processes_do_what_one_does_and_survive_a_killer():
    done, lost = [], []
    crew = Processes(Counting(), [Place(0, 2, threads=1), Place(1, 2, threads=1)])
    dispatch = Dispatch(crew, parts(7, 1), done.append, lambda task, why: lost.append((task, why)))
    dispatch.run()
    assert sorted(task.start for task, _, _ in done) == [0, 1, 2, 3, 4, 6]
    assert lost == [(Part(5, 6), "killed by SIGKILL")]
    assert dispatch.deaths == 2
    assert os.getpid() not in {pid for _, _, pid in done}


def test_an_error_in_a_process_arrives_as_it_was():
    with pytest.raises(OptionError, match="seven"):
        Dispatch(Processes(Counting(), [Place()]), iter([Part(7, 8)]), print, print).run()


def test_an_error_of_a_disk_is_no_death_of_its_worker():
    with pytest.raises(OSError, match="a disk that fails"):
        Dispatch(Processes(Counting(), [Place()]), iter([Part(8, 9)]), print, print).run()


def test_here_ends_early_while_it_works():
    class Long:
        def build(self, place):  # noqa: ARG002
            return self

        def do(self, task, upcoming, stopped):  # noqa: ARG002
            asked.append(True)  # as a signal's handler does meanwhile
            assert stopped()
            return task

    asked, done = [], []
    Dispatch(Here(Long()), parts(9, 1), done.append, print, stopped=lambda: bool(asked)).run()
    assert len(done) == 1


def test_what_cannot_be_sent_is_said():
    with pytest.raises(OptionError, match=r"several workers need what can be sent to another process, .*name network"):
        Processes(lambda place: place, [Place()])


def test_here_does_it_in_this_process():
    done = []
    Dispatch(Here(Counting()), islice(parts(3, 1), 3), done.append, print).run()
    assert [pid for _, _, pid in done] == [os.getpid()] * 3
