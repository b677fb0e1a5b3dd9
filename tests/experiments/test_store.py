"""The folder of a run: whole or absent, found again, one writer at a time."""

import json
import math
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from equipoise.errors import OptionError
from equipoise.experiments.model.rows import Goal, KeptMap
from equipoise.experiments.running import parts
from equipoise.experiments.running import store as stores
from equipoise.experiments.running.keys import Index, Keys, short, shorts
from equipoise.experiments.running.store import COLUMNS, Part, Store, digest

# Two classes of one name, as ImageNet has them, and a stage whose name holds what once parted names.
MAPS = [
    KeptMap(Goal(3, "crane"), torch.tensor([[0.0, -4.0]])),
    KeptMap(Goal(8, "crane", hard=True, cell=2), torch.tensor([[2.0, 1.0]]), 1.0, "a|b"),
]


def row(value, **changes):
    values = dict.fromkeys(COLUMNS[:-1]) | {"unit": "a", "category": 0, "predicted": True, "hard": False}
    return values | {"metric": "pointing", "value": value} | changes


def test_what_was_added_is_there_after_reopening(tmp_path):
    store = Store(tmp_path / "run", resume=False)
    store.add([Part("k1", [row(1.0), row(math.nan, step=0.5)], MAPS), Part("k2", [], [])])
    store.close()
    again = Store(tmp_path / "run", resume=True)
    assert "k1" in again
    assert "k2" in again
    assert "k3" not in again
    values = [one["value"] for one in again.rows(["k2", "k1", "k3"])]
    assert values[0] == 1.0
    assert math.isnan(values[1])
    first, second = again.maps("k1")
    assert (first.goal, first.step, first.detail) == (Goal(3, "crane"), None, "")
    assert first.heatmap.tolist() == [[0.0, -1.0]]
    assert (second.goal, second.step, second.detail) == (Goal(8, "crane", hard=True, cell=2), 1.0, "a|b")
    assert second.heatmap.tolist() == [[1.0, 0.5]]
    assert again.maps("k2") == []
    again.close()


def test_rows_come_in_the_order_of_the_keys(tmp_path):
    store = Store(tmp_path, resume=False)
    store.add([Part("b", [row(2.0)], [])])
    store.add([Part("a", [row(1.0)], []), Part("c", [row(3.0)], [])])
    assert [one["value"] for one in store.merge(["a", "b", "c"])] == [1.0, 2.0, 3.0]
    assert [one["key"] for one in store.merge(["c", "a"])] == ["c", "a"]
    store.close()


def test_the_merged_file_has_the_documented_columns(tmp_path):
    store = Store(tmp_path, resume=False)
    store.add([Part("a", [row(1.0)], [])])
    store.merge(["a"])
    store.close()
    table = pq.read_table(tmp_path / "rows.parquet")
    assert tuple(table.column_names) == COLUMNS
    assert table.num_rows == 1


def test_results_of_an_earlier_run_are_not_mixed_in_unasked(tmp_path):
    store = Store(tmp_path, resume=False)
    store.close()
    Store(tmp_path, resume=False).close()  # nothing was measured yet
    store = Store(tmp_path, resume=False)
    store.add([Part("a", [], [])])
    store.close()
    with pytest.raises(OptionError, match="--resume"):
        Store(tmp_path, resume=False)


def test_one_run_writes_at_a_time(tmp_path):
    store = Store(tmp_path, resume=False)
    with pytest.raises(OptionError, match="another run"):
        Store(tmp_path, resume=True)
    store.close()
    Store(tmp_path, resume=True).close()


def test_a_torn_file_of_a_killed_run_does_not_count(tmp_path):
    store = Store(tmp_path, resume=False)
    store.add([Part("a", [row(1.0)], [])])
    store.close()
    (tmp_path / "parts" / ".half.parquet.1234.part").write_bytes(b"PAR1 torn")
    again = Store(tmp_path, resume=True)
    assert len(again.rows(["a"])) == 1
    again.close()


def test_what_is_remembered_survives_and_a_broken_memo_is_forgotten(tmp_path):
    store = Store(tmp_path, resume=False)
    assert store.memo() == {}
    store.remember({"a": [1, 0.5]})
    assert store.memo() == {"a": [1, 0.5]}
    (tmp_path / "memo.json").write_text("{", encoding="utf-8")
    assert store.memo() == {}
    store.close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(OptionError, match="file"):
        Store(tmp_path / "file" / "run", resume=False)


def test_digests_do_not_run_together():
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("a") == digest("a")


