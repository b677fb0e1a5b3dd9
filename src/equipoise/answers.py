"""What a network says of one photo, in the words of its task: classes, labels, two sides, values, pixels, boxes.

Methods explain columns of the network's output; a person asks for classes. An `Answers` stands between: it knows which
classes come first, how sure the network is of each, and which score of the output a class stands for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import torch
from torch import Tensor

from equipoise._registry import Registry
from equipoise.errors import ShapeError, TargetError
from equipoise.methods.reading import areas
from equipoise.methods.scores import Box, Contrast, Negative, OneClass, Score, detections, is_detections
from equipoise.methods.targets import ClassGroup

if TYPE_CHECKING:
    from equipoise.models.spec import ModelSpec, Task

ScoreOf: TypeAlias = "int | ClassGroup | Callable[[Any], Tensor]"
"""One explained score: a column of the output, a group of classes, or any function of the output."""


@dataclass(frozen=True)
class ClassScore:
    """What the network says of one class, or of whatever else is explained.

    Attributes:
        index: Of the class, from 0; ``None`` for a group of classes or a function of the output.
        name: Of the class.
        logit: The explained score.
        probability: As the network's activation makes it of the scores, 0 to 1; of a class for each pixel its share of
            the pixels; ``None`` where there is none.
        unit: What the probability or the score is of, for people: ``"of the pixels"``, ``"years"``.
    """

    index: int | None
    name: str
    logit: float
    probability: float | None
    unit: str = ""


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network says of one photo: one class of several, the base of all tasks.

    Attributes:
        spec: The network.
        scores: Its class scores, ``(C,)``, float32 on the CPU.
        raw: What it gave, where that is no class scores; ``None``: the scores.
    """

    spec: ModelSpec
    scores: Tensor
    raw: Any = None

    @property
    def count(self) -> int:
        """How many classes, or whatever else it tells apart."""
        return len(self.scores)

    def probabilities(self) -> Tensor | None:
        """Of each class, ``(count,)``; ``None`` where there are none."""
        return self.spec.probabilities(self.scores)

    def order(self) -> list[int]:
        """Every class, the first first."""
        return self._ranked(self.scores)

    def said(self) -> list[int]:
        """The classes that the network says are there."""
        return self.order()[:1]

    def name(self, index: int) -> str:
        """Of a class."""
        return self.spec.classes[index] if index < len(self.spec.classes) else f"class {index}"

    def one(self, index: int) -> ClassScore:
        """What is said of one class."""
        probabilities = self.probabilities()
        sure = None if probabilities is None else probabilities[index].item()
        return ClassScore(index, self.name(index), self.scores[index].item(), sure, self.unit)

    @property
    def unit(self) -> str:
        """Of every answer."""
        return ""

    @property
    def exclusive(self) -> bool:
        """Whether one class alone can be there, so that the probabilities of several add up to theirs together."""
        return True

    def target(self, index: int) -> ScoreOf:
        """The score that a class stands for.

        Raises:
            TargetError: If there is no such class.
        """
        if not 0 <= index < self.count:
            raise TargetError(f"class {index} does not exist: this network has classes 0 to {self.count - 1}")
        return index

    def read(self, score: Callable[[Any], Tensor]) -> ScoreOf:
        """A function of the output as a score, its classes by index; a class that it names stands for the class.

        Raises:
            UnknownNameError: If no class has a name that it gives.
            ShapeError: If it does not give one number for each image.
        """
        if isinstance(score, Score):
            score = score.resolved(self.spec.class_index)
            if isinstance(score, OneClass):
                return self.target(int(score.index))
        value = self.value(score)
        return score if value.is_floating_point() else self.target(int(value))

    def score(self, of: ScoreOf) -> ClassScore:
        """What is said of a score.

        Raises:
            TargetError: If there is no such class.
            ShapeError: If a function does not give one number for each image.
        """
        if isinstance(of, int):
            return self.one(of)
        value = self.value(of).item()
        if isinstance(of, ClassGroup):
            names = ", ".join(self.name(index) for index in of.members[:3])
            more = f" and {len(of.members) - 3} more" if len(of.members) > 3 else ""
            probabilities = self.probabilities()
            sure = None
            if probabilities is not None and self.exclusive:
                sure = probabilities[list(of.members)].sum().item()
            return ClassScore(None, names + more, value, sure, self.unit)
        words = of.words(self.name) if isinstance(of, Score) else getattr(of, "__name__", type(of).__name__)
        return ClassScore(None, words, value, None)

    def value(self, function: Callable[[Any], Tensor]) -> Tensor:
        """What a function gives for this photo, a scalar tensor.

        Raises:
            ShapeError: If it does not give one number for each image.
        """
        output = self.scores[None] if self.raw is None else self.raw
        found: object = function(output)
        if not isinstance(found, Tensor) or found.shape != (1,):
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            given = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ShapeError(f"the target function must map logits {given} to (1,), not {shape}")
        return found[0]

    @staticmethod
    def _ranked(values: Tensor) -> list[int]:
        return values.argsort(descending=True, stable=True).tolist()


class Labels(Answers):
    """Several classes at once: every one from the threshold on, or the highest if none reaches it."""

    @property
    def exclusive(self) -> bool:
        """See `Answers`."""
        return False

    def said(self) -> list[int]:
        """See `Answers`."""
        probabilities = self.probabilities()
        assert probabilities is not None  # noqa: S101  # multi-label has an activation
        return [index for index in self.order() if probabilities[index] >= self.spec.threshold] or self.order()[:1]


