"""Photos that installed packages bring, with classes of ImageNet: figures that may show their photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from equipoise._packaged import packaged
from equipoise.datasets.base import DataSet, Sample
from equipoise.datasets.imagenet_labels import imagenet_names
from equipoise.errors import ImageError

if TYPE_CHECKING:
    from equipoise.datasets.problems import Problems

LABELED: Final = {
    "chelsea.png": ("skimage", "data/chelsea.png", (281, 282, 285)),  # three of ImageNet's cats
    "coffee.png": ("skimage", "data/coffee.png", (967, 968)),  # espresso, cup
    "grace_hopper.jpg": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", (652,)),  # military uniform
    "motorcycle.png": ("skimage", "data/motorcycle_left.png", (665,)),  # moped, the nearest there is
}
"""Key to the package, the place in it, and the classes; all are free of rights (CC0 or public domain)."""


def read_samples(name: str, folder: Path, problems: Problems) -> DataSet:
    """The photos, in one group as of one object.

    Args:
        name: Of the data set.
        folder: Not looked at.
        problems: Takes photos whose package is not installed.

    Raises:
        MissingPackageError: If torchvision is not installed.
    """
    del folder
    found = []
    for key, (package, inside, categories) in LABELED.items():
        try:
            found.append(Sample(key, packaged(package, inside), categories, group="single"))
        except ImageError as error:
            problems.add(str(error))
    return DataSet(name, imagenet_names(), "imagenet", tuple(found), problems.found)
