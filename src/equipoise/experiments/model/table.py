"""The rows of a run as a table that is read when something is asked of it, column by column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, overload

import numpy as np
from numpy.typing import NDArray

from equipoise.experiments.model.rows import FIELDS

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.parquet as pq

HELD: Final = 100_000
"""A file of at most so many rows is read at once."""


class Rows(Sequence[Mapping[str, Any]]):
    """Rows as in ``rows.parquet``: iterated one by one where they are few, else read as columns.

    A file stays open, so that these are its rows even when a later run writes another in its place.

    Args:
        source: A table, or an open file.
        wanted: Field to the values that it may have; see `where`.
    """

    def __init__(
        self, source: pa.Table | pq.ParquetFile, wanted: Mapping[str, tuple[object, ...]] | None = None
    ) -> None:
        self._source, self._wanted = source, dict(wanted or {})

    @classmethod
    def opened(cls, path: Path) -> Rows:
        """The rows of a Parquet file."""
        import pyarrow.parquet as pq  # noqa: PLC0415  # the evaluation extra

        strings = [name for name in (*FIELDS, "key") if FIELDS.get(name, str) is str]
        file = pq.ParquetFile(path, read_dictionary=strings)
        return cls(file.read() if file.metadata.num_rows <= HELD else file)

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> Rows:
        """Rows from memory; fields of `FIELDS` that one does not have are empty."""
        import pyarrow as pa  # noqa: PLC0415  # the evaluation extra

        found = list(rows)
        kinds = {str: pa.string(), int: pa.int32(), bool: pa.bool_(), float: pa.float64()}
        columns = {name: pa.array([row.get(name) for row in found], kinds[kind]) for name, kind in FIELDS.items()}
        return cls(pa.table(columns | {"key": pa.array([row.get("key") for row in found], pa.string())}))

    def where(self, **wanted: object) -> Rows:
        """The rows whose fields have these values.

        Args:
            wanted: Field to a value, or to a tuple of several.
        """
        values = {name: value if isinstance(value, tuple) else (value,) for name, value in wanted.items()}
        return Rows(self._source, self._wanted | values)

    def table(self, names: Sequence[str] | None = None) -> pa.Table:
        """Some columns as arrays, texts as dictionaries; all columns without names."""
        import pyarrow as pa  # noqa: PLC0415  # the evaluation extra

        names = list(names or self._names)
        found = list(self._tables(names))
        return pa.concat_tables(found).unify_dictionaries().combine_chunks() if found else self._empty(names)

    def column(self, name: str) -> NDArray[Any]:
        """One column: numbers (NaN where there is none), truths, or texts as objects."""
        return as_array(self.table([name]).column(name))

    def codes(self, *names: str) -> list[tuple[NDArray[np.int32], list[Any]]]:
        """Of some columns the number of each value, and the values, sorted."""
        table = self.table(names)
        return [factorized(table.column(name)) for name in names]

    def __len__(self) -> int:
        if not self._wanted:
            source = self._source
            return int(source.num_rows if self._in_memory else source.metadata.num_rows)
        return sum(len(table) for table in self._tables([]))

    def __bool__(self) -> bool:
        return any(len(table) for table in self._tables([]))

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for table in self._tables(self._names):
            for batch in table.to_batches(max_chunksize=10_000):
                yield from batch.to_pylist()

    @overload
    def __getitem__(self, place: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, place: slice) -> list[Mapping[str, Any]]: ...
    def __getitem__(self, place: int | slice) -> Mapping[str, Any] | list[Mapping[str, Any]]:
        """Few rows are meant: each call reads the table."""
        table = self.table()
        if isinstance(place, slice):
            found: list[Mapping[str, Any]] = table.take(list(range(*place.indices(len(table))))).to_pylist()
            return found
        place = range(len(table))[place]
        row: Mapping[str, Any] = table.slice(place, 1).to_pylist()[0]
        return row

    def __repr__(self) -> str:
        return f"Rows of {', '.join(self._names)}"

    @property
    def _in_memory(self) -> bool:
        return not hasattr(self._source, "read_row_group")

    @property
    def _names(self) -> list[str]:
        return list(self._source.column_names if self._in_memory else self._source.schema_arrow.names)

    def _empty(self, names: list[str]) -> pa.Table:
        source = self._source
        return (source if self._in_memory else source.schema_arrow.empty_table()).select(names)[:0]

    def _tables(self, names: list[str]) -> Iterator[pa.Table]:
        """The wanted rows, a row group at a time; groups that cannot hold any are not read."""
        every = list(dict.fromkeys([*names, *self._wanted]))
        if self._in_memory:
            yield self._narrowed(self._source.select(every), self._wanted).select(names)
            return
        for group in range(self._source.num_row_groups):
            open_ones = self._left_open(self._source.metadata.row_group(group))
            if open_ones is not None:
                columns = list(dict.fromkeys([*names, *open_ones]))
                yield self._narrowed(self._source.read_row_group(group, columns=columns), open_ones).select(names)

    def _narrowed(self, table: pa.Table, names: Iterable[str]) -> pa.Table:
        import pyarrow as pa  # noqa: PLC0415  # the evaluation extra
        import pyarrow.compute as pc  # noqa: PLC0415

        for name in names:
            kind = table.schema.field(name).type
            kind = kind.value_type if pa.types.is_dictionary(kind) else kind
            table = table.filter(pc.is_in(table.column(name), value_set=pa.array(self._wanted[name], kind)))
        return table

    def _left_open(self, group: Any) -> list[str] | None:
        """The fields by which a row group has to be narrowed; ``None`` if it holds nothing that is wanted.

        Told by the least and the greatest value of each column.
        """
        found = dict(self._wanted)
        for place in range(group.num_columns):
            column = group.column(place)
            wanted, known = found.get(column.path_in_schema), column.statistics
            if wanted is None or known is None or not known.has_min_max:
                continue
            if not any(value is None or known.min <= value <= known.max for value in wanted):
                return None
            if known.min == known.max and known.null_count == 0:  # and it is one that is wanted
                del found[column.path_in_schema]
        return list(found)


def as_array(column: pa.ChunkedArray) -> NDArray[Any]:
    """A column as numpy's: NaN for a missing number, -1 for a missing integer, false for a missing truth."""
    import pyarrow as pa  # noqa: PLC0415  # the evaluation extra

    missing = {pa.int32(): -1, pa.bool_(): False, pa.float64(): np.nan}
    if column.null_count and column.type in missing:
        column = column.fill_null(missing[column.type])
    found: NDArray[Any] = column.to_numpy()
    return found


def factorized(column: pa.ChunkedArray) -> tuple[NDArray[np.int32], list[Any]]:
    """The number of each value among the values that there are, sorted; -1 where there is none."""
    import pyarrow as pa  # noqa: PLC0415  # the evaluation extra

    encoded = column.combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):  # of older versions, or empty
        encoded = pa.concat_arrays(encoded.chunks) if encoded.num_chunks else pa.array([], column.type)
    if not pa.types.is_dictionary(encoded.type):
        encoded = encoded.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy()
    names = encoded.dictionary.to_pylist()
    there = np.bincount(codes + 1, minlength=len(names) + 1)[1:] > 0
    order = sorted(np.flatnonzero(there), key=lambda index: names[index])
    rank = np.full(len(names) + 1, -1, np.int32)  # the last place is that of -1
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank[codes], [names[index] for index in order]
