"""The perturbation study: the same number of pixels erased, scattered or in one piece."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import torch

from equipoise import metrics
from equipoise.experiments.model.rows import Result
from equipoise.experiments.protocols.base import (
    EXPLAINED,
    PREDICTED,
    Bench,
    Protocol,
    Unit,
    check_choice,
    check_shares,
)
from equipoise.experiments.protocols.insertion import Answer, Perturbable, prepare_pixels
from equipoise.metrics.canvases import CANVASES

if TYPE_CHECKING:
    from torch import Tensor

    from equipoise.experiments.subject import BoundRun
    from equipoise.view import Photo

TOP_SHARE: Final = 4000 / 224**2
"""The paper erases the 4,000 most relevant of 224 x 224 pixels."""


@dataclass(frozen=True)
class PerturbationStudy(Protocol):
    """Erase the most relevant pixels: does the class flip because they matter, or because they are scattered?

    Rows: ``flip`` (1 if the network names another class without them), ``drop`` (of the explained class's
    probability), ``kept`` (1 if it names the same class when they alone are inserted into ``canvas``) and
    ``clustering`` (of the chosen pixels' eight neighbors, the share that is chosen too).

    Args:
        share: Of the pixels that is erased; the paper: 4,000 of 50,176.
        erased: A name of `equipoise.metrics.CANVASES`: what replaces them; the paper: black.
        canvas: The same, for ``kept``.
        explain: ``"predicted"`` or ``"labels"``.
        right: Only photos whose class the network names.

    Source: Nam & Lee 2024, section 5.4 and Fig. 11.
    """

    name: ClassVar[str] = "perturbation_study"
    needs: ClassVar[str] = "images"
    metrics: ClassVar[tuple[str, ...]] = ("flip", "drop", "kept", "clustering")
    share: float = TOP_SHARE
    erased: str = "black"
    canvas: str = "gaussian"
    explain: str = PREDICTED
    right: bool = False

    def __post_init__(self) -> None:
        check_shares("share", (self.share,))
        check_choice("explain", self.explain, EXPLAINED)
        CANVASES[self.erased], CANVASES[self.canvas]

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
        count = round(self.share * maps[0].numel())
        for (goal, target), one in zip(question.goals, maps, strict=True):
            chosen = metrics.top_mask(one, count).to(question.pixels.device)
            photo = question.pixels[None]
            without = torch.where(chosen, CANVASES[self.erased](photo), photo)
            alone = torch.where(chosen, photo, CANVASES[self.canvas](photo))
            answer = Answer(bench, target, frozenset(), question.top)
            numbers = answer(torch.cat([photo, without, alone]), torch.zeros(3))
            (_, _, before), (_, same, after), (_, kept, _) = numbers.tolist()
            result.add(
                goal,
                [
                    ("flip", 1 - same),
                    ("drop", before - after),
                    ("kept", kept),
                    ("clustering", clustering(chosen)),
                ],
            )
            result.keep(goal, one)
        return result


def clustering(mask: Tensor) -> float:
    """Of the chosen pixels' eight neighbors the share that is chosen too, 0 (scattered) to 1 (in one piece).

    Args:
        mask: ``(h, w)``, bool.

    Returns:
        NaN if nothing is chosen.
    """
    chosen = mask.double()
    around = torch.nn.functional.conv2d(chosen[None, None], torch.ones(1, 1, 3, 3).to(chosen), padding=1)[0, 0] - chosen
    inside = torch.nn.functional.conv2d(
        torch.ones_like(chosen)[None, None], torch.ones(1, 1, 3, 3).to(chosen), padding=1
    )[0, 0]
    possible = ((inside - 1) * chosen).sum().item()
    return (around * chosen).sum().item() / possible if possible else float("nan")
