"""Why the network said what it said: the maps of the chosen classes, and what lies in a box."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from equipoise.app.drawing import Style, draw, outlined
from equipoise.app.markup import Shown, explanation_of, legend, row, title
from equipoise.app.session import OWN, Explained
from equipoise.app.views.inserting import UNITS
from equipoise.app.views.seeing import beside, found, places_of
from equipoise.errors import OptionError
from equipoise.methods.base import title_of
from equipoise.metrics import energy_pointing
from equipoise.naming import number, percent, sureness

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


def explain(
    session: Session, targets: Sequence[Explained], gamma: float, style: Style, *, wrt: str | None = None
) -> str:
    """The maps of the targets side by side; of several inputs a row for each target.

    Args:
        session: What was given; of several inputs the session of the first.
        targets: What is explained.
        gamma: Of the maps.
        style: How they are drawn.
        wrt: The input that is explained; ``None``: each.

    Raises:
        OptionError: If there are too many targets, or gamma is not in 1 to 2.
    """
    check_count(targets)
    parts = session.parts(wrt)
    shown = [found(session)] if session.offer.boxes else []
    shown += [one for part in parts for one in beside(part)] if style.seen else []
    places = itertools.count()
    rows = {
        target: [one for part in parts for one in _maps(part, target, gamma, style, next(places))] for target in targets
    }
    if session.input:
        heads = {target: session.explain(target, options={"gamma": gamma}).explanation for target in targets}
        body = "".join(title(heading(heads[target])) + row(maps) for target, maps in rows.items())
    else:
        shown, body = shown + [one for maps in rows.values() for one in maps], ""
    scale = legend(style.colors, session.words, framed=any(part.dims == 2 for part in parts))
    return scale + row(shown) + body + meanings(session)


def meanings(session: Session) -> str:
    """What the numbers below a map say."""
    unit = UNITS[session.dims]
    speak, against = session.words.summed
    adds = (
        f"all values of the map added up; what stands {speak} and what stands {against} are added up by themselves. It "
        "has no unit: compare it between classes and photos of one method, not between methods"
    )
    terms = (
        ("positive ratio", f"the share of the {unit} whose value is above zero"),
        ("sum", adds),
        ("gamma", "how much of the evidence Attribution Equilibrium keeps, from 1 to 2"),
    )
    return explanation_of("What the numbers say", terms)


def explained(session: Session, targets: Sequence[Explained], wrt: str | None) -> list[tuple[Session, Explained]]:
    """Of which input and target the maps of `explain` are, in their order."""
    return [(part, target) for target in targets for part in session.parts(wrt)]


def _maps(part: Session, target: Explained, gamma: float, style: Style, place: int) -> list[Shown]:
    """The map of one target, and that of the other photo where there is one."""
    one = part.explain(target, options={"gamma": gamma}).explanation
    drawn = outlined(draw(one, style), places_of(part, target, one.box))
    own = [note for note in one.notes if note not in part.network.notes]  # those are on the page already
    lines = (*sums(one, part.words), *own)
    clicks = part.offer.pixels and part.dims == 2
    by = made_by(one, part)
    shown = [Shown(part.input or heading(one), drawn, lines, one, place, part.words.pointed, clicks, by=by)]
    if one.other is not None:
        told = sums(one.other, part.words)
        shown.append(Shown(f"The other photo: {heading(one.other)}", draw(one.other, style), told, by=by))
    return shown


def heading(explanation: Explanation) -> str:
    """A class and how sure the network is of it."""
    target = explanation.targets[0]
    return f"{target.name}, {sureness(target)}"


def made_by(explanation: Explanation, session: Session) -> str:
    """Whose map it is: the method's name, and the network's."""
    return f"{title_of(str(explanation.record['method']['name']))}, {network_of(session)}"


def network_of(session: Session) -> str:
    """The network's name for a person; of a file without its folder."""
    name = session.network.name
    return Path(name).name if Path(name).is_file() else name


def sums(explanation: Explanation, words: Wording) -> tuple[str, ...]:
    """What a map adds up to, in words."""
    one = explanation.record["attribution"]
    signed = zip(("positive_sum", "negative_sum"), words.summed, strict=True)
    parts = ", ".join(f"{number(one[key], signed=True)} {word}" for key, word in signed)
    return (
        f"positive ratio {percent(one['positive_ratio'])} of the {UNITS[explanation.heatmap.dim()]}",
        f"sum {number(one['sum'], signed=True)}: {parts}",
    )


def in_box(
    session: Session, target: Explained, box: Box, method: str = OWN, options: Mapping[str, Any] | None = None
) -> str:
    """How much of the evidence lies in a box, as a sentence.

    Args:
        session: The photo, or one of several inputs.
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
    heat = _rows(explanation)[None]
    speaks_for, against = (float(energy_pointing(one, mask[None])) for one in (heat, -heat))
    area = float(mask.float().mean())
    shares = [
        f"{percent(share)} {word}"
        for share, word in zip((speaks_for, against), session.words.shares, strict=True)
        if not math.isnan(share)  # a map may have none of it
    ]
    name = explanation.targets[0].name
    held, unit = " and ".join(shares) or "no evidence", UNITS[explanation.heatmap.dim()]
    of = f" of {session.input}" if session.input else ""
    what = "span" if explanation.heatmap.dim() == 1 else "box"
    return f"The {what} holds {held} “{name}”, on {percent(area)} of the {unit}{of}."


def _rows(explanation: Explanation) -> torch.Tensor:
    """The map of a photo as it is, that of a signal as one row: ``(h, w)``."""
    heat = explanation.heatmap.float().cpu()
    return heat[None] if heat.dim() == 1 else heat


def box_mask(explanation: Explanation, box: Box) -> torch.Tensor:
    """The pixels of a map whose middle lies in a box.

    Args:
        explanation: Of one class.
        box: As in `in_box`; its corners may be in any order.

    Returns:
        Bool, ``(h, w)``; of a signal ``(1, l)``.
    """
    rows, columns = _rows(explanation).shape
    width, height = explanation.image.size
    left, top, right, bottom = explanation.box
    across = left + (torch.arange(columns) + 0.5) / columns * (right - left)
    down = top + (torch.arange(rows) + 0.5) / rows * (bottom - top)
    x, y = sorted((box[0] * width, box[2] * width)), sorted((box[1] * height, box[3] * height))
    inside_x, inside_y = (across >= x[0]) & (across <= x[1]), (down >= y[0]) & (down <= y[1])
    return inside_y[:, None] & inside_x
