"""What one visitor looks at: a photo, the network's forward pass of it, and the maps made so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from equipoise.answers import ClassScore
from equipoise.app.networks import SharedNetwork, Stop
from equipoise.errors import ImageError
from equipoise.explanation import Explanation
from equipoise.images import one_line
from equipoise.methods.propagation import Propagation
from equipoise.records import to_json
from equipoise.view import View
from equipoise.wanted import Top, parse_target

if TYPE_CHECKING:
    from equipoise.engine import OpKind, Trace
    from equipoise.network import BoundMethod

OWN: Final = "ae"
"""The method of the first view, and the one that the page's gamma is for."""

KEPT: Final = 48
"""So many maps are kept of a photo; those unused for longest go first."""

SHOWN: Final = 720
"""Longer side of a photo on the page, in pixels."""


@dataclass(frozen=True)
class Made:
    """An explanation, and what it cost.

    Attributes:
        explanation: Of one class, with a photo of at most `SHOWN` pixels a side.
        seconds: Wall clock, of the attribution alone.
    """

    explanation: Explanation
    seconds: float


@dataclass(eq=False)
class Session:
    """A photo before a network.

    Args:
        network: The network.
        view: What it saw.
        name: Of the photo, for people.
        stop: The visitor's stop button.
    """

    network: SharedNetwork
    view: View
    name: str
    stop: Stop = field(default_factory=Stop)
    _traces: dict[frozenset[OpKind], Trace] = field(default_factory=dict)
    _made: dict[str, Made] = field(default_factory=dict)

    @classmethod
    def open(cls, path: str, network: SharedNetwork, stop: Stop | None = None) -> Session:
        """Read a photo and show it to a network.

        Raises:
            ImageError: If it cannot be read.
            CancelledError: If the visitor stopped it.
        """
        stop = stop or Stop()
        name = Path(path).name
        try:
            with network.work(stop):
                view = View.of(path, network)
        except ImageError as error:  # a visitor need not know the server's folders
            raise ImageError(str(error).replace(one_line(path), one_line(name))) from error
        return cls(network, replace(view, photo=replace(view.photo, path=name)), name, stop)

    @property
    def scores(self) -> tuple[ClassScore, ...]:
        """The five highest classes."""
        return self.view.top(5)

    def classes(self, wanted: Sequence[str | int]) -> list[int]:
        """Class indices of what a visitor chose or typed: indices, names, groups; none: the highest class.

        Raises:
            UnknownNameError: If no class has a name; the text lists the nearest ones.
            TargetError: If an index is no class.
        """
        found = self.view.targets([parse_target(one, self.network.spec) for one in wanted] or [Top()])
        named = [self.view.score(one).index for one in found]
        return [index for index in named if index is not None]

    def explain(self, index: int, method: str = OWN, options: Mapping[str, Any] | None = None) -> Made:
        """The explanation of one class, from memory if it was made before.

        Raises:
            EquipoiseError: If the method cannot explain the network, or an option is wrong.
            CancelledError: If the visitor stopped it.
        """
        options = dict(options or {})

        def make() -> Made:
            bound = self.network.bind(method, **options)
            started = time.perf_counter()
            with self.network.work(self.stop):
                explanation = Explanation.of(
                    self.view, bound, [self.view.answers.target(index)], self._trace_for(bound)
                ).select(0)
            return Made(explanation.thumbnail(SHOWN), time.perf_counter() - started)

        return self.remember(to_json([method, options, index]), make)

    def remember(self, key: str, make: Callable[[], Made]) -> Made:
        """What was made under a key, or is made now; the last `KEPT` are kept."""
        made = self._made.pop(key, None) or make()
        self._made[key] = made
        while len(self._made) > KEPT:
            del self._made[next(iter(self._made))]
        return made

    def full(self, index: int, method: str = OWN, options: Mapping[str, Any] | None = None) -> Explanation:
        """As `explain`, with the photo at its own resolution."""
        explanation = self.explain(index, method, options).explanation
        return replace(explanation, image=self.view.photo.image, box=self.view.box)

    def _trace_for(self, bound: BoundMethod) -> Trace | None:
        """The forward pass for a method that needs little of it, recorded once; others make their own."""
        method = bound.attributor
        if not isinstance(method, Propagation) or method.keep is None:
            return None
        if method.keep not in self._traces:
            self._traces[method.keep] = method.trace(self.view.inputs)
        return self._traces[method.keep]
