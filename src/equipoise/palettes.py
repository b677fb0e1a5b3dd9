"""Colors of heat maps: from full evidence against a class to full evidence for it, with white at zero.

The palettes whose names begin with ``even_`` are perceptually uniform: equal steps of relevance are equal steps in
OKLab (Ottosson 2020), and both signs are equally light. Their pairs of hues differ for every kind of color vision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_hex

from equipoise._registry import Registry

if TYPE_CHECKING:
    from numpy.typing import NDArray

EVEN_COLORS: Final = 65
"""How many colors define an even palette; odd, so that the middle is white."""

_TO_CONES: Final = np.array(  # of linear sRGB
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB: Final = np.array(  # of the cube roots of the cones
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


@dataclass(frozen=True)
class Palette:
    """The colors of a map.

    Attributes:
        colors: Evenly spaced, from full evidence against to full evidence for; white in the middle.
        positive: What people call the color of positive relevance.
        negative: Of negative relevance.
    """

    colors: tuple[str, ...]
    positive: str
    negative: str

    def colormap(self) -> LinearSegmentedColormap:
        """The palette for matplotlib: 0 is full evidence against, 1 full evidence for."""
        return LinearSegmentedColormap.from_list(f"{self.negative}_{self.positive}", self.colors, N=255)


PALETTES: Registry[Palette] = Registry("palette")
"""What the colors of a map may be."""


def even(negative: float, positive: float, *, mid: tuple[float, float], end: tuple[float, float]) -> tuple[str, ...]:
    """Colors from one hue over white to another, each as far from the next.

    Args:
        negative: Hue of the first color in OKLab, in degrees.
        positive: Of the last.
        mid: Lightness (0 to 1) and chroma of the most vivid color on either side, which lies between white and
        end: those of the strongest.

    Returns:
        `EVEN_COLORS` of them, as ``"#rrggbb"``.
    """
    path = np.array([(1.0, 0.0), mid, end])
    far = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    places = np.linspace(0.0, far[-1], EVEN_COLORS // 2 + 1)
    lightness, chroma = (np.interp(places, far, path[:, axis]) for axis in (0, 1))
    sides = [_srgb(lightness, chroma, math.radians(hue)) for hue in (negative, positive)]
    return tuple(to_hex(color) for color in [*sides[0][:0:-1], *sides[1]])


def oklab(colors: NDArray[np.floating]) -> NDArray[np.float64]:
    """SRGB colors ``(n, 3)``, 0 to 1, as lightness, a and b ``(n, 3)``."""
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    found: NDArray[np.float64] = np.cbrt(linear @ _TO_CONES.T) @ _TO_LAB.T
    return found


def _srgb(lightness: NDArray[np.float64], chroma: NDArray[np.float64], hue: float) -> NDArray[np.float64]:
    lab = np.stack([lightness, chroma * math.cos(hue), chroma * math.sin(hue)], axis=1)
    linear = np.clip((lab @ np.linalg.inv(_TO_LAB).T) ** 3 @ np.linalg.inv(_TO_CONES).T, 0.0, 1.0)
    found: NDArray[np.float64] = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return found.clip(0.0, 1.0)


for _name, _palette in (
    # matplotlib's seismic
    ("red_blue", Palette(("#00004c", "#0000ff", "#ffffff", "#ff0000", "#800000"), "red", "blue")),
    # after Okabe and Ito
    ("orange_blue", Palette(("#00305c", "#0072b2", "#ffffff", "#e69f00", "#a04000"), "orange", "blue")),
    ("even_red_blue", Palette(even(260, 27, mid=(0.60, 0.18), end=(0.38, 0.12)), "red", "blue")),
    ("even_orange_blue", Palette(even(255, 60, mid=(0.66, 0.14), end=(0.42, 0.085)), "orange", "blue")),
    ("even_green_purple", Palette(even(310, 145, mid=(0.62, 0.15), end=(0.40, 0.10)), "green", "purple")),
):
    PALETTES.add(_name, _palette)
