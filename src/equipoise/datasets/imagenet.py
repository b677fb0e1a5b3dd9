"""Photos of the ImageNet classes: the ILSVRC-2012 validation set in either of its layouts.

Sorted into one folder per class, named by WordNet id; or as it is published, all in one folder, with the
development kit ``ILSVRC2012_devkit_t12`` in it or beside it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from equipoise.datasets.base import DataSet, Sample
from equipoise.datasets.imagenet_labels import imagenet_names, imagenet_synsets
from equipoise.errors import DataError, MissingPackageError
from equipoise.images import find_images, one_line

if TYPE_CHECKING:
    from equipoise.datasets.problems import Problems

DEVKIT = "ILSVRC2012_devkit_t12/data"
"""Where the development kit keeps ``meta.mat`` and ``ILSVRC2012_validation_ground_truth.txt``."""

_NUMBER = re.compile(r"ILSVRC2012_val_(\d{8})$")


def read_imagenet(name: str, folder: Path, problems: Problems) -> DataSet:
    """Read the photos of all classes that are there.

    Args:
        name: Of the data set.
        folder: The one with the class folders, or with the photos.
        problems: Takes what is left out.

    Raises:
        DataError: If the photos are not sorted into classes and there is no development kit.
        MissingPackageError: If torchvision, timm or, for the development kit, scipy is not installed.
    """
    folders = sorted(path for path in folder.glob("n[0-9]*") if path.is_dir())
    found = _sorted_photos(folders, problems) if folders else _published_photos(folder, problems)
    samples = tuple(
        Sample(path.relative_to(folder).as_posix(), path, (index,)) for path, index in found if problems.photo(path)
    )
    return DataSet(name, imagenet_names(), "imagenet", samples, problems.found)


def _sorted_photos(folders: list[Path], problems: Problems) -> list[tuple[Path, int]]:
    synsets = imagenet_synsets()
    found = []
    for folder in folders:
        if folder.name not in synsets:
            problems.add(f"{one_line(folder)}: {folder.name} is no class of ILSVRC-2012")
            continue
        found += [(path, synsets[folder.name]) for path in find_images(folder)]
    return found


def _published_photos(folder: Path, problems: Problems) -> list[tuple[Path, int]]:
    kit = next((place / DEVKIT for place in (folder, folder.parent) if (place / DEVKIT).is_dir()), None)
    if kit is None:
        raise DataError(f"{one_line(folder)}: no classes are known, for {DEVKIT} is neither there nor beside it")
    truth = ground_truth(kit)
    found = []
    for path in find_images(folder):
        number = _NUMBER.match(path.stem)
        if number is None or not 1 <= int(number[1]) <= len(truth):
            problems.add(f"{one_line(path)}: the development kit says nothing of this photo")
            continue
        found.append((path, truth[int(number[1]) - 1]))
    return found


def ground_truth(kit: Path) -> list[int]:
    """Class index of each validation photo, in the order of their numbers.

    The file has the kit's own class numbers, which ``meta.mat`` translates to WordNet ids.

    Args:
        kit: The folder ``data`` of the development kit.

    Raises:
        DataError: If a file is missing or damaged.
        MissingPackageError: If scipy is not installed.
    """
    try:
        from scipy.io import loadmat  # noqa: PLC0415  # optional, and needed for this layout alone
    except ImportError as error:
        raise MissingPackageError("the development kit needs scipy: pip install equipoise[evaluate]") from error
    synsets = imagenet_synsets()
    try:
        rows = loadmat(kit / "meta.mat", squeeze_me=True)["synsets"]
        names = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in rows}
        numbers = (kit / "ILSVRC2012_validation_ground_truth.txt").read_text(encoding="utf-8").split()
        return [synsets[names[int(number)]] for number in numbers]
    except Exception as error:  # a damaged .mat file raises anything
        raise DataError(
            f"{one_line(kit)}: is no development kit of ILSVRC-2012 ({type(error).__name__}: {one_line(error)})"
        ) from error
