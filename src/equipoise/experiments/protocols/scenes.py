"""Drawn scenes, where interventions say what a network used: is it in the map, and with the right sign?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import torch

from equipoise import metrics
from equipoise.errors import OptionError, UnsupportedModelError
from equipoise.experiments.model.rows import Goal, Result
from equipoise.experiments.protocols.base import Bench, Confidence, Protocol, Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from equipoise.datasets import DataSet
    from equipoise.datasets.drawing import Scenes
    from equipoise.experiments.subject import BoundRun, Lab

OBJECT: Final = "object"
"""Of a row: the objects of the class's shape are the cause, since without them the answer turns over."""

SHORTCUT: Final = "shortcut"
"""Of a row: the watermark is the cause, since without it the answer turns over."""

UNUSED: Final = "unused"
"""Of a row: the watermark is there, and with or without it the score is the same."""

OWN, OTHER = "own", "other"
"""Of a row: an object of the class's shape, of another shape."""


@dataclass(frozen=True, eq=False)
class Fact:
    """What interventions say of one score of one scene.

    Attributes:
        goal: The class.
        cause: Its objects, ``(h, w)``, where they are the cause; ``None`` where they are not.
        watermark: `SHORTCUT`, `UNUSED`, or nothing: it is not there, or does something without deciding.
        effects: What each object adds to the score, ``(3,)``, in logits; NaN where there is none.
        own: Which objects have the class's shape, ``(3,)``.
    """

    goal: Goal
    cause: Tensor | None
    watermark: str
    effects: Tensor
    own: Tensor


@dataclass(frozen=True, eq=False)
class Seen:
    """What every method is asked of a scene.

    Attributes:
        inputs: ``(1, 3, h, w)``.
        facts: Of each class that the network says is there.
        objects: The pixels of each object, ``(3, h, w)``.
        corner: Where the watermark is, or would be, ``(h, w)``.
    """

    inputs: Tensor
    facts: list[Fact]
    objects: Tensor
    corner: Tensor

    @property
    def targets(self) -> list[int]:
        """The classes that are explained."""
        return [fact.goal.category for fact in self.facts]


