"""A figure of its own: it knows its caption, saves itself whole, and shows itself in notebooks."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

from equipoise import records
from equipoise._registry import Registry
from equipoise.errors import OptionError

if TYPE_CHECKING:
    import os

FONT: Final = 7.0
"""Size of letters in points: the least that journals take."""

DPI: Final = 300
"""Pixels per inch of a picture that is made of a figure."""

DPIS: Final = (36, 2400)
"""The least and the most of that."""

WIDTHS: Registry[float] = Registry("width")
"""How wide a figure is, in inches: a column of a two-column paper, or the whole page."""

WIDTHS.add("column", 3.5)
WIDTHS.add("page", 7.16)

FORMATS: Registry[dict[str, Any]] = Registry("format")
"""Kinds of files of a figure, and what they say of themselves: no date, so that equal figures are equal files."""

FORMATS.add("png", {"Software": None})
FORMATS.add("pdf", {"CreationDate": None})
FORMATS.add("svg", {"Date": None})

VECTORS: Final = frozenset({".pdf", ".svg"})
"""Endings of files whose letters and lines have no pixels."""

_RULES: Final = {"pdf.fonttype": 42, "svg.hashsalt": "equipoise", "savefig.bbox": None}  # 42: letters stay letters


class Drawing(Figure):
    """A matplotlib figure that pyplot does not know.

    Attributes:
        caption: What stands below it in a paper: methods, network, classes, what the colors and the scale mean.
    """

    caption: str = ""

    def encoded(self, kind: str, dpi: float = DPI) -> bytes:
        """The bytes of a file.

        Args:
            kind: A name in `FORMATS`.
            dpi: Pixels per inch, 36 to 2400; of a vector file those of the pictures within that have to be resampled.

        Raises:
            UnknownNameError: If there is no such format.
            OptionError: If ``dpi`` is outside its range.
        """
        kind = FORMATS.canonical(kind)
        buffer = io.BytesIO()
        with mpl.rc_context(_RULES), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a letter that the font lacks is drawn as a box
            self.savefig(buffer, format=kind, dpi=_checked(dpi), metadata=FORMATS[kind])
        return buffer.getvalue()

    def picture(self, dpi: float = DPI) -> Image.Image:
        """The figure as pixels, mode ``RGB``; ``dpi`` as of `encoded`."""
        return Image.open(io.BytesIO(self.encoded("png", dpi))).convert("RGB")

    def save(self, path: str | os.PathLike[str], dpi: float = DPI) -> list[Path]:
        """Write the figure, and its caption to ``FILE.caption.txt``; each file is whole or absent.

        Args:
            path: Ends in ``.png``, ``.pdf`` or ``.svg``.
            dpi: As of `encoded`.

        Returns:
            Both files.

        Raises:
            OptionError: If the ending is another, or ``dpi`` is outside its range.
            OSError: If a file cannot be written.
        """
        path = Path(path)
        kind = path.suffix.lower().removeprefix(".")
        if kind not in FORMATS:
            raise OptionError(f"{path.name} is no figure's name; it has to end in .{', .'.join(FORMATS)}")
        data = self.encoded(kind, dpi)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.caption.txt")
        return [
            records.write_atomically(path, data),
            records.write_atomically(beside, (self.caption + "\n").encode()),
        ]

    def _repr_png_(self) -> bytes:
        return self.encoded("png", 150)


def _checked(dpi: float) -> float:
    """``dpi``, if a figure can be drawn with it.

    Raises:
        OptionError: If it is outside 36 to 2400.
    """
    if not DPIS[0] <= dpi <= DPIS[1]:
        raise OptionError(f"dpi is {dpi:g}; it has to be between {DPIS[0]} and {DPIS[1]}")
    return dpi
