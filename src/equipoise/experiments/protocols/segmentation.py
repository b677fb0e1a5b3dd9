"""Does the map cover the object? Average precision, accuracy, overlap and the outside-inside ratio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from equipoise import metrics
from equipoise.experiments.model.rows import Result, results
from equipoise.experiments.protocols.base import (
    EXPLAINED,
    PREDICTED,
    Bench,
    Protocol,
    Question,
    Unit,
    check_choice,
    photo_of,
    resized_mask,
)
from equipoise.metrics.thresholds import THRESHOLDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from equipoise.experiments.subject import BoundRun
    from equipoise.view import Photo


@dataclass(frozen=True, eq=False)
class Outlined(Question):
    """A question about a photo whose object is known pixel by pixel.

    Attributes:
        mask: The object, ``(h, w)`` as the network sees it.
    """

    mask: Tensor


@dataclass(frozen=True)
class Segmentation(Protocol):
    """The map as a segmentation of the object, on the photo squeezed to the network's size.

    The mask is resized by its nearest pixel. Rows: average precision by its three definitions (``AP``: of the
    object alone; ``AP two-channel`` and ``AP hard``: of object and background as two channels, soft as Chefer
    et al. and thresholded as AGF's code), pixel accuracy, mean intersection over union and F1 of the map
    above ``threshold``, the outside-inside ratio after min-max scaling (Eq. 14) and of the positive relevance
    alone (Lapuschkin et al. 2016), the share of positive relevance inside, and the positive ratio.

    Args:
        explain: ``"predicted"``: the network's top class, as ImageNet-Segmentation is used, whose objects
            are not all of ImageNet's classes; ``"labels"``: the image's own class.
        threshold: A name of `equipoise.metrics.thresholds.THRESHOLDS`: where the map is cut for accuracy,
            overlap and F1.

    Source: Nam & Lee 2024, section 5.3.2, Eq. 14; Gur et al. 2021 (AGF); Chefer et al. 2021.
    """

    name: ClassVar[str] = "segmentation"
    needs: ClassVar[str] = "masks"
    whole: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = (
        "pixel_ap",
        "pixel_ap_two_channel",
        "pixel_ap_hard",
        "pixel_accuracy",
        "mean_iou",
        "f1",
        "outside_inside_ratio",
        "outside_inside_ratio_positive",
        "energy_pointing_game",
        "positive_ratio",
    )
    explain: str = PREDICTED
    threshold: str = "zero"

    def __post_init__(self) -> None:
        check_choice("explain", self.explain, EXPLAINED)
        THRESHOLDS[self.threshold]

    def prepare(self, unit: Unit, bench: Bench) -> tuple[Unit, Photo, Tensor, Tensor]:
        """See `Protocol.prepare`."""
        (sample,) = unit.samples
        size = bench.subject.network.pictures.crop
        photo = photo_of(sample)
        inputs = bench.subject.sized(photo.image, size)[None]
        wanted = sample.categories or (None,)  # objects that are no class of ImageNet have a mask all the same
        masks = [resized_mask(sample.mask(category), size) for category in wanted]
        return unit, photo, inputs, torch.stack(masks).any(0)

    def shown(self, prepared: tuple[Unit, Photo, Tensor, Tensor], bench: Bench) -> Tensor:  # noqa: ARG002
        """See `Protocol.shown`."""
        return prepared[2]

    def look(self, prepared: tuple[Unit, Photo, Tensor, Tensor], bench: Bench) -> Outlined:
        """See `Protocol.look`."""
        unit, photo, inputs, mask = prepared
        view = bench.view(photo, inputs, whole=True)
        return Outlined(view, bench.goals(self.explain, unit.samples[0], view), mask)

    def measure(self, question: Outlined, bench: Bench, run: BoundRun) -> Result:  # one signature
        """See `Protocol.measure`."""
        return self.measure_all([question], bench, [run])[0]

    def measure_all(self, questions: Sequence[Outlined], bench: Bench, runs: Sequence[BoundRun]) -> list[Result]:  # noqa: ARG002  # one signature
        """See `Protocol.measure_all`."""
        asked = [place for place, one in enumerate(questions) if one.goals]
        found = [Result() for _ in questions]
        if not asked:
            return found
        each = [runs[place].heatmaps(questions[place].inputs, questions[place].targets) for place in asked]
        goals = [[goal for goal, _ in questions[place].goals] for place in asked]
        maps = torch.cat(each)
        masks = torch.cat(
            [questions[place].mask.expand(len(own), -1, -1) for place, own in zip(asked, each, strict=True)]
        )
        values = {
            "pixel_ap": metrics.pixel_average_precision(maps, masks, definition="foreground"),
            "pixel_ap_two_channel": metrics.pixel_average_precision(maps, masks, definition="two_channel"),
            "pixel_ap_hard": metrics.pixel_average_precision(maps, masks, definition="hard"),
            "pixel_accuracy": metrics.pixel_accuracy(maps, masks, threshold=self.threshold),
            "mean_iou": metrics.intersection_over_union(maps, masks, threshold=self.threshold),
            "f1": metrics.f1(maps, masks, threshold=self.threshold),
            "outside_inside_ratio": metrics.outside_inside_ratio(maps, masks),
            "outside_inside_ratio_positive": metrics.outside_inside_ratio(maps, masks, normalization="positive"),
            "energy_pointing_game": metrics.energy_pointing(maps, masks),
            "positive_ratio": metrics.positive_ratio(maps),
        }
        for place, result, own, named in zip(asked, results(goals, values), each, goals, strict=True):
            found[place] = result
            for goal, one in zip(named, own, strict=True):
                result.keep(goal, one)
        return found
