"""What a report holds, as typed values; `equipoise.report.page` writes them as HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from equipoise.errors import ShapeError


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: What it says.
        value: By which its column is sorted; ``None``: by the text, after the numbers.
        interval: Lowest and highest plausible value, in the units of ``value``; ``None``: not known.
        best: Whether it stands out from its column.
    """

    text: str
    value: float | None = None
    interval: tuple[float, float] | None = None
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table with a head.

    Attributes:
        heads: One text per column.
        rows: One cell per column each.
        caption: Shown above it.
        sortable: Whether a click on a head sorts the rows.

    Raises:
        ShapeError: If a row has more or fewer cells than there are heads.
    """

    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    sortable: bool = True

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.heads):
                raise ShapeError(f"a row of {len(row)} cells in a table of {len(self.heads)} columns")


@dataclass(frozen=True)
class Figure:
    """A drawing.

    Attributes:
        image: A PNG, JPEG or WebP file.
        caption: Shown below it, and read out in its place.
    """

    image: bytes = field(repr=False)
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """One entry of the gallery.

    Attributes:
        image: A PNG, JPEG or WebP file; `equipoise.report.thumbnail` makes a small one.
        caption: Shown below it, and read out in its place.
        tags: What the gallery can be filtered by, such as ``{"class": "tabby", "method": "ae"}``.
        record: What made the picture, as JSON types; empty: not shown.
    """

    image: bytes = field(repr=False)
    caption: str
    tags: Mapping[str, str] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Report:
    """A page.

    Attributes:
        title: Its head line.
        notes: What a reader has to know first, one sentence each.
        tables: In order.
        figures: In order.
        pictures: The gallery, in order.
        record: What made the whole page, as JSON types; empty: not shown.
        pictures_first: Whether the gallery stands before tables and figures.
    """

    title: str
    notes: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    pictures: tuple[Picture, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict, repr=False)
    pictures_first: bool = False

    def filters(self) -> dict[str, list[str]]:
        """By which tags the gallery can be filtered: those with several values, each once, in order."""
        found: dict[str, dict[str, None]] = {}
        for picture in self.pictures:
            for name, value in picture.tags.items():
                found.setdefault(name, {})[value] = None
        return {name: list(values) for name, values in found.items() if len(values) > 1}
