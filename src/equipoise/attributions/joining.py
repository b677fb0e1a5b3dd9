"""The rows of all parts of a run in the order of its items, each item once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from equipoise.attributions.folder import Folder
from equipoise.attributions.parts import ROWS, Failure, Part, rows_of

_ENOUGH = 100_000  # rows of a group of the table


def ordered(folder: Folder, parts: Iterable[Part]) -> Iterator[pa.Table]:
    """The rows of all parts in the order of the items, a table at a time; an item that is in several counts once."""
    for group in _groups(parts):
        yield _merged(folder, group)


def failures(parts: Iterable[Part]) -> list[Failure]:
    """What could not be done, and was not done later."""
    found: list[Failure] = []
    for group in _groups(parts):
        for index in sorted({one.index for part in group for one in part.failed}):
            last = {one.method: one for one in _best(group, index).failed if one.index == index}
            found += [last[method] for method in sorted(last)]
    return found


def write_rows(folder: Folder, parts: Iterable[Part]) -> int:
    """Write ``rows.parquet``: the rows of all parts in order; and say how many there are."""
    count = 0
    with (
        folder.writing("rows.parquet", large=True) as file,
        pq.ParquetWriter(file, ROWS, compression="zstd") as writer,
    ):
        waiting: list[pa.Table] = []
        held = 0
        for table in ordered(folder, parts):
            waiting.append(table)
            held += len(table)
            if held >= _ENOUGH:
                writer.write_table(pa.concat_tables(waiting).combine_chunks())
                count, waiting, held = count + held, [], 0
        if held:
            writer.write_table(pa.concat_tables(waiting).combine_chunks())
    return count + held


def _groups(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Parts that overlap, in order."""
    group: list[Part] = []
    end = 0
    for part in sorted(parts, key=lambda one: (one.span.start, -one.span.stop)):
        if group and part.span.start >= end:
            yield group
            group = []
        group.append(part)
        end = max(end, part.span.stop)
    if group:
        yield group


def _best(group: list[Part], index: int) -> Part:
    """The part whose rows of an item count: that in which least failed, and of those the shortest."""

    def order(part: Part) -> tuple[float, int, int]:
        failed = [one.method for one in part.failed if one.index == index]
        return (math.inf if "" in failed else len(failed)), part.span.stop - part.span.start, part.span.start

    return min((part for part in group if part.span.start <= index < part.span.stop), key=order)


def _merged(folder: Folder, group: list[Part]) -> pa.Table:
    """Parts that overlap: an item done again after it had failed, or twice by runs that did not know each other."""
    tables = [rows_of(folder, part.span) for part in group]
    if len(tables) == 1:
        return tables[0]
    holders = Counter(index for table in tables for index in set(table.column("index").to_pylist()))
    best = {index: _best(group, index) for index, count in holders.items() if count > 1}
    kept = []
    for part, table in zip(group, tables, strict=True):
        mine = [best.get(index, part) is part for index in table.column("index").to_pylist()]
        kept.append(table.filter(pa.array(mine, pa.bool_())))
    together = pa.concat_tables(kept)
    places = pa.array(range(len(together)))  # ties keep their order
    order = pa.compute.sort_indices(
        together.append_column("_place", places), [("index", "ascending"), ("_place", "ascending")]
    )
    return together.take(order)
