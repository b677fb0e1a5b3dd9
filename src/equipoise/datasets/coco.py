"""MS COCO 2014: ``annotations/instances_val2014.json`` and the folder ``val2014``."""

from __future__ import annotations

import warnings
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise.datasets.base import DataSet, Sample
from equipoise.datasets.boxes import Box, hard, split
from equipoise.datasets.problems import read_json
from equipoise.errors import DataError, MissingPackageError
from equipoise.images import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from equipoise.datasets.problems import Problems

ANNOTATIONS = "annotations/instances_val2014.json"
"""Relative to the data set's folder."""


def read_coco(name: str, folder: Path, problems: Problems) -> DataSet:
    """Read the validation photos.

    A photo's categories are those of its annotations, crowds among them; a photo without annotations has
    none. A photo is difficult by the boxes, its masks are the segmentations.

    Args:
        name: Of the data set.
        folder: The one with ``annotations`` and ``val2014``.
        problems: Takes what is left out.

    Raises:
        DataError: If the annotations are no COCO annotations.
    """
    path = folder / ANNOTATIONS
    content = read_json(path)
    try:
        known = sorted((int(item["id"]), str(item["name"])) for item in content["categories"])
        index = {identifier: position for position, (identifier, _) in enumerate(known)}
        objects: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for item in content["annotations"]:
            objects[item["image_id"]].append({**item, "category": index[item["category_id"]]})
        samples = [
            sample
            for photo in sorted(content["images"], key=lambda photo: int(photo["id"]))
            if (sample := _sample(photo, objects[photo["id"]], folder, problems)) is not None
        ]
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{one_line(path)}: holds no COCO annotations ({type(error).__name__}: {error})") from error
    return DataSet(name, tuple(label for _, label in known), "coco", tuple(samples), problems.found)


def _sample(photo: dict[str, Any], objects: list[dict[str, Any]], folder: Path, problems: Problems) -> Sample | None:
    path = folder / "val2014" / str(photo["file_name"])
    size = int(photo["width"]), int(photo["height"])
    if not problems.photo(path, size):
        return None
    boxes = [_box(item["category"], *item["bbox"]) for item in objects]
    outlines = tuple((item["category"], item["segmentation"]) for item in objects)
    return Sample(
        str(photo["id"]),
        path,
        split(boxes)[0],
        hard=hard(boxes, *size),
        read_mask=partial(_mask, outlines, size) if outlines else None,
    )


def _box(category: int, left: float, top: float, width: float, height: float) -> Box:
    """A box of COCO, whose numbers are of any fraction of a pixel, in whole pixels."""
    return Box(category, round(left), round(top), round(left + width), round(top + height))


def _mask(outlines: tuple[tuple[int, Any], ...], size: tuple[int, int], category: int | None) -> NDArray[np.bool_]:
    chosen = [outline for one, outline in outlines if category in {None, one}]
    if not chosen:
        raise DataError(f"no object of category {category} is in this photo")
    chosen = [outline for outline in chosen if outline != []]  # which COCO has a few of: an object with a box alone
    if not chosen:
        raise DataError("its objects have boxes, and no outline")
    mask = np.zeros(size[::-1], dtype=np.bool_)
    for outline in chosen:
        mask |= decode(outline, *size)
    return mask


def decode(segmentation: Any, width: int, height: int) -> NDArray[np.bool_]:
    """A segmentation of COCO as a mask ``(height, width)``.

    Args:
        segmentation: Polygons, or run lengths, compressed or not.
        width: Of the photo, in pixels.
        height: Of the photo, in pixels.

    Raises:
        MissingPackageError: If pycocotools is not installed.
        DataError: If it is none of these.
    """
    try:
        from pycocotools import mask as runs  # noqa: PLC0415  # optional, and needed for masks alone
    except ImportError as error:
        raise MissingPackageError("masks of COCO need pycocotools: pip install equipoise[coco]") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # its arrays are of the time before NumPy 2
            packed = segmentation
            if isinstance(segmentation, list) or isinstance(segmentation["counts"], list):
                packed = runs.frPyObjects(segmentation, height, width)
            if isinstance(packed, list):
                packed = runs.merge(packed)
            found: NDArray[np.bool_] = runs.decode(packed).astype(np.bool_)
    except Exception as error:  # the library raises bare exceptions
        raise DataError(f"a segmentation of COCO cannot be decoded ({one_line(error)})") from error
    if found.shape != (height, width):
        raise DataError(f"a segmentation of COCO has shape {found.shape}, its photo {(height, width)}")
    return found
