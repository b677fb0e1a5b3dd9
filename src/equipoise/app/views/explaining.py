"""Why the network said what it said: the maps of the chosen classes, and what lies in a box."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import torch

from equipoise.app.drawing import Style, draw, outlined
from equipoise.app.markup import Shown, legend, row
from equipoise.app.session import OWN, Explained
from equipoise.app.views.seeing import beside, found, places_of
from equipoise.errors import OptionError
from equipoise.metrics import energy_pointing
from equipoise.naming import sureness

if TYPE_CHECKING:
    from equipoise.app.session import Session
    from equipoise.explanation import Explanation
    from equipoise.wording import Wording

MOST: Final = 4
"""So many classes are shown side by side."""

Box = tuple[float, float, float, float]


def check_count(targets: Sequence[Explained]) -> None:
    """Refuse more classes than there is room for.

    Raises:
        OptionError: If there are more than `MOST`.
    """
    if len(targets) > MOST:
        raise OptionError(f"{len(targets)} classes are chosen; at most {MOST} are shown side by side")


def explain(session: Session, targets: Sequence[Explained], gamma: float, style: Style) -> str:
    """The maps of the targets side by side.

    Raises:
        OptionError: If there are too many targets, or gamma is not in 1 to 2.
    """
    check_count(targets)
    shown = [found(session)] if session.offer.boxes else []
    shown += beside(session) if style.seen else []
    for place, target in enumerate(targets):
        one = session.explain(target, options={"gamma": gamma}).explanation
        drawn = outlined(draw(one, style), places_of(session, target, one.box))
        own = [note for note in one.notes if note not in session.network.notes]  # those are on the page already
        lines = (*sums(one, session.words), *own)
        clicks, pointed = session.offer.pixels, session.words.pointed
        shown.append(Shown(heading(one), drawn, lines, one, place, pointed, clicks))
        if one.other is not None:
            shown.append(Shown(f"The other photo: {heading(one.other)}", draw(one.other, style),
                               sums(one.other, session.words)))  # fmt: skip
    return legend(style.colors, session.words) + row(shown)


def heading(explanation: Explanation) -> str:
    """A class and how sure the network is of it."""
    target = explanation.targets[0]
    return f"{target.name}, {sureness(target)}"


def sums(explanation: Explanation, words: Wording) -> tuple[str, ...]:
    """What a map adds up to, in words."""
    one = explanation.record["attribution"]
    signed = zip(("positive_sum", "negative_sum"), words.summed, strict=True)
    parts = ", ".join(f"{one[key]:+.4g} {word}" for key, word in signed)
    return (
        f"positive ratio {100 * one['positive_ratio']:.1f} % of the pixels",
        f"sum {one['sum']:+.4g}: {parts}",
    )


def in_box(
    session: Session, target: Explained, box: Box, method: str = OWN, options: Mapping[str, Any] | None = None
) -> str:
    """How much of the evidence lies in a box, as a sentence.

    Args:
        session: The photo.
        target: What is explained.
        box: ``(left, top, right, bottom)`` in shares of the photo's sides, 0 to 1.
        method: A name of `equipoise.METHODS`.
        options: Of the method.

    Raises:
        OptionError: If the box has no pixel of what the network saw.
    """
    explanation = session.explain(target, method, options).explanation
    mask = box_mask(explanation, box)
    if not mask.any():
        raise OptionError("the box holds nothing that the network saw; it saw the part of the photo that has the map")
    heat = explanation.heatmap.float().cpu()[None]
    speaks_for, against = (float(energy_pointing(one, mask[None])) for one in (heat, -heat))
    area = float(mask.float().mean())
    shares = [
        f"{100 * share:.1f} % {word}"
        for share, word in zip((speaks_for, against), session.words.shares, strict=True)
        if not math.isnan(share)  # a map may have none of it
    ]
    name = explanation.targets[0].name
    return f"The box holds {' and '.join(shares) or 'no evidence'} “{name}”, on {100 * area:.1f} % of the pixels."


def box_mask(explanation: Explanation, box: Box) -> torch.Tensor:
    """The pixels of a map whose middle lies in a box.

    Args:
        explanation: Of one class.
        box: As in `in_box`; its corners may be in any order.

    Returns:
        Bool, ``(h, w)``.
    """
    rows, columns = explanation.heatmap.shape[-2:]
    width, height = explanation.image.size
    left, top, right, bottom = explanation.box
    across = left + (torch.arange(columns) + 0.5) / columns * (right - left)
    down = top + (torch.arange(rows) + 0.5) / rows * (bottom - top)
    x, y = sorted((box[0] * width, box[2] * width)), sorted((box[1] * height, box[3] * height))
    inside_x, inside_y = (across >= x[0]) & (across <= x[1]), (down >= y[0]) & (down <= y[1])
    return inside_y[:, None] & inside_x