@dataclass(frozen=True)
class DrawnScenes(Protocol):
    """Every class that a network says is there, explained, and set beside what changing the scene does to its score.

    Rows of detail ``object``, where taking away all objects of the class's shape turns the answer over: ``energy``
    (of the positive relevance, the share on them) and ``rank accuracy`` (of the highest pixels, as many as they have,
    the share on them). Of detail ``shortcut``, where taking away the watermark does, and ``unused``, where it moves
    the score by less than ``least``: ``energy`` in its corner. ``sign``: 1 where the map's sum over an object has the
    sign of what the object adds to the score, of objects that add or take at least ``least``; detail ``own`` or
    ``other``, by whether it has the class's shape.

    Args:
        least: In logits: from which effect on a sign is asked for, and below which a watermark is unused.
        seed: Another seed, other scenes.

    Source: the two measures of place, Arras et al. 2022.
    """

    name: ClassVar[str] = "scenes"
    whole: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = ("energy_pointing_game", "relevance_rank_accuracy", "sign_accuracy")
    least: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.least > 0 or self.seed < 0:
            raise OptionError(f"least is {self.least} and seed {self.seed}; they have to be above 0 and at least 0")

    def units(self, data: DataSet, lab: Lab, models: Sequence[str], confidence: Confidence) -> list[Unit]:
        """See `Protocol.units`."""
        del confidence
        for name in models:
            if (classes := lab.subject(name).spec.classes) != data.classes:
                wanted = ", ".join(data.classes)
                raise UnsupportedModelError(
                    f"{name} has the classes {', '.join(classes[:4])}; a network for scenes has {wanted}"
                )
        from equipoise.datasets.scenes import drawn  # noqa: PLC0415  # Pillow: no list of recipes needs it

        samples = drawn(len(data), self.seed) if self.seed else list(data)
        return [Unit(sample.key, (sample,)) for sample in samples]

    def prepare(self, unit: Unit, bench: Bench) -> tuple[Scenes, Tensor]:
        """See `Protocol.prepare`."""
        from equipoise.scenes.networks import normalized  # noqa: PLC0415  # a list of recipes does not need it

        (sample,) = unit.samples
        from equipoise.datasets.scenes import SceneSample  # noqa: PLC0415  # as above

        if not isinstance(sample, SceneSample) or sample.scene is None:
            raise OptionError(f"{unit.key} of {bench.data.name} is no drawn scene; --dataset scenes has them")
        return sample.scene, normalized(sample.scene.images())

    def shown(self, prepared: tuple[Scenes, Tensor], bench: Bench) -> Tensor:  # noqa: ARG002  # one signature
        """See `Protocol.shown`."""
        return prepared[1]

    def look(self, prepared: tuple[Scenes, Tensor], bench: Bench) -> Seen:
        """See `Protocol.look`."""
        from equipoise.scenes.interventions import effects, logits  # noqa: PLC0415  # as above

        scene, inputs = prepared
        network = bench.subject.forward
        said = logits(network, scene)[0]
        added = effects(network, scene)[0]
        plain = logits(network, scene.with_watermark(marked=False))[0]
        marked = bool(scene.marked[0])
        facts = []
        for index in (said > 0).nonzero()[:, 0].tolist():
            own = scene.shapes[0] == index
            causal = bool(own.any()) and bool(logits(network, scene.without_shape(index))[0, index] <= 0)
            turned = marked and bool(plain[index] <= 0)
            unused = marked and bool((said - plain)[index].abs() < self.least)
            fact = Fact(
                Goal(index, bench.data.classes[index]),
                scene.causes(index)[0] if causal else None,
                SHORTCUT if turned else UNUSED if unused else "",
                added[:, index],
                own,
            )
            facts.append(fact)
        return Seen(inputs.to(bench.subject.device), facts, scene.masks()[0], scene.watermark)

    def measure(self, question: Seen, bench: Bench, run: BoundRun) -> Result:
        """See `Protocol.measure`."""
        return self.measure_all([question], bench, [run])[0]

    def measure_all(self, questions: Sequence[Seen], bench: Bench, runs: Sequence[BoundRun]) -> list[Result]:  # noqa: ARG002  # one signature
        """See `Protocol.measure_all`."""
        from equipoise.scenes.interventions import same_signs  # noqa: PLC0415  # a list of recipes does not need it

        found = [Result() for _ in questions]
        asked = [place for place, one in enumerate(questions) if one.facts]
        if not asked:
            return found
        each = [runs[place].heatmaps(questions[place].inputs, questions[place].targets) for place in asked]
        maps = torch.cat(each)
        facts = [(found[place], questions[place], fact) for place in asked for fact in questions[place].facts]
        causes = torch.stack(
            [question.corner & False if fact.cause is None else fact.cause for _, question, fact in facts]
        )
        corners = torch.stack([question.corner for _, question, _ in facts])
        energy = metrics.energy_pointing(maps, causes).tolist()
        rank = metrics.relevance_rank_accuracy(maps, causes).tolist()
        corner = metrics.energy_pointing(maps, corners).tolist()
        sums = (maps[:, None] * torch.stack([question.objects for _, question, _ in facts])).sum((2, 3))
        for place, (result, _, fact) in enumerate(facts):
            if fact.cause is not None:
                values = [("energy_pointing_game", energy[place]), ("relevance_rank_accuracy", rank[place])]
                result.add(fact.goal, values, detail=OBJECT)
            if fact.watermark:
                result.add(fact.goal, [("energy_pointing_game", corner[place])], detail=fact.watermark)
            right = same_signs(sums[place], fact.effects).tolist()
            for index in (fact.effects.abs() >= self.least).nonzero()[:, 0].tolist():
                result.add(fact.goal, [("sign_accuracy", right[index])], detail=OWN if fact.own[index] else OTHER)
            result.keep(fact.goal, maps[place])
        return found
