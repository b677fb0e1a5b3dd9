"""Insertion and deletion: what the network says as the pixels come, or go, in the order of their relevance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final, Literal

import torch

from equipoise import metrics
from equipoise.errors import OptionError
from equipoise.experiments.model.rows import Measured, Result
from equipoise.experiments.protocols.base import (
    EXPLAINED,
    PREDICTED,
    Bench,
    Protocol,
    Question,
    Unit,
    check_choice,
    check_shares,
    photo_of,
)
from equipoise.metrics.canvases import CANVASES
from equipoise.metrics.perturbation import INSERTION_SHARES
from equipoise.metrics.pixel_sets import ORDERS

if TYPE_CHECKING:
    from torch import Tensor

    from equipoise.experiments.subject import BoundRun
    from equipoise.methods import ClassGroup
    from equipoise.view import Photo

MODES: Final = ("insertion", "deletion")


@dataclass(frozen=True, eq=False)
class Perturbable(Question):
    """A question about a photo whose pixels can be taken away.

    Attributes:
        pixels: What the network sees, ``(3, h, w)``, 0 to 1.
        label: The classes that would be right; none: unknown.
    """

    pixels: Tensor
    label: frozenset[int] = frozenset()

    @property
    def top(self) -> int:
        """The class that the network names."""
        return int(self.view.logits.argmax())

    @classmethod
    def of(
        cls, prepared: tuple[Unit, Photo, Tensor], bench: Bench, explain: str, *, right: bool = False
    ) -> Perturbable:
        """Show a photo's pixels to the network and choose what is explained: with ``right``, what it names right."""
        unit, photo, pixels = prepared
        pixels = pixels.to(bench.subject.device)
        view = bench.view(photo, bench.subject.network.pictures.normalize(pixels)[None])
        label = frozenset(index for one in unit.samples[0].categories for index in bench.classes.members(one))
        goals = bench.goals(explain, unit.samples[0], view)
        found = cls(view, goals, pixels, label)
        return replace(found, goals=[]) if right and found.top not in label else found


def prepare_pixels(unit: Unit, bench: Bench) -> tuple[Unit, Photo, Tensor]:
    """Read the one photo of a unit and resize it; its pixels are not normalized yet."""
    photo = photo_of(unit.samples[0])
    return unit, photo, bench.subject.network.pictures.pixels(photo.image)


@dataclass(frozen=True)
class Perturbation(Protocol):
    """Curves of accuracy, agreement and probability over the share of pixels inserted or deleted.

    Rows, per share: ``accuracy`` (1 if the network names the image's class), ``agreement`` (1 if it names the
    class that it named for the whole photo) and ``probability`` (of the explained class); the same of the
    untouched photo, which is share 1 of an insertion and share 0 of a deletion, whatever the canvas; and
    ``area``: of the probability under the curve over ``shares``, as a mean height.

    Args:
        mode: ``"insertion"`` or ``"deletion"``.
        order: A name of `equipoise.metrics.ORDERS`: the most relevant first (MoRF), the least (LeRF), at random.
        canvas: A name of `equipoise.metrics.CANVASES`: what is there without the pixels. The paper's
            Gaussian light in the middle favors objects there.
        shares: Of the pixels, each 0 to 1, rising.
        explain: ``"predicted"`` or ``"labels"``.
        right: Only photos whose class the network names.
        chunk: Images per forward pass.
        seed: For the order ``"random"``.

    Source: Nam & Lee 2024, section 5.4 and Fig. 10; Petsiuk et al. 2018 for deletion.
    """

    name: ClassVar[str] = "perturbation"
    needs: ClassVar[str] = "labels"
    metrics: ClassVar[tuple[str, ...]] = ("area",)
    curves: ClassVar[tuple[str, ...]] = ("accuracy", "agreement", "probability")
    mode: Literal["insertion", "deletion"] = "insertion"
    order: str = "most_relevant"
    canvas: str = "gaussian"
    shares: tuple[float, ...] = INSERTION_SHARES
    explain: str = PREDICTED
    right: bool = False
    chunk: int = 7
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("mode", self.mode, MODES)
        ORDERS[self.order]
        check_choice("explain", self.explain, EXPLAINED)
        check_shares("shares", self.shares)
        if list(self.shares) != sorted(set(self.shares)):
            raise OptionError(f"shares is {self.shares}; it has to rise")
        CANVASES[self.canvas]

    @property
    def steps(self) -> tuple[float, ...]:
        """The shares, and that of the untouched photo."""
        whole = 1.0 if self.mode == "insertion" else 0.0
        return self.shares if whole in self.shares else (*self.shares, whole)

    def prepare(self, unit: Unit, bench: Bench) -> tuple[Unit, Photo, Tensor]:
        """See `Protocol.prepare`."""
        return prepare_pixels(unit, bench)

    def shown(self, prepared: tuple[Unit, Photo, Tensor], bench: Bench) -> Tensor:
        """See `Protocol.shown`."""
        return bench.subject.network.pictures.normalize(prepared[2])[None]

    def look(self, prepared: tuple[Unit, Photo, Tensor], bench: Bench) -> Perturbable:
        """See `Protocol.look`."""
        return Perturbable.of(prepared, bench, self.explain, right=self.right)

    def measure(self, question: Perturbable, bench: Bench, run: BoundRun) -> Result:
        """See `Protocol.measure`."""
        result = Result()
        if not question.goals:
            return result
        maps = run.heatmaps(question.inputs, question.targets)
        for (goal, target), one in zip(question.goals, maps, strict=True):
            curve = metrics.perturbation_curve(
                Answer(bench, target, question.label, question.top),
                question.pixels[None],
                one[None].to(question.pixels.device),
                shares=self.steps,
                mode=self.mode,
                order=self.order,
                canvas=self.canvas,
                chunk=self.chunk,
                seed=self.seed,
            )[0]
            for share, numbers in zip(self.steps, curve.tolist(), strict=True):
                named = zip(Answer.numbers, numbers, strict=True)
                result.rows += [Measured(goal, metric, value, share) for metric, value in named]
            if len(self.shares) > 1:
                heights = curve[: len(self.shares), Answer.numbers.index("probability")]
                result.add(goal, [("area", metrics.area(heights, self.shares))])
            result.keep(goal, one)
        return result


class Answer:
    """What the network says of perturbed photos, for `perturbation_curve`.

    Args:
        bench: The network.
        target: The explained class.
        label: The classes that would be right.
        top: The class that it named for the whole photo.
    """

    numbers: ClassVar[tuple[str, ...]] = Perturbation.curves
    """What it says, in order."""

    def __init__(self, bench: Bench, target: int | ClassGroup, label: frozenset[int], top: int) -> None:
        self._subject, self._label, self._top = bench.subject, sorted(label), top
        self._members = [target] if isinstance(target, int) else list(target.members)

    def __call__(self, pixels: Tensor, _indices: Tensor) -> Tensor:
        """Accuracy (NaN without a label), agreement and probability, ``(m, 3)``, of pixels ``(m, 3, h, w)``."""
        logits = self._subject.forward(self._subject.network.pictures.normalize(pixels))
        named = logits.argmax(1)
        right = torch.isin(named, torch.tensor(self._label, dtype=named.dtype)).double()
        if not self._label:
            right.fill_(float("nan"))
        sure = self._subject.spec.probabilities(logits.double())
        probability = (logits.double() if sure is None else sure)[:, self._members].sum(1)
        return torch.stack([right, (named == self._top).double(), probability], dim=1)
