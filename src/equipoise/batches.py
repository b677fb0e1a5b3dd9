"""Several photos explained together: all their targets, every method, and one forward pass where that is enough."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import torch
from torch import Tensor

from equipoise.answers import Answers, ClassScore, ScoreOf, answers_of
from equipoise.engine.entrance import out_of_memory
from equipoise.errors import EquipoiseError, MethodError, ShapeError
from equipoise.methods import ClassGroup
from equipoise.methods.base import Method
from equipoise.methods.propagation import Propagation
from equipoise.methods.reading import Reading
from equipoise.methods.targets import Deferred
from equipoise.view import View, meant, share_of
from equipoise.wanted import PhotoTarget

if TYPE_CHECKING:
    from equipoise.engine import Trace
    from equipoise.network import BoundMethod, Network

Wish: TypeAlias = "Sequence[PhotoTarget] | Callable[[Answers], list[ScoreOf]]"
"""What is explained of one photo: targets, or a choice by what the network says of it."""

_IMAGE: Final = re.compile(r"^image (\d+)(?:, target (\d+))?: ")


@dataclass(frozen=True, eq=False)
class Seen:
    """A photo of a batch, as a target needs to know it.

    Attributes:
        network: Who looked.
        answers: What it said.
        inputs: What it took, ``(1, c, *space)``.
        size: Of the photo, width and height in pixels.
        box: The part of the photo that it saw.
    """

    network: Network
    answers: Answers
    inputs: Tensor
    size: tuple[int, int]
    box: tuple[float, float, float, float]

    def share_of(self, across: float, down: float) -> tuple[float, float]:
        """See `equipoise.view.share_of`."""
        return share_of(self.box, across, down)

    def beside(self, source: str) -> View:
        """See `View.beside`."""
        return View.of(source, self.network)


@dataclass(frozen=True, eq=False)
class Maps:
    """What one method gave on a batch.

    Attributes:
        each: Per photo ``(k, c, *space)``; where all have as many targets, rows of one tensor.
        notes: Per photo what the method had to say.
        failed: Photo to the reason, of those it could not explain; their maps are empty.
    """

    each: list[Tensor]
    notes: list[list[str]]
    failed: dict[int, EquipoiseError] = field(default_factory=dict)


@dataclass(eq=False)
class Batch:
    """Photos of one shape before a network.

    Args:
        network: The network.
        inputs: What it takes of them, ``(n, c, *space)``, on its device.
        wishes: What is explained of each.
        sizes: Of the photos, width and height in pixels; ``None``: those of the inputs.
        boxes: The part of each photo that the network saw; ``None``: all of it.

    Attributes:
        answers: What the network said of each; known once a method or `look` has asked.
        scores: What is explained of each; likewise.
    """

    network: Network
    inputs: Tensor
    wishes: Sequence[Wish]
    sizes: Sequence[tuple[int, int]] | None = None
    boxes: Sequence[tuple[float, float, float, float]] | None = None
    answers: list[Answers] = field(default_factory=list)
    scores: list[list[ScoreOf]] = field(default_factory=list)
    _trace: Trace | None = None
    _refused: Exception | None = None  # what a wish raised, which is no fault of the method

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def together(self) -> bool:
        """Whether the network gives class scores, so that all photos can pass it at once."""
        return not isinstance(self.network.reads, Reading)

    def look(self) -> None:
        """Ask the network, if no method has.

        Raises:
            EquipoiseError: As `Network.logits`, or if a target is none of the network's.
        """
        if self.scores:
            return
        if self.together:
            self._heard(self.network.logits(self.inputs))
        else:
            self._understood([self.network.answers(one[None]) for one in self.inputs])

    def told(self, photo: int) -> list[ClassScore]:
        """What the network says of each target of a photo."""
        return [self.answers[photo].score(of) for of in self.scores[photo]]

    def explain(self, bound: BoundMethod, others: Sequence[BoundMethod] = ()) -> Maps:
        """Explain every photo by a method; where that fails, one by one.

        Args:
            bound: The method.
            others: All methods that explain this batch: those that follow the tape then share one forward pass.

        Raises:
            EquipoiseError: If the batch is one photo, and the method cannot explain it.
        """
        try:
            return self._explained(bound, others)
        except EquipoiseError:
            if len(self) == 1:
                raise
        self.look()
        alone = [self._alone(bound, photo) for photo in range(len(self))]
        failed = {photo: one for photo, one in enumerate(alone) if isinstance(one, EquipoiseError)}
        found = [one for one in alone if not isinstance(one, EquipoiseError)]
        if not found:
            raise failed[0]
        empty = found[0].each[0][:0]
        each = [empty if isinstance(one, EquipoiseError) else one.each[0] for one in alone]
        notes = [[] if isinstance(one, EquipoiseError) else one.notes[0] for one in alone]
        return Maps(each, notes, failed)

    def part(self, photos: Sequence[int]) -> Batch:
        """Some of the photos, with what the network has said of them."""
        pick = list(photos)
        return Batch(
            self.network,
            self.inputs[pick],
            [self.wishes[photo] for photo in pick],
            None if self.sizes is None else [self.sizes[photo] for photo in pick],
            None if self.boxes is None else [self.boxes[photo] for photo in pick],
            [self.answers[photo] for photo in pick] if self.answers else [],
            [self.scores[photo] for photo in pick] if self.scores else [],
        )

    def _alone(self, bound: BoundMethod, photo: int) -> Maps | EquipoiseError:
        try:
            return self.part([photo]).explain(bound)
        except EquipoiseError as error:
            return error

    def _explained(self, bound: BoundMethod, others: Sequence[BoundMethod]) -> Maps:
        if not (bound.together and self.together and _asks_late(bound)):
            self.look()
        if self.scores:
            if not all(self.scores):
                return self._of_some(bound)
            target = as_target(self.scores, self.inputs.device) if bound.together and self.together else None
            if target is None:
                return self._one_by_one(bound)
            return self._read(bound, self._attributed(bound, target, others))
        asked = Deferred(self._chosen)
        found = self._attributed(bound, asked, others)
        return self._read(bound, found)

    def _chosen(self, logits: Tensor) -> Any:
        try:
            self._heard(logits.float().cpu())
        except Exception as error:
            self._refused = error
            raise
        target = as_target(self.scores, self.inputs.device) if all(self.scores) else None
        if target is None:
            raise _UnevenError("not one target for all")
        return target

    def _attributed(self, bound: BoundMethod, target: Any, others: Sequence[BoundMethod]) -> Any:
        method = bound.attributor
        try:
            tapes = [one.attributor for one in others if isinstance(one.attributor, Propagation)]
            if len(tapes) > 1 and isinstance(method, Propagation) and not _functions(target):
                if self._trace is None:
                    self._trace = method.trace(self.inputs, others=tapes)
                return method.attribute_trace(self._trace, target)
            with self._named():
                return method.attribute(self.inputs, target)
        except _UnevenError:
            return None

    def _read(self, bound: BoundMethod, found: Any) -> Maps:
        if found is None:  # the targets turned out to be of many kinds
            return self._of_some(bound) if not all(self.scores) else self._one_by_one(bound)
        if not isinstance(found, Tensor | list) or len(found) != len(self):
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ShapeError(
                f"{bound.record['name']} returned {shape} for {len(self)} photos; expected (n, k, c, h, w)"
            )
        each = [one.detach() for one in found]
        for one, scores in zip(each, self.scores, strict=True):
            if one.dim() != self.inputs.dim() or len(one) != len(scores):
                shape = f"{tuple(one.shape)} for {len(scores)} targets of one photo"
                raise ShapeError(f"{bound.record['name']} returned {shape}; expected (k, c, h, w)")
        return Maps(each, notes_of(bound, len(self)))

    def _one_by_one(self, bound: BoundMethod) -> Maps:
        found, notes = [], []
        for inputs, scores in zip(self.inputs, self.scores, strict=True):
            with self._named():
                found.append(bound.attribute(inputs[None], scores))
            notes += notes_of(bound, 1)
        return Maps(found, notes)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """What a method raises that is no error of this library becomes one, so that other photos go on."""
        try:
            yield
        except (EquipoiseError, _UnevenError):
            raise
        except Exception as error:
            if error is self._refused or out_of_memory(error):
                raise
            raise MethodError(f"it raised {type(error).__name__}: {error}") from error

    def _of_some(self, bound: BoundMethod) -> Maps:
        """Of a batch in which some photos have no target."""
        asked = [photo for photo, scores in enumerate(self.scores) if scores]
        if not asked:
            empty = self.inputs.new_zeros((0, *self.inputs.shape[1:]))
            return Maps([empty] * len(self), [[] for _ in self.scores])
        some = self.part(asked).explain(bound)
        empty = some.each[0][:0]
        each, notes = [empty] * len(self), [list[str]() for _ in self.scores]
        for place, photo in enumerate(asked):
            each[photo], notes[photo] = some.each[place], some.notes[place]
        return Maps(each, notes, {asked[place]: error for place, error in some.failed.items()})

    def _heard(self, logits: Tensor) -> None:
        self._understood([answers_of(self.network.spec, one) for one in logits])

    def _understood(self, answers: list[Answers]) -> None:
        self.answers = answers
        self.scores = [self._wanted(photo, one) for photo, one in enumerate(answers)]

    def _wanted(self, photo: int, answers: Answers) -> list[ScoreOf]:
        wish = self.wishes[photo]
        if callable(wish):
            return wish(answers)
        height, width = (1, *self.inputs.shape[2:])[-2:]
        size = (width, height) if self.sizes is None else self.sizes[photo]
        box = (0.0, 0.0, float(size[0]), float(size[1])) if self.boxes is None else self.boxes[photo]
        return meant(Seen(self.network, answers, self.inputs[photo : photo + 1], size, box), wish)


def _asks_late(bound: BoundMethod) -> bool:
    """Whether a method takes a target that is chosen once it has asked the network; those that read it do not."""
    return isinstance(bound.attributor, Method) and type(bound.attributor).attribute is Method.attribute


class _UnevenError(Exception):
    """The photos of a batch are asked different kinds of things."""


def as_target(scores: Sequence[Sequence[ScoreOf]], device: torch.device) -> Any:
    """The scores of several photos as one target of a method; ``None`` if there is no such form."""
    if all(isinstance(score, int) for one in scores for score in one):
        if len({len(one) for one in scores}) == 1:
            return torch.tensor(scores, device=device)
        return [list(one) for one in scores]
    if all(list(one) == list(scores[0]) for one in scores[1:]):
        return [ClassGroup((score,)) if isinstance(score, int) else score for score in scores[0]]
    return None


def _functions(target: Any) -> bool:
    return isinstance(target, list) and any(callable(one) and not isinstance(one, ClassGroup) for one in target)


def notes_of(bound: BoundMethod, photos: int) -> list[list[str]]:
    """What a method had to say of its last batch, photo by photo; what it says of none it says of all."""
    found: list[list[str]] = [[] for _ in range(photos)]
    for note in bound.notes:
        match = _IMAGE.match(note)
        if match is None:
            for one in found:
                one.append(note)
        elif int(match[1]) < photos:
            found[int(match[1])].append(note if photos == 1 else f"image 0{note[match.end(1) :]}")
    return found
