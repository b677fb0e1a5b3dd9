"""How the pictures of ``equipoise explain`` are drawn, and which figures are made beside those that always are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from equipoise import plot
from equipoise.palettes import PALETTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from equipoise.explanation import Explanation


@dataclass(frozen=True)
class Looks:
    """What a command line says of pictures.

    Attributes:
        formats: Names in `equipoise.plot.FORMATS`.
        dpi: Pixels per inch of figures.
        cmap: A name in `equipoise.palettes.PALETTES`.
        width: A name in `equipoise.plot.WIDTHS`.
        scale: A name in `equipoise.plot.SCALES`.
    """

    formats: tuple[str, ...] = ()
    dpi: float = 300.0
    cmap: str = "red_blue"
    width: str = "page"
    scale: str = "map"

    def checked(self) -> Looks:
        """The same, with names as they are registered.

        Raises:
            UnknownNameError: If nothing has one of the names.
            OptionError: If ``dpi`` is outside its range.
        """
        formats = tuple(dict.fromkeys(plot.FORMATS.canonical(one) for one in self.formats))
        cmap, width = PALETTES.canonical(self.cmap), plot.WIDTHS.canonical(self.width)
        return Looks(formats, plot.check_dpi(self.dpi), cmap, width, plot.SCALES.canonical(self.scale))

    def figure(self, explanations: Sequence[Explanation]) -> plot.Drawing:
        """The explanations of one photo, side by side."""
        return plot.compare(explanations, width=self.width, cmap=self.cmap, scale=self.scale)
