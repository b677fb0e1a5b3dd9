"""Rows and maps of one task, each one Parquet file: the maps first, then the rows, which make both count.

A map is a list of float16 times a scale of its own: values are rounded to multiples of 2^-14 of the map's largest,
which is finer than float16 is at its largest values, and so small ones are short. Parquet was chosen over Zarr 3 by
measuring (docs/benchmarks.md): smaller, as fast, and its files are read by what reads the rows.
"""

from __future__ import annotations

import bisect
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from equipoise.attributions.folder import Folder
from equipoise.errors import DataError

Values: TypeAlias = Literal["float16", "float32"]
"""How the values of a map are kept."""

STEPS: Final = 2**14
"""Of float16: how many steps there are from 0 to a map's largest value."""

GROUP: Final = 2**16
"""A map is read alone; maps smaller than so many bytes are kept several together."""

ROWS: Final = pa.schema(
    [
        ("index", pa.int64()),
        ("key", pa.string()),
        ("label", pa.string()),
        ("method", pa.string()),
        ("target", pa.int32()),
        ("name", pa.string()),
        ("score", pa.float64()),
        ("probability", pa.float64()),
        ("sum", pa.float64()),
        ("positive_sum", pa.float64()),
        ("negative_sum", pa.float64()),
        ("positive_ratio", pa.float64()),
        ("lowest", pa.float64()),
        ("highest", pa.float64()),
        ("sha256", pa.string()),
        ("file", pa.string()),
        ("row", pa.int32()),
    ]
)
"""One row of each photo, method and target."""

_FAILED: Final = b"equipoise.failed"
_NOTES: Final = b"equipoise.notes"
_ROWS, _MAPS = "rows", "maps"
_ENCODINGS: Final = {"map.list.element": "BYTE_STREAM_SPLIT", "scale": "PLAIN", "shape.list.element": "PLAIN"}


@dataclass(frozen=True)
class Span:
    """A part that is done: the items from ``start`` up to but without ``stop``."""

    start: int
    stop: int

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.start:012}-{self.stop:012}.parquet"

    @classmethod
    def of(cls, name: str) -> Span:
        """The span of a file's name.

        Raises:
            DataError: If it is none.
        """
        try:
            start, stop = (int(part) for part in name.removesuffix(".parquet").split("-"))
        except ValueError as error:
            raise DataError(f"{name} is no part of a run") from error
        return cls(start, stop)


@dataclass(frozen=True)
class Failure:
    """What could not be done.

    Attributes:
        index: Of the item.
        key: Of the item.
        method: Which could not; empty: none could.
        reason: One sentence.
    """

    index: int
    key: str
    method: str
    reason: str


def map_schema(values: Values) -> pa.Schema:
    """Of a file of maps."""
    kind = pa.float16() if values == "float16" else pa.float32()
    return pa.schema([("shape", pa.list_(pa.int32())), ("scale", pa.float32()), ("map", pa.list_(kind))])


