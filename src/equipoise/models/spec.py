"""What is known about a loaded network: its classes, its preprocessing, where its weights come from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from equipoise._registry import nearest
from equipoise.errors import OptionError, TargetError, UnknownNameError
from equipoise.models.groups import imagenet_group
from equipoise.models.labels import imagenet_classes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import Image
    from torch import Tensor

    from equipoise.models.array_preprocessing import ArrayPreprocessing
    from equipoise.models.own_preprocessing import OwnPreprocessing
    from equipoise.models.preprocessing import Preprocessing


Task: TypeAlias = Literal[
    "classification", "multi-label", "binary", "regression", "embedding", "segmentation", "detection"
]
"""What a network's outputs are: one class of many; several at once; one logit, of the second of two classes; values;
a vector to be compared; a class for each pixel; boxes."""

Activation: TypeAlias = Literal["softmax", "sigmoid", "none"]
"""What makes probabilities of a network's outputs; ``"none"``: they are what they say already."""

ACTIVATIONS: Final[dict[Task, Activation]] = {
    "classification": "softmax",
    "multi-label": "sigmoid",
    "binary": "sigmoid",
    "regression": "none",
    "embedding": "none",
    "segmentation": "softmax",
    "detection": "none",
}
"""The usual activation of each task."""


def check_task(task: str) -> Task:
    """``task``, if there is such.

    Raises:
        OptionError: If there is none.
    """
    for known in ACTIVATIONS:
        if task == known:
            return known
    raise OptionError(f"task is {task!r}; choose from {', '.join(ACTIVATIONS)}")


def check_activation(activation: str | None) -> Activation | None:
    """``activation``, if there is such.

    Raises:
        OptionError: If there is none.
    """
    if activation is None:
        return None
    for known in get_args(Activation):
        if activation == known:
            found: Activation = known
            return found
    raise OptionError(f"activation is {activation!r}; choose from {', '.join(get_args(Activation))}")


_UNSURE: Final = frozenset({"regression", "embedding"})  # tasks whose outputs are no probabilities in any way


@dataclass(frozen=True)
class ModelSpec:
    """A network's description, as `load_model` returns it.

    Args:
        name: Source, architecture and, for pretrained weights, their tag:
            ``"torchvision/resnet50.IMAGENET1K_V2"``.
        source: ``"bundled"``, ``"torchvision"``, ``"timm"``, ``"torchray"``, or ``"own"``.
        architecture: The source's name for it: ``"resnet50"``.
        classes: One name per output.
        preprocessing: What the weights were trained on.
        weights: The tag of the pretrained weights, ``"random"``, or the path of the file.
        weights_checksum: SHA-256 of the weights file, or of the state dict for random weights; 64 hex digits.
        license: Of the weights, as its publisher writes it; ``None`` when unstated.
        citation: Where the weights are described (an arXiv number, an address); ``None`` when unstated.
        synonyms: For each class the other names it goes by, separated by commas; or nothing.
        task: What its outputs are. ``"binary"`` has one output and two classes.
        activation: What makes probabilities of them; ``None``: what is usual for the task.
        unit: Of the values of a regression, for people.
        threshold: From which probability on a class of ``"multi-label"`` is said to be there, 0 to 1.

    Raises:
        OptionError: If there is no such task or activation, the threshold is outside 0 to 1, or ``"binary"`` has not
            two classes.
    """

    name: str
    source: str
    architecture: str
    classes: tuple[str, ...] = field(repr=False)
    preprocessing: Preprocessing | OwnPreprocessing | ArrayPreprocessing
    weights: str
    weights_checksum: str
    license: str | None = None
    citation: str | None = None
    synonyms: tuple[str, ...] = field(default=(), repr=False)
    task: Task = "classification"
    activation: Activation | None = None
    unit: str = ""
    threshold: float = 0.5

    def __post_init__(self) -> None:
        check_task(self.task)
        check_activation(self.activation)
        if not 0 <= self.threshold <= 1:
            raise OptionError(f"threshold is {self.threshold}; it has to be between 0 and 1")
        if self.task == "binary" and len(self.classes) != 2:
            raise OptionError(f"a binary network has two classes, not {len(self.classes)}")

    @property
    def outputs(self) -> int:
        """How many scores the network gives: one for each class; one for both of a binary network."""
        return 1 if self.task == "binary" else len(self.classes)

    def probabilities(self, scores: Tensor) -> Tensor | None:
        """Probabilities from what the network gives, both ``(..., outputs)``; ``None`` where it gives no such."""
        activation = self.activation or ACTIVATIONS[self.task]
        if activation == "softmax":
            return scores.softmax(-1)
        if activation == "sigmoid":
            return scores.sigmoid()
        return None if self.task in _UNSURE else scores

    def preprocess(self, image: Image.Image) -> Tensor:
        """The tensor the network takes, float32, shape ``(c, h, w)``, on the CPU."""
        return self.preprocessing(image)

    @property
    def input_bounds(self) -> tuple[Tensor, Tensor] | None:
        """The lowest and the highest value of a pixel after preprocessing, each of shape ``(3,)``.

        ``None`` if preprocessing of a user's own normalizes each photo by itself.
        """
        return self.preprocessing.bounds()

    def class_index(self, query: int | str) -> int:
        """The index of a class.

        Args:
            query: The index itself (or its digits); or a name in any case of letters. A name is looked for
                as a class name, then as a synonym, then as whole words of either, then as a part of either;
                the first of these that finds anything must find exactly one class.

        Returns:
            Between 0 and ``len(classes) - 1``.

        Raises:
            TargetError: If an index is out of range.
            UnknownNameError: If a name fits no class, or more than one; the text lists candidates.
        """
        if isinstance(query, str) and not query.strip().isdecimal():
            return self._named(query.strip())
        index = int(query)
        if isinstance(query, bool) or not 0 <= index < len(self.classes):
            raise TargetError(f"{query!r} is no class of {self.name}; its classes are 0 to {len(self.classes) - 1}")
        return index

    def group(self, name: str) -> tuple[int, ...] | None:
        """The classes of a group of ImageNet classes such as ``"dog"``; ``None`` if there is no such group."""
        return imagenet_group(name) if self.classes == imagenet_classes() else None

    def _named(self, query: str) -> int:
        for found in self._candidates(query.casefold()):
            if len(found) == 1:
                return found[0]
            if found:
                some = ", ".join(f"{self.classes[index]} ({index})" for index in found[:8])
                more = f" and {len(found) - 8} more" if len(found) > 8 else ""
                raise UnknownNameError(
                    f"{query!r} fits {len(found)} classes of {self.name}: {some}{more}; give a full name or the index"
                )
        near = nearest(query, list(self.classes)) if query else []
        hint = f"; the nearest are {', '.join(near)}" if near else ""
        raise UnknownNameError(f"{self.name} has no class called {query!r}{hint}")

    def _candidates(self, query: str) -> Iterator[list[int]]:
        """The classes that each way of looking finds, strictest first; nothing for an empty query."""
        if not query:
            return
        names = [name.casefold() for name in self.classes]
        others = [synonyms.casefold() for synonyms in self.synonyms] or [""] * len(names)
        pairs = list(enumerate(zip(names, others, strict=True)))
        words = re.compile(rf"(?<!\w){re.escape(query)}(?!\w)")
        yield [index for index, (name, _) in pairs if name == query]
        yield [index for index, (_, other) in pairs if query in (word.strip() for word in other.split(","))]
        yield [index for index, (name, other) in pairs if words.search(name) or words.search(other)]
        yield [index for index, (name, other) in pairs if query in name or query in other]
