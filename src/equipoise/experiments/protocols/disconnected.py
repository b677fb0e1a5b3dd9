"""DiFull and DiPart: grids of photos before heads that see one cell alone, so that relevance elsewhere is wrong."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, cast

import torch

from equipoise import metrics, records
from equipoise._references import is_reference
from equipoise.errors import UnsupportedModelError
from equipoise.experiments.model.rows import Goal, Result
from equipoise.experiments.protocols.base import Bench, Unit
from equipoise.experiments.protocols.grid import Tiles, arranged
from equipoise.metrics.maps import power_of_two
from equipoise.models.disconnected import GRID, disconnected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from equipoise.datasets import Sample
    from equipoise.experiments.model.method_run import MethodRun
    from equipoise.experiments.subject import BoundRun, Subject
    from equipoise.models.disconnected import Disconnected


@dataclass(frozen=True, eq=False)
class Heads:
    """What every method is asked of a grid.

    Attributes:
        inputs: ``(1, 3, cells * h, cells * w)``.
        subjects: By cell the network as its head reads it.
        goals: By cell the class of its photo, and the network's class for it.
    """

    inputs: Tensor
    subjects: Mapping[int, Subject]
    goals: Mapping[int, tuple[Goal, int]]


@dataclass(frozen=True)
class DiFull(Tiles):
    """Grids of photos as in the grid pointing game, whose cells pass the network apart, each with a head of its own.

    A head's scores depend on its cell alone, to the last bit. The class of a cell's photo is explained as its head
    says it. Rows: ``GridPG`` (of the positive relevance, the share in the cell: the localization score),
    ``outside share`` (of the magnitude, of either sign, the share outside it) and ``positive ratio``. A method that
    reads a feature map reads the last one, of all cells side by side.

    Args:
        cells: Along a side: 2 or more.
        confidence: Softmax probability, 0 to 1, with which every network has to name a photo right.
        count: At most so many grids; 0: as many as the photos give.
        seed: Which photos meet.
        uses: In how many grids a photo may be.
        corners: Whether the heads of the first and the last cell alone are asked, as the public benchmark does.
        repeat: Whether the photo of the last cell is of the first one's class, as in the public benchmark; it takes
            several photos of a class.

    Source: Rao et al. 2022, section 3.1.
    """

    name: ClassVar[str] = "difull"
    metrics: ClassVar[tuple[str, ...]] = ("grid_pointing_game", "outside_share", "positive_ratio")
    explains_itself: ClassVar[bool] = True
    apart: ClassVar[bool] = True
    """Whether each cell passes the network on its own."""
    corners: bool = True
    repeat: bool = False

    def arranged(self, samples: Sequence[Sample], seed: int) -> list[list[Sample]]:
        """See `Tiles.arranged`."""
        return repeated(samples, self.cells**2, seed) if self.repeat else super().arranged(samples, seed)

    def subject(self, subject: Subject) -> Subject:
        """See `Protocol.subject`."""
        size = subject.network.pictures.crop
        return subject.replaced(disconnected(subject.module, cells=self.cells, apart=self.apart, size=size))

    def look(self, prepared: tuple[Unit, Tensor], bench: Bench) -> Heads:
        """See `Protocol.look`."""
        unit, inputs = prepared
        module = cast("Disconnected", bench.subject.module)  # made by `subject`
        last = self.cells**2 - 1
        subjects, goals = {}, {}
        for cell in (0, last) if self.corners else range(last + 1):
            category = unit.samples[cell].categories[0]
            subjects[cell] = bench.subject.replaced(module.at(cell))
            goals[cell] = Goal(category, bench.data.classes[category], cell=cell), bench.classes.members(category)[0]
        inputs = inputs.to(bench.subject.device).reshape(1, *inputs.shape[-3:])
        return Heads(inputs, subjects, goals)

    def shown(self, prepared: tuple[Unit, Tensor], bench: Bench) -> Tensor:  # noqa: ARG002  # one signature
        """See `Protocol.shown`."""
        inputs = prepared[1]
        return inputs.reshape(1, *inputs.shape[-3:])

    def measure(self, question: Heads, bench: Bench, run: BoundRun) -> Result:
        """See `Protocol.measure`."""
        return self.measure_all([question], bench, [run])[0]

    def measure_all(self, questions: Sequence[Heads], bench: Bench, runs: Sequence[BoundRun]) -> list[Result]:  # noqa: ARG002  # one signature
        """See `Protocol.measure_all`."""
        found = [Result() for _ in questions]
        asked = on_the_grid(runs[0])
        inputs = torch.cat([one.inputs for one in questions])
        for cell, subject in questions[0].subjects.items():  # every grid asks the same heads
            goals = [one.goals[cell] for one in questions]
            maps = torch.cat(subject.heatmaps(subject.bind(asked), inputs, [[target] for _, target in goals]))
            where = torch.full((len(questions),), cell)
            values = {
                "grid_pointing_game": metrics.grid_pointing(maps, self.cells, where),
                "outside_share": outside_share(maps, self.cells, where),
                "positive_ratio": metrics.positive_ratio(maps),
            }
            for place, ((goal, _), result) in enumerate(zip(goals, found, strict=True)):
                result.add(goal, [(metric, value[place]) for metric, value in values.items()])
                result.keep(goal, maps[place])
        return found


@dataclass(frozen=True)
class DiPart(DiFull):
    """The same, but features are computed of the whole grid, and a head reads its cell of them.

    As far as receptive fields reach across a border, a neighbor's pixels do matter a little, and for networks whose
    layers see the whole grid (squeeze and excitation) more than a little. Rows and options are those of `DiFull`.

    Source: Rao et al. 2022, section 3.1.
    """

    name: ClassVar[str] = "dipart"
    apart: ClassVar[bool] = False


def on_the_grid(run: BoundRun) -> MethodRun:
    """A method that reads a feature map, told to read that of all cells side by side; others as they are.

    Raises:
        UnsupportedModelError: If it was told to read another one, which is a map of a single cell.
    """
    asked = run.run
    if is_reference(asked.method) or not run.bound.coarse:
        return asked
    layer = asked.layer or asked.options.get("layer")
    if layer not in {None, GRID}:
        raise UnsupportedModelError(
            f"reads its map at {layer!r}, which sees one cell at a time; on a disconnected grid it has to be {GRID!r}"
        )
    if "layer" not in records.method_options(asked.method):
        return asked
    return replace(asked, options={**asked.options, "layer": GRID})


def outside_share(maps: Tensor, cells: int, target: Tensor) -> Tensor:
    """Of the magnitude of each map ``(n, h, w)`` the share outside its cell, 0 to 1, ``(n,)``.

    Args:
        maps: Of grids made by `equipoise.metrics.tile`.
        cells: How many cells a row and a column hold.
        target: ``(n,)``, the cell, counted row by row from 0.

    Returns:
        NaN for a map that is zero everywhere or not finite.
    """
    return 1 - metrics.grid_pointing(maps.abs() / power_of_two(maps), cells, target)


def repeated(samples: Sequence[Sample], size: int, seed: int) -> list[list[Sample]]:
    """Groups as `arranged` makes them, but the last sample of each is another one of the first's class."""
    by_class: dict[int, list[Sample]] = {}
    for sample in samples:
        by_class.setdefault(sample.categories[0], []).append(sample)
    order = sorted(by_class)
    random.Random(seed).shuffle(order)  # noqa: S311  # no secret
    used: set[str] = set()
    found = []
    for category in order:
        own = [one for one in by_class[category] if one.key not in used]
        others = [one for one in samples if one.key not in used and one.categories[0] != category]
        between = arranged(others, size - 2, seed)
        if len(own) > 1 and between:
            found.append([own[0], *between[0], own[1]])
            used |= {one.key for one in found[-1]}
    return found
