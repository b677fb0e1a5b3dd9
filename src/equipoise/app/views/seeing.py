"""What of the photo the network saw, and where in it something was found: drawn on the photo, beside the maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise.app.drawing import Corners, enlarged, outlined
from equipoise.app.markup import Shown
from equipoise.app.session import SHOWN, Explained
from equipoise.app.views.inserting import picture_of
from equipoise.errors import ImageError, UnsupportedModelError
from equipoise.methods.scores import Box, Pixel
from equipoise.models.array_preprocessing import ArrayPreprocessing
from equipoise.naming import sureness

if TYPE_CHECKING:
    from PIL import Image

    from equipoise.app.session import Session


def can_be_shown(session: Session) -> bool:
    """Whether what the network saw is another picture than what it was given; arrays may be taken as they are."""
    return not isinstance(session.network.spec.preprocessing, ArrayPreprocessing)


def beside(session: Session) -> list[Shown]:
    """The photo with what the network saw of it outlined, and what it saw; where that is a picture."""
    if not can_be_shown(session):
        return []
    photo, frame = _small(session)
    of = f"{session.input}: " if session.input else ""
    columns, rows = session.view.inputs.shape[:-3:-1]
    try:
        if session.view.photo.array is None:
            seen = session.network.pictures.image(session.view.photo.image)
        else:
            seen = picture_of(session, session.view.pixels[0])
    except (ImageError, UnsupportedModelError) as error:
        return [Shown(f"{of}what the network saw", photo, (f"This cannot be shown: {error}",))]
    gray = ", in gray" if session.view.inputs.shape[1] == 1 else ""
    return [
        Shown(f"{of}The photo, with a line around what the network saw of it", outlined(photo, [frame])),
        Shown(f"{of}What the network saw: {columns} x {rows} pixels{gray}", enlarged(seen, SHOWN)),
    ]


def found(session: Session) -> Shown:
    """The photo with the boxes that a detector found, those that are offered."""
    photo, frame = _small(session)
    scores = [one for one in session.scores if one.index is not None]
    places = [place for one in scores if one.index is not None for place in places_of(session, one.index, frame)]
    names = [f"{one.name.partition(' at ')[0]} {sureness(one)}" for one in scores]
    return Shown("What the network found", outlined(photo, places, names))


def places_of(session: Session, target: Explained, frame: Corners) -> list[Corners]:
    """Where in a picture a target is, if it is a box or a pixel rather than the whole.

    Args:
        session: The photo.
        target: What is explained.
        frame: Where in the picture lies what the network saw.
    """
    score, raw = session.score(target), session.view.answers.raw
    if session.dims != 2:
        return []
    if isinstance(score, Box):  # in pixels of the first input
        rows, columns = (session.first or session).view.inputs.shape[-2:]
        left, top, right, bottom = score.corners
    elif isinstance(score, Pixel):
        rows, columns = raw.shape[2:]
        top, left = score.position
        right, bottom = left + 1, top + 1
    else:
        return []
    across, down = (frame[2] - frame[0]) / columns, (frame[3] - frame[1]) / rows
    return [(frame[0] + left * across, frame[1] + top * down, frame[0] + right * across, frame[1] + bottom * down)]


def _small(session: Session) -> tuple[Image.Image, Corners]:
    """The photo as large as the page shows it, and where in it lies what the network saw."""
    image = session.view.photo.image
    scale = min(1.0, SHOWN / max(image.size))
    small = enlarged(image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale)))), SHOWN)
    across, down = small.width / image.width, small.height / image.height
    left, top, right, bottom = session.view.box
    return small, (left * across, top * down, right * across, bottom * down)