def halved(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Maps ``(m, ...)`` as float16, and a scale of each, ``(m,)``; where they are."""
    values = maps.float()
    scale = values.abs().flatten(1).amax(1)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    shape = (-1, *[1] * (maps.dim() - 1))
    return ((values / scale.view(shape) * STEPS).round() / STEPS).half(), scale


class PartWriter:
    """Writes the part of one task as it is worked on; nothing counts before `close`.

    Args:
        folder: Of the run.
        span: What the task is; `close` says how far it came.
        values: How maps are kept; ``None``: they are not.
    """

    def __init__(self, folder: Folder, span: Span, values: Values | None) -> None:
        self._folder, self._span, self._values = folder, span, values
        self._rows: list[dict[str, Any]] = []
        self._failed: list[Failure] = []
        self._notes: dict[str, int] = {}
        self._stack = ExitStack()
        self._writer: Any = None
        self._written = 0
        self._waiting: list[tuple[list[int], float, Any]] = []
        self._bytes = 0

    def add(self, row: Mapping[str, Any], kept: Tensor | None, scale: float = 1.0) -> None:
        """A row, and its map in the form that it is kept in, ``(c, *space)``, on the CPU."""
        place: dict[str, Any] = {"file": None, "row": None}
        if kept is not None:
            place = {"file": None, "row": self._written + len(self._waiting)}
            self._waiting.append((list(kept.shape), scale, kept.contiguous().view(-1).numpy()))
            self._bytes += kept.numel() * kept.element_size()
        self._rows.append({**row, **place})
        if self._bytes >= GROUP:
            self._flush()

    def fail(self, failure: Failure) -> None:
        """What could not be done."""
        self._failed.append(failure)

    def note(self, text: str) -> None:
        """What a method said, of one item or of many."""
        self._notes[text] = self._notes.get(text, 0) + 1

    def _flush(self) -> None:
        if not self._waiting:
            return
        assert self._values is not None  # noqa: S101  # maps are kept only then
        schema = map_schema(self._values)
        if self._writer is None:
            file = self._stack.enter_context(self._folder.writing(f"{_MAPS}/{self._span.name}"))
            self._writer = pq.ParquetWriter(
                file, schema, compression="zstd", compression_level=3, use_dictionary=False, write_statistics=False,
                column_encoding=_ENCODINGS,
            )  # fmt: skip
        shapes, scales, values = zip(*self._waiting, strict=True)
        table = pa.table(
            [
                _lists(shapes, pa.int32()),
                pa.array(scales, pa.float32()),
                _lists(values, schema.field("map").type.value_type),
            ],
            schema=schema,
        )
        self._writer.write_table(table, row_group_size=len(table))
        self._written += len(self._waiting)
        self._waiting, self._bytes = [], 0

    def close(self, stop: int) -> Span:
        """Make it count, up to item ``stop``.

        Raises:
            OptionError: If it cannot be written.
        """
        self._flush()
        if self._writer is not None:
            self._writer.close()
            self._stack.close()
        span = Span(self._span.start, stop)
        if span != self._span and self._written:  # it was ended early
            self._folder.files.mv(
                self._folder.path(f"{_MAPS}/{self._span.name}"), self._folder.path(f"{_MAPS}/{span.name}")
            )
        for row in self._rows:
            row["file"] = span.name if row["row"] is not None else None
        meta = {
            _FAILED: json.dumps([vars(one) for one in self._failed]).encode(),
            _NOTES: json.dumps(self._notes).encode(),
        }
        table = pa.Table.from_pylist(self._rows, schema=ROWS.with_metadata(meta))
        with self._folder.writing(f"{_ROWS}/{span.name}") as file:
            pq.write_table(table, file, compression="zstd")
        return span

    def abandon(self) -> None:
        """Let go of what was written, of a task that failed."""
        if self._writer is not None:
            with suppress(Exception):  # a full disk is full for the footer, too
                self._writer.close()
        error = RuntimeError("abandoned")
        with suppress(RuntimeError):
            self._stack.__exit__(type(error), error, None)


def _lists(rows: Sequence[Any], kind: pa.DataType) -> pa.ListArray:
    import numpy as np  # noqa: PLC0415  # comes with pyarrow

    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int32)
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(np.concatenate([np.asarray(row) for row in rows]), kind)
    )


@dataclass(frozen=True)
class Part:
    """What is known of a part that is done, without its rows.

    Attributes:
        span: Its items.
        failed: What could not be done.
        notes: What methods said, and how often.
    """

    span: Span
    failed: tuple[Failure, ...]
    notes: Mapping[str, int]


def opened(folder: Folder, name: str) -> Any:
    """A file to read; on a disk by Arrow itself, whose threads then need no Python, also while Python ends.

    Raises:
        OSError: If it is not there.
    """
    if folder.local is not None:
        return pa.OSFile(folder.path(name), "rb")
    return folder.files.open(folder.path(name), "rb")


def parts(folder: Folder) -> list[Part]:
    """Every part that is done, in order."""
    found = []
    for name in folder.names(_ROWS):
        meta = read_schema(folder, name).metadata or {}
        failed = tuple(Failure(**one) for one in json.loads(meta.get(_FAILED, b"[]")))
        found.append(Part(Span.of(name), failed, json.loads(meta.get(_NOTES, b"{}"))))
    return sorted(found, key=lambda part: (part.span.start, -part.span.stop))


def read_schema(folder: Folder, name: str) -> pa.Schema:
    """The schema of a part's rows."""
    with opened(folder, f"{_ROWS}/{name}") as file:
        return pq.read_schema(file)


def rows_of(folder: Folder, span: Span) -> pa.Table:
    """The rows of a part, in their order."""
    with opened(folder, f"{_ROWS}/{span.name}") as file:
        return pq.read_table(file, use_threads=False).replace_schema_metadata(None)


def ordered(folder: Folder, spans: Iterable[Span]) -> Iterable[pa.Table]:
    """The rows of all parts in the order of the items, a table at a time; an item that is in two parts counts once."""
    group: list[Span] = []
    end = 0
    for span in sorted(spans, key=lambda one: (one.start, -one.stop)):
        if group and span.start >= end:
            yield _merged(folder, group)
            group = []
        group.append(span)
        end = max(end, span.stop)
    if group:
        yield _merged(folder, group)


def _merged(folder: Folder, spans: list[Span]) -> pa.Table:
    """Parts that overlap: an item done again after it had failed, or twice by runs that did not know each other.

    What was done again is in a shorter part, whose rows count.
    """
    tables = [rows_of(folder, span) for span in sorted(spans, key=lambda one: (one.stop - one.start, one.start))]
    if len(tables) == 1:
        return tables[0]
    seen: set[int] = set()
    kept = []
    for table in tables:
        own = set(table.column("index").to_pylist())
        new = [index not in seen for index in table.column("index").to_pylist()]
        seen |= own
        kept.append(table.filter(pa.array(new, pa.bool_())))
    together = pa.concat_tables(kept)
    places = pa.array(range(len(together)))  # ties keep their order
    order = pa.compute.sort_indices(
        together.append_column("_place", places), [("index", "ascending"), ("_place", "ascending")]
    )
    return together.take(order)


def write_rows(folder: Folder, spans: Iterable[Span]) -> int:
    """Write ``rows.parquet``: the rows of all parts in order; and say how many there are."""
    count = 0
    with folder.writing("rows.parquet") as file, pq.ParquetWriter(file, ROWS, compression="zstd") as writer:
        waiting: list[pa.Table] = []
        held = 0
        for table in ordered(folder, spans):
            waiting.append(table)
            held += len(table)
            if held >= 100_000:
                writer.write_table(pa.concat_tables(waiting).combine_chunks())
                count, waiting, held = count + held, [], 0
        if held:
            writer.write_table(pa.concat_tables(waiting).combine_chunks())
    return count + held


class MapFile:
    """A file of maps, read one by one.

    Args:
        file: Open for reading.
    """

    def __init__(self, file: Any) -> None:
        self._file = pq.ParquetFile(file, pre_buffer=False)
        meta = self._file.metadata
        self._starts = [0]
        for group in range(meta.num_row_groups):
            self._starts.append(self._starts[-1] + meta.row_group(group).num_rows)

    def read(self, row: int) -> tuple[list[int], float, Any]:
        """Shape, scale and values of one map.

        Raises:
            DataError: If there are fewer.
        """
        if not 0 <= row < self._starts[-1]:
            raise DataError(f"this file holds {self._starts[-1]} maps; there is no map {row}")
        group = bisect.bisect_right(self._starts, row) - 1
        table = self._file.read_row_group(group, use_threads=False)
        lists, within = table.column("map").chunk(0), row - self._starts[group]
        values = lists.values.slice(lists.offsets[within].as_py(), lists.value_lengths()[within].as_py())
        shape, scale = table.column("shape")[within].as_py(), table.column("scale")[within].as_py()
        return shape, scale, values.to_numpy(zero_copy_only=False)
