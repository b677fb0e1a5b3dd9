"""A watermark pasted on photos: relevance on it for classes whose score it changes, and for one it does not."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import torch

from equipoise.errors import OptionError
from equipoise.experiments.model.rows import Goal, Result
from equipoise.experiments.protocols.base import Bench, Protocol, Unit, check_shares
from equipoise.experiments.protocols.pasting import Compared, lettering, measured, paste, scores_of, seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from equipoise.experiments.subject import BoundRun

RAISED: Final = "raised"
LOWERED: Final = "lowered"
UNMOVED: Final = "unmoved"
ROLES: Final = (RAISED, LOWERED, UNMOVED)
"""Of the explained classes: whose score the watermark raises most, lowers most, and changes least."""


@dataclass(frozen=True)
class Watermark(Protocol):
    """Photos with white letters pasted on them, explained for three of the classes that the network ranks highest.

    Of the ``among`` highest classes before and after, those are explained whose score the letters raise most, lower
    most and, of the rest, change least; nothing else changed, so a map of the first should have relevance on the
    letters, of the second against, of the third none. Where all those scores fall, none is raised. Rows,
    of the maps after and, as a control, before (the same pixels): as of
    `equipoise.experiments.protocols.planted.Planted`, with ``raised``, ``lowered`` or ``unmoved`` before the stage.

    Args:
        text: The words.
        width: Their width, as a share of the shorter side of what the network sees.
        among: How many of the highest classes before and after are looked at.
        tolerance: How far beside the letters a hit may lie, in pixels of what the network sees; 1: not at all.
        seed: Where the letters are.
    """

    name: ClassVar[str] = "watermark"
    whole: ClassVar[bool] = False
    metrics: ClassVar[tuple[str, ...]] = ("energy_pointing_game", "pointing_game", "positive_ratio", "net_relevance")
    text: str = "www.photo-archive.com"
    width: float = 0.8
    among: int = 20
    tolerance: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_shares("width", (self.width,))
        if not self.text.strip() or self.width == 0:
            raise OptionError(f"text is {self.text!r} and width {self.width}; there have to be words that can be seen")
        if self.among < len(ROLES) or not self.tolerance > 0:
            raise OptionError(
                f"among is {self.among} and tolerance {self.tolerance}; they have to be at least 3 and above 0"
            )

    @property
    def by_labels(self) -> bool:
        """See `Protocol.by_labels`."""
        return False

    def prepare(self, unit: Unit, bench: Bench) -> tuple[Tensor, Tensor, Tensor]:
        """See `Protocol.prepare`."""
        from PIL import Image  # noqa: PLC0415  # a list of recipes does not need it

        before = seen(bench.subject, unit.samples[0])
        letters = lettering(self.text, round(self.width * min(before.shape[:2])))
        dice = random.Random(f"{self.seed} {unit.key}")  # noqa: S311  # no secret
        found = paste(
            before,
            Image.new("RGB", letters.size, "white"),
            letters,
            scale=max(letters.size) / min(before.shape[:2]),  # as they are drawn
            place=(dice.random(), dice.random()),
        )
        return found.inputs(bench.subject, after=True), found.inputs(bench.subject, after=False), found.mask

    def shown(self, prepared: tuple[Tensor, Tensor, Tensor], bench: Bench) -> Tensor:  # noqa: ARG002  # one signature
        """See `Protocol.shown`."""
        return prepared[0]

    def look(self, prepared: tuple[Tensor, Tensor, Tensor], bench: Bench) -> Compared:
        """See `Protocol.look`."""
        after, before, mask = (one.to(bench.subject.device) for one in prepared)
        targets = moved(bench.subject.forward(before)[0], scores_of(bench, after), self.among)
        goals = [Goal(index, bench.subject.spec.classes[index]) for index in targets.values()]
        return Compared(after, before, mask.cpu(), goals, list(targets.values()), tuple(targets))

    def measure(self, question: Compared, bench: Bench, run: BoundRun) -> Result:
        """See `Protocol.measure`."""
        return self.measure_all([question], bench, [run])[0]

    def measure_all(self, questions: Sequence[Compared], bench: Bench, runs: Sequence[BoundRun]) -> list[Result]:
        """See `Protocol.measure_all`."""
        return measured(questions, bench, runs, self.tolerance)


def moved(before: Tensor, after: Tensor, among: int) -> dict[str, int]:
    """Of the highest classes before and after, whose score rises most, falls most and, of the rest, changes least.

    Args:
        before: Scores ``(C,)``.
        after: Scores ``(C,)``.
        among: How many of the highest of each are looked at.

    Returns:
        Role to class: no role for which there is none, as where every score falls.
    """
    count = min(among, len(before))
    highest = torch.tensor(sorted({*before.topk(count).indices.tolist(), *after.topk(count).indices.tolist()}))
    change = (after - before)[highest]
    found = {}
    if change.max() > 0:
        found[RAISED] = int(change.argmax())
    if change.min() < 0:
        found[LOWERED] = int(change.argmin())
    rest = [place for place in range(len(change)) if place not in found.values()]
    if rest:
        found[UNMOVED] = min(rest, key=lambda place: float(change[place].abs()))
    return {role: int(highest[place]) for role, place in found.items()}
