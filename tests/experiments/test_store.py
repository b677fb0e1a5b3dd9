"""The folder of a run: whole or absent, found again, one writer at a time."""

import math

import pytest
import torch

from equipoise.errors import OptionError
from equipoise.experiments.model.rows import Goal, KeptMap
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
    import pyarrow.parquet as pq

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
