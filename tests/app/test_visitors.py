"""What is kept of visitors has an end, work waits in line, and files go after a while."""

import gc
import os
import threading
import time
import weakref
from pathlib import Path

import pytest

from equipoise.app import files, spare
from equipoise.app.following import Following, lasting
from equipoise.app.lanes import CancelledError, Lane, Stop, waiting
from equipoise.app.session import Session
from equipoise.app.visitors import Visitors
from equipoise.errors import OptionError
from patience import until


def several(networks, photo, count):
    return [Session.open(photo, networks["colors"]) for _ in range(count)]


def test_forward_passes_are_kept_of_those_who_worked_last(networks, photo):
    visitors = Visitors(recorded=2)
    sessions = several(networks, photo, 3)
    for key, one in zip("abc", sessions, strict=True):
        visitors.came(key, one)  # all before any of them works
    for one in sessions:
        one.explain(0)
    assert [bool(one.kept.passes) for one in sessions] == [False, True, True]
    sessions[0].explain(1)
    assert [bool(one.kept.passes) for one in sessions] == [True, False, True]
    sessions[1].slow().explain(3)
    sessions[1].explain(2)
    assert [bool(one.kept.passes) for one in sessions] == [True, True, False]
    sessions[2].explain(2)
    sessions[0].explain(3)
    assert not sessions[1].kept.passes
    assert not sessions[1].slow().kept.passes
    assert all(one.kept.maps for one in sessions)


def test_maps_give_way_and_then_photos(networks, photo):
    sessions = several(networks, photo, 3)
    for one in sessions:
        one.explain(0)
    weight = sessions[0].weight
    bare = weight - sessions[0].kept.weight
    visitors = Visitors(budget=2 * weight + bare)
    for key, one in zip("abc", sessions, strict=True):
        visitors.came(key, one)
    assert [bool(one.kept.maps) for one in sessions] == [False, True, True]
    assert not any(one.forgotten for one in sessions)
    tight = Visitors(budget=weight)
    for key, one in zip("abc", sessions, strict=True):
        tight.came(key, one)
    assert [one.forgotten for one in sessions] == [True, True, False]
    assert len(tight) == 1
    with pytest.raises(OptionError, match="this photo was forgotten; give it again"):
        sessions[0].explain(0)
    assert sessions[2].explain(0).explanation.heatmap.any()
    assert sessions[0].weight == 0


def test_of_those_who_left_only_the_last_are_kept(networks, photo):
    visitors, dropped = Visitors(away=2), []
    visitors.dropped = dropped.append
    sessions = dict(zip("abcd", several(networks, photo, 4), strict=True))
    for key, one in sessions.items():
        visitors.came(key, one)
    for key in "acb":
        visitors.gone(key)
    assert (dropped, len(visitors)) == (["a"], 3)
    visitors.works(sessions["c"])  # is back
    visitors.gone("nobody")
    visitors.gone("d")
    assert dropped == ["a", "b"]
    assert [one.forgotten for one in sessions.values()] == [True, True, False, False]
    visitors.clear()
    assert len(visitors) == 0


def test_who_is_forgotten_is_told_so_by_whatever_is_asked(networks, photo):
    session = Session.open(photo, networks["colors"])
    alone = session.weight
    assert alone > session.view.inputs.nbytes + 3 * session.view.size[0] * session.view.size[1]
    session.explain(0)
    assert session.weight > alone
    session.forget()
    for ask in (lambda: session.targets([]), lambda: session.compare_with(photo), lambda: session.pixel_at(0.5, 0.5)):
        with pytest.raises(OptionError, match="this photo was forgotten; give it again"):
            ask()
    assert session.weight == 0
    session.forget()


class Knot:
    """Knows itself, as the operations and values of a forward pass know one another."""

    def __init__(self):
        self.self = self


def test_what_nobody_can_reach_any_more_is_given_back(monkeypatch):
    monkeypatch.setattr(spare, "_last", [0.0])
    gc.disable()  # which may be long in finding it
    try:
        spare.set_apart()
        left = weakref.ref(Knot())
        assert left() is not None
        spare.give_back()
        assert left() is None
    finally:
        spare.take_in()
        gc.enable()
    assert gc.get_freeze_count() == 0


