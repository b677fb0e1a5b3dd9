"""Notice missing and broken files when a data set is opened, without decoding every photo."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

from equipoise.errors import DataError, ImageError
from equipoise.images import FORMATS, MAX_PIXELS, one_line, read_image

if TYPE_CHECKING:
    from pathlib import Path

_ENDS: Final = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
"""What the end of a whole file contains."""

_TAIL: Final = 4096  # bytes; cameras and editors append a little
_TURNED: Final = frozenset({5, 6, 7, 8})  # EXIF orientations that swap width and height
_ORIENTATION: Final = 0x0112


class Problems:
    """Collects one sentence for each file that is left out.

    Args:
        strict: Raise the sentence instead.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self._strict = strict
        self._found: list[str] = []

    def add(self, sentence: str) -> None:
        """Note a problem.

        Raises:
            DataError: If strict.
        """
        if self._strict:
            raise DataError(sentence)
        self._found.append(sentence)

    @property
    def found(self) -> tuple[str, ...]:
        """The sentences in the order they were noted."""
        return tuple(self._found)

    def photo(self, path: Path, size: tuple[int, int] | None = None) -> bool:
        """Whether a photo can be used; if not, it is noted.

        The header is read, and the end looked at; a photo whose end looks wrong is decoded. Damage in the
        middle of a file shows when the photo is read.

        Args:
            path: An image file.
            size: Width and height that it must have, upright; ``None``: any.

        Raises:
            DataError: If strict and the photo cannot be used.
        """
        try:
            found = image_size(path)
        except ImageError as error:
            self.add(str(error))
            return False
        if size is not None and found != size:
            self.add(
                f"{one_line(path)}: is {found[0]} x {found[1]} pixels, but its annotation is of {size[0]} x {size[1]}"
            )
            return False
        return True


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of an image file as a person sees it, in pixels.

    Raises:
        ImageError: If it is missing, empty, no image, cut off or too large; the text names the file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged metadata, and of sizes that are checked here
        try:
            with Image.open(path, formats=[kind for kind in FORMATS if kind in Image.OPEN]) as image:
                size, kind = image.size, image.format
                turned = image.getexif().get(_ORIENTATION) in _TURNED
        except Exception:  # noqa: BLE001  # whatever it is, `read_image` says it in one sentence
            return read_image(path).size
    if size[0] * size[1] > MAX_PIXELS or not _ends_well(path, kind):
        return read_image(path).size
    return (size[1], size[0]) if turned else size


def _ends_well(path: Path, kind: str | None) -> bool:
    """Whether a file is not cut off, as far as a look at its end tells."""
    if kind not in _ENDS:
        return True
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - _TAIL))
        return _ENDS[kind] in file.read()


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: If it is missing or no JSON; the text names the file.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{one_line(path)}: cannot be read ({one_line(error.strerror)})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{one_line(path)}: is no JSON ({one_line(error)})") from error
