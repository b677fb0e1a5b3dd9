"""A table of paths and labels: CSV or Parquet."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path
from typing import Any, Final

from equipoise.attributions.sources.base import SOURCES, Kind, Label
from equipoise.attributions.sources.files import Files
from equipoise.errors import DataError, MissingPackageError
from equipoise.images import one_line

PATHS: Final = ("path", "image", "file", "filename", "file_name", "filepath", "image_path")
"""What the column of paths may be called."""

LABELS: Final = ("label", "class", "target", "category", "labels", "classes")
"""What the column of labels may be called."""

KEYS: Final = ("key", "id", "name", "image_id")
"""What the column of keys may be called."""


def of_table(file: Path) -> Files:
    """The photos of a table; paths are relative to its folder. A label that is a whole number is an index.

    Raises:
        DataError: If it cannot be read, or has no column of paths; the text says which it may be called.
        MissingPackageError: If it is Parquet and pyarrow is not installed.
    """
    columns = _parquet(file) if file.suffix.lower() == ".parquet" else _csv(file)
    names = {name.casefold().strip(): name for name in columns}
    of_paths, of_labels, of_keys = (
        next((names[name] for name in known if name in names), None) for known in (PATHS, LABELS, KEYS)
    )
    if of_paths is None:
        found = ", ".join(columns) or "none"
        raise DataError(
            f"{one_line(file)}: no column of paths; it is called one of {', '.join(PATHS)}, and there are: {found}"
        )
    paths = [_text(value) for value in columns[of_paths]]
    if empty := [number for number, path in enumerate(paths, start=1) if not path]:
        raise DataError(f"{one_line(file)}, row {empty[0]}: names no photo")
    labels = None if of_labels is None else [_labels(value) for value in columns[of_labels]]
    keys = None if of_keys is None else [_text(value) for value in columns[of_keys]]
    return Files(str(file), file.parent, paths, keys, labels)


def _csv(file: Path) -> dict[str, list[Any]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, strict=True)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{one_line(file)}: is no table ({one_line(error)})") from error
    return {name: [row[name] for row in rows] for name in reader.fieldnames or []}


def _parquet(file: Path) -> dict[str, list[Any]]:
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingPackageError("a Parquet table needs pyarrow; pip install 'equipoise[dataset]'")
    import pyarrow as pa  # noqa: PLC0415  # an extra
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        found: dict[str, list[Any]] = pq.read_table(file).to_pydict()
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{one_line(file)}: is no table ({one_line(error)})") from error
    return found


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _labels(value: Any) -> tuple[Label, ...]:
    if isinstance(value, list | tuple):
        return tuple(label for one in value for label in _labels(one))
    if isinstance(value, int):
        return (value,)
    text = _text(value)
    return (int(text) if text.isdecimal() else text,) if text else ()


SOURCES.add(
    "table",
    Kind(
        lambda text: Path(text).suffix.lower() in {".csv", ".parquet"} and Path(text).is_file(),
        lambda text, _: of_table(Path(text)),
        "photos.csv or photos.parquet, with columns path and label",
    ),
)