def test_a_new_photo_takes_the_place_of_the_old_one(networks, photo):
    visitors = Visitors()
    old, new = several(networks, photo, 2)
    visitors.came("a", old)
    visitors.came("a", new)
    assert (len(visitors), old.forgotten, new.forgotten) == (1, True, False)


def test_who_leaves_stops_and_may_come_back(networks, photo):
    visitors = Visitors()
    session = Session.open(photo, networks["colors"], visitors.stop("a"))
    visitors.came("a", session)
    session.explain(0)
    slow = session.slow()
    visitors.gone("a")
    assert not session.kept.maps
    for one in (session, slow):
        with pytest.raises(CancelledError):
            one.explain(0)
    visitors.gone("nobody")
    session.stop.reset()
    assert session.explain(0).explanation.heatmap.any()


def test_work_waits_in_the_order_in_which_it_came():
    lane, order, go = Lane(), [], threading.Event()

    def work(name):
        with lane.turn(Stop()):
            order.append(name)
            go.wait()

    threads = []
    for name in range(5):
        threads.append(threading.Thread(target=work, args=(name,)))
        threads[-1].start()
        until(lambda name=name: lane.length == name + 1)
    assert waiting(lane) == "Another visitor's work is running; 5 are before you."
    assert waiting(lane, own=True) == "Another visitor's work is running; 4 are before you."
    go.set()
    for one in threads:
        one.join()
    assert order == list(range(5))
    assert lane.length == 0
    assert waiting(lane) == ""


def test_who_waits_can_be_stopped_and_a_thread_may_take_its_turn_twice():
    lane, stop, found = Lane(), Stop(), []

    def work():
        try:
            with lane.turn(stop):
                found.append("worked")
        except CancelledError:
            found.append("stopped")

    with lane.turn(Stop()), lane.turn(Stop()):
        thread = threading.Thread(target=work)
        thread.start()
        until(lambda: lane.length == 2)
        stop.request()
        thread.join()
        assert found == ["stopped"]
        assert lane.length == 1
    with pytest.raises(ZeroDivisionError), lane.turn(Stop()):
        raise ZeroDivisionError
    assert lane.length == 0


def test_what_is_followed_brings_its_result_or_its_error():
    lane = Lane()
    done = Following("Work", lambda: 7, Stop(), lane)
    assert list(done.states()) in ([], [done._state()])
    assert done.result == 7
    wrong = Following("Work", lambda: 1 // 0, Stop(), lane)
    list(wrong.states())
    with pytest.raises(ZeroDivisionError):
        _ = wrong.result


def test_who_follows_no_more_stops_the_work():
    lane, stop = Lane(), Stop()

    def work():
        while True:
            stop.check()

    job = Following("Work", work, stop, lane)
    states = job.states(look=0.01)
    assert next(states).words == "Work begins."
    states.close()
    job._thread.join()
    with pytest.raises(CancelledError):
        _ = job.result


def test_the_time_left(monkeypatch):
    job, now = Following("Work", lambda: None, Stop(), Lane()), [100.0]
    monkeypatch.setattr("equipoise.app.following.time.monotonic", lambda: now[0])
    job._tell(0, 4000)
    now[0] = 110.0
    job._tell(1000, 4000)
    state = job._state()
    assert (state.words, state.share) == ("Work: 1,000 of 4,000 passes, about 30 s left", 0.25)
    job._tell(0, 10)  # another count begins
    assert job._state().words == "Work: 0 of 10 passes"
    assert [lasting(one) for one in (0.1, 89, 91, 3600)] == ["about 1 s", "about 89 s", "about 2 min", "about 60 min"]


def test_files_go_after_a_while(tmp_path):
    (old,) = files.write(tmp_path, {"a": b"1"})
    (new,) = files.write(tmp_path, {"b": b"2"})
    past = time.time() - files.KEPT - 1
    os.utime(Path(old).parent, (past, past))
    files.write(tmp_path, {"c": b"3"})
    assert not Path(old).exists()
    assert Path(new).exists()
