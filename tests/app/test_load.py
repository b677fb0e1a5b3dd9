"""Fifty visitors at once: nobody gets an error, nobody waits for one slow method, and the memory stays what it was."""

import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("gradio", reason="the app's tests need gradio")

from visitor import RefusedError, Visitor

from equipoise.app.spare import OFTEN
from equipoise.samples import SAMPLES, sample_path
from patience import PATIENCE

VISITORS, ROUNDS = 50, 3
GROWTH = 1.25  # of the memory after the first round


@pytest.fixture
def process(tmp_path):
    command = [sys.executable, "-m", "equipoise", "serve"]
    started = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # noqa: S603  # ourselves
    yield started
    started.send_signal(signal.SIGINT)
    _, errors = started.communicate(timeout=PATIENCE)
    assert "Traceback" not in errors


def resident(process):
    """Bytes that a process holds."""
    status = Path(f"/proc/{process.pid}/status")
    if not status.is_file():
        pytest.skip("this system does not say how much memory a process holds")
    return 1024 * int(re.search(r"VmRSS:\s+(\d+)", status.read_text())[1])


def settled(process, address):
    """Bytes that a process holds once what it does not need is given back, which is at the end of some work."""
    sizes, found = [], []
    for _ in range(4):
        time.sleep(1.1 * OFTEN)
        visit(address, 0, found)
        sizes.append(resident(process))
    assert all(isinstance(one, tuple) for one in found)
    return min(sizes)


def visit(address, number, found):
    """What somebody does who comes, looks, and tries two things."""
    name = list(SAMPLES)[number % len(SAMPLES)]
    try:
        with Visitor(address).here() as tab:
            started = time.perf_counter()
            tab.opens(tab.upload(sample_path(name).read_bytes(), name)).looks()
            first = time.perf_counter() - started
            before = tab.says("explained")
            assert "eq-view" in before
            tab.values[tab.part("gamma")] = 1.5
            tab.looks()
            assert "eq-view" in tab.says("explained")
            assert tab.says("explained") != before
            tab.values[tab.part("Methods, on the chosen classes")] = ["ae", "grad_cam"]
            tab.ask(tab.event("Compare", "click"))
            assert tab.says("compared").count("<img") == 2
            assert "eq-error" not in tab.says("status")
            found.append((first, time.perf_counter() - started))
    except (RefusedError, AssertionError, OSError) as error:
        found.append(error)


def crowd(address):
    """All visitors at once: how long each waited, or what went wrong."""
    found = []
    threads = [threading.Thread(target=visit, args=(address, number, found)) for number in range(VISITORS)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return found


@pytest.mark.slow
def test_fifty_visitors(process):
    address = process.stdout.readline().split()[4]
    slow = Visitor(address)
    slow.opens(slow.upload(sample_path("coffee.png").read_bytes()))
    slow.values[slow.part("Methods, on the chosen classes")] = []
    slow.values[slow.part("Slow methods")] = ["rise"]
    quick = slow.event("Compare", "click")
    (event,) = slow.following(quick)
    working = threading.Thread(target=slow.ask, args=(event,), daemon=True)
    sizes = []
    for number in range(ROUNDS):
        if number == 0:
            working.start()  # meanwhile somebody asks for a slow method
        found = crowd(address)
        assert [one for one in found if not isinstance(one, tuple)] == []
        assert len(found) == VISITORS
        if number == 0:
            working.join(2 * PATIENCE)  # from here on every round is alike, and must not take more than the last
        sizes.append(settled(process, address))
        firsts, whole = (sorted(one[part] for one in found) for part in (0, 1))
        seconds = f"first map {firsts[VISITORS // 2]:.1f} s (last {firsts[-1]:.1f} s), all {whole[-1]:.1f} s"
        print(f"\nround {number + 1}: {seconds}, {sizes[-1] / 1e6:.0f} MB")
    assert not working.is_alive()
    assert "RISE" in slow.says("compared")
    assert sizes[-1] < GROWTH * sizes[0]
