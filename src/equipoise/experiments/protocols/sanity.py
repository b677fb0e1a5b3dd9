"""The sanity check: does the map change when the network forgets what it learned?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import torch

from equipoise import metrics
from equipoise.errors import OptionError
from equipoise.experiments.model.rows import KeptMap, Result, results
from equipoise.experiments.protocols.base import (
    EXPLAINED,
    PREDICTED,
    Bench,
    Protocol,
    Question,
    Unit,
    check_choice,
)
from equipoise.experiments.protocols.gallery import look_at, prepare_alone
from equipoise.metrics.randomization import INITIALIZERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from equipoise.experiments.subject import BoundRun
    from equipoise.view import Photo

ORIGINAL = "original"


@dataclass(frozen=True)
class Sanity(Protocol):
    """Randomize the network's layers from the logits down and compare the map with the trained network's.

    Targets stay those of the trained network. Rows, per stage (step 0: the trained network): rank correlation
    of the signed and of the absolute maps, structural similarity, correlation of the HOG features, and the
    positive ratio. A constant map makes a correlation undefined.

    Args:
        stages: How many stages, spread evenly from the logits to the pixels; 0: one per layer with weights.
        independent: Randomize one layer at a time instead of all from the logits down to it.
        initializer: A name of `equipoise.metrics.INITIALIZERS`; the authors draw biases between 0 and 1,
            which is large.
        explain: ``"predicted"``, ``"labels"`` or ``"both"``.
        seed: Of the random weights.

    Source: Adebayo et al. 2018; Nam & Lee 2024, section 5.2.2 and Fig. 7.
    """

    name: ClassVar[str] = "sanity"
    needs: ClassVar[str] = "images"
    curves: ClassVar[tuple[str, ...]] = (
        "rank_correlation",
        "rank_correlation_absolute",
        "ssim",
        "hog",
        "positive_ratio",
    )
    stages: int = 8
    independent: bool = False
    initializer: str = "ae"
    explain: str = PREDICTED
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("explain", self.explain, EXPLAINED)
        INITIALIZERS[self.initializer]
        if self.stages < 0:
            raise OptionError(f"stages is {self.stages}; it has to be at least 0")

    @property
    def steps(self) -> tuple[float, ...] | None:
        """Stage 0, the trained network, and those after it."""
        return tuple(float(step) for step in range(self.stages + 1)) if self.stages else None

    def prepare(self, unit: Unit, bench: Bench) -> tuple[Unit, Photo, Tensor]:
        """See `Protocol.prepare`."""
        return prepare_alone(unit, bench)

    def shown(self, prepared: tuple[Unit, Photo, Tensor], bench: Bench) -> Tensor:  # noqa: ARG002  # one signature
        """See `Protocol.shown`."""
        return prepared[2]

    def look(self, prepared: tuple[Unit, Photo, Tensor], bench: Bench) -> Question:
        """See `Protocol.look`."""
        return look_at(prepared, bench, self.explain)

    def measure(self, question: Question, bench: Bench, run: BoundRun) -> Result:
        """See `Protocol.measure`."""
        return self.measure_all([question], bench, [run])[0]

    def measure_all(self, questions: Sequence[Question], bench: Bench, runs: Sequence[BoundRun]) -> list[Result]:
        """See `Protocol.measure_all`: each stage is randomized once for all of them."""
        asked = [(one, run) for one, run in zip(questions, runs, strict=True) if one.goals]
        if not asked:
            return [Result() for _ in questions]
        inputs = torch.cat([one.inputs for one, _ in asked])
        each = [one.targets for one, _ in asked]
        trained = torch.cat([run.heatmaps(one.inputs, one.targets) for one, run in asked])
        goals = [[goal for goal, _ in one.goals] for one in questions]
        found = [Result() for _ in questions]
        names = metrics.stages(bench.subject.module, inputs[:1])
        stages: list[tuple[int, str, Tensor]] = [(0, ORIGINAL, trained)]
        for step, last in enumerate(spread(len(names), self.stages), start=1):
            layers = [names[last]] if self.independent else names[: last + 1]
            module = metrics.randomize(bench.subject.module, layers, initializer=self.initializer, seed=self.seed)
            random = bench.subject.replaced(module)
            maps = random.heatmaps(random.bind(asked[0][1].run), inputs, each)
            stages.append((step, names[last], torch.cat(maps)))
        for step, stage, every in stages:
            rest = iter(every)
            for result, named, of_unit in zip(found, goals, results(goals, compared(trained, every)), strict=True):
                result.rows += [replace(row, step=float(step), detail=stage) for row in of_unit.rows]
                result.maps += [KeptMap(goal, next(rest), step, stage) for goal in named]
        return found


def compared(trained: Tensor, maps: Tensor) -> dict[str, Tensor]:
    """Similarities of maps ``(k, h, w)`` to the trained network's, and their positive ratio, each ``(k,)``."""
    return {
        "rank_correlation": metrics.rank_correlation(trained, maps),
        "rank_correlation_absolute": metrics.rank_correlation(trained, maps, absolute=True),
        "ssim": metrics.structural_similarity(trained, maps),
        "hog": metrics.hog_correlation(trained, maps),
        "positive_ratio": metrics.positive_ratio(maps),
    }


def spread(count: int, wanted: int) -> list[int]:
    """At most ``wanted`` of the indices below ``count``, evenly spread, first and last among them.

    Args:
        count: At least 1.
        wanted: 0: all.
    """
    if wanted in {0, 1} or wanted >= count:
        return list(range(count)) if wanted != 1 else [count - 1]
    return [round(index * (count - 1) / (wanted - 1)) for index in range(wanted)]