class Clock:
    """Seconds that a test sets."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def files(folder):
    return sorted(path.name for path in folder.glob("parts/*.parquet"))


def test_results_are_written_together_after_a_while(tmp_path):
    clock = Clock()
    store = Store(tmp_path, resume=False, clock=clock)
    for index in range(5):
        clock.now += 0.3 * stores.FLUSH_SECONDS
        store.add([Part(f"k{index}", [row(float(index))], [])])
        assert f"k{index}" in store
        assert len(files(tmp_path)) == (index + 1) // 4, "the fourth comes when the first is old enough"
    store.close()
    assert len(files(tmp_path)) == 2
    again = Store(tmp_path, resume=True)
    assert [one["value"] for one in again.rows(f"k{index}" for index in range(5))] == [0.0, 1.0, 2.0, 3.0, 4.0]
    again.close()


def test_many_rows_or_large_maps_are_not_held(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "FLUSH_ROWS", 3)
    monkeypatch.setattr(stores, "FLUSH_BYTES", 100)
    store = Store(tmp_path, resume=False, clock=Clock())
    store.add([Part("a", [row(1.0)] * 2, [])])
    assert files(tmp_path) == []
    store.add([Part("b", [row(2.0)], [])])
    assert len(files(tmp_path)) == 1
    store.add([Part("c", [], [KeptMap(Goal(0, "x"), torch.ones(10, 5))])])
    assert len(files(tmp_path)) == 2
    store.close()


def test_what_comes_twice_counts_once(tmp_path):
    """A batch done again by another worker, and two writers that did the same."""
    one, other = (Store(tmp_path, resume=False, clock=Clock(), writer=name) for name in ("one", "other"))
    one.add([Part("a", [row(1.0)], MAPS)])
    one.add([Part("a", [row(9.0)], [])])
    other.add([Part("a", [row(1.0)], MAPS), Part("b", [row(2.0)], [])])
    one.close()
    other.close()
    assert len(files(tmp_path)) == 2
    store = Store(tmp_path, resume=True)
    assert [one["value"] for one in store.merge(["b", "a"])] == [2.0, 1.0]
    assert len(store.maps("a")) == 2
    store.close()


def test_several_writers_share_a_folder_and_read_each_other(tmp_path):
    first = Store(tmp_path, resume=False, writer="shard-1")
    first.add([Part("a", [row(1.0)], [])])
    first.flush()
    second = Store(tmp_path, resume=False, writer="shard-2")
    assert "a" in second, "it was there when the second began"
    with pytest.raises(OptionError, match=f"another run is writing to {tmp_path}"):
        Store(tmp_path, resume=True, writer="shard-2")
    second.add([Part("b", [row(2.0)], [])])
    second.remember({"two": 2})
    first.remember({"one": 1})
    second.flush()
    assert "b" not in first
    first.refresh()
    assert "b" in first
    assert [name.partition(".")[0] for name in files(tmp_path)] == ["shard-1", "shard-2"]
    assert first.memo() == {"one": 1, "two": 2}
    assert [one["value"] for one in first.merge(["b", "a"])] == [2.0, 1.0]
    first.close()
    second.close()
    with pytest.raises(OptionError, match="--resume"):
        Store(tmp_path, resume=False, writer="shard-1")
    Store(tmp_path, resume=False, writer="shard-3").close()


@pytest.mark.parametrize("name", ["a/b", "a.b", "../a", " "])
def test_a_writer_has_a_name_that_a_file_can_have(tmp_path, name):
    with pytest.raises(OptionError, match="make a name"):
        Store(tmp_path / "run", resume=False, writer=name)
    assert not (tmp_path / "run").exists()


def test_results_of_a_writer_without_a_name_are_not_mixed_in_unasked(tmp_path):
    store = Store(tmp_path, resume=False)
    store.add([Part("a", [], [])])
    store.close()
    with pytest.raises(OptionError, match="--resume"):
        Store(tmp_path, resume=False, writer="shard-1")


def test_the_merged_file_is_the_same_however_the_results_came(tmp_path, monkeypatch):
    """In order, backwards, dealt out to three writers, one by one; in row groups smaller than some parts."""
    monkeypatch.setattr(parts, "GROUP_ROWS", 10)
    monkeypatch.setattr(stores, "GROUP_ROWS", 10)
    every = [
        Part(f"k{index}", [row(float(index), step=float(turn)) for turn in range(index % 4)], []) for index in range(50)
    ]
    order = [part.key for part in every]

    def merged(name, lots):
        for turn, lot in enumerate(lots):
            store = Store(tmp_path / name, resume=True, writer=f"w{turn}")
            for part in lot:
                store.add([part])
                if name == "one by one":
                    store.flush()
            store.close()
        store = Store(tmp_path / name, resume=True)
        rows = store.merge(order)
        assert [one["value"] for one in rows] == [float(index) for index in range(50) for _ in range(index % 4)]
        store.close()
        return (tmp_path / name / "rows.parquet").read_bytes()

    expected = merged("in order", [every])
    assert pq.read_metadata(tmp_path / "in order/rows.parquet").num_row_groups == 8
    assert merged("backwards", [every[::-1]]) == expected
    assert merged("dealt out", [every[turn::3] for turn in range(3)]) == expected
    assert merged("in blocks", [every[20:], every[:20]]) == expected
    assert merged("one by one", [every]) == expected


def test_a_folder_of_an_earlier_version_is_gone_on_with(tmp_path):
    """One file of rows and one of maps for each unit, named by the first half of the key."""
    key = digest("an old result")
    for place in ("parts", "maps"):
        (tmp_path / place).mkdir()
    rows = pa.Table.from_pylist([row(1.0) | {"key": key}], schema=parts.schema())
    old = rows.replace_schema_metadata({b"equipoise.keys": json.dumps([key]).encode()})
    pq.write_table(old, tmp_path / "parts" / f"{digest(key)[:32]}.parquet", compression="zstd")
    labels = [{"goal": asdict(one.goal), "step": one.step, "detail": one.detail} for one in MAPS[:1]]
    tensors = {"0": torch.tensor([[0.0, -1.0]]).half()}
    save_file(tensors, tmp_path / "maps" / f"{key[:32]}.safetensors", {"equipoise.maps": json.dumps(labels)})
    store = Store(tmp_path, resume=True)
    assert key in store
    store.add([Part("new", [row(2.0)], MAPS)])
    assert [one["value"] for one in store.merge(["new", key])] == [2.0, 1.0]
    (one,) = store.maps(key)
    assert (one.goal, one.heatmap.tolist()) == (Goal(3, "crane"), [[0.0, -1.0]])
    assert len(store.maps("new")) == 2
    store.close()


def test_maps_of_many_units_share_a_file(tmp_path):
    store = Store(tmp_path, resume=False, clock=Clock())
    for index in range(20):
        store.add([Part(f"k{index}", [], [KeptMap(Goal(index, "x"), torch.full((2, 2), float(index)))])])
    assert [one.goal.category for one in store.maps("k7")] == [7]
    assert store.maps("k20") == []
    assert len(list(tmp_path.glob("maps/*.safetensors"))) == 1
    store.add([Part("k20", [], [KeptMap(Goal(20, "x"), torch.ones(2, 2))])])
    assert [one.goal.category for one in store.maps("k20")] == [20]
    store.close()


def test_a_full_disk_loses_nothing_that_is_held(tmp_path, monkeypatch):
    store = Store(tmp_path, resume=False, clock=Clock())
    store.add([Part("a", [row(1.0)], [])])

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(stores, "write_rows", full)
        with pytest.raises(OSError, match="No space"):
            store.flush()
    assert "a" in store
    store.close()
    again = Store(tmp_path, resume=True)
    assert "a" in again
    again.close()


def test_a_flush_within_a_flush_writes_everything_once(tmp_path, monkeypatch):
    """As a signal's handler does it, at the worst moments: before and after the file is there."""
    store = Store(tmp_path, resume=False, clock=Clock())
    write = stores.write_rows
    calls = []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 1:
            store.flush()
        write(*arguments)
        if len(calls) == 2:
            store.flush()

    monkeypatch.setattr(stores, "write_rows", interrupted)
    store.add([Part("a", [row(1.0)], []), Part("b", [row(2.0)], [])])
    store.flush()
    store.add([Part("c", [row(3.0)], [])])
    store.close()
    again = Store(tmp_path, resume=True)
    assert [one["value"] for one in again.merge(["a", "b", "c"])] == [1.0, 2.0, 3.0]
    again.close()


