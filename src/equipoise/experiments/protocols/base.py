"""What a protocol is: units of work, their preparation, and what is measured of a method on one of them."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from equipoise._registry import Registry
from equipoise.errors import OptionError
from equipoise.experiments.model.rows import Goal, Result
from equipoise.metrics.catalog import CATALOG

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import Tensor

    from equipoise.answers import Answers
    from equipoise.datasets import DataSet, Sample
    from equipoise.experiments.subject import BoundRun, Classes, Lab, Subject
    from equipoise.methods import ClassGroup
    from equipoise.view import Photo, View

NEEDS: Registry[Callable[[Sample], bool]] = Registry("need")
"""What a protocol asks of a sample; those without it are left out."""

NEEDS.add("images", lambda _sample: True)
NEEDS.add("labels", lambda sample: bool(sample.categories))
NEEDS.add("masks", lambda sample: sample.has_masks)

PREDICTED: Final = "predicted"
LABELS: Final = "labels"
BOTH: Final = "both"
EXPLAINED: Final = (PREDICTED, LABELS, BOTH)
"""Which classes of an image are explained: the network's top class, the image's own, or both."""


@dataclass(frozen=True)
class Unit:
    """What is measured in one go, and done again as a whole after a kill: an image, or a grid of several.

    Args:
        key: Unique and stable within the data set.
        samples: The images; each is named once in the checksum, in this order.
    """

    key: str
    samples: tuple[Sample, ...]

    def checksum(self) -> str:
        """SHA-256 of the images' own."""
        if len(self.samples) == 1:
            return self.samples[0].sha256()
        return hashlib.sha256(" ".join(sample.sha256() for sample in self.samples).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class Bench:
    """A network before a data set.

    Attributes:
        subject: The network.
        data: The data set.
        classes: How the network names the data set's categories.
        heard: What the network said of the photo at hand, where it was asked of several at once; ``None``: it is asked.
    """

    subject: Subject
    data: DataSet
    classes: Classes
    heard: Answers | None = None

    def view(self, photo: Photo, inputs: Tensor, *, whole: bool = False) -> View:
        """Show a photo to the network.

        Args:
            photo: The photo.
            inputs: What the network takes of it, ``(1, 3, h, w)``, on any device.
            whole: Whether that is all of the photo, not the part that its preprocessing cuts out.
        """
        from equipoise.view import View  # noqa: PLC0415  # loads torch, which a list of recipes does not need

        subject, (width, height) = self.subject, photo.image.size
        inputs = inputs.to(subject.device)
        box = (0.0, 0.0, float(width), float(height)) if whole else subject.spec.preprocessing.box(width, height)
        answers = subject.answers(inputs) if self.heard is None else self.heard
        return View(subject.network, photo, inputs, answers, box)

    def labels(self, sample: Sample, logits: Tensor) -> list[tuple[Goal, int | ClassGroup]]:
        """The categories of a sample that the network knows, with what to explain for each.

        Args:
            sample: An image with labels.
            logits: What the network says of it, ``(C,)``.
        """
        said = self.classes.predicted(logits)
        found = []
        for category in sample.categories:
            target = self.classes.target(category)
            if target is not None:
                goal = Goal(category, self.data.classes[category], category in said, category in sample.hard)
                found.append((goal, target))
        return found

    def top(self, logits: Tensor) -> tuple[Goal, int | ClassGroup]:
        """The network's highest class."""
        index = int(logits.argmax())
        return Goal(index, self.subject.spec.classes[index]), index

    def goals(self, explain: str, sample: Sample, view: View) -> list[tuple[Goal, int | ClassGroup]]:
        """What is explained of a sample: one of `EXPLAINED`; a class that is both is named once."""
        logits = view.logits
        goals = [self.top(logits)] if explain in {PREDICTED, BOTH} else []
        known = {target for _, target in goals}
        if explain in {LABELS, BOTH}:
            goals += [(goal, target) for goal, target in self.labels(sample, logits) if target not in known]
        return [(replace(goal, probability=view.answers.score(target).probability), target) for goal, target in goals]


@dataclass(frozen=True, eq=False)
class Question:
    """What every method is asked of a photo that the network has looked at.

    Attributes:
        view: The photo, what the network took of it and what it said.
        goals: What is explained.
    """

    view: View
    goals: list[tuple[Goal, int | ClassGroup]]

    @property
    def inputs(self) -> Tensor:
        """What the network took, ``(1, 3, h, w)``."""
        return self.view.inputs

    @property
    def targets(self) -> list[int | ClassGroup]:
        """The goals as a method takes them."""
        return [target for _, target in self.goals]


def photo_of(sample: Sample) -> Photo:
    """A sample's photo, read.

    Raises:
        ImageError: If it cannot be read.
    """
    from equipoise.view import Photo  # noqa: PLC0415  # loads torch, which a list of recipes does not need

    return Photo(sample.image(), str(sample.path), sample.sha256())


class Confidence(ABC):
    """What networks say of images, remembered between runs: see `Protocol.units`."""

    @abstractmethod
    def of(self, subject: Subject, samples: Sequence[Sample]) -> list[tuple[int, float]]:
        """Top class and its probability, per sample; class -1 where an image cannot be read."""


@dataclass(frozen=True)
class Protocol(ABC):
    """How something is measured; a frozen dataclass whose fields are its options.

    `prepare` runs ahead in a thread and must not touch the network; `look` and `measure` do.
    """

    name: ClassVar[str]
    """In records."""

    needs: ClassVar[str] = "images"
    """What a sample must have: a name of `NEEDS`."""

    whole: ClassVar[bool] = False
    """Whether the network sees the whole photo, not the part that its preprocessing cuts out."""

    metrics: ClassVar[tuple[str, ...]] = ()
    """What it measures of a map: names of `equipoise.metrics.CATALOG`."""

    curves: ClassVar[tuple[str, ...]] = ()
    """What it measures at every one of its `steps`: the same."""

    sampled: ClassVar[str] = "images"
    """What a bootstrap draws and a test of pairs turns over: see `cluster`."""

    explains_itself: ClassVar[bool] = False
    """Whether `measure_all` explains, by networks of its own: then it is given the methods as they are bound."""

    def __init_subclass__(cls) -> None:
        """Refuse a protocol that declares what the catalog does not have."""
        if "measure" in vars(cls) and "measure_all" not in vars(cls):
            cls.measure_all = Protocol.measure_all  # type: ignore[method-assign]  # a parent's knows nothing of it
        for name in (*cls.metrics, *cls.curves):
            CATALOG[name]

    @property
    def steps(self) -> tuple[float, ...] | None:
        """The points of its curves; none if it has no curves, ``None`` if they are known only as it runs."""
        return ()

    def units(self, data: DataSet, lab: Lab, models: Sequence[str], confidence: Confidence) -> list[Unit]:  # noqa: ARG002  # for protocols that choose by the networks' answers
        """The work on a data set, in order; by default one unit an image."""
        return [Unit(sample.key, (sample,)) for sample in data if NEEDS[self.needs](sample)]

    @property
    def by_labels(self) -> bool:
        """Whether the images' own classes are explained, so that those the network does not know are left out."""
        return getattr(self, "explain", LABELS) != PREDICTED

    def cluster(self, unit: Unit) -> str:
        """What the numbers of a unit have in common with those of others; by default each stands for itself."""
        return unit.key

    def subject(self, subject: Subject) -> Subject:
        """The network as this protocol uses it; by default as it is."""
        return subject

    @abstractmethod
    def prepare(self, unit: Unit, bench: Bench) -> Any:
        """Read and preprocess the images of a unit; on the CPU, without the network.

        Raises:
            ImageError: If an image cannot be read.
        """

    def shown(self, prepared: Any, bench: Bench) -> torch.Tensor | None:  # noqa: ARG002  # for protocols that batch
        """What the network is shown of a unit, ``(1, c, h, w)``, so that units of one shape are explained together.

        `look` then has to give something with ``inputs`` and ``targets``, and `measure` asks for their heat maps.

        Args:
            prepared: The preparation.
            bench: The network before the data set.

        Returns:
            ``None``: each unit is looked at and explained on its own.
        """
        return None

    def look(self, prepared: Any, bench: Bench) -> Any:  # noqa: ARG002  # for protocols that need the network's answer
        """What all methods share and needs the network: by default nothing, the preparation itself."""
        return prepared

    @abstractmethod
    def measure(self, question: Any, bench: Bench, run: BoundRun) -> Result:
        """Explain by one method and measure."""

    def measure_all(self, questions: Sequence[Any], bench: Bench, runs: Sequence[BoundRun]) -> list[Result]:
        """The same of several units of one shape; by default one after the other.

        Args:
            questions: What `look` gave of each.
            bench: The network before the data set.
            runs: The method, as it has explained each; or only bound, see `explains_itself`.
        """
        return [self.measure(question, bench, run) for question, run in zip(questions, runs, strict=True)]


def check_choice(what: str, value: str, known: Sequence[str]) -> None:
    """Refuse an option that is none of a few words.

    Raises:
        OptionError: If it is not; the text lists them.
    """
    if value not in known:
        raise OptionError(f"{what} is {value!r}; it has to be one of {', '.join(known)}")


def check_shares(what: str, values: Sequence[float]) -> None:
    """Refuse shares outside 0 to 1.

    Raises:
        OptionError: If one is, or there is none.
    """
    if not values or not all(0.0 <= value <= 1.0 for value in values):
        raise OptionError(f"{what} is {tuple(values)}; it has to hold numbers between 0 and 1")


def resized_mask(mask: Any, size: tuple[int, int]) -> torch.Tensor:
    """A mask ``(H, W)`` at height and width ``size``, by its nearest pixel."""
    import numpy as np  # noqa: PLC0415  # the evaluation extra
    import torch  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    picture: Image.Image = Image.fromarray(np.asarray(mask, dtype=np.uint8))
    return torch.from_numpy(np.array(picture.resize((size[1], size[0]), Image.Resampling.NEAREST))).bool()
