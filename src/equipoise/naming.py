"""Classes and how sure a network is of them, in words for people and in parts of file names."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from equipoise.answers import ClassScore


def label(score: ClassScore) -> str:
    """A class for a person, in two lines: its name, and how sure the network is."""
    return f"{score.name}\n{sureness(score)}"


def sureness(score: ClassScore) -> str:
    """How sure the network is, for a person: the probability, or the score where there is none."""
    if score.probability is not None:
        return f"{percent(score.probability)} {score.unit}".rstrip()
    return f"{score.logit:.4g} {score.unit}" if score.unit else f"score {score.logit:.4g}"


def percent(share: float) -> str:
    """A share, 0 to 1, for a person: ``12.3 %``; what is neither nothing nor all never reads as such."""
    if 0 < share < 0.0005:
        return "under 0.1 %"
    if 0.9995 <= share < 1:
        return "over 99.9 %"
    return f"{100 * share:.1f} %"


_RAISED: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float, *, signed: bool = False) -> str:
    """A number as a person reads it, to three digits: ``11,600``, ``0.342``, ``4.0 × 10⁻⁷``.

    Args:
        value: The number.
        signed: Whether a positive one has a sign, too.
    """
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite"
    sign = "−" if value < 0 else "+" if signed and value > 0 else ""
    size = abs(value)
    if size == 0:
        return "0"
    if size < 0.0005 or size >= 1e9:
        digits, _, power = f"{size:.1e}".partition("e")
        return f"{sign}{digits} × 10{str(int(power)).translate(_RAISED)}"
    rounded = float(f"{size:.3g}")
    places = max(0, 2 - math.floor(math.log10(rounded)))
    return f"{sign}{rounded:,.{places}f}"


def named(score: ClassScore) -> str:
    """A class for a person, in one line: its name and index."""
    return score.name if score.index is None else f"{score.name} ({score.index})"


def stem(score: ClassScore) -> str:
    """A class as a part of a file name."""
    return slug(score.name) if score.index is None else f"{score.index}-{slug(score.name)}"


def slug(text: str, length: int = 40) -> str:
    """``text`` as a part of a file name: at most ``length`` small letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", text.casefold()).strip("_")[:length].strip("_") or "class"
