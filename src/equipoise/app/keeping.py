"""What is kept of a photo while its visitor looks at it: maps made so far, and recorded forward passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from torch import Tensor

if TYPE_CHECKING:
    from equipoise.engine import OpKind, Trace
    from equipoise.explanation import Explanation
    from equipoise.view import View

KEPT: Final = 48
"""So many maps are kept of a photo; those unused for longest go first."""


@dataclass(frozen=True)
class Made:
    """An explanation, and what it cost.

    Attributes:
        explanation: Of one class, with a photo of at most `equipoise.app.session.SHOWN` pixels a side.
        seconds: Wall clock, of the attribution alone.
    """

    explanation: Explanation
    seconds: float


@dataclass(eq=False)
class Kept:
    """Maps and forward passes of one photo; others may clear it at any time.

    Attributes:
        maps: By what they are of.
        passes: By what a method needs of them.
        noted: Told after one was recorded.
    """

    maps: dict[str, Made] = field(default_factory=dict)
    passes: dict[frozenset[OpKind], Trace] = field(default_factory=dict)
    noted: Callable[[], None] = lambda: None

    def beside(self) -> Kept:
        """The same maps, and forward passes of another module."""
        return Kept(self.maps, noted=self.noted)

    def remember(self, key: str, make: Callable[[], Made]) -> Made:
        """What was made under a key, or is made now; the last `KEPT` are kept."""
        made = self.maps.pop(key, None) or make()
        self.maps[key] = made
        while len(self.maps) > KEPT:
            self.maps.pop(next(iter(self.maps)), None)
        return made

    def recorded(self, keep: frozenset[OpKind], record: Callable[[], Trace]) -> Trace:
        """The forward pass of which so much is needed, recorded now if it was not."""
        trace = self.passes.get(keep)
        if trace is None:
            trace = self.passes[keep] = record()
            self.noted()
        return trace

    @property
    def weight(self) -> int:
        """About how many bytes the maps take."""
        return sum(_weight(made.explanation) for made in list(self.maps.values()))


def _weight(explanation: Explanation) -> int:
    width, height = explanation.image.size
    return 3 * width * height + 4 * (explanation.attribution.numel() + explanation.heatmap.numel())


def weight_of(view: View) -> int:
    """About how many bytes a photo and what the network said of it take."""
    width, height = view.photo.image.size
    return 3 * width * height + _bytes([view.photo.array, view.inputs, view.answers.scores, view.answers.raw])


def _bytes(found: Any) -> int:
    """Of the tensors in anything that a network gives."""
    if isinstance(found, Tensor):
        return found.nbytes
    inner = found.values() if isinstance(found, dict) else found if isinstance(found, list | tuple) else ()
    return sum(_bytes(one) for one in inner)
