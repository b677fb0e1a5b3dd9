"""The gallery: maps to look at, with their sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from equipoise import metrics
from equipoise.errors import OptionError
from equipoise.experiments.model.rows import Result
from equipoise.experiments.protocols.base import (
    EXPLAINED,
    PREDICTED,
    Bench,
    Confidence,
    Protocol,
    Unit,
    check_choice,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from equipoise.datasets import DataSet
    from equipoise.experiments.model.rows import Goal
    from equipoise.experiments.subject import BoundRun, Lab
    from equipoise.methods import ClassGroup


@dataclass(frozen=True, eq=False)
class Seen:
    """A photo before the network.

    Attributes:
        inputs: ``(1, 3, h, w)``.
        goals: What is explained.
    """

    inputs: Tensor
    goals: list[tuple[Goal, int | ClassGroup]]


@dataclass(frozen=True)
class Gallery(Protocol):
    """Every method's map of every image. Rows: ``positive ratio`` and ``sum``.

    Args:
        explain: ``"predicted"``, ``"labels"`` or ``"both"``.
        groups: Only images of these groups of the data set; empty: all.
        classes: At most so many classes of an image.

    Source: Nam & Lee 2024, Figs. 4, 5 and 6.
    """

    name: ClassVar[str] = "gallery"
    needs: ClassVar[str] = "images"
    metrics: ClassVar[tuple[str, ...]] = ("positive_ratio", "sum")
    explain: str = PREDICTED
    groups: tuple[str, ...] = ()
    classes: int = 3

    def __post_init__(self) -> None:
        check_choice("explain", self.explain, EXPLAINED)
        if self.classes < 1:
            raise OptionError(f"classes is {self.classes}; it has to be at least 1")

    def units(self, data: DataSet, lab: Lab, models: Sequence[str], confidence: Confidence) -> list[Unit]:
        """See `Protocol.units`."""
        found = super().units(data, lab, models, confidence)
        return [unit for unit in found if not self.groups or unit.samples[0].group in self.groups]

    def prepare(self, unit: Unit, bench: Bench) -> tuple[Unit, Tensor]:
        """See `Protocol.prepare`."""
        return unit, bench.subject.spec.preprocess(unit.samples[0].image())[None]

    def look(self, prepared: tuple[Unit, Tensor], bench: Bench) -> Seen:
        """See `Protocol.look`."""
        seen = look_at(prepared, bench, self.explain)
        return Seen(seen.inputs, seen.goals[: self.classes])

    def measure(self, seen: Seen, bench: Bench, run: BoundRun) -> Result:  # noqa: ARG002  # one signature
        """See `Protocol.measure`."""
        result = Result()
        if not seen.goals:
            return result
        maps = run.heatmaps(seen.inputs, [target for _, target in seen.goals])
        for (goal, _), one in zip(seen.goals, maps, strict=True):
            result.add(goal, [("positive_ratio", metrics.positive_ratio(one[None])), ("sum", one.double().sum())])
            result.keep(goal, one)
        return result


def look_at(prepared: tuple[Unit, Tensor], bench: Bench, explain: str) -> Seen:
    """Show a prepared photo to the network and choose what is explained."""
    unit, inputs = prepared
    inputs = inputs.to(bench.subject.device)
    return Seen(inputs, bench.goals(explain, unit.samples[0], bench.subject.forward(inputs)[0]))
