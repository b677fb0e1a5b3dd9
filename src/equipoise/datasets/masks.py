"""Masks that are image files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from equipoise.datasets.problems import image_size
from equipoise.errors import DataError
from equipoise.images import one_line, read_image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def file_mask(photo: Path, mask: Path, category: int | None = None) -> NDArray[np.bool_]:  # noqa: ARG001  # one object
    """The mask of a photo's one object.

    Args:
        photo: Must have the mask's size.
        mask: An image that is black where the object is not.
        category: Whatever is asked for, the object is the same.

    Returns:
        ``(height, width)``.

    Raises:
        ImageError: If a file cannot be read.
        DataError: If the sizes differ; the text gives both.
    """
    found: NDArray[np.bool_] = np.asarray(read_image(mask)).max(axis=-1) > 0
    if (size := image_size(photo)) != found.shape[::-1]:
        raise DataError(f"{one_line(mask)}: is {found.shape[::-1]} pixels, its photo {size}")
    return found
