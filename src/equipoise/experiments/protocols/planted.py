"""An object cut out of one photo and pasted into another: the evidence for it lies in the pasted pixels."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from equipoise.errors import ImageError, OptionError, UnsupportedModelError
from equipoise.experiments.model.rows import Goal, Result
from equipoise.experiments.protocols.base import NEEDS, Bench, Confidence, Protocol, Unit, check_shares
from equipoise.experiments.protocols.pasting import Compared, Pasted, cut_out, measured, paste, scores_of, seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image
    from torch import Tensor

    from equipoise.datasets import DataSet, Sample
    from equipoise.experiments.subject import BoundRun, Classes, Lab, Subject


@dataclass(frozen=True)
class Planting(Unit):
    """A photo and the object that is pasted into it.

    Args:
        key: See `Unit`.
        samples: The photo with the object, and the one that it goes into.
        category: Of the object.
        place: How far right and down, 0 to 1 of the room that there is.
    """

    category: int = 0
    place: tuple[float, float] = (0.5, 0.5)


@dataclass(frozen=True)
class Planted(Protocol):
    """Photos that a pasted object turns into another class, explained for the class that the network then names.

    Everything happens on the pixels that the network sees, so that outside the object not one of them changes. A
    photo is kept if every network names none of the object's classes before, and one of them after. Rows, of the map
    after and, as a control, of the map before (the same class, the same pixels): ``energy`` (share of the positive
    relevance on the object), ``pointing`` (1: the map's maximum lies on it), ``positive ratio``, and ``net relevance``
    (its sum on the object over the sum of its magnitude there). Intervals and tests are over objects, each with all
    the photos that it turned.

    Args:
        hosts: Into how many photos each object is pasted at most.
        scale: Longer side of the object, as a share of the shorter side of what the network sees.
        least: Share of its own photo that an object has to cover.
        feather: Over how many pixels, inward, an object's border fades into the photo; 0: not at all.
        tolerance: How far beside the object a hit may lie, in pixels of what the network sees; 1: not at all.
        seed: Which photos are chosen, and where in them.
    """

    name: ClassVar[str] = "planted"
    needs: ClassVar[str] = "masks"
    whole: ClassVar[bool] = True
    sampled: ClassVar[str] = "objects"
    metrics: ClassVar[tuple[str, ...]] = ("energy_pointing_game", "pointing_game", "positive_ratio", "net_relevance")
    hosts: int = 4
    scale: float = 0.6
    least: float = 0.02
    feather: int = 0
    tolerance: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_shares("scale", (self.scale,))
        check_shares("least", (self.least,))
        if self.hosts < 1 or self.scale == 0:
            raise OptionError(f"hosts is {self.hosts} and scale {self.scale}; they have to be at least 1 and above 0")
        if self.feather < 0 or not self.tolerance > 0:
            raise OptionError(
                f"feather is {self.feather} and tolerance {self.tolerance}; they have to be at least 0 and above 0"
            )

    def cluster(self, unit: Unit) -> str:
        """An object: the photos that it is pasted into tell of the same pixels."""
        return f"{unit.samples[0].key} {unit.category}" if isinstance(unit, Planting) else unit.key

    def units(self, data: DataSet, lab: Lab, models: Sequence[str], confidence: Confidence) -> list[Unit]:
        """See `Protocol.units`."""
        subject = lab.subject(models[0])
        found = self.candidates(data, subject.classes(data))
        for name in models:
            subject = lab.subject(name)
            found = self._turned(found, as_it_is(subject), subject.classes(data), confidence)
        return list(found)

    def candidates(self, data: DataSet, classes: Classes) -> list[Planting]:
        """What is tried: each object that the network has a class for, before photos that do not show its category."""
        found = []
        for sample in data:
            if not NEEDS[self.needs](sample):
                continue
            for category in sample.categories:
                if not classes.members(category) or not self._large(sample, category):
                    continue
                dice = random.Random(f"{self.seed} {sample.key} {category}")  # noqa: S311  # no secret
                others = [
                    one
                    for one in data
                    if one.key != sample.key and category not in one.categories and category not in one.skipped
                ]
                for host in dice.sample(others, min(self.hosts, len(others))):
                    key = f"{sample.key} {data.classes[category]} in {host.key}"
                    found.append(Planting(key, (sample, host), category, (dice.random(), dice.random())))
        return found

    def _large(self, sample: Sample, category: int) -> bool:
        try:
            return bool(sample.mask(category).mean() >= self.least)
        except ImageError:
            return False

    def _turned(
        self, units: Sequence[Planting], subject: Subject, classes: Classes, confidence: Confidence
    ) -> list[Planting]:
        """Those that the paste alone turns into the object's class."""
        stages = [
            confidence.of(
                subject,
                [
                    replace(unit.samples[1], key=unit.key, read_pixels=partial(self._image, unit, subject, after))
                    for unit in units
                ],
            )
            for after in (False, True)
        ]
        found = []
        for unit, (before, _), (now, _) in zip(units, *stages, strict=True):
            members = classes.members(unit.category)
            if before >= 0 and before not in members and now in members:
                found.append(unit)
        return found

    def _image(self, unit: Planting, subject: Subject, after: bool) -> Image.Image:  # noqa: FBT001  # bound once
        return self.pasted(unit, subject).image(after=after)

    def pasted(self, unit: Planting, subject: Subject) -> Pasted:
        """The photo before and after, as a network sees it."""
        thing, mask = cut_out(unit.samples[0], unit.category)
        before = seen(subject, unit.samples[1])
        return paste(before, thing, mask, scale=self.scale, place=unit.place, feather=self.feather)

    def prepare(self, unit: Unit, bench: Bench) -> tuple[Tensor, Tensor, Tensor]:
        """See `Protocol.prepare`."""
        if not isinstance(unit, Planting):
            raise OptionError(f"{unit.key} is no photo with something planted into it")
        found = self.pasted(unit, bench.subject)
        return found.inputs(bench.subject, after=True), found.inputs(bench.subject, after=False), found.mask

    def shown(self, prepared: tuple[Tensor, Tensor, Tensor], bench: Bench) -> Tensor:  # noqa: ARG002  # one signature
        """See `Protocol.shown`."""
        return prepared[0]

    def look(self, prepared: tuple[Tensor, Tensor, Tensor], bench: Bench) -> Compared:
        """See `Protocol.look`."""
        after, before, mask = (one.to(bench.subject.device) for one in prepared)
        index = int(scores_of(bench, after).argmax())
        return Compared(after, before, mask.cpu(), [Goal(index, bench.subject.spec.classes[index])], [index])

    def measure(self, question: Compared, bench: Bench, run: BoundRun) -> Result:
        """See `Protocol.measure`."""
        return self.measure_all([question], bench, [run])[0]

    def measure_all(self, questions: Sequence[Compared], bench: Bench, runs: Sequence[BoundRun]) -> list[Result]:
        """See `Protocol.measure_all`."""
        return measured(questions, bench, runs, self.tolerance)


def as_it_is(subject: Subject) -> Subject:
    """The same network before photos that are as large as what it sees: they are neither resized nor cropped.

    Raises:
        UnsupportedModelError: If its preprocessing is a function of a user's own.
    """
    preprocessing = subject.network.pictures
    from equipoise.models import Preprocessing  # noqa: PLC0415  # a list of recipes does not need it

    if not isinstance(preprocessing, Preprocessing):
        raise UnsupportedModelError(
            f"{subject.name} comes with preprocessing as a function, so nothing can be pasted into what it sees; "
            "give its ModelSpec a Preprocessing"
        )
    still = replace(preprocessing, resize=preprocessing.crop, crop_mode="squash")
    return replace(subject, network=replace(subject.network, spec=replace(subject.spec, preprocessing=still)))
