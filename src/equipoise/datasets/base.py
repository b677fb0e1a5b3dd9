"""What a data set is: photos with categories and masks, and the registry of layouts that can be read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

import numpy as np

from equipoise._registry import Registry
from equipoise.datasets.problems import Problems
from equipoise.errors import DataError
from equipoise.images import one_line, read_file, read_image

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    Mask = NDArray[np.bool_]

Vocabulary = Literal["imagenet", "voc", "coco", "custom"]
"""Whose classes a data set has; ``"custom"``: its own, known by their names alone."""

ROOT_VARIABLE = "EQUIPOISE_DATA"
"""The environment variable that names the folder of data sets."""


@dataclass(frozen=True)
class Sample:
    """One photo.

    Args:
        key: Unique within the data set and the same every time it is opened.
        path: The file that holds the photo.
        categories: Indices into `DataSet.classes` of what is to be explained, ascending.
        hard: Those of ``categories`` that are difficult in this photo by `equipoise.datasets.boxes.hard`.
        skipped: Categories that the photo shows but that are not to be explained: every object of theirs is
            marked "difficult" by PASCAL VOC.
        group: A part of the data set that is reported on its own; empty if there is none.
        read_mask: From a category to its mask; ``None`` if the photo has no masks.
        read_pixels: Reads the photo where ``path`` is no image file; ``None`` where it is.
    """

    key: str
    path: Path
    categories: tuple[int, ...] = ()
    hard: frozenset[int] = frozenset()
    skipped: frozenset[int] = frozenset()
    group: str = ""
    read_mask: Callable[[int | None], Mask] | None = field(default=None, repr=False, compare=False)
    read_pixels: Callable[[], Image.Image] | None = field(default=None, repr=False, compare=False)

    @property
    def has_masks(self) -> bool:
        """Whether `mask` has something to give."""
        return self.read_mask is not None

    def image(self) -> Image.Image:
        """The photo, mode ``RGB``, upright.

        Raises:
            ImageError: If the file is gone, damaged or too large; the text names it.
        """
        return read_image(self.path) if self.read_pixels is None else self.read_pixels()

    def mask(self, category: int | None = None) -> Mask:
        """Where a category is.

        Args:
            category: Index into `DataSet.classes`. A data set with one object a photo gives that object's
                mask whatever is asked for.

        Returns:
            ``(height, width)`` of the photo, true on the object.

        Raises:
            DataError: If the photo has no masks, or none of this category.
            ImageError: If a mask's file cannot be read.
        """
        if self.read_mask is None:
            raise DataError(f"{self.key}: this photo has no masks")
        return self.read_mask(category)

    def sha256(self) -> str:
        """64 hex digits: of the file's bytes or, where several photos share a file, of the pixels.

        Raises:
            ImageError: If the file cannot be read.
        """
        if self.read_pixels is None:
            return hashlib.sha256(read_file(self.path)).hexdigest()
        image = self.read_pixels()
        return hashlib.sha256(f"{image.size} ".encode() + image.tobytes()).hexdigest()


@dataclass(frozen=True, eq=False)
class DataSet(Sequence[Sample]):
    """Photos in a fixed order.

    Args:
        name: As in `DATASETS`.
        classes: The names behind the indices in `Sample.categories`.
        vocabulary: Whose classes these are.
        samples: The photos.
        problems: One sentence for each file that is missing or broken and was left out.
    """

    name: str
    classes: tuple[str, ...] = field(repr=False)
    vocabulary: Vocabulary
    samples: tuple[Sample, ...] = field(repr=False)
    problems: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        keys = [sample.key for sample in self.samples]
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise DataError(f"{self.name}: two photos are called {twice!r}")

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Sample, ...]: ...

    def __getitem__(self, index: int | slice) -> Sample | tuple[Sample, ...]:
        return self.samples[index]

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)


@dataclass(frozen=True)
class DataSetEntry:
    """A layout that can be read.

    Args:
        name: As in `DATASETS`.
        summary: One line about the photos and what is known of them.
        folders: Where it may lie, relative to the folder of data sets; ``"."`` is that folder itself. None: it is
            drawn, and no folder is looked for.
        signs: What such a folder must contain, as shell patterns; one of them is enough.
        how_to_get: Where the data comes from.
        license: Terms of use of the photos.
        read: From the folder and a collector of problems to the data set.
    """

    name: str
    summary: str
    folders: tuple[str, ...]
    signs: tuple[str, ...]
    how_to_get: str
    license: str
    read: Callable[[str, Path, Problems], DataSet] = field(repr=False)

    @property
    def looked_for(self) -> tuple[str, ...]:
        """Relative paths, as shell patterns; the first that exists decides where the data set lies."""
        return tuple((Path(folder) / sign).as_posix() for folder in self.folders for sign in self.signs)

    def open(self, root: str | os.PathLike[str], *, strict: bool = False) -> DataSet:
        """Read the data set below ``root``.

        Args:
            root: The folder of data sets, or the data set's own.
            strict: Raise instead of leaving out what is missing or broken.

        Raises:
            DataError: If it does not lie there or has no photo that can be read; or, if ``strict``, at the
                first problem.
            MissingPackageError: If a package that reads its files is not installed.
        """
        root = Path(root)
        if not self.folders:
            return self.read(self.name, root, Problems(strict=strict))
        for folder in self.folders:
            for sign in self.signs:
                if next((root / folder).glob(sign), None) is not None:
                    return self._checked(self.read(self.name, root / folder, Problems(strict=strict)), root)
        raise DataError(
            f"{self.name} is not below {one_line(root)}; looked for {', '.join(self.looked_for)}. {self.how_to_get}"
        )

    def _checked(self, found: DataSet, root: Path) -> DataSet:
        if not found:
            first = f": {found.problems[0]}" if found.problems else ""
            raise DataError(f"{self.name} below {one_line(root)} has no photo that can be read{first}")
        return found


DATASETS: Registry[DataSetEntry] = Registry("data set")
"""Every layout that can be read; filled by `equipoise.datasets.registered`."""


def open_dataset(name: str, root: str | os.PathLike[str] | None = None, *, strict: bool = False) -> DataSet:
    """Open a data set.

    Args:
        name: As in `DATASETS`.
        root: The folder of data sets, or the data set's own; ``None``: what the environment variable
            ``EQUIPOISE_DATA`` names, or else ``./data``.
        strict: Raise instead of leaving out what is missing or broken.

    Raises:
        UnknownNameError: If no data set has that name.
        DataError: As `DataSetEntry.open`.
    """
    entry = DATASETS[name]
    return entry.open(os.environ.get(ROOT_VARIABLE) or "data" if root is None else root, strict=strict)
