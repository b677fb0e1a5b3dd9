"""The files of a run's folder: rows as Parquet, maps as safetensors, each with the keys of what it holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from equipoise import records
from equipoise.experiments.model.rows import FIELDS, Goal, KeptMap

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

COLUMNS: Final = (*FIELDS, "key")
"""Of ``rows.parquet``: the fields of a row, and the digest of everything that it depends on."""

GROUP_ROWS: Final = 1 << 17
"""Rows of a row group of ``rows.parquet``."""

_KEYS: Final = b"equipoise.keys"
_LABELS: Final = "equipoise.maps"  # of a file of maps: what each one is, in order
_DICTIONARY_BYTES: Final = 16 << 20  # the keys of a row group fit


@dataclass(frozen=True)
class Part:
    """What one method gave on one unit.

    Attributes:
        key: `digest` of everything that the result depends on.
        rows: Values of `COLUMNS` without the key, which may be none.
        maps: Heat maps to keep.
    """

    key: str
    rows: list[dict[str, Any]]
    maps: list[KeptMap]

    @property
    def bytes(self) -> int:
        """What its maps will take."""
        return sum(2 * one.heatmap.numel() for one in self.maps)


def schema() -> pa.Schema:
    """Types of `COLUMNS`."""
    import pyarrow as pa  # noqa: PLC0415  # the evaluation extra

    kinds = {int: pa.int32(), bool: pa.bool_(), float: pa.float64(), str: pa.string()}
    return pa.schema([(name, kinds[FIELDS.get(name, str)]) for name in COLUMNS])


def write_rows(path: Path, tables: Iterable[pa.Table], keys: Sequence[str] | None = None) -> None:
    """Write tables of `schema` into one file, whole or absent, in row groups that do not depend on how they come.

    Args:
        path: The file.
        tables: The rows.
        keys: Whose results these are, those without rows too; ``None``: not said.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415  # the evaluation extra

    options = {"compression": "zstd", "store_schema": False, "dictionary_pagesize_limit": _DICTIONARY_BYTES}
    with records.atomically(path) as file, pq.ParquetWriter(file, schema(), **options) as writer:
        for table in _regrouped(tables):
            writer.write_table(table, row_group_size=GROUP_ROWS)
        if keys is not None:
            writer.add_key_value_metadata({_KEYS: json.dumps(keys).encode()})


def _regrouped(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows, `GROUP_ROWS` at a time."""
    rest = schema().empty_table()
    for table in tables:
        rest = _joined([rest, table])
        while len(rest) >= GROUP_ROWS:
            yield rest[:GROUP_ROWS]
            rest = rest[GROUP_ROWS:]
    if len(rest):
        yield rest


def _joined(tables: list[pa.Table]) -> pa.Table:
    import pyarrow as pa  # noqa: PLC0415  # the evaluation extra

    return pa.concat_tables(tables)


def as_table(parts: Sequence[Part]) -> pa.Table:
    """The rows of parts, in order."""
    import pyarrow as pa  # noqa: PLC0415  # the evaluation extra

    rows = [row | {"key": part.key} for part in parts for row in part.rows]
    return pa.Table.from_pylist(rows, schema=schema())


def read_rows(path: Path) -> pa.Table:
    """All rows of a file."""
    import pyarrow.parquet as pq  # noqa: PLC0415  # the evaluation extra

    return pq.ParquetFile(path).read().cast(schema())


def read_keys(path: Path) -> list[str]:
    """Whose results a file of rows holds."""
    import pyarrow.parquet as pq  # noqa: PLC0415  # the evaluation extra

    found: list[str] = json.loads(pq.read_metadata(path).metadata[_KEYS])
    return found


def write_maps(path: Path, parts: Sequence[Part]) -> None:
    """Write the maps of parts into one file, as float16."""
    import torch  # noqa: PLC0415  # takes time
    from safetensors.torch import save  # noqa: PLC0415

    tensors, labels = {}, {}
    for part in parts:
        if part.maps:
            labels[part.key] = [{"goal": asdict(one.goal), "step": one.step, "detail": one.detail} for one in part.maps]
            for place, one in enumerate(part.maps):
                tensors[f"{part.key}/{place}"] = _half(one.heatmap, torch.float16).contiguous()
    records.write_atomically(path, save(tensors, {_LABELS: json.dumps(labels)}))


def _half(one: Tensor, dtype: Any) -> Tensor:
    """In 16 bits, scaled so that the largest value fits: pictures need the shape, rows hold the numbers."""
    largest = one.abs().max().item()
    return (one / largest if largest > 0 else one).to(dtype)


class MapFile:
    """A file of maps: its labels in memory, its maps where they are.

    Args:
        path: The file. One that holds a single unit's maps, as an earlier version wrote them, goes by its name.
    """

    def __init__(self, path: Path) -> None:
        from safetensors import safe_open  # noqa: PLC0415  # a large import

        self._path = path
        with safe_open(path, framework="pt") as file:
            found: Any = json.loads(file.metadata()[_LABELS])
        self._alone = isinstance(found, list)
        self._labels: dict[str, list[dict[str, Any]]] = {path.stem: found} if self._alone else found

    @property
    def keys(self) -> Iterable[str]:
        """Whose maps it holds; of an earlier version's file the first half of the key."""
        return self._labels.keys()

    def maps(self, key: str) -> list[KeptMap]:
        """The maps of a key, float32."""
        from safetensors import safe_open  # noqa: PLC0415  # a large import

        prefix = "" if self._alone else f"{key}/"
        labels = self._labels[self._path.stem if self._alone else key]
        with safe_open(self._path, framework="pt") as file:
            return [
                KeptMap(
                    Goal(**label["goal"]), file.get_tensor(f"{prefix}{place}").float(), label["step"], label["detail"]
                )
                for place, label in enumerate(labels)
            ]
