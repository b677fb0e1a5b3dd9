"""Which photos a command line names, and under which name each one's files are written."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from equipoise.errors import ImageError
from equipoise.images import find_images, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

OWN_PICTURES: Final = (".overlay.png", ".heatmap.png", ".montage.png", ".inputs.png", ".figure.png")
"""Endings of the pictures that a run writes: a folder that holds some is explained without them."""

ARRAYS: Final = (".npy", ".npz", ".dcm", ".nii", ".nii.gz")
"""Endings of files in a folder that are arrays to explain; those of torch may be weights."""

_LONGEST_STEM = 100  # bytes; file systems allow 255 for the whole name


@dataclass(frozen=True)
class PhotoFile:
    """One photo to explain.

    Attributes:
        path: As it was named, or as found in a named folder.
        stem: Begins the names of its files; no two photos of a run share it.
    """

    path: Path
    stem: str


def collect(names: Sequence[str], *, recursive: bool) -> tuple[list[PhotoFile], list[str]]:
    """The photos that files and folders name, each once, and what is wrong with the others.

    Returns:
        The photos in the order named, a folder's sorted by name; and one line per name that gives none.
    """
    paths: dict[str, Path] = {}
    problems: list[str] = []
    for name in names:
        try:
            found = _find(name, recursive=recursive)
        except (ImageError, OSError, ValueError) as error:  # ValueError: a zero byte in the name
            problems.append(one_line(error))
        else:
            for path in found:
                paths.setdefault(os.path.realpath(path), path)
    return _named(paths), problems


def all_absent(names: Sequence[str]) -> list[str]:
    """What is wrong with files and folders of which none exists; nothing if one does.

    Nothing else of a command line matters then, and nothing that takes time needs to be loaded.
    """
    named = [name for name in names if "\0" not in name]
    if any(os.path.lexists(_file(part)) for name in named for part in (name, name.partition("=")[2]) if part):
        return []
    return collect(names, recursive=False)[1]


def _find(name: str, *, recursive: bool) -> list[Path]:
    path = Path(name)
    if not path.is_dir():
        if not os.path.lexists(_file(name)):
            raise ImageError(f"{one_line(name)}: no such file")
        return [path]
    found = [one for one in find_images(path, recursive=recursive) if not one.name.endswith(OWN_PICTURES)]
    inside = path.rglob("*") if recursive else path.iterdir()
    found = sorted({*found, *(one for one in inside if one.name.lower().endswith(ARRAYS) and one.is_file())})
    if not found:
        hint = "" if recursive else " (--recursive looks into its folders)"
        raise ImageError(f"{one_line(name)}: holds no photos{hint}")
    return found


def _file(name: str) -> str:
    """The file that a name means: after ``#`` an array in it is named."""
    return name if os.path.lexists(name) else name.partition("#")[0]


def _named(paths: dict[str, Path]) -> list[PhotoFile]:
    """Stems are the files' own where that is unambiguous, else with a few digits of the path's checksum."""
    stems = {real: _stem(path) for real, path in paths.items()}
    same = Counter(stem.casefold() for stem in stems.values())
    named = []
    for real, path in paths.items():
        stem = stems[real]
        if same[stem.casefold()] > 1:
            stem += "-" + hashlib.sha256(os.fsencode(real)).hexdigest()[:8]
        named.append(PhotoFile(path, stem))
    return named


def _stem(path: Path) -> str:
    """The file's name without ending, printable, and cut so that a long one leaves room for what follows."""
    stem = one_line(path.stem).replace("\\", "_")
    if len(stem.encode()) <= _LONGEST_STEM:
        return stem
    digits = hashlib.sha256(stem.encode()).hexdigest()[:8]
    return stem.encode()[:_LONGEST_STEM].decode(errors="ignore") + "-" + digits
