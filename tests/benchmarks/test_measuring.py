"""Rotation, ratios, quartiles and files that grow; no clock is asked."""

import json

import measuring
import pytest


def test_every_run_comes_once_a_round_in_rotating_order():
    seen = []
    runs = {name: lambda name=name: seen.append(name) for name in "abc"}

    def timed(run):
        run()
        return float(len(seen))

    seconds = measuring.interleaved(runs, 4, timed)
    assert "".join(seen) == "abcbcacababc"
    assert seconds == {"a": [1, 6, 8, 10], "b": [2, 4, 9, 11], "c": [3, 5, 7, 12]}


def test_spread_is_the_median_and_the_quartiles():
    assert measuring.spread([4.0, 1.0, 3.0, 2.0, 5.0]) == {"median": 3.0, "quartiles": [2.0, 4.0], "runs": 5}
    assert measuring.spread([4.0]) == {"median": 4.0, "quartiles": [4.0, 4.0], "runs": 1}
    assert measuring.ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]


def test_the_machine_is_described():
    found = measuring.machine()
    assert set(found) == {"cpu", "cores", "torch threads", "versions", "python"}
    assert set(found["versions"]) == {"torch", "torchvision", "timm", "zennit", "captum"}


def grown(path, key, value, settings=None, *, go_on=True):
    record = measuring.Record(path, settings or {"size": 8}, go_on=go_on)
    with record.part("models", key) as found:
        found["value"] = value
    return json.loads(path.read_text())


def test_a_record_grows_and_keeps_what_was_measured(tmp_path):
    path = tmp_path / "new" / "found.json"
    grown(path, "one", 1)
    data = grown(path, "two", 2)
    assert data["models"] == {"one": {"value": 1}, "two": {"value": 2}}
    assert set(data["measured"]) == {"models/one", "models/two"}
    assert set(data["measured"]["models/one"]) == {"load", "commit"}
    assert data["size"] == 8
    assert data["machine"] == measuring.machine()
    assert grown(path, "two", 3)["models"] == {"one": {"value": 1}, "two": {"value": 3}}


def test_a_record_begins_anew_without_only_and_with_other_settings(tmp_path, capsys):
    path = tmp_path / "found.json"
    grown(path, "one", 1)
    assert set(grown(path, "two", 2, go_on=False)["models"]) == {"two"}
    assert set(grown(path, "one", 2, {"size": 9})["models"]) == {"one"}
    assert "begun anew" in capsys.readouterr().err


def test_a_part_that_fails_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "found.json"
    before = grown(path, "one", 1)
    record = measuring.Record(path, {"size": 8}, go_on=True)
    with pytest.raises(ZeroDivisionError), record.part("models", "two"):
        raise ZeroDivisionError
    assert json.loads(path.read_text()) == before
