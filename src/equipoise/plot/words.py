"""A picture as it is saved: what it shows stands above it, the color bar below it."""

from __future__ import annotations

import textwrap
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from equipoise import viz
from equipoise.methods.base import title_of
from equipoise.naming import named, sureness
from equipoise.plot.panels import wording

if TYPE_CHECKING:
    from equipoise.plot.panels import Shown

NARROWEST: Final = 320
"""Pixels: what is narrower stands in the middle of so many, so that words have room."""

_LETTERS: Final = (11, 32)  # pixels: the least and the most of a letter's height
_PER_LETTER: Final = 38  # pixels of width for one of a letter's height


def worded(picture: Image.Image, shown: Shown, colors: str) -> Image.Image:
    """A picture with method, class, how sure the network is, and network above it, and a color bar below it.

    Args:
        picture: Of a map, mode ``RGB``; its pixels stay as they are.
        shown: What it shows, of one target.
        colors: Of the map: a name in `equipoise.palettes.PALETTES`.

    Returns:
        Mode ``RGB``; wider than ``picture`` only where that has less than `NARROWEST` pixels.
    """
    width = max(picture.width, NARROWEST)
    size = min(max(width // _PER_LETTER, _LETTERS[0]), _LETTERS[1])
    font, margin, line = _font(size), size // 2, round(1.3 * size)
    text = _lines(shown, font, width - 2 * margin)
    head, foot = len(text) * line + 2 * margin, line + 2 * margin
    found = Image.new("RGB", (width, head + picture.height + foot), "white")
    found.paste(picture, ((width - picture.width) // 2, head))
    pen = ImageDraw.Draw(found)
    for place, words in enumerate(text):
        pen.text((width / 2, margin + (place + 0.5) * line), words, fill="black", font=font, anchor="mm")
    middle = head + picture.height + foot // 2
    long = round(0.36 * width)
    bar = viz.heatmap_image(np.linspace(-1.0, 1.0, long)[None], colors=colors).resize((long, size))
    left = (width - long) // 2
    found.paste(bar, (left, middle - size // 2))
    for_, against = wording(shown).pointed
    room, longest = left - 2 * margin, max(font.getlength(words) for words in (for_, against))
    small = _font(min(size, max(7, int(size * room / longest))))
    pen.text((left - margin, middle), against, fill="black", font=small, anchor="rm")
    pen.text((left + long + margin, middle), for_, fill="black", font=small, anchor="lm")
    return found


def _lines(shown: Shown, font: ImageFont.FreeTypeFont, room: int) -> list[str]:
    """What is said, in lines of at most so many pixels, however wide its letters are."""
    target, record = shown.targets[0], shown.record
    said = f"{title_of(str(record['method']['name']))}: {named(target)}, {sureness(target)}"
    network = str(record["model"].get("name") or "the network")
    found: list[str] = []
    for part in (said.replace(" %", "\N{NO-BREAK SPACE}%"), network):
        letters = max(8, int(room / (0.56 * font.size)))
        while max(map(font.getlength, _wrapped(part, letters))) > room and letters > 8:
            letters -= 1
        found += filter(None, _wrapped(part, letters))
    return found


def _wrapped(text: str, letters: int) -> list[str]:
    return textwrap.wrap(text, letters, max_lines=3) or [""]


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Matplotlib's own letters, as in all figures."""
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)
