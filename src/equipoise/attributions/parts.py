"""Rows and maps of one task, each one Parquet file: the maps first, then the rows, which make both count.

The file of maps has a name that is never used again, and the rows say it, so that rows and maps are of one writer
always. A map is a list of float16 times a scale of its own: values are rounded to multiples of 2^-14 of the map's
largest, which is finer than float16 is at its largest values, and so small ones are short. Parquet was chosen over
Zarr 3 by measuring (docs/benchmarks.md): smaller, as fast, and its files are read by what reads the rows.
"""

from __future__ import annotations

import bisect
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from equipoise.attributions.folder import Folder, told
from equipoise.errors import DataError
from equipoise.images import one_line

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
_LEFT_OUT: Final = b"equipoise.left_out"
_FILE: Final = b"equipoise.maps"
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
            start, stop = (int(part) for part in name.removesuffix(".parquet").split("-")[:2])
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
        self._maps = f"{span.name.removesuffix('.parquet')}-{uuid.uuid4().hex[:12]}.parquet"
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
            file = self._stack.enter_context(self._folder.writing(f"{_MAPS}/{self._maps}", large=True))
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
        with told(self._folder):
            self._writer.write_table(table, row_group_size=len(table))
        self._written += len(self._waiting)
        self._waiting, self._bytes = [], 0

    def close(self, stop: int, left_out: Mapping[str, str] | None = None) -> Span:
        """Make it count, up to item ``stop``; methods that were left out, and why, are noted with it.

        Raises:
            OptionError: If it cannot be written.
        """
        self._flush()
        if self._writer is not None:
            with told(self._folder):
                self._writer.close()
            self._stack.close()
        span = Span(self._span.start, stop)
        for row in self._rows:
            row["file"] = self._maps if row["row"] is not None else None
        meta = {
            _FAILED: json.dumps([vars(one) for one in self._failed]).encode(),
            _NOTES: json.dumps(self._notes).encode(),
            _LEFT_OUT: json.dumps(dict(left_out or {})).encode(),
            _FILE: (self._maps if self._written else "").encode(),
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
        with suppress(Exception):
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
        left_out: Methods that could not explain the network, and why.
        maps: The file of its maps; empty: it has none.
    """

    span: Span
    failed: tuple[Failure, ...] = ()
    notes: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    maps: str = ""


def opened(folder: Folder, name: str) -> Any:
    """A file to read; on a disk by Arrow itself, whose threads then need no Python, also while Python ends.

    Raises:
        OSError: If it is not there.
    """
    if folder.local is not None:
        return pa.OSFile(folder.path(name), "rb")
    return folder.files.open(folder.path(name), "rb")


def parts(folder: Folder) -> list[Part]:
    """Every part that is done, in order.

    Raises:
        OptionError: If they cannot be read.
        DataError: If one is damaged.
    """
    found = [part for name in folder.names(_ROWS) if (part := part_of(folder, Span.of(name))) is not None]
    return sorted(found, key=lambda part: (part.span.start, -part.span.stop))


def part_of(folder: Folder, span: Span) -> Part | None:
    """What is known of a part; ``None`` if it is not there.

    Raises:
        OptionError: If it cannot be read.
        DataError: If it is damaged.
    """
    try:
        with _reading(folder, span) as file:
            meta = pq.read_schema(file).metadata or {}
    except FileNotFoundError:
        return None
    failed = tuple(Failure(**one) for one in json.loads(meta.get(_FAILED, b"[]")))
    notes, left_out = (json.loads(meta.get(name, b"{}")) for name in (_NOTES, _LEFT_OUT))
    return Part(span, failed, notes, left_out, meta.get(_FILE, b"").decode())


def rows_of(folder: Folder, span: Span) -> pa.Table:
    """The rows of a part, in their order.

    Raises:
        OptionError: If they cannot be read.
        DataError: If they are damaged.
    """
    with _reading(folder, span) as file:
        return pq.read_table(file, use_threads=False).replace_schema_metadata(None)


@contextmanager
def _reading(folder: Folder, span: Span) -> Iterator[Any]:
    name = f"{_ROWS}/{span.name}"
    try:
        with told(folder, "read", FileNotFoundError), opened(folder, name) as file:
            yield file
    except pa.ArrowInvalid as error:
        path = one_line(folder.path(name))
        raise DataError(f"{path} is damaged; without it, --resume does these photos again") from error


def tidy(folder: Folder) -> None:
    """Remove what killed workers have left: half written files, and maps of which no rows tell.

    Only while nobody writes; behind an address, where that is not known, nothing is removed.
    """
    if folder.local is None:
        return
    folder.tidy((_ROWS, _MAPS))
    known = {part.maps for part in parts(folder)}
    for name in folder.names(_MAPS):
        if name not in known:
            folder.remove(f"{_MAPS}/{name}")


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
