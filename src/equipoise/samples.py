"""Real photos that ship inside installed packages, for a first try: ``python -m equipoise.samples FOLDER``.

A cat (Chelsea) and a cup of coffee come with scikit-image, a portrait of Grace Hopper comes with matplotlib.
Nothing is downloaded.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from equipoise._packaged import packaged
from equipoise.errors import EquipoiseError
from equipoise.images import one_line
from equipoise.records import write_atomically

if TYPE_CHECKING:
    import os

SAMPLES: Final = {
    "chelsea.png": ("skimage", "data/chelsea.png"),
    "coffee.png": ("skimage", "data/coffee.png"),
    "grace_hopper.jpg": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
}
"""The photos: name, the package that holds it, and where."""


def sample_path(name: str) -> Path:
    """Where an installed package keeps a photo of `SAMPLES`.

    Raises:
        ImageError: If the package is not installed, or has no such file; the text says what to install.
    """
    return packaged(*SAMPLES[name])


def write_samples(folder: str | os.PathLike[str]) -> list[Path]:
    """Copy the photos into a folder, which is made if needed.

    Raises:
        ImageError: If a photo is not installed.
        OSError: If the folder cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return [write_atomically(folder / name, sample_path(name).read_bytes()) for name in SAMPLES]


def main(arguments: list[str]) -> int:
    """Write the photos into the folder named by the one argument; 0, or 2 if that is impossible."""
    if len(arguments) != 1:
        sys.stderr.write("equipoise.samples: give one folder\n")
        return 2
    try:
        for path in write_samples(arguments[0]):
            sys.stdout.write(f"{path}\n")
    except (EquipoiseError, OSError) as error:
        sys.stderr.write(f"equipoise.samples: {one_line(error)}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
