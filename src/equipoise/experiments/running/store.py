"""The folder of a run: rows and maps that are whole or absent, found again by the content of what made them."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from equipoise import records
from equipoise.errors import MissingPackageError, OptionError
from equipoise.experiments.model.table import Rows
from equipoise.experiments.running.keys import Index, digest, looked_up, short, shorts
from equipoise.experiments.running.parts import (
    COLUMNS,
    GROUP_ROWS,
    MapFile,
    Part,
    as_table,
    read_keys,
    read_rows,
    schema,
    write_maps,
    write_rows,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from equipoise.experiments.model.rows import KeptMap

__all__ = ["COLUMNS", "Part", "Store", "digest"]

FLUSH_ROWS: Final = 20_000
"""So many rows are written at once, at most."""

FLUSH_SECONDS: Final = 5.0
"""So long after the last file the next result is written at once, with all that wait."""

FLUSH_BYTES: Final = 64 << 20
"""So many bytes of maps are written at once, at most."""

_PARTS, _MAPS, _MEMO, _LOCK = "parts", "maps", "memo", ".lock"


class Store:
    """Results in a folder, safe against a kill at any moment; several runs write at once if they have names.

    Results are gathered and written together: after `FLUSH_ROWS` rows, `FLUSH_BYTES` of maps or `FLUSH_SECONDS`,
    by `flush`, and by `close`. A kill loses what was not written, and nothing else.

    Args:
        folder: Made if absent.
        resume: Go on with what an earlier run left there.
        writer: Its own lock and names of files; every writer reads what all wrote.
        clock: Seconds, rising.

    Raises:
        OptionError: If there are results of this writer or of one without a name and ``resume`` is not set, another
            run of this name is writing, the name is no name of a file, or the folder cannot be made.
        MissingPackageError: If pyarrow is not installed.
    """

    def __init__(
        self, folder: Path, *, resume: bool, writer: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        _arrow()
        if not re.fullmatch(r"[\w-]*", writer):
            raise OptionError(f"a writer is called {writer!r}; letters, digits, - and _ make a name")
        self.folder, self._writer, self._clock = folder, writer, clock
        self._parts, self._maps = folder / _PARTS, folder / _MAPS
        if not resume and any(not writer or _writer_of(path) in {"", writer} for path in self._parts.glob("*.parquet")):
            raise OptionError(
                f"{folder} holds results of an earlier run; --resume goes on with them, --output names another folder"
            )
        try:
            for place in (folder, self._parts, self._maps):
                place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OptionError(f"--output {folder} cannot be made ({error.strerror})") from error
        self._lock = _locked(folder / (f"{_LOCK}-{writer}" if writer else _LOCK))
        self._guard = threading.RLock()
        self._index, self._files, self._seen = Index(), list[Path](), set[str]()
        self._mapped: dict[str, MapFile] | None = None
        self._waiting: dict[str, Part] = {}
        self._rows = self._bytes = 0
        self._written_at = clock()
        self.refresh()

    def refresh(self) -> None:
        """Look for what other writers have added."""
        with self._guard:
            for path in sorted(self._parts.glob("*.parquet")):
                self._take_in(path)

    def close(self) -> None:
        """Write what is not written yet, and let another run write."""
        try:
            self.flush()
        finally:
            self._lock.close()

    def __contains__(self, key: str) -> bool:
        return key in self._waiting or self._index.find(short(key)) >= 0

    def add(self, parts: Sequence[Part]) -> None:
        """Keep results; those that are there already are passed over."""
        with self._guard:
            for part in parts:
                if part.key not in self:
                    self._waiting[part.key] = part
                    self._rows += len(part.rows)
                    self._bytes += part.bytes
            late = self._clock() - self._written_at >= FLUSH_SECONDS
            if late or self._rows >= FLUSH_ROWS or self._bytes >= FLUSH_BYTES:
                self.flush()

    def flush(self) -> None:
        """Write what is not written yet: the maps first, then all rows in one file, which makes them count.

        A signal's handler may call it, in the middle of another call of it too.

        Raises:
            OSError: If it cannot be written; then it is still held.
        """
        with self._guard:
            waiting = self._waiting
            if not waiting:
                return
            parts = list(waiting.values())
            name = digest(*waiting)[:32]
            name = f"{self._writer}.{name}" if self._writer else name
            if any(part.maps for part in parts):
                write_maps(self._maps / f"{name}.safetensors", parts)
            path = self._parts / f"{name}.parquet"
            write_rows(path, [as_table(parts)], list(waiting))
            self._take_in(path, list(waiting))
            if self._waiting is waiting:  # else a handler of a signal has done the same meanwhile
                self._waiting, self._rows, self._bytes = {}, 0, 0
                self._written_at = self._clock()

    def rows(self, keys: Iterable[str]) -> Rows:
        """The rows of these keys, in the order of the keys; those without results are passed over."""
        import pyarrow as pa  # noqa: PLC0415  # the evaluation extra

        return Rows(pa.concat_tables([schema().empty_table(), *self._ordered(keys)]))

    def merge(self, keys: Iterable[str]) -> Rows:
        """Write ``rows.parquet``, the rows of these keys in their order; and open it.

        Rows pass through memory a few files at a time as long as keys come about in the order in which they were
        measured, by each writer; the file is the same byte for byte however they were.
        """
        path = self.folder / "rows.parquet"
        write_rows(path, self._ordered(keys))
        return Rows.opened(path)

    def maps(self, key: str) -> list[KeptMap]:
        """The maps kept under a key, float32, in the order in which they were kept; none if none were."""
        self.flush()
        if self._mapped is None:
            files = map(MapFile, sorted(self._maps.glob("*.safetensors")))
            self._mapped = {one: file for file in files for one in file.keys}
        file = self._mapped.get(key) or self._mapped.get(key[:32])
        return [] if file is None else file.maps(key)

    def memo(self) -> dict[str, Any]:
        """What `remember` kept, of all writers, or nothing."""
        found: dict[str, Any] = {}
        for path in sorted(self.folder.glob(f"{_MEMO}*.json")):
            with contextlib.suppress(OSError, ValueError):
                found |= json.loads(path.read_text(encoding="utf-8"))
        return found

    def remember(self, memo: dict[str, Any]) -> None:
        """Keep JSON values for a later run."""
        name = f"{_MEMO}-{self._writer}.json" if self._writer else f"{_MEMO}.json"
        records.write_atomically(self.folder / name, json.dumps(memo, sort_keys=True).encode())

    def _take_in(self, path: Path, keys: Sequence[str] | None = None) -> None:
        """Put a file of rows into the index."""
        if path.name not in self._seen:
            self._index.add(read_keys(path) if keys is None else keys, len(self._files))
            self._files.append(path)
            self._seen.add(path.name)
            self._mapped = None

    def _ordered(self, keys: Iterable[str]) -> Iterator[pa.Table]:
        """The rows of keys, in their order, table by table.

        Files are read in the order of the first key that is wanted of them; rows before the next file's first are
        ready.
        """
        import pyarrow as pa  # noqa: PLC0415  # the evaluation extra

        self.flush()
        self.refresh()
        wanted = shorts(keys)
        files = self._index.files(wanted)
        present = np.flatnonzero(files >= 0)
        first = np.full(len(self._files), len(wanted), np.int64)
        np.minimum.at(first, files[present], present)
        order = np.argsort(wanted, kind="stable")
        known, places = wanted[order], order.astype(np.int32)
        turns = [int(file) for file in np.argsort(first, kind="stable") if first[file] < len(wanted)]
        bounds = [*(int(first[file]) for file in turns[1:]), len(wanted)][: len(turns)]
        waiting, held, enough = list[pa.Table](), 0, GROUP_ROWS
        for file, bound in zip(turns, bounds, strict=True):
            table = _placed(read_rows(self._files[file]), known, places, files, file)
            waiting.append(table)
            held += len(table)
            if held >= enough or bound == len(wanted):
                together = pa.concat_tables(waiting).combine_chunks()
                place = together.column("place").to_numpy()
                ready = np.flatnonzero(place < bound)
                yield together.take(ready[np.argsort(place[ready], kind="stable")]).drop_columns("place")
                rest = together.take(np.flatnonzero(place >= bound))
                waiting, held, enough = [rest], 0, max(GROUP_ROWS, len(rest))  # not looked at again with every file


def _placed(table: pa.Table, known: Any, places: Any, files: Any, file: int) -> pa.Table:
    """The rows that are wanted of a file, with the place of each in the order."""
    import pyarrow as pa  # noqa: PLC0415  # the evaluation extra

    keys = table.column("key").combine_chunks().dictionary_encode()
    place = looked_up(shorts(keys.dictionary.to_pylist()), known, places)
    place[files[place] != file] = -1  # of two files that have a key, one counts
    found = place[keys.indices.to_numpy()] if len(keys) else np.empty(0, np.int32)
    return table.append_column("place", pa.array(found)).filter(pa.array(found >= 0))


def _writer_of(path: Path) -> str:
    return path.name.rpartition(".")[0].rpartition(".")[0]


def _arrow() -> None:
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingPackageError("experiments need pyarrow; pip install 'equipoise[evaluate]'")


def _locked(path: Path) -> Any:
    """An open file that this process alone holds, where the system knows such locks."""
    file = path.open("w", encoding="utf-8")
    with contextlib.suppress(ImportError):
        import fcntl  # noqa: PLC0415  # not on Windows

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise OptionError(f"another run is writing to {path.parent}") from error
    return file
