"""Composites, growth and the overhead of a data set: quick runs, and what the overhead counts."""

import itertools
import json
import threading
from functools import partial

import data_set
import measuring
import pytest
import render
import whole_runs

from equipoise.experiments.subject import Subject
from equipoise.methods.base import Method


class Work:
    """Calls within calls, on a clock that ticks when it is read."""

    def outer(self):
        return self.inner() + self.inner()

    def inner(self):
        return 1

    def fail(self):
        raise ZeroDivisionError


PLACES = ((Work, "outer"), (Work, "inner"), (Work, "fail"))


def ticks():
    return partial(next, itertools.count())


def test_a_call_within_a_call_counts_once():
    with data_set.within(PLACES, ticks()) as timer:
        assert Work().outer() == 2
        assert timer.seconds == 1
        Work().inner()
    assert timer.seconds == 2


def test_what_another_thread_does_meanwhile_does_not_count():
    with data_set.within(PLACES, ticks()) as timer:
        other = threading.Thread(target=Work().outer)
        other.start()
        other.join()
    assert timer.seconds == 0


def test_a_call_that_fails_counts_and_everything_is_put_back():
    before = dict(vars(Work))
    with pytest.raises(ZeroDivisionError), data_set.within(PLACES, ticks()) as timer:
        Work().fail()
    assert timer.seconds == 1
    assert dict(vars(Work)) == before


def test_the_overhead_is_all_but_one_explanation_of_each_photo(tmp_path, monkeypatch):
    data = data_set.photos(tmp_path, 3)
    monkeypatch.setattr(data_set, "within", partial(data_set.within, now=ticks()))
    before = Subject.answers, Method.attribute
    assert (
        data_set.explain("efficientnet_lite0", data).network == 2
    )  # the first photo alone, the others together; the answers come with the maps
    assert (Subject.answers, Method.attribute) == before
    assert data_set.explain("efficientnet_lite0", data, limit=1).network == 1


def test_a_run_with_a_problem_is_no_measurement(tmp_path):
    (data_set.photos(tmp_path, 2) / "images" / "0001.jpg").write_bytes(b"no image")
    with pytest.raises(RuntimeError, match=r"0001\.jpg"):
        data_set.explain("efficientnet_lite0", tmp_path)


def run(path, monkeypatch, *more):
    monkeypatch.setattr(whole_runs, "QUICK", whole_runs.Scale(32, 2, 2, 1, 2))
    monkeypatch.setattr(whole_runs, "COMPOSITES", {"epsilon-plus": "EpsilonPlus"})
    whole_runs.main(["--quick", "--output", str(path), *more])
    return json.loads(path.read_text())


def test_a_quick_run_measures_every_part(tmp_path, monkeypatch):
    path = tmp_path / "whole.json"
    run(path, monkeypatch, "--network", "resnet50")
    data = run(path, monkeypatch, "--network", "efficientnet_lite0")
    assert data["machine"] == measuring.machine()
    assert set(data["measured"]) == {"composites/resnet50", "growth/efficientnet_lite0", "overhead/efficientnet_lite0"}
    (composite,) = data["composites"]["resnet50"].values()
    assert composite["ours / zennit"]["runs"] == 2
    grown = data["growth"]["efficientnet_lite0"]
    assert set(grown) == {"times as many", "a batch, per image", "a data set, per image", "four times the pixels"}
    overhead = data["overhead"]["efficientnet_lite0"]
    assert overhead["images"] == 2
    assert 0 < overhead["outside"] < 1
    assert "| resnet50 | epsilon-plus |" in render.page({"whole_runs": data})


def test_only_measures_one_part(tmp_path, monkeypatch):
    parts = {name: (lambda network, _scale: {"of": network}, names) for name, (_, names) in whole_runs.PARTS.items()}
    monkeypatch.setattr(whole_runs, "PARTS", parts)
    path = tmp_path / "whole.json"
    assert set(run(path, monkeypatch, "--only", "growth")["growth"]) == {"vgg16", "efficientnet_lite0"}
    data = run(path, monkeypatch, "--only", "overhead", "--network", "vgg16")
    assert set(data["measured"]) == {"growth/vgg16", "growth/efficientnet_lite0", "overhead/vgg16"}
