"""Data sets whose folder has a ``manifest.json`` that lists the photos with what is known of them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise._vocabularies import COCO, VOC_TO_COCO
from equipoise.datasets.base import DataSet, Sample
from equipoise.datasets.imagenet_labels import imagenet_names
from equipoise.datasets.masks import file_mask
from equipoise.datasets.problems import read_json
from equipoise.errors import DataError
from equipoise.images import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from equipoise.datasets.problems import Problems

_MANIFEST = "manifest.json"


def read_segmentation(name: str, folder: Path, problems: Problems) -> DataSet:
    """Read photos with one object each and a mask of it.

    An entry of the manifest has ``image`` and ``mask``, paths within the folder, and ``category``, a class of
    COCO or of VOC; the latter is given COCO's name.

    Args:
        name: Of the data set.
        folder: The one with ``manifest.json``.
        problems: Takes what is left out.

    Raises:
        DataError: If the manifest is missing or is none.
    """

    def sample(entry: dict[str, Any]) -> Sample | None:
        path, mask = _inside(folder, entry["image"]), _inside(folder, entry["mask"])
        label = VOC_TO_COCO.get(entry["category"], entry["category"])
        if label not in COCO:
            problems.add(f"{one_line(path)}: {label!r} is no class of COCO")
            return None
        if not (problems.photo(path) and problems.photo(mask)):
            return None
        read_mask = partial(file_mask, path, mask)
        return Sample(path.stem, path, (COCO.index(label),), group=_first_word(path.stem), read_mask=read_mask)

    return DataSet(name, COCO, "coco", _samples(folder, sample), problems.found)


def read_cats_dogs(name: str, folder: Path, problems: Problems) -> DataSet:
    """Read photos of one object, of two, and with a watermark; the folder a photo lies in is its group.

    An entry of the manifest has ``file``, a path within the folder, and ``labels``: for each class of
    ImageNet that fits the photo its ``index``.

    Args:
        name: Of the data set.
        folder: The one with ``manifest.json``.
        problems: Takes what is left out.

    Raises:
        DataError: If the manifest is missing or is none.
        MissingPackageError: If torchvision is not installed.
    """
    names = imagenet_names()

    def sample(entry: dict[str, Any]) -> Sample | None:
        path = _inside(folder, entry["file"])
        categories = tuple(sorted(int(label["index"]) for label in entry["labels"]))
        if not all(0 <= category < len(names) for category in categories):
            problems.add(f"{one_line(path)}: {categories} are not all classes of ImageNet")
            return None
        if not problems.photo(path):
            return None
        return Sample(str(Path(entry["file"]).as_posix()), path, categories, group=path.parent.name)

    return DataSet(name, names, "imagenet", _samples(folder, sample), problems.found)


def _samples(folder: Path, sample: Callable[[dict[str, Any]], Sample | None]) -> tuple[Sample, ...]:
    path = folder / _MANIFEST
    content = read_json(path)
    try:
        found = [sample(entry) for entry in content]
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{one_line(path)}: does not list photos ({type(error).__name__}: {error})") from error
    return tuple(sorted((one for one in found if one is not None), key=lambda one: one.key))


def _inside(folder: Path, path: str) -> Path:
    """A path of the manifest, which must not lead out of the folder.

    Raises:
        DataError: If it does.
    """
    relative = Path(path)
    if relative.is_absolute() or ".." in relative.parts:
        raise DataError(f"{one_line(folder / _MANIFEST)}: {one_line(path)} leads out of the folder")
    return folder / relative


def _first_word(stem: str) -> str:
    """``"coco"`` of ``"coco_train2017_000000000025"``: where the photo comes from."""
    return stem.partition("_")[0]
