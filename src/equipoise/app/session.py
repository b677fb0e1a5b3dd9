"""What one visitor looks at: a photo, the network's forward pass of it, and the maps made so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from equipoise.app.networks import SharedNetwork, Stop
from equipoise.errors import ImageError
from equipoise.explanation import Explanation
from equipoise.images import one_line
from equipoise.methods.ae import AttributionEquilibrium
from equipoise.records import to_json
from equipoise.view import ClassScore, Top, View, parse_target

if TYPE_CHECKING:
    from torch import Tensor

    from equipoise.engine import Trace
    from equipoise.methods.targets import Target
    from equipoise.network import BoundMethod

OWN: Final = "ae"
"""The method whose forward pass is kept, so that another gamma or class costs no new one."""

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
    _trace: Trace | None = None
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
        return [index for index in found if isinstance(index, int)]

    def explain(self, index: int, method: str = OWN, options: Mapping[str, Any] | None = None) -> Made:
        """The explanation of one class, from memory if it was made before.

        Raises:
            EquipoiseError: If the method cannot explain the network, or an option is wrong.
            CancelledError: If the visitor stopped it.
        """
        options = dict(options or {})

        def make() -> Made:
            bound = self._bind(method, options)
            started = time.perf_counter()
            with self.network.work(self.stop):
                explanation = Explanation.of(self.view, bound, [index]).select(0)
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

    def trace(self) -> Trace:
        """The recorded forward pass, made when it is first needed."""
        if self._trace is None:
            method = AttributionEquilibrium(self.network.module)
            with self.network.work(self.stop):
                self._trace = method.trace(self.view.inputs)
        return self._trace

    def _bind(self, method: str, options: Mapping[str, Any]) -> BoundMethod:
        bound = self.network.bind(method, **options)
        if isinstance(bound.attributor, AttributionEquilibrium):
            return replace(bound, attributor=_Retold(bound.attributor, self.trace()))
        return bound


class _Retold:
    """Attribution Equilibrium on a forward pass that was recorded before."""

    def __init__(self, method: AttributionEquilibrium, trace: Trace) -> None:
        self._method, self._trace = method, trace

    @property
    def notes(self) -> list[str]:
        return self._method.notes

    def attribute(self, inputs: Tensor, target: Target = None) -> Tensor | list[Tensor]:
        targets, pixels = self._method.explain_trace(self._trace, target)
        return targets.format(pixels.to(inputs.dtype))
