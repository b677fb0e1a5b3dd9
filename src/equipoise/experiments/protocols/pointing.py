"""The pointing game, energy pointing game and positive ratio, as TorchRay runs the first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from equipoise import metrics
from equipoise.experiments.model.rows import Result, results
from equipoise.experiments.protocols.base import Bench, Protocol, Question, Unit, photo_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from equipoise.experiments.subject import BoundRun
    from equipoise.view import Photo


@dataclass(frozen=True, eq=False)
class Located(Question):
    """A question whose answer is known to lie somewhere.

    Attributes:
        masks: Where each goal's object is, ``(k, H, W)`` at the photo's own resolution.
    """

    masks: Tensor


@dataclass(frozen=True)
class Pointing(Protocol):
    """Does the map's highest point lie on the object?

    The whole photo is shown, its shorter side as long as the network's; the map is resized bilinearly to the
    photo's own resolution. A category is left out where all its boxes are marked difficult, and where the
    network has no class for it. Rows: ``pointing`` (1 hit, 0 miss), ``energy`` (share of the positive
    relevance on the object), ``positive ratio`` (share of the map's pixels above zero, before resizing).

    Args:
        tolerance: How far beside the object, in pixels of the photo, a hit may lie; TorchRay: 15.

    Source: Zhang et al. 2018, section 4; Nam & Lee 2024, section 5.3.1.
    """

    name: ClassVar[str] = "pointing"
    needs: ClassVar[str] = "masks"
    whole: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = ("pointing_game", "energy_pointing_game", "positive_ratio")
    tolerance: int = 15

    def prepare(self, unit: Unit, bench: Bench) -> tuple[Unit, Photo, Tensor, dict[int, Tensor]]:
        """See `Protocol.prepare`."""
        (sample,) = unit.samples
        photo = photo_of(sample)
        known = [one for one in sample.categories if bench.classes.target(one) is not None]
        masks = {one: torch.as_tensor(sample.mask(one)).bool() for one in known}
        return unit, photo, bench.subject.whole(photo.image)[None], masks

    def shown(self, prepared: tuple[Unit, Photo, Tensor, dict[int, Tensor]], bench: Bench) -> Tensor:  # noqa: ARG002
        """See `Protocol.shown`."""
        return prepared[2]

    def look(self, prepared: tuple[Unit, Photo, Tensor, dict[int, Tensor]], bench: Bench) -> Located:
        """See `Protocol.look`."""
        unit, photo, inputs, masks = prepared
        view = bench.view(photo, inputs, whole=True)
        goals = bench.labels(unit.samples[0], view.logits) if masks else []
        where = torch.stack([masks[goal.category] for goal, _ in goals]) if goals else torch.zeros(0, 1, 1)
        return Located(view, goals, where)

    def measure(self, question: Located, bench: Bench, run: BoundRun) -> Result:  # one signature
        """See `Protocol.measure`."""
        return self.measure_all([question], bench, [run])[0]

    def measure_all(self, questions: Sequence[Located], bench: Bench, runs: Sequence[BoundRun]) -> list[Result]:  # noqa: ARG002  # one signature
        """See `Protocol.measure_all`; photos whose files are of one size go together."""
        found = [Result() for _ in questions]
        sizes: dict[tuple[int, ...], list[int]] = {}
        for place, one in enumerate(questions):
            if one.goals:
                sizes.setdefault(tuple(one.masks.shape[-2:]), []).append(place)
        for (height, width), places in sizes.items():
            asked = [questions[place] for place in places]
            each = [runs[place].heatmaps(one.inputs, one.targets) for place, one in zip(places, asked, strict=True)]
            maps, masks = torch.cat(each), torch.cat([one.masks for one in asked])
            full = metrics.resize_map(maps, (height, width))
            values = {
                "pointing_game": metrics.pointing_hit(full, masks, tolerance=self.tolerance),
                "energy_pointing_game": metrics.energy_pointing(full, masks),
                "positive_ratio": metrics.positive_ratio(maps),
            }
            goals = [[goal for goal, _ in one.goals] for one in asked]
            for place, result, own, named in zip(places, results(goals, values), each, goals, strict=True):
                found[place] = result
                for goal, one_map in zip(named, own, strict=True):
                    result.keep(goal, one_map)
        return found
