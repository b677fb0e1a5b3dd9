"""Rows and maps come back as they went in; parts that overlap count once; nothing is half there."""

from itertools import pairwise

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.attributions.folder import Folder
from equipoise.attributions.joining import failures, ordered, write_rows
from equipoise.attributions.parts import STEPS, Failure, MapFile, PartWriter, Span, halved, parts, tidy
from equipoise.errors import DataError, OptionError


def row(index, method="ae", target=0):
    return {
        "index": index, "key": f"{index}.png", "label": None, "method": method, "target": target, "name": "ant",
        "score": float(index), "probability": None, "sum": 0.0, "positive_sum": 0.0, "negative_sum": 0.0,
        "positive_ratio": 0.0, "lowest": 0.0, "highest": 0.0, "sha256": "00",
    }  # fmt: skip


def write(folder, start, stop, skip=(), values="float32", methods=("ae",), reason="broken"):
    writer = PartWriter(folder, Span(start, stop), values)
    for index in range(start, stop):
        if index in skip:
            writer.fail(Failure(index, f"{index}.png", "", reason))
            continue
        for method in methods:
            writer.add(row(index, method), torch.full((1, 2, 3), float(index)))
    return writer.close(stop)


@settings(max_examples=50, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)),
    scale=st.floats(1e-20, 1e20),
    seed=st.integers(0, 99),
)
def test_float16_is_within_a_step_of_each_map_s_largest(shape, scale, seed):
    maps = torch.randn(3, *shape, generator=torch.Generator().manual_seed(seed)).double() * scale
    maps[1] = 0
    half, scales = halved(maps)
    back = half.double() * scales.double().view(-1, 1, 1, 1)
    largest = maps.abs().flatten(1).amax(1).view(-1, 1, 1, 1)
    assert ((back - maps).abs() <= largest * (1 / STEPS + 2**-12)).all()
    assert (back[1] == 0).all()


@pytest.mark.parametrize("address", ["local", "memory"])
@pytest.mark.parametrize("values", ["float16", "float32"])
def test_maps_come_back_one_by_one(tmp_path, address, values):
    folder = Folder.at(tmp_path if address == "local" else "memory://maps-come-back")
    dice = np.random.default_rng(0)
    maps = [torch.from_numpy(dice.normal(size=(3, 4 + n, 5)).astype("float32")) for n in range(7)]
    writer = PartWriter(folder, Span(0, 7), values)
    for index, one in enumerate(maps):
        kept, scale = (one, 1.0) if values == "float32" else (halved(one[None])[0][0], halved(one[None])[1].item())
        writer.add(row(index), kept, scale)
    writer.close(7)
    (part,) = parts(folder)
    with folder.files.open(folder.path(f"maps/{part.maps}"), "rb") as file:
        found = MapFile(file)
        for index in (6, 0, 3):
            shape, scale, flat = found.read(index)
            back = torch.from_numpy(flat.astype("float32") * scale).reshape(shape)
            torch.testing.assert_close(back, maps[index], rtol=0, atol=1e-3 if values == "float16" else 0)
        with pytest.raises(DataError, match="this file holds 7 maps; there is no map 7"):
            found.read(7)


@settings(max_examples=60, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 12), max_size=5), skip=st.sets(st.integers(0, 11), max_size=4), seed=st.integers(0, 9)
)
def test_the_table_is_in_order_and_holds_each_item_once(tmp_path_factory, cuts, skip, seed):
    folder = Folder.at(tmp_path_factory.mktemp("parts"))
    edges = sorted({0, 12, *cuts})
    for start, stop in pairwise(edges):
        write(folder, start, stop, skip, methods=("ae", "rap"))
    for index in skip:  # done again, alone
        write(folder, index, index + 1, methods=("ae", "rap"))
    write(folder, seed, seed + 1, methods=("ae", "rap"))  # twice, by a run that did not know the other
    assert write_rows(folder, parts(folder)) == 24
    table = pq.read_table(folder.path("rows.parquet"))
    assert table.column("index").to_pylist() == [index for index in range(12) for _ in range(2)]
    assert table.column("method").to_pylist() == ["ae", "rap"] * 12
    for entry in table.to_pylist():
        with folder.files.open(folder.path(f"maps/{entry['file']}"), "rb") as file:
            assert set(MapFile(file).read(entry["row"])[2]) == {float(entry["index"])}