SIGNALED = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_store import MAPS, Part, Store, row
store = Store(Path({folder!r}), resume=False, writer="node-1")
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, lambda *_: (store.flush(), os._exit(5)))
index = 0
print("ready", flush=True)
while True:
    store.add([Part(f"k{{index}}", [row(float(index))], MAPS if index == 0 else [])])
    print(index, flush=True)
    index += 1
    time.sleep(0.001)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_whose_handler_flushes_loses_nothing(tmp_path, number):
    tests = str(Path(__file__).parent)
    code = SIGNALED.format(tests=tests, folder=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  # our own
        assert process.stdout is not None
        for line in process.stdout:
            if line == "200\n":
                process.send_signal(number)
                break
        said = [200, *map(int, process.stdout.read().split())]
    assert process.returncode == 5
    store = Store(tmp_path, resume=True)
    assert all(f"k{index}" in store for index in range(said[-1] + 1))
    assert len(store.maps("k0")) == 2
    store.close()


def test_millions_of_keys_take_twenty_bytes_each(monkeypatch):
    from equipoise.experiments.running import keys

    monkeypatch.setattr(keys, "_PENDING", 50)
    index = Index()
    for file in range(40):
        index.add((f"k{one}" for one in range(file * 25, file * 25 + 25)), file)
    index.add(["k0", "new"], 41)
    assert len(index) == 1001
    assert [index.find(short(f"k{one}")) for one in (0, 24, 25, 999)] == [0, 0, 1, 39]
    assert index.find(short("k1000")) == -1
    assert index.files(shorts(["k999", "nothing", "k3", "new"])).tolist() == [39, -1, 0, 41]
    held = sum(one.nbytes for one in index._sorted)
    assert held == 20 * 1001


def test_keys_are_made_when_asked_for():
    keys = Keys(("common",), {"A": "a", "B": "b"})
    keys.add("photo", "sum")
    assert keys["photo", "B"] == digest("common", "photo", "sum", "b") == keys.made("photo", "sum")["B"]
    assert list(keys) == [("photo", "A"), ("photo", "B")]
    assert len(keys) == 2
    assert ("photo", "C") not in keys
    assert ("other", "A") not in keys
