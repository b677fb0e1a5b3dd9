"""Tar files as webdataset writes them: the members of one sample share their name up to the first dot.

Read by Python's own `tarfile`, since a run that is resumed, or shared by many workers, has to begin anywhere:
webdataset itself reads a tar from its beginning.
"""

from __future__ import annotations

import glob
import io
import json
import re
import tarfile
from array import array
from pathlib import Path
from typing import Any, Final

from equipoise.attributions.sources.base import SOURCES, Kind, Label, Source, check_keys, check_there
from equipoise.errors import DataError, ImageError, OptionError
from equipoise.images import EXTENSIONS, decode_image, one_line

_RANGE: Final = re.compile(r"\{(\d+)\.\.(\d+)\}")
_LABELS: Final = ("cls", "txt", "json")


class Tars(Source):
    """Samples of tar files, in the order of files and members; found by one pass over the heads of the members.

    Args:
        name: For people and records.
        files: The tar files.

    Raises:
        DataError: If one cannot be read, or no sample has a photo.
    """

    def __init__(self, name: str, files: list[Path]) -> None:
        self.name, self.files = name, files
        self._keys: list[str] = []
        self._labels: list[tuple[Label, ...]] = []
        self._place = array("q")  # three numbers a sample: which file, where in it, how long
        for number, file in enumerate(files):
            self._index(number, file)
        if not self._keys:
            raise DataError(f"{name}: there are no photos in these files")
        check_keys(name, self._keys)

    def _index(self, number: int, file: Path) -> None:
        try:
            with tarfile.open(file) as tar:
                samples: dict[str, dict[str, tarfile.TarInfo]] = {}
                for member in tar:
                    if member.isfile():
                        folder, _, base = member.name.rpartition("/")
                        stem, _, ending = base.partition(".")
                        samples.setdefault(f"{folder}/{stem}".lstrip("/"), {})[ending.lower()] = member
                for key, parts in samples.items():
                    photo = next((parts[end] for end in parts if f".{end.rpartition('.')[2]}" in EXTENSIONS), None)
                    if photo is not None:
                        self._keys.append(key)
                        self._place.extend((number, photo.offset_data, photo.size))
                        self._labels.append(_labels(tar, parts))
        except (OSError, tarfile.TarError, ValueError) as error:
            raise DataError(f"{one_line(file)}: is no tar file, or is damaged ({one_line(error)})") from error

    def __len__(self) -> int:
        return len(self._keys)

    def key(self, index: int) -> str:
        """See `Source`."""
        return self._keys[index]

    def labels(self, index: int) -> tuple[Label, ...]:
        """See `Source`."""
        return self._labels[index]

    def read(self, index: int) -> Any:
        """See `Source`."""
        number, start, size = self._place[3 * index : 3 * index + 3]
        name = f"{self.files[number]}/{self._keys[index]}"
        try:
            with self.files[number].open("rb") as file:
                file.seek(start)
                return decode_image(file.read(size), name)
        except OSError as error:
            raise ImageError(f"{one_line(name)}: cannot be read ({one_line(error.strerror)})") from error

    def check(self) -> None:
        """See `Source`."""
        for file in self.files:
            check_there(file)


def _labels(tar: tarfile.TarFile, parts: dict[str, tarfile.TarInfo]) -> tuple[Label, ...]:
    ending = next((one for one in _LABELS if one in parts), None)
    if ending is None:
        return ()
    file = tar.extractfile(parts[ending])
    text = (file or io.BytesIO()).read().decode("utf-8", "replace").strip()
    if ending == "json":
        try:
            told = json.loads(text)
        except ValueError:
            return ()
        value = next(
            (told[name] for name in ("label", "cls", "class") if isinstance(told, dict) and name in told), None
        )
        return () if value is None else (value if isinstance(value, int) else str(value),)
    return ((int(text) if text.isdecimal() else text),) if text else ()


def of_tars(text: str) -> Tars:
    """The tar files of a text: one, ``train-{000..012}.tar``, or a pattern ``train-*.tar``.

    Raises:
        OptionError: If there is none.
    """
    found: list[Path] = []
    for one in _spread(text):
        files = sorted(glob.glob(one)) if any(letter in one for letter in "*?[") else [one]  # noqa: PTH207  # absolute, too
        found += [Path(file) for file in files]
    if missing := [file for file in found if not file.is_file()]:
        raise OptionError(f"{one_line(missing[0])}: no such file")
    if not found:
        raise OptionError(f"{one_line(text)}: no such file")
    return Tars(text, found)


def _spread(text: str) -> list[str]:
    match = _RANGE.search(text)
    if match is None:
        return [text]
    first, last = match[1], match[2]
    numbers = [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    return [one for number in numbers for one in _spread(text[: match.start()] + number + text[match.end() :])]


SOURCES.add(
    "tar", Kind(lambda text: text.lower().endswith(".tar"), lambda text, _: of_tars(text), "train-{000..012}.tar")
)
