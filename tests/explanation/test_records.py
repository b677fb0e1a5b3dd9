"""Files are whole or absent; records are JSON whatever the options are."""

import json
import os

import pytest
import torch

from equipoise import records


def test_written_whole_under_its_name_alone(tmp_path):
    path = tmp_path / "a.json"
    assert records.write_atomically(path, b"one") == path
    records.write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_permissions_follow_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        path = records.write_atomically(tmp_path / "a", b"x")
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("fault", [OSError("disk is full"), KeyboardInterrupt()])
def test_a_fault_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, fault):
    path = records.write_atomically(tmp_path / "a", b"old")

    def fail(_descriptor):
        raise fault

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(type(fault)):
        records.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_long_name_can_be_written(tmp_path):
    path = records.write_atomically(tmp_path / ("n" * 250), b"x")
    assert path.read_bytes() == b"x"


def test_anything_becomes_json():
    value = {
        "tensor": torch.tensor([1.0, float("nan")]),
        "module": torch.nn.ReLU(),
        "function": torch.relu,
        "set": {"b", "a"},
        "tuple": (1, None, True),
        "infinite": float("inf"),
        3: torch.float32,
    }
    assert json.loads(records.to_json(value)) == {
        "tensor": [1.0, None],
        "module": "ReLU",
        "function": records.plain(torch.relu),
        "set": ["a", "b"],
        "tuple": [1, None, True],
        "infinite": None,
        "3": "torch.float32",
    }


def test_statistics():
    found = records.statistics(torch.tensor([[1.0, -2.0], [0.0, 4.0]]))
    assert found == {
        "sum": 3.0,
        "positive_sum": 5.0,
        "negative_sum": -2.0,
        "positive_ratio": 0.5,
        "lowest": -2.0,
        "highest": 4.0,
    }


def test_sums_do_not_lose_small_numbers():
    tensor = torch.full((1000, 1000), 0.1)
    assert records.statistics(tensor)["sum"] == pytest.approx(tensor[0, 0].item() * 1e6, rel=1e-12)
