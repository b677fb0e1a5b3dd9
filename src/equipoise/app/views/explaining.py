"""Why the network said what it said: the maps of the chosen classes, and what lies in a box."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import torch

from equipoise.app.drawing import Style, draw
from equipoise.app.markup import Shown, legend, row
from equipoise.app.session import OWN
from equipoise.errors import OptionError
from equipoise.explanation import sureness
from equipoise.metrics import energy_pointing

if TYPE_CHECKING:
    from equipoise.app.session import Session
    from equipoise.explanation import Explanation

MOST: Final = 4
"""So many classes are shown side by side."""

Box = tuple[float, float, float, float]


def check_count(indices: Sequence[int]) -> None:
    """Refuse more classes than there is room for.

    Raises:
        OptionError: If there are more than `MOST`.
    """
    if len(indices) > MOST:
        raise OptionError(f"{len(indices)} classes are chosen; at most {MOST} are shown side by side")


def explain(session: Session, indices: Sequence[int], gamma: float, style: Style) -> str:
    """The maps of the classes side by side.

    Raises:
        OptionError: If there are too many classes, or gamma is not in 1 to 2.
    """
    check_count(indices)
    shown = []
    for place, index in enumerate(indices):
        made = session.explain(index, options={"gamma": gamma})
        one = made.explanation
        title = heading(one)
        shown.append(Shown(title, draw(one, style), (*sums(one), *one.notes), one, place))
    return legend(style.colors) + row(shown)


def heading(explanation: Explanation) -> str:
    """A class and how sure the network is of it."""
    target = explanation.targets[0]
    return f"{target.name}, {sureness(target)}"


def sums(explanation: Explanation) -> tuple[str, ...]:
    """What a map adds up to, in words."""
    found = explanation.record["attribution"]
    return (
        f"positive ratio {100 * found['positive_ratio']:.1f} % of the pixels",
        f"sum {found['sum']:+.4g}: {found['positive_sum']:+.4g} for, {found['negative_sum']:+.4g} against",
    )


def in_box(session: Session, index: int, box: Box, method: str = OWN, options: Mapping[str, Any] | None = None) -> str:
    """How much of the evidence lies in a box, as a sentence.

    Args:
        session: The photo.
        index: Of the class.
        box: ``(left, top, right, bottom)`` in shares of the photo's sides, 0 to 1.
        method: A name of `equipoise.METHODS`.
        options: Of the method.

    Raises:
        OptionError: If the box has no pixel of what the network saw.
    """
    explanation = session.explain(index, method, options).explanation
    mask = box_mask(explanation, box)
    if not mask.any():
        raise OptionError("the box holds nothing that the network saw; it saw the part of the photo that has the map")
    heat = explanation.heatmap.float().cpu()[None]
    speaks_for, against = (float(energy_pointing(one, mask[None])) for one in (heat, -heat))
    area = float(mask.float().mean())
    shares = [
        f"{100 * share:.1f} % of the evidence {word}"
        for share, word in ((speaks_for, "for"), (against, "against"))
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
