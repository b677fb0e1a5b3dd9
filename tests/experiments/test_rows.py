"""Rows as a lazy table: what memory and a file give, chosen, column by column; and the frame of a block."""

import math

import numpy as np
import pyarrow as pa
import pytest

from equipoise.experiments.model import table
from equipoise.experiments.model.frame import Frame
from equipoise.experiments.model.table import Rows, factorized
from equipoise.experiments.running import parts
from equipoise.experiments.running.parts import schema, write_rows

ROWS = [
    {
        "recipe": "r", "dataset": "d", "model": f"m{index // 12}", "method": "BA"[index % 2], "unit": f"u{index % 5}",
        "category": index % 3, "class": "c", "cell": None if index % 2 else 0, "predicted": index % 4 > 0,
        "hard": index % 5 == 0, "metric": ["y", "x"][index % 3 > 0], "step": None if index % 3 else 0.5,
        "detail": "", "value": math.nan if index == 7 else float(index), "key": f"k{index}",
    }
    for index in range(24)
]  # fmt: skip


@pytest.fixture(params=["memory", "small file", "large file"])
def rows(request, tmp_path, monkeypatch):
    if request.param == "memory":
        return Rows.of(ROWS)
    monkeypatch.setattr(table, "HELD", 0 if request.param == "large file" else 100)
    monkeypatch.setattr(parts, "GROUP_ROWS", 7)
    write_rows(tmp_path / "rows.parquet", [pa.Table.from_pylist(ROWS, schema())])
    return Rows.opened(tmp_path / "rows.parquet")


def plain(some):
    return [{name: str(value) for name, value in one.items()} for one in some]


def test_rows_are_what_was_put_in(rows):
    assert len(rows) == 24
    assert plain(rows) == plain(ROWS)
    assert plain([rows[3], rows[-1]]) == plain([ROWS[3], ROWS[-1]])
    assert plain(rows[4:20:5]) == plain(ROWS[4:20:5])
    with pytest.raises(IndexError):
        rows[24]


def test_some_are_chosen_by_their_fields(rows):
    some = rows.where(model="m1", metric=("x", "z"))
    expected = [one for one in ROWS if one["model"] == "m1" and one["metric"] == "x"]
    assert plain(some) == plain(expected)
    assert len(some) == len(expected)
    assert some
    assert len(some.where(cell=0, hard=True)) == sum(one["cell"] == 0 and one["hard"] for one in expected)
    assert [len(rows.where(model=model)) for model in ("m0", "m1", "m2")] == [12, 12, 0]
    assert rows.where(model="m0")
    assert not rows.where(model="m2")
    assert len(rows.where(model="m2").table(["value"])) == 0
    assert len(rows.where(model="m2").column("unit")) == 0


def test_columns_are_arrays(rows):
    assert rows.column("value")[:7].tolist() == list(range(7))
    assert np.isnan(rows.column("value")[7])
    assert np.isnan(rows.column("step")[1])
    assert rows.column("cell").tolist() == [0, -1] * 12
    assert rows.column("unit").tolist() == [one["unit"] for one in ROWS]
    assert rows.column("hard").dtype == bool


def test_codes_count_the_sorted_values_that_there_are(rows):
    ((codes, names),) = rows.where(unit=("u4", "u0")).codes("unit")
    assert names == ["u0", "u4"]
    assert [names[code] for code in codes] == [one["unit"] for one in ROWS if one["unit"] in {"u0", "u4"}]
    ((codes, names),) = rows.codes("step")
    assert names == [0.5]
    assert codes[:4].tolist() == [0, -1, -1, 0]


def test_an_empty_column_has_no_codes():
    codes, names = factorized(pa.chunked_array([], pa.string()))
    assert (codes.tolist(), names) == ([], [])


def test_a_later_file_in_its_place_does_not_change_the_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "HELD", 0)
    path = tmp_path / "rows.parquet"
    write_rows(path, [pa.Table.from_pylist(ROWS, schema())])
    opened = Rows.opened(path)
    write_rows(path, [pa.Table.from_pylist(ROWS[:2], schema())])
    assert len(list(opened)) == 24


def test_the_file_does_not_depend_on_how_its_rows_came(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "GROUP_ROWS", 7)
    whole = pa.Table.from_pylist(ROWS, schema())
    write_rows(tmp_path / "one", [whole])
    write_rows(tmp_path / "many", [whole[:1], whole[1:1], whole[1:16], whole[16:]])
    assert (tmp_path / "one").read_bytes() == (tmp_path / "many").read_bytes()


def test_a_frame_finds_the_rows_of_a_method_metric_and_step(rows):
    frame = Frame(rows.where(model="m0"), ["hard", "predicted"])
    mine = [one for one in ROWS if one["model"] == "m0"]

    def values(**wanted):
        return [one["value"] for one in mine if all(one[name] == value for name, value in wanted.items())]

    assert frame.values("A", "y", 0.5).tolist() == values(method="A", metric="y", step=0.5)
    assert frame.values("A", "y").tolist() == values(method="A", metric="y")
    assert frame.values("B", "x", where={"hard": True}).tolist() == values(method="B", metric="x", hard=True)
    assert frame.values("A", "y", 0.25).tolist() == frame.values("C", "y").tolist() == []
    assert frame.steps("y") == [0.5]
    assert frame.steps("x") == []
    assert "A" in frame
    assert "C" not in frame
    assert frame.units == [f"u{index}" for index in range(5)]
    cell = frame.cell("A", "x")
    assert cell.undefined == 1
    assert cell.total.sum() == sum(value for value in values(method="A", metric="x") if not math.isnan(value))
