"""The gallery: maps to look at, with their sums."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import torch

from equipoise import metrics
from equipoise.errors import OptionError
from equipoise.experiments.model.rows import Result, results
from equipoise.experiments.protocols.base import (
    EXPLAINED,
    PREDICTED,
    Bench,
    Confidence,
    Protocol,
    Question,
    Unit,
    check_choice,
    photo_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from equipoise.datasets import DataSet
    from equipoise.experiments.subject import BoundRun, Lab
    from equipoise.view import Photo


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

    def prepare(self, unit: Unit, bench: Bench) -> tuple[Unit, Photo, Tensor]:
        """See `Protocol.prepare`."""
        return prepare_alone(unit, bench)

    def shown(self, prepared: tuple[Unit, Photo, Tensor], bench: Bench) -> Tensor:  # noqa: ARG002  # one signature
        """See `Protocol.shown`."""
        return prepared[2]

    def look(self, prepared: tuple[Unit, Photo, Tensor], bench: Bench) -> Question:
        """See `Protocol.look`."""
        question = look_at(prepared, bench, self.explain)
        return replace(question, goals=question.goals[: self.classes])

    def measure(self, question: Question, bench: Bench, run: BoundRun) -> Result:
        """See `Protocol.measure`."""
        return self.measure_all([question], bench, [run])[0]

    def measure_all(self, questions: Sequence[Question], bench: Bench, runs: Sequence[BoundRun]) -> list[Result]:  # noqa: ARG002  # one signature
        """See `Protocol.measure_all`."""
        each = [run.heatmaps(one.inputs, one.targets) for one, run in zip(questions, runs, strict=True) if one.goals]
        if not each:
            return [Result() for _ in questions]
        maps = torch.cat(each)
        goals = [[goal for goal, _ in one.goals] for one in questions]
        values = {"positive_ratio": metrics.positive_ratio(maps), "sum": maps.double().sum((1, 2))}
        found, rest = results(goals, values), iter(maps)
        for result, named in zip(found, goals, strict=True):
            for goal in named:
                result.keep(goal, next(rest))
        return found


def prepare_alone(unit: Unit, bench: Bench) -> tuple[Unit, Photo, Tensor]:
    """Read the one photo of a unit and resize it."""
    photo = photo_of(unit.samples[0])
    return unit, photo, bench.subject.spec.preprocess(photo.image)[None]


def look_at(prepared: tuple[Unit, Photo, Tensor], bench: Bench, explain: str) -> Question:
    """Show a prepared photo to the network and choose what is explained."""
    unit, photo, inputs = prepared
    view = bench.view(photo, inputs)
    return Question(view, bench.goals(explain, unit.samples[0], view))