class Sides(Answers):
    """One logit of two classes: it speaks for the second where it is positive, for the first where it is negative."""

    @property
    def count(self) -> int:
        """See `Answers`."""
        return 2

    def probabilities(self) -> Tensor | None:
        """See `Answers`."""
        second = self.spec.probabilities(self.scores)
        return None if second is None else torch.cat([1 - second, second])

    def order(self) -> list[int]:
        """See `Answers`."""
        probabilities = self.probabilities()
        assert probabilities is not None  # noqa: S101  # binary has an activation
        return [1, 0] if probabilities[1] >= probabilities[0] else [0, 1]

    def one(self, index: int) -> ClassScore:
        """See `Answers`."""
        probabilities = self.probabilities()
        assert probabilities is not None  # noqa: S101  # as above
        sign = 1 if index else -1
        return ClassScore(index, self.name(index), sign * self.scores[0].item(), probabilities[index].item())

    def target(self, index: int) -> ScoreOf:
        """See `Answers`."""
        super().target(index)
        return 0 if index else Negative(0)

    def read(self, score: Callable[[Any], Tensor]) -> ScoreOf:
        """See `Answers`."""
        if isinstance(score, Score):
            score = score.resolved(self.spec.class_index)
        if isinstance(score, OneClass):
            return self.target(int(score.index))
        if isinstance(score, Negative):
            return self.target(1 - int(score.index))
        if isinstance(score, Contrast):  # the one logit is the difference of both
            return self.target(int(score.index))
        return super().read(score)

    def score(self, of: ScoreOf) -> ClassScore:
        """See `Answers`."""
        if isinstance(of, int):
            return self.one(1)
        return self.one(0) if isinstance(of, Negative) else super().score(of)


class Values(Answers):
    """Values: in the order of the outputs, each in the network's unit."""

    def order(self) -> list[int]:
        """See `Answers`."""
        return list(range(self.count))

    @property
    def unit(self) -> str:
        """See `Answers`."""
        return self.spec.unit


class Pixels(Answers):
    """A class for each pixel: those of most pixels first."""

    def probabilities(self) -> Tensor:
        """The share of the pixels where each class is the highest."""
        return areas(self.raw)[0]

    def order(self) -> list[int]:
        """See `Answers`."""
        return self._ranked(self.probabilities())

    @property
    def unit(self) -> str:
        """See `Answers`."""
        return "of the pixels"

    def target(self, index: int) -> ScoreOf:
        """See `Answers`."""
        super().target(index)
        if not self.probabilities()[index]:
            raise TargetError(
                f"{self.name(index)} has the highest score at no pixel, so there is nothing to explain; "
                "equipoise.targets.region gives it a region"
            )
        return index


class Boxes(Answers):
    """Detected boxes, by their score; a class stands for its best box."""

    @property
    def _found(self) -> Any:
        return detections(self.raw)[0]

    @property
    def count(self) -> int:
        """See `Answers`."""
        return len(self._found["scores"])

    def order(self) -> list[int]:
        """See `Answers`."""
        return self._ranked(self._found["scores"])

    def one(self, index: int) -> ClassScore:
        """What is said of one box."""
        found, box = self._found, self._box(index)
        score = found["scores"][index].item()
        return ClassScore(index, box.words(self.name).removeprefix("the "), score, score)

    def target(self, index: int) -> ScoreOf:
        """See `Answers`."""
        if not self.count:
            raise TargetError("the detector finds nothing in this photo")
        if not 0 <= index < self.count:
            raise TargetError(f"there is no detection {index}: this photo has detections 0 to {self.count - 1}")
        return self._box(index)

    def best_of(self, label: int) -> ScoreOf:
        """The best box of a class.

        Raises:
            TargetError: If there is none.
        """
        labels = self._found["labels"].tolist()
        for index in self.order():
            if labels[index] == label:
                return self.target(index)
        raise TargetError(f"no {self.name(label)} is detected in this photo")

    def score(self, of: ScoreOf) -> ClassScore:
        """See `Answers`."""
        for index in range(self.count):
            if of == self._box(index):
                return self.one(index)
        return super().score(of)

    def _box(self, index: int) -> Box:
        left, top, right, bottom = self._found["boxes"][index].tolist()
        return Box((left, top, right, bottom), int(self._found["labels"][index]))


TASKS: Final[Registry[type[Answers]]] = Registry("task")
"""How each task of a network answers."""

for _task, _answers in (
    ("classification", Answers), ("multi-label", Labels), ("binary", Sides), ("regression", Values),
    ("embedding", Values), ("segmentation", Pixels), ("detection", Boxes),
):  # fmt: skip
    TASKS.add(_task, _answers)


def answers_of(spec: ModelSpec, scores: Tensor, raw: Any = None) -> Answers:
    """What a network says of one photo.

    Args:
        spec: The network.
        scores: ``(C,)``.
        raw: What it gave, where that is no class scores.
    """
    return TASKS[spec.task](spec, scores, raw)


def dense_task(raw: Any) -> Task | None:
    """The task of a network that gives this; ``None`` for class scores, and what is not known."""
    if is_detections(raw):
        return "detection"
    return "segmentation" if isinstance(raw, Tensor) and raw.dim() > 2 else None
