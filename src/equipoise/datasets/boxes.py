"""Boxes around objects: their masks, and which photos of the pointing game are difficult."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np

from equipoise.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

LARGE: Final = Fraction(1, 4)
"""The share of a photo from which the boxes of a category are no longer small."""


@dataclass(frozen=True)
class Box:
    """One object.

    Args:
        category: Index into the data set's classes.
        left: First column, in pixels from 0.
        top: First row.
        right: One past the last column.
        bottom: One past the last row.
        difficult: Whether PASCAL VOC marks it as hard to recognize.
    """

    category: int
    left: int
    top: int
    right: int
    bottom: int
    difficult: bool = False


def union(boxes: Iterable[Box], width: int, height: int, *, category: int | None = None) -> NDArray[np.bool_]:
    """The pixels that any box of a category covers; of every box for ``None``.

    Args:
        boxes: What lies outside the photo is cut off.
        width: Of the photo, in pixels.
        height: Of the photo, in pixels.
        category: Index into the data set's classes.

    Returns:
        ``(height, width)``.

    Raises:
        DataError: If no box has the category.
    """
    mask = np.zeros((height, width), dtype=np.bool_)
    chosen = [box for box in boxes if category in {None, box.category}]
    if not chosen:
        raise DataError(f"no object of category {category} is in this photo")
    for box in chosen:
        mask[max(box.top, 0) : max(box.bottom, 0), max(box.left, 0) : max(box.right, 0)] = True
    return mask


def split(boxes: Sequence[Box]) -> tuple[tuple[int, ...], frozenset[int]]:
    """Categories to explain, ascending, and those to skip because all their objects are marked difficult."""
    present = {box.category for box in boxes}
    easy = {box.category for box in boxes if not box.difficult}
    return tuple(sorted(easy)), frozenset(present - easy)


def hard(boxes: Sequence[Box], width: int, height: int) -> frozenset[int]:
    """The difficult categories of a photo (Zhang et al., IJCV 2018, section 4.2, "difficult set").

    A category is difficult if its boxes together cover less than a quarter of the photo and the photo shows
    an object of another category. Boxes that overlap count once, objects that VOC marks as difficult count
    on both sides, a category that consists of such objects alone is left out.

    Args:
        boxes: All objects of the photo.
        width: Of the photo, in pixels.
        height: Of the photo, in pixels.
    """
    categories, skipped = split(boxes)
    if len(categories) + len(skipped) < 2:
        return frozenset()
    return frozenset(
        category
        for category in categories
        if union(boxes, width, height, category=category).sum() < LARGE * width * height
    )
