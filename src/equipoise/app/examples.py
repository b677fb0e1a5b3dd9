"""The photos that the page offers: of a folder, or those that installed packages bring."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from equipoise.arrays import is_array_file
from equipoise.errors import ImageError, OptionError
from equipoise.images import find_images, one_line
from equipoise.samples import SAMPLES, sample_path

SHOWN_EXAMPLES: Final = 24


def example_arrays(folder: str | Path | None, *, photos: bool) -> tuple[Path, ...]:
    """The arrays of a folder, and its photos if ``photos`` are taken, too; none without a folder.

    Raises:
        OptionError: If the folder is absent.
    """
    if folder is None:
        return ()
    if not Path(folder).is_dir():
        raise OptionError(f"--examples {one_line(folder)} is not a folder")
    found = [path for path in Path(folder).iterdir() if path.is_file() and is_array_file(path)]
    found += find_images(folder) if photos else []
    return tuple(path.resolve() for path in sorted(found)[:SHOWN_EXAMPLES])


def example_photos(folder: str | Path | None) -> tuple[Path, ...]:
    """The photos of a folder, or the samples of installed packages.

    Raises:
        OptionError: If the folder is absent.
        ImageError: If it holds no photos.
    """
    if folder is None:
        found = []
        for name in SAMPLES:
            try:
                found.append(sample_path(name))
            except ImageError:  # a package that is not installed
                continue
        return tuple(found)
    if not Path(folder).is_dir():
        raise OptionError(f"--examples {one_line(folder)} is not a folder")
    found = find_images(folder)[:SHOWN_EXAMPLES]
    if not found:
        raise ImageError(f"{one_line(folder)}: holds no photos")
    return tuple(path.resolve() for path in found)
