"""Ctrl-C takes effect when no lock is held: a run that it ends does end."""

import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from equipoise._signals import shielded


@pytest.fixture(autouse=True)
def as_in_a_terminal():
    """Where the tests were started in the background, Ctrl-C is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_takes_effect_after_what_it_must_not_disturb():
    done = []

    def work():
        with shielded():
            signal.raise_signal(signal.SIGINT)
            done.append("in spite of it")
        done.append("never")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["in spite of it"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_an_error_comes_through_and_the_handler_is_as_before():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="of its own"), shielded():
        raise ValueError("of its own")
    assert signal.getsignal(signal.SIGINT) is before


def test_who_ignores_it_goes_on_ignoring_it_and_other_threads_leave_it_alone():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with shielded():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    seen = []

    def elsewhere():
        with shielded():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [before]


def test_what_an_executor_was_given_is_done_although_ctrl_c_came_in_the_middle(monkeypatch):
    futures = []

    def work(pool):
        with shielded():
            futures.append(pool.submit(int, "7"))
        futures.append("never")

    with ThreadPoolExecutor(1) as pool:
        adjust = pool._adjust_thread_count  # the executor's locks are held there
        monkeypatch.setattr(pool, "_adjust_thread_count", lambda: (signal.raise_signal(signal.SIGINT), adjust()))
        with pytest.raises(KeyboardInterrupt):
            work(pool)
    assert [future.result(timeout=10) for future in futures] == [7]
