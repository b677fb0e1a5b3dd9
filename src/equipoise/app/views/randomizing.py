"""Does the map depend on what the network learned? Its layers are drawn anew from the top, and the map follows."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from equipoise.app.drawing import Style, draw
from equipoise.app.keeping import Made
from equipoise.app.markup import Shown, how_to_read, legend, row, title
from equipoise.app.session import OWN, SHOWN, Explained
from equipoise.app.views.explaining import heading, made_by
from equipoise.errors import OptionError
from equipoise.explanation import Explanation
from equipoise.methods.several import outside
from equipoise.metrics import randomize, rank_correlation, stages
from equipoise.records import to_json

if TYPE_CHECKING:
    from equipoise.app.session import Session

STOPS: Final = 8
"""Steps of the slider after the trained network."""


HOW: Final = how_to_read(
    "The more layers are random, the less the network knows. A map that shows what it learned falls apart; one that "
    "stays the same only shows edges of the photo. Rank correlation is 1 for the same map and about 0 for another."
)


@dataclass(frozen=True)
class Step:
    """How far the network is drawn anew.

    Attributes:
        layers: Names of the layers, from the logits down; none at the first step.
        of: How many layers there are.
    """

    layers: tuple[str, ...]
    of: int

    @property
    def words(self) -> str:
        """For a person."""
        if not self.layers:
            return "the trained network"
        return f"{len(self.layers)} of {self.of} layers random, from the logits down to {outside(self.layers[-1])}"


def steps(session: Session) -> list[Step]:
    """The trained network, then more and more of it random, to all of it.

    References:
        Adebayo et al. 2018 (*Sanity Checks for Saliency Maps*), "cascading randomization".
    """
    with session.network.work(session.stop):
        names = stages(session.network.module, session.view.inputs)
    counts = dict.fromkeys(round(len(names) * stop / STOPS) for stop in range(STOPS + 1))
    return [Step(tuple(names[:count]), len(names)) for count in counts]


def randomized(session: Session, target: Explained, gamma: float, step: Step) -> Made:
    """The map of a target from a copy of the network whose ``step.layers`` are drawn anew.

    Raises:
        CancelledError: If the visitor stopped it.

    References:
        Nam & Lee 2024, section 5.2.2 and Fig. 7.
    """
    if not step.layers:
        return session.explain(target, options={"gamma": gamma})

    def make() -> Made:
        started = time.perf_counter()
        with session.network.work(session.stop):
            copied = randomize(session.network.module, step.layers)
            bound = replace(session.network, module=copied).bind(OWN, gamma=gamma)
            explanation = Explanation.of(session.view, bound, [session.score(target)]).select(0)
        return Made(session.told(explanation).thumbnail(SHOWN), time.perf_counter() - started)

    return session.kept.remember(to_json(["random", len(step.layers), gamma, target]), make)


def show(session: Session, target: Explained, gamma: float, place: int, style: Style, *, wrt: str | None = None) -> str:
    """The map of the trained network beside that of a random one; of several inputs a row for each.

    Args:
        session: The photo; of several inputs the session of the first.
        target: What is explained.
        gamma: Of the maps.
        place: Of the slider, from 0 (trained).
        style: How maps are drawn.
        wrt: The input that is explained; ``None``: each.

    Raises:
        OptionError: If the slider has no such place.
    """
    found = steps(session)
    if not 0 <= place < len(found):
        raise OptionError(f"the slider is at {place}; it goes from 0 to {len(found) - 1}")
    parts = session.parts(wrt)
    rows = "".join(
        (title(part.input) if part.input else "") + row(_beside(part, target, gamma, found[place], style))
        for part in parts
    )
    return HOW + legend(style.colors, session.words, framed=any(part.dims == 2 for part in parts)) + rows


def _beside(part: Session, target: Explained, gamma: float, step: Step, style: Style) -> list[Shown]:
    """The map of one input, of the trained network and of the random one."""
    before = part.explain(target, options={"gamma": gamma}).explanation
    after = randomized(part, target, gamma, step).explanation
    flat = [one.heatmap.float().cpu().reshape(1, 1, -1) for one in (before, after)]  # of a signal, of a volume, too
    likeness = float(rank_correlation(*flat))
    return [
        Shown(f"trained: {heading(before)}", draw(before, style), by=made_by(before, part)),
        Shown(
            step.words,
            draw(after, style),
            (f"rank correlation with the trained network's map {likeness:+.2f}",),
            by=f"{made_by(after, part)}, partly random",
        ),
    ]
