"""ImageNet-Segmentation: ``gtsegs_ijcv.mat`` of Guillaumin, Kuettel and Ferrari (IJCV 2014).

One HDF5 file as MATLAB writes it, with its axes reversed. ``value/img``, ``value/gt``, ``value/target`` and
``value/id`` are columns of references: to a photo ``(3, width, height)``, to a cell of masks ``(width,
height)`` by several people, of which the first is used as in the published benchmarks, and to texts of 16-bit
letters, a WordNet id and the photo's name.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from equipoise.datasets.base import DataSet, Sample
from equipoise.datasets.imagenet_labels import imagenet_names, imagenet_synsets
from equipoise.errors import DataError, ImageError, MissingPackageError
from equipoise.images import MAX_PIXELS, one_line

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from equipoise.datasets.problems import Problems

FILE = "gtsegs_ijcv.mat"
"""The published file's name."""

_LONGEST = 256  # letters of an id


def read_imagenet_segmentation(name: str, folder: Path, problems: Problems) -> DataSet:
    """Read the list of photos; photos and masks stay in the file until they are asked for.

    A third of the 445 labels are no classes of ILSVRC-2012; such a photo has no category, but a mask.

    Args:
        name: Of the data set.
        folder: The one with `FILE`.
        problems: Takes what is left out.

    Raises:
        DataError: If the file has another structure.
        MissingPackageError: If h5py, torchvision or timm is not installed.
    """
    path = folder / FILE
    synsets = imagenet_synsets()
    samples = []
    try:
        with _opened(path) as file:
            count = len(file["value/img"])
            for row in range(count):
                try:
                    key, synset = _text(file, "id", row), _text(file, "target", row)
                    _shape(file, row)
                except (KeyError, IndexError, TypeError, ValueError) as error:
                    problems.add(f"{one_line(path)}: photo {row} cannot be read ({one_line(error)})")
                    continue
                categories = (synsets[synset],) if synset in synsets else ()
                samples.append(
                    Sample(
                        key,
                        path,
                        categories,
                        read_mask=partial(_mask, path, row),
                        read_pixels=partial(_photo, path, row),
                    )
                )
    except (OSError, KeyError, TypeError) as error:
        raise DataError(
            f"{one_line(path)}: is not the HDF5 file of ImageNet-Segmentation ({one_line(error)})"
        ) from error
    return DataSet(name, imagenet_names(), "imagenet", tuple(samples), problems.found)


def _opened(path: Path) -> Any:
    try:
        import h5py  # noqa: PLC0415  # optional, and needed for this data set alone
    except ImportError as error:
        raise MissingPackageError(
            "ImageNet-Segmentation needs h5py: pip install equipoise[imagenet-segmentation]"
        ) from error
    return h5py.File(path, "r")


def _text(file: Any, column: str, row: int) -> str:
    stored = file[file[f"value/{column}"][row, 0]]
    if stored.size > _LONGEST or stored.dtype != np.uint16:
        raise ValueError(f"value/{column} is no text")
    return np.asarray(stored).astype("<u2").tobytes().decode("utf-16-le")


def _shape(file: Any, row: int) -> tuple[int, int]:
    """Width and height of a photo, which its mask must share."""
    photo, mask = file[file["value/img"][row, 0]], _first_mask(file, row)
    channels, width, height = photo.shape
    if channels != 3 or photo.dtype != np.uint8 or mask.shape != (width, height):
        raise ValueError(f"photo {photo.shape} of {photo.dtype}, mask {mask.shape}")
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels")
    return width, height


def _first_mask(file: Any, row: int) -> Any:
    return file[file[file["value/gt"][row, 0]][0, 0]]


def _photo(path: Path, row: int) -> Image.Image:
    try:
        with _opened(path) as file:
            pixels = np.asarray(file[file["value/img"][row, 0]])
    except (OSError, KeyError) as error:
        raise ImageError(f"{one_line(path)}: photo {row} cannot be read ({one_line(error)})") from error
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(2, 1, 0)))


def _mask(path: Path, row: int, category: int | None = None) -> NDArray[np.bool_]:  # noqa: ARG001  # one object a photo
    try:
        with _opened(path) as file:
            stored = np.asarray(_first_mask(file, row))
    except (OSError, KeyError) as error:
        raise ImageError(f"{one_line(path)}: mask {row} cannot be read ({one_line(error)})") from error
    return np.ascontiguousarray(stored.T != 0)
