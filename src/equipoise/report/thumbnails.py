"""Pictures small enough that a hundred photos by several methods make a page of less than 10 MB."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from PIL import Image

from equipoise.records import encoded

if TYPE_CHECKING:
    from collections.abc import Iterator

SIDE: Final = 320
"""Longer side of a picture in the gallery, in pixels."""

SMALLEST: Final = 96
"""No picture is made smaller than this, in pixels of the longer side."""

BUDGET: Final = 8_000_000
"""Bytes of a page that `byte_limit` shares out among the pictures; the rest is left to records and figures."""

_BASE64: Final = 4 / 3  # letters per byte
_LARGEST: Final = 40_000  # bytes: a picture of `SIDE` pixels gains nothing from more
_LEAST: Final = 2_000
_RECORD: Final = 2_500  # letters of a picture's record and markup
_FIGURE_BYTES, _FIGURE_WIDTH = 500_000, 2_400


def byte_limit(pictures: int) -> int:
    """How many bytes each of so many pictures may have."""
    share = BUDGET / max(pictures, 1) - _RECORD
    return int(max(_LEAST, min(_LARGEST, share / _BASE64)))


def thumbnail(image: Image.Image, limit: int = _LARGEST) -> bytes:
    """A WebP file of at most ``limit`` bytes if that is possible at `SMALLEST` pixels.

    Args:
        image: Mode ``RGB``; it is never enlarged.
        limit: In bytes; see `byte_limit`. Quality is lowered first, then size.
    """
    data = b""
    for side, quality in _attempts():
        small = image.copy()
        small.thumbnail((side, side))
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", quality=quality, method=4)
        data = buffer.getvalue()
        if len(data) <= limit:
            break
    return data


def _attempts() -> Iterator[tuple[int, int]]:
    """Side and quality, from the best to the smallest."""
    for side in (SIDE, 256, 200, 160, 128, SMALLEST):
        yield from ((side, quality) for quality in (82, 65, 45))


def compact(figure: bytes) -> bytes:
    """A figure as it is, or, if it is large, as a WebP file of at most 2,400 pixels' width."""
    if len(figure) <= _FIGURE_BYTES:
        return figure
    with Image.open(io.BytesIO(figure)) as opened:
        image = opened.convert("RGB")
    if image.width > _FIGURE_WIDTH:
        image = image.resize((_FIGURE_WIDTH, max(1, round(image.height * _FIGURE_WIDTH / image.width))))
    smaller = encoded(image, "WEBP")
    return smaller if len(smaller) < len(figure) else figure


def encoded_for_screen(image: Image.Image) -> bytes:
    """A picture as it is, as a WebP file of good quality."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=88, method=2)
    return buffer.getvalue()