def test_a_task_that_is_ended_early_is_a_shorter_part(tmp_path):
    folder = Folder.at(tmp_path)
    writer = PartWriter(folder, Span(0, 8), "float32")
    for index in range(3):
        writer.add(row(index), torch.zeros(1, 150, 150))  # large enough to be written at once
    assert writer.close(3) == Span(0, 3)
    (part,) = parts(folder)
    assert part.span == Span(0, 3)
    assert folder.names("maps") == [part.maps]
    assert next(iter(ordered(folder, [part]))).column("file").to_pylist() == [part.maps] * 3


def test_an_abandoned_part_leaves_nothing(tmp_path):
    folder = Folder.at(tmp_path)
    writer = PartWriter(folder, Span(0, 8), "float32")
    writer.add(row(0), torch.zeros(1, 150, 150))
    writer.abandon()
    assert parts(folder) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_full_disk_is_one_sentence(tmp_path):
    folder = Folder.at(tmp_path)
    said = r"the disk is full; what was written before is kept, and --resume goes on"
    with pytest.raises(OptionError, match=said), folder.writing("rows.parquet"):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_other_tools_open_the_files(tmp_path):
    folder = Folder.at(tmp_path)
    write(folder, 0, 4)
    table = fsspec.filesystem("file").open(folder.path(f"maps/{parts(folder)[0].maps}"))
    frame = pq.read_table(table).to_pandas()
    assert frame["map"][3].tolist() == [3.0] * 6
    assert frame["shape"][3].tolist() == [1, 2, 3]


def test_an_item_done_again_counts_also_in_a_longer_part(tmp_path):
    folder = Folder.at(tmp_path)
    write(folder, 0, 2, skip=(0, 1))
    write(folder, 1, 3, skip=(2,))
    write(folder, 0, 8)
    assert write_rows(folder, parts(folder)) == 8
    assert failures(parts(folder)) == []
    assert [one.index for one in failures([part for part in parts(folder) if part.span != Span(0, 8)])] == [0, 2]


def test_rows_and_maps_are_of_one_writer_though_two_do_the_same(tmp_path):
    folder = Folder.at(tmp_path)
    one, other = (PartWriter(folder, Span(0, 2), "float32") for _ in range(2))
    for writer, order in ((one, (0, 1)), (other, (1, 0))):
        for index in order:
            writer.add(row(index), torch.full((1, 150, 150), float(index)))
    other._flush()
    one.close(2)
    other.close(2)
    one_table = next(iter(ordered(folder, parts(folder))))
    for entry in one_table.to_pylist():
        with folder.files.open(folder.path(f"maps/{entry['file']}"), "rb") as file:
            assert set(MapFile(file).read(entry["row"])[2]) == {float(entry["index"])}


def test_what_killed_workers_left_is_removed(tmp_path):
    folder = Folder.at(tmp_path)
    write(folder, 0, 4)
    half = PartWriter(folder, Span(4, 8), "float32")
    half.add(row(4), torch.zeros(1, 150, 150))  # half a file of maps
    whole = PartWriter(folder, Span(8, 12), "float32")
    whole.add(row(8), torch.zeros(1, 150, 150))
    whole._writer.close()
    whole._stack.close()  # maps without rows
    assert len(list((tmp_path / "maps").iterdir())) == 3
    tidy(folder)
    assert [path.name for path in (tmp_path / "maps").iterdir()] == [parts(folder)[0].maps]
    half.abandon()


def test_a_damaged_part_is_named(tmp_path):
    folder = Folder.at(tmp_path)
    write(folder, 0, 4)
    (tmp_path / "rows" / Span(0, 4).name).write_bytes(b"PAR1 no PAR1")
    with pytest.raises(DataError, match=r"rows/000000000000-000000000004\.parquet is damaged"):
        parts(folder)
