"""Photos of your own: one folder per class, or ``images`` with ``boxes.csv``, ``boxes.json`` or ``masks``."""

from __future__ import annotations

import csv
import io
from functools import partial
from typing import TYPE_CHECKING, Any

from equipoise.datasets.base import DataSet, Sample
from equipoise.datasets.boxes import Box, hard, union
from equipoise.datasets.masks import file_mask
from equipoise.datasets.problems import image_size, read_json
from equipoise.errors import DataError
from equipoise.images import find_images, one_line

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from equipoise.datasets.problems import Problems

Corners = tuple[int, int, int, int]
"""Left, top, right and bottom."""

_SIDES = ("left", "top", "right", "bottom")
_TABLES = ("boxes.csv", "boxes.json")


def read_folder(name: str, folder: Path, problems: Problems) -> DataSet:
    """Read photos and what is known of them.

    With a folder ``images``, the photos are its files. ``boxes.csv``, with the head
    ``image,class,left,top,right,bottom``, or ``boxes.json``, a list of objects with the same names, has a row
    for each object: the photo's file name, a class name, and a box in pixels from 0 whose right and bottom
    are one past the object's last. A row without a box names a class alone. ``masks/NAME.png`` is the mask of
    the photo ``NAME`` (of any ending), black where the object is not; it goes before boxes.

    Without a folder ``images``, a photo's class is the name of the folder it lies in; a photo that lies in no
    folder has none.

    Args:
        name: Of the data set.
        folder: The one with ``images``, with class folders or with photos.
        problems: Takes what is left out.

    Raises:
        DataError: If the table has other columns, or a box that is none; the text names file and row.
    """
    if not (folder / "images").is_dir():
        return _class_folders(name, folder, problems)
    table = next((folder / file for file in _TABLES if (folder / file).is_file()), None)
    rows = [] if table is None else _rows(table)
    classes = tuple(sorted({label for _, label, _ in rows}))
    photos = {path.name: path for path in find_images(folder / "images")}
    for file in dict.fromkeys(file for file, _, _ in rows):
        if file not in photos:
            problems.add(
                f"{one_line(folder / 'images' / file)}: no such file, though {_TABLES[0]} or its like lists it"
            )
    samples = []
    for path in photos.values():
        mine = [(classes.index(label), box) for file, label, box in rows if file == path.name]
        mask = folder / "masks" / f"{path.stem}.png"
        if problems.photo(path) and (not mask.is_file() or problems.photo(mask, image_size(path))):
            samples.append(_sample(path, mine, mask if mask.is_file() else None))
    return DataSet(name, classes, "custom", tuple(samples), problems.found)


def _sample(path: Path, rows: list[tuple[int, Corners | None]], mask: Path | None) -> Sample:
    size = image_size(path)
    boxes = tuple(Box(category, *box) for category, box in rows if box is not None)
    labeled = {category for category, _ in rows}
    complete = labeled <= {box.category for box in boxes}
    read_mask: Any = None
    if mask is not None:
        read_mask = partial(file_mask, path, mask)
    elif boxes and complete:
        read_mask = partial(_mask, boxes, size)
    difficult = hard(boxes, *size) if complete else frozenset()
    return Sample(path.name, path, tuple(sorted(labeled)), hard=difficult, read_mask=read_mask)


def _class_folders(name: str, folder: Path, problems: Problems) -> DataSet:
    found = [(path, path.relative_to(folder).parts) for path in find_images(folder, recursive=True)]
    classes = tuple(sorted({parts[0] for _, parts in found if len(parts) > 1}))
    samples = tuple(
        Sample("/".join(parts), path, (classes.index(parts[0]),) if len(parts) > 1 else ())
        for path, parts in found
        if problems.photo(path)
    )
    return DataSet(name, classes, "custom", samples, problems.found)


def _rows(path: Path) -> list[tuple[str, str, Corners | None]]:
    """Photo, class and box of each object of a table."""
    name = one_line(path)
    if path.suffix == ".json":
        rows = read_json(path)
    else:
        try:
            rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")), strict=True))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{name}: is no table ({one_line(error)})") from error
    if not isinstance(rows, list):
        raise DataError(f"{name}: is no list of objects")
    return [_row(row, f"{name}, row {number}") for number, row in enumerate(rows, start=1)]


def _row(row: Any, where: str) -> tuple[str, str, Corners | None]:
    if not isinstance(row, dict) or not row.get("image") or not row.get("class"):
        raise DataError(f"{where}: names no image or no class")
    given = [side for side in _SIDES if row.get(side) not in {None, ""}]
    if not given:
        return str(row["image"]), str(row["class"]), None
    try:
        left, top, right, bottom = (int(row[side]) for side in _SIDES)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{where}: a box has left, top, right and bottom in whole pixels") from error
    if not (0 <= left < right and 0 <= top < bottom):
        raise DataError(f"{where}: the box {(left, top, right, bottom)} has no pixels")
    return str(row["image"]), str(row["class"]), (left, top, right, bottom)


def _mask(boxes: tuple[Box, ...], size: tuple[int, int], category: int | None) -> NDArray[np.bool_]:
    return union(boxes, *size, category=category)
