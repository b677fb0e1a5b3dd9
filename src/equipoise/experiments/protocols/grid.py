"""The grid pointing game: of several photos side by side, does the map find the one with the class?"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, ClassVar, Final

import torch

from equipoise import metrics
from equipoise.errors import EquipoiseError, OptionError
from equipoise.experiments.model.method_run import MethodRun
from equipoise.experiments.model.rows import Goal, Result, results
from equipoise.experiments.protocols.base import Bench, Confidence, Protocol, Unit, check_shares
from equipoise.models.sliding import sliding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from equipoise.datasets import DataSet, Sample
    from equipoise.experiments.subject import BoundRun, Lab, Subject

EQUILIBRIUM: Final = MethodRun("AE", "ae")
"""Attribution Equilibrium as it is by default."""

KEPT_SIDE: Final = 224
"""Longest side of a kept map, in pixels."""


@dataclass(frozen=True, eq=False)
class Tiling:
    """What every method is asked of several photos side by side.

    Attributes:
        inputs: ``(1, 3, cells * h, cells * w)``.
        goals: The class of each cell, in reading order.
        targets: The classes.
    """

    inputs: Tensor
    goals: list[Goal]
    targets: list[int]
    _keep: list[Tensor | None] = field(default_factory=list)

    def keep(self, maps: Tensor, bench: Bench, run: BoundRun) -> Tensor | None:
        """Of each target, the share of the pixels that Attribution Equilibrium's map leaves positive.

        Args:
            maps: Of ``run``.
            bench: The network before the data set.
            run: The method at hand; if that is Attribution Equilibrium, ``maps`` say it.

        Returns:
            ``None`` where it cannot explain the network.
        """
        if not self._keep:
            if run.run == replace(EQUILIBRIUM, label=run.run.label):
                self._keep.append(metrics.positive_ratio(maps))
            else:
                self._keep.append(self._asked(bench))
        return self._keep[0]

    def _asked(self, bench: Bench) -> Tensor | None:
        try:
            return metrics.positive_ratio(bench.subject.bind(EQUILIBRIUM).heatmaps(self.inputs, self.targets))
        except EquipoiseError:
            return None


@dataclass(frozen=True)
class Tiles(Protocol):
    """Photos that every network names right, tiled, classes distinct within a grid.

    Args:
        cells: Along a side: 2 or 3.
        confidence: Softmax probability, 0 to 1.
        count: At most so many grids; 0: as many as the photos give.
        seed: Which photos meet.
        uses: In how many grids a photo may be, in other company each time; above 1 grids share photos, and intervals
            over grids are a little too narrow.
    """

    needs: ClassVar[str] = "labels"
    cells: int = 2
    confidence: float = 0.99
    count: int = 500
    seed: int = 0
    uses: int = 1

    def __post_init__(self) -> None:
        check_shares("confidence", (self.confidence,))
        if self.cells < 2 or self.count < 0 or self.uses < 1:
            raise OptionError(
                f"cells is {self.cells}, count {self.count} and uses {self.uses}; they have to be at least 2, 0 and 1"
            )

    def units(self, data: DataSet, lab: Lab, models: Sequence[str], confidence: Confidence) -> list[Unit]:
        """See `Protocol.units`."""
        samples = [sample for sample in data if sample.categories]
        for name in models:
            subject = lab.subject(name)
            classes = subject.classes(data)
            answers = confidence.of(subject, samples)
            samples = [
                sample
                for sample, (top, sure) in zip(samples, answers, strict=True)
                if sure >= self.confidence and top in classes.members(sample.categories[0])
            ]
        rounds = (self.arranged(samples, self.seed + use) for use in range(self.uses))
        by_photos: dict[frozenset[str], list[Sample]] = {}
        for grid in chain.from_iterable(rounds):
            by_photos.setdefault(frozenset(sample.key for sample in grid), grid)
        grids = list(by_photos.values())
        chosen = grids[: self.count or None]
        return [Unit("+".join(sample.key for sample in grid), tuple(grid)) for grid in chosen]

    def arranged(self, samples: Sequence[Sample], seed: int) -> list[list[Sample]]:
        """The photos of each grid, each photo once."""
        return arranged(samples, self.cells**2, seed)

    def prepare(self, unit: Unit, bench: Bench) -> tuple[Unit, Tensor]:
        """See `Protocol.prepare`."""
        photos = torch.stack([bench.subject.spec.preprocess(sample.image()) for sample in unit.samples])
        return unit, metrics.tile(photos, self.cells)


@dataclass(frozen=True)
class Grid(Tiles):
    """The grid pointing game.

    Photos that every network names right with at least ``confidence`` are tiled, each used ``uses`` times, classes
    distinct within a grid; a network with a dense head slides it over the grid and averages the logits.
    Rows: ``GridPG`` (of the positive relevance, the share in the right cell), ``GridPG top-k`` (the same of
    the k highest positive pixels alone, k being those that Attribution Equilibrium leaves positive, so that
    methods compare at equal area) and ``positive ratio``.

    Args:
        cells: Along a side: 2 or 3.
        confidence: Softmax probability, 0 to 1.
        count: At most so many grids; 0: as many as the photos give.
        seed: Which photos meet.
        uses: In how many grids a photo may be.

    Source: Rao et al. 2022, section 3.1; Nam & Lee 2024, Fig. 9.
    """

    name: ClassVar[str] = "grid"
    metrics: ClassVar[tuple[str, ...]] = ("grid_pointing_game", "grid_pointing_game_top_k", "positive_ratio")

    def subject(self, subject: Subject) -> Subject:
        """See `Protocol.subject`."""
        return subject.replaced(sliding(subject.module))

    def shown(self, prepared: tuple[Unit, Tensor], bench: Bench) -> Tensor:  # noqa: ARG002  # one signature
        """See `Protocol.shown`."""
        return prepared[1].reshape(1, *prepared[1].shape[-3:])

    def look(self, prepared: tuple[Unit, Tensor], bench: Bench) -> Tiling:
        """See `Protocol.look`."""
        unit, inputs = prepared
        inputs = inputs.to(bench.subject.device).reshape(1, *inputs.shape[-3:])
        goals, targets = [], []
        for place, sample in enumerate(unit.samples):
            category = sample.categories[0]
            goals.append(Goal(category, bench.data.classes[category], cell=place))
            targets.append(bench.classes.members(category)[0])
        return Tiling(inputs, goals, targets)

    def measure(self, question: Tiling, bench: Bench, run: BoundRun) -> Result:
        """See `Protocol.measure`."""
        return self.measure_all([question], bench, [run])[0]

    def measure_all(self, questions: Sequence[Tiling], bench: Bench, runs: Sequence[BoundRun]) -> list[Result]:
        """See `Protocol.measure_all`."""
        each = [run.heatmaps(one.inputs, one.targets) for one, run in zip(questions, runs, strict=True)]
        maps, cells = torch.cat(each), torch.cat([torch.arange(len(one.targets)) for one in questions])
        values = {
            "grid_pointing_game": metrics.grid_pointing(maps, self.cells, cells),
            "positive_ratio": metrics.positive_ratio(maps),
        }
        keep = [one.keep(own, bench, run) for one, own, run in zip(questions, each, runs, strict=True)]
        kept = [one for one in keep if one is not None]
        if len(kept) == len(keep):
            values["grid_pointing_game_top_k"] = metrics.grid_pointing(maps, self.cells, cells, keep=torch.cat(kept))
        found = results([one.goals for one in questions], values)
        for result, one, own in zip(found, questions, each, strict=True):
            result.keep(one.goals[0], _small(own[0]))  # the bins of Rao et al. show the first cell's class
        return found


def arranged(samples: Sequence[Sample], size: int, seed: int) -> list[list[Sample]]:
    """Groups of ``size`` samples of distinct classes, each sample once, in an order that ``seed`` sets."""
    by_class: dict[int, list[Sample]] = {}
    for sample in samples:
        by_class.setdefault(sample.categories[0], []).append(sample)
    dice = random.Random(seed)  # noqa: S311  # no secret
    piles = [by_class[category] for category in sorted(by_class)]
    for pile in piles:
        dice.shuffle(pile)
    groups = []
    while len(piles) >= size:
        dice.shuffle(piles)
        piles.sort(key=len, reverse=True)  # the largest classes first, so that as few photos as possible stay over
        groups.append([pile.pop() for pile in piles[:size]])
        piles = [pile for pile in piles if pile]
    return groups


def _small(one: Tensor) -> Tensor:
    step = max(1, -(-max(one.shape) // KEPT_SIDE))
    return torch.nn.functional.avg_pool2d(one[None, None], step, ceil_mode=True)[0, 0]
