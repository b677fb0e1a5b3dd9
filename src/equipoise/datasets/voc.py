"""PASCAL VOC 2007 in the layout of its development kit.

``ImageSets/Main/SPLIT.txt`` names the photos of a split, ``JPEGImages`` holds them and ``Annotations`` their
boxes. A box is stored from 1, both ends included.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from equipoise._vocabularies import VOC
from equipoise.datasets.base import DataSet, Sample
from equipoise.datasets.boxes import Box, hard, split, union
from equipoise.errors import DataError
from equipoise.images import one_line

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from equipoise.datasets.problems import Problems

SPLITS: Final = {
    "voc2007": "test",
    "voc2007_original": "test_original",
    "voc2007_restored": "test_restored",
    "voc2007_multi_class": "test_multi_class",
    "voc2007_original_multi_class": "test_original_multi_class",
    "voc2007_trainval": "trainval",
}
"""Data set to the file of ``ImageSets/Main`` that lists its photos."""

_GROUPS: Final = {"original": "test_original", "restored": "test_restored"}
_LONGEST: Final = 1_000_000  # bytes of an annotation; the longest of VOC 2007 has 12 thousand


def read_voc(name: str, folder: Path, problems: Problems) -> DataSet:
    """Read a split.

    Args:
        name: A key of `SPLITS`.
        folder: The one with ``ImageSets``, ``JPEGImages`` and ``Annotations``.
        problems: Takes what is left out.
    """
    lists = folder / "ImageSets" / "Main"
    groups = {key: group for group, file in _GROUPS.items() for key in _keys(lists / f"{file}.txt")}
    samples = []
    for key in _keys(lists / f"{SPLITS[name]}.txt"):
        path = folder / "JPEGImages" / f"{key}.jpg"
        try:
            size, boxes = read_annotation(folder / "Annotations" / f"{key}.xml")
        except DataError as error:
            problems.add(str(error))
            continue
        if problems.photo(path, size):
            categories, skipped = split(boxes)
            samples.append(
                Sample(
                    key,
                    path,
                    categories,
                    hard=hard(boxes, *size),
                    skipped=skipped,
                    group=groups.get(key, ""),
                    read_mask=partial(_mask, boxes, size) if boxes else None,
                )
            )
    return DataSet(name, VOC, "voc", tuple(samples), problems.found)


def read_annotation(path: Path) -> tuple[tuple[int, int], tuple[Box, ...]]:
    """Width and height of a photo in pixels, and its objects.

    Raises:
        DataError: If the file is missing or is no annotation of VOC; the text names it.
    """
    name = one_line(path)
    try:
        if path.stat().st_size > _LONGEST:
            raise DataError(f"{name}: is longer than {_LONGEST} bytes, so it is no annotation")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{name}: cannot be read ({one_line(getattr(error, 'strerror', error))})") from error
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError(f"{name}: declares entities, which an annotation does not")
    try:
        root = ET.fromstring(text)  # noqa: S314  # without entities there is nothing to expand
        size = int(_text(root, "size/width")), int(_text(root, "size/height"))
        boxes = tuple(_box(item) for item in root.iter("object"))
    except (ET.ParseError, ValueError) as error:
        raise DataError(f"{name}: is no annotation of PASCAL VOC ({one_line(error)})") from error
    return size, boxes


def _box(item: ET.Element) -> Box:
    left, top, right, bottom = (int(float(_text(item, f"bndbox/{side}"))) for side in ("xmin", "ymin", "xmax", "ymax"))
    category = VOC.index(_text(item, "name").strip())
    return Box(category, left - 1, top - 1, right, bottom, difficult=item.findtext("difficult", "0").strip() == "1")


def _text(item: ET.Element, path: str) -> str:
    found = item.findtext(path)
    if found is None:
        raise ValueError(f"no {path}")
    return found


def _keys(path: Path) -> list[str]:
    """The names in a list of photos; none if there is no such list."""
    if not path.is_file():
        return []
    return [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _mask(boxes: tuple[Box, ...], size: tuple[int, int], category: int | None) -> NDArray[np.bool_]:
    return union(boxes, *size, category=category)
