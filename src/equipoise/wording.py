"""The words in which a map is read aloud, by the task of its network: what red and blue say, what a number is of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from equipoise._registry import Registry

if TYPE_CHECKING:
    from equipoise.models.spec import ModelSpec


@dataclass(frozen=True)
class Wording:
    """How a map of one task is told.

    Attributes:
        what: What is explained, in the singular.
        sure: What the number beside it is.
        colors: What the two colors of a map say, a sentence with a place for each.
        ends: Of the color scale, the negative one first.
        pointed: What a positive and a negative pixel do.
        summed: What the positive and the negative sum of a map are.
        shares: Of what a box holds a share, positive and negative.
    """

    what: str
    sure: str
    colors: str
    ends: tuple[str, str] = ("against", "for")
    pointed: tuple[str, str] = ("for the class", "against the class")
    summed: tuple[str, str] = ("for", "against")
    shares: tuple[str, str] = ("of the evidence for", "of the evidence against")

    def legend(self, positive: str, negative: str) -> str:
        """What the colors say, as a sentence.

        Args:
            positive: Name of the color of positive relevance.
            negative: Of the negative one.
        """
        said = self.colors.format(positive, negative)
        return said[0].upper() + said[1:]


_EVIDENCE: Final = "{0} pixels speak for the %s, {1} pixels against it"
_MOVES: Final = "{0} raises the %s, {1} lowers it"
_MOVING: Final = (("lowers", "raises"), ("raises the {}", "lowers the {}"), ("raising", "lowering"))


def _pointed(what: str) -> tuple[str, str]:
    return f"for the {what}", f"against the {what}"


def _moving(what: str, sure: str) -> Wording:
    """Of a number that pixels raise or lower, rather than speak for."""
    ends, pointed, summed = _MOVING
    up, down = (word.format(what) for word in pointed)
    return Wording(what, sure, _MOVES % what, ends, (up, down), summed, ("of what raises", "of what lowers"))


WORDINGS: Final[Registry[Wording]] = Registry("task")
"""The words of every task."""

for _task, _words in (
    ("classification", Wording("class", "probability", _EVIDENCE % "class")),
    ("multi-label", Wording("label", "probability", _EVIDENCE % "label", pointed=_pointed("label"))),
    ("binary", Wording("class", "probability", _EVIDENCE % "class")),
    ("regression", _moving("value", "value")),
    ("embedding", _moving("number", "number")),
    ("segmentation", Wording("class", "share", _EVIDENCE % "class")),
    ("detection", Wording("box", "score", _EVIDENCE % "box", pointed=_pointed("box"))),
):  # fmt: skip
    WORDINGS.add(_task, _words)


def wording_of(spec: ModelSpec) -> Wording:
    """The words of a network."""
    return WORDINGS[spec.task]
