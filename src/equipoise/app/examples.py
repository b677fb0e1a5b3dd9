"""What the page asks of a visitor for a network, and what it offers: photos and arrays of a folder, or samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from equipoise.arrays import is_array_file
from equipoise.errors import ImageError, OptionError
from equipoise.images import find_images, one_line
from equipoise.models.array_preprocessing import ArrayPreprocessing
from equipoise.models.own_preprocessing import OwnPreprocessing
from equipoise.samples import SAMPLES, sample_path

if TYPE_CHECKING:
    from equipoise.inputs import Prepares

SHOWN_EXAMPLES: Final = 24


@dataclass(frozen=True)
class Example:
    """What a visitor can take in place of files of their own.

    Attributes:
        files: A photo or an array for each input, by its name; that of a network of one input has none.
    """

    files: Mapping[str, Path]

    @property
    def name(self) -> str:
        """For people."""
        first, *others = (path.name for path in self.files.values())
        return Path(first).stem if others else first

    @property
    def photo(self) -> Path | None:
        """The first photo, to be shown; ``None``: there are arrays alone."""
        return next((path for path in self.files.values() if not is_array_file(path)), None)


def takes(how: Prepares) -> tuple[bool, bool]:
    """Whether a visitor is asked for a photo, and whether for an array, by how an input is prepared."""
    if how is None or isinstance(how, OwnPreprocessing):
        return True, False
    photos = not isinstance(how, ArrayPreprocessing) and how.channels in {1, 3}
    return photos, not photos or how.channels == 1


def examples_of(folder: str | Path | None, prepares: Mapping[str, Prepares]) -> tuple[Example, ...]:
    """What is offered with a network.

    Args:
        folder: Of photos or arrays; of several inputs with a folder of each one's name, where files of one name,
            whatever their endings, belong together. ``None``: the samples, of a network of one input that takes photos.
        prepares: How each input is prepared.

    Raises:
        OptionError: If a folder is absent.
        ImageError: If there is nothing in it that the network takes.
    """
    if len(prepares) > 1:
        return () if folder is None else _of_several(Path(folder), prepares)
    ((name, how),) = prepares.items()
    samples = _samples if takes(how)[0] else list
    found = samples() if folder is None else _files(Path(folder), how)
    return tuple(Example({name: path.resolve()}) for path in found)


def _of_several(folder: Path, prepares: Mapping[str, Prepares]) -> tuple[Example, ...]:
    by_stem = {
        name: {path.stem.removesuffix(".nii"): path.resolve() for path in _files(folder / name, how)}
        for name, how in prepares.items()
    }
    first, *others = by_stem.values()
    together = [stem for stem in first if all(stem in one for one in others)]
    if not together:
        raise ImageError(f"{one_line(folder)}: no files of one name are in the folders {', '.join(prepares)}")
    return tuple(Example({name: found[stem] for name, found in by_stem.items()}) for stem in together)


def _files(folder: Path, how: Prepares) -> list[Path]:
    """The first photos and arrays of a folder, of those kinds that are taken."""
    if not folder.is_dir():
        raise OptionError(f"{one_line(folder)} is not a folder; examples are looked for there")
    photos, arrays = takes(how)
    found = find_images(folder) if photos else []
    found += [path for path in folder.iterdir() if path.is_file() and is_array_file(path)] if arrays else []
    if not found:
        raise ImageError(f"{one_line(folder)}: holds no {'photos' if photos else 'arrays'}")
    return sorted(found)[:SHOWN_EXAMPLES]


def _samples() -> list[Path]:
    found = []
    for name in SAMPLES:
        try:
            found.append(sample_path(name))
        except ImageError:  # a package that is not installed
            continue
    return found
