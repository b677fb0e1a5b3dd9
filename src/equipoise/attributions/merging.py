"""Joins the shards of a run."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from equipoise import records
from equipoise.attributions.folder import Folder, told
from equipoise.attributions.joining import ordered
from equipoise.attributions.leases import Owner
from equipoise.attributions.parts import ROWS, Part, Span, parts
from equipoise.attributions.plan import digest
from equipoise.attributions.reading import Attributions
from equipoise.errors import OptionError

_CHUNK = 2**22


def merge(addresses: Sequence[str | os.PathLike[str]], output: str | os.PathLike[str]) -> Attributions:
    """Join shards of one run to the run that they are parts of.

    Args:
        addresses: The folders of shards, or folders that hold them.
        output: Where the whole goes; what is there of an earlier, unfinished merge is overwritten.

    Raises:
        OptionError: If a shard is missing, not finished, there twice, or belongs to another run.
    """
    shards = sorted(_found(addresses), key=lambda one: one.record["photos"]["first"])
    if not shards:
        raise OptionError(f"no shards are below {', '.join(str(one) for one in addresses)}")
    _check(shards)
    target = Folder.at(output)
    if any(target.root == one.folder.root for one in shards):
        raise OptionError(f"{target.address} is one of the shards; --output names another folder")
    if target.has("run.json") and json.loads(target.read("run.json")).get("identity") != _identity(shards):
        raise OptionError(f"{target.address} holds another run; --output names another folder")
    target.make()
    with contextlib.closing(Owner(target)):
        _join(shards, target)
    return Attributions(target.address)


def _join(shards: Sequence[Attributions], target: Folder) -> None:
    first = shards[0].record["photos"]["first"]
    failures: list[dict[str, Any]] = []
    with target.writing("rows.parquet", large=True) as file, pq.ParquetWriter(file, ROWS, compression="zstd") as writer:
        count = 0
        for shard in shards:
            shift = shard.record["photos"]["first"] - first
            found = parts(shard.folder)
            for part in found:
                _copy(shard.folder, target, part, shift)
            for table in ordered(shard.folder, found):
                moved = _moved(table, shift)
                writer.write_table(moved)
                count += len(moved)
            failures += [one | {"index": one["index"] + shift} for one in shard.record.get("failures", [])]
    target.write("run.json", (records.to_json(_record(shards, count, failures)) + "\n").encode())


def _found(addresses: Sequence[str | os.PathLike[str]]) -> list[Attributions]:
    found = []
    for address in addresses:
        folder = Folder.at(address)
        places = [folder] if folder.has("run.json") else [folder.sub(name) for name in folder.folders()]
        here = [Attributions(place.address) for place in places if place.has("run.json")]
        if not here:
            raise OptionError(f"{folder.address} holds no shards")
        found += here
    return found


def _check(shards: Sequence[Attributions]) -> None:
    one = shards[0]
    for other in shards:
        if other.record.get("shard") is None:
            raise OptionError(f"{other.folder.address} is a whole run, not a shard of one")
        if "rows" not in other.record:
            raise OptionError(f"{other.folder.address} is not finished; run it again with --resume")
        same = ("model", "methods", "target", "precision", "keep", "values")
        if [key for key in same if other.record[key] != one.record[key]] or _photos(other) != _photos(one):
            raise OptionError(f"{other.folder.address} and {one.folder.address} are shards of different runs")
    of = one.record["shard"][1]
    there = [tuple(other.record["shard"]) for other in shards]
    if twice := sorted({part for part, _ in there if there.count((part, of)) > 1}):
        raise OptionError(f"shard {twice[0]}/{of} is named twice")
    missing = [f"{part}/{of}" for part in range(of) if (part, of) not in there]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise OptionError(f"shards are missing: {', '.join(missing[:5])}{more}")


def _photos(shard: Attributions) -> list[str]:
    return [shard.record["photos"]["name"], shard.record["photos"]["keys"]]


def _copy(source: Folder, target: Folder, part: Part, shift: int) -> None:
    """The maps of a part; its rows go to the table."""
    if part.maps:
        name = f"maps/{_renamed(part.maps, shift)}"
        with (
            told(source, "read"),
            source.files.open(source.path(f"maps/{part.maps}"), "rb") as found,
            target.writing(name, large=True) as file,
        ):
            while block := found.read(_CHUNK):
                file.write(block)


def _moved(table: pa.Table, shift: int) -> pa.Table:
    """Rows whose items and files are counted from the first of the whole."""
    index = pa.compute.add(table.column("index"), shift)
    names = [None if name is None else _renamed(name, shift) for name in table.column("file").to_pylist()]
    table = table.set_column(table.schema.get_field_index("index"), "index", index)
    return table.set_column(table.schema.get_field_index("file"), "file", pa.array(names, pa.string())).cast(ROWS)


def _renamed(name: str, shift: int) -> str:
    span, whose = Span.of(name), name.removesuffix(".parquet").split("-")[2:]
    return "-".join([Span(span.start + shift, span.stop + shift).name.removesuffix(".parquet"), *whose]) + ".parquet"


def _identity(shards: Sequence[Attributions]) -> str:
    return digest([one.record["identity"] for one in shards])


def _record(shards: Sequence[Attributions], rows: int, failures: list[dict[str, Any]]) -> dict[str, Any]:
    first = shards[0].record
    record = {key: value for key, value in first.items() if key not in {"shard", "identity", "host", "finished"}}
    photos = first["photos"] | {"count": sum(one.record["photos"]["count"] for one in shards)}
    notes: dict[str, int] = {}
    for shard in shards:
        for text, count in shard.record.get("notes", {}).items():
            notes[text] = notes.get(text, 0) + count
    left_out = {name: why for one in shards for name, why in one.record.get("left_out", {}).items()}
    return record | {
        "photos": photos, "rows": rows, "failures": failures, "notes": notes, "left_out": left_out, "shard": None,
        "identity": _identity(shards), "shards": len(shards),
    }  # fmt: skip
