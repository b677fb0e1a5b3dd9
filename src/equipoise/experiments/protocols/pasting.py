"""Photos into which something is pasted, pixel by pixel as the network sees them: nothing else changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from equipoise import metrics
from equipoise.errors import DataError
from equipoise.experiments.model.rows import Goal, Result, results

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

    from equipoise.datasets import Sample
    from equipoise.experiments.protocols.base import Bench
    from equipoise.experiments.subject import BoundRun, Subject

BEFORE: Final = "before"
AFTER: Final = "after"


@dataclass(frozen=True, eq=False)
class Pasted:
    """A photo before and after, 8 bits a pixel, so that both are files as any other.

    Attributes:
        before: ``(h, w, 3)`` as the network sees it, before it is normalized.
        after: The same but for the mask.
        mask: ``(h, w)``, true where something was pasted.
    """

    before: Tensor
    after: Tensor
    mask: Tensor

    def image(self, *, after: bool) -> Image.Image:
        """One of the two as a photo."""
        from PIL import Image  # noqa: PLC0415  # a list of recipes does not need it

        return Image.fromarray((self.after if after else self.before).numpy())

    def inputs(self, subject: Subject, *, after: bool) -> Tensor:
        """One of the two as the network takes it, ``(1, 3, h, w)``."""
        pixels = (self.after if after else self.before).permute(2, 0, 1).float() / 255
        return subject.network.pictures.normalize(pixels)[None]


@dataclass(frozen=True, eq=False)
class Compared:
    """What every method is asked of a photo before and after.

    Attributes:
        inputs: What the network takes after, ``(1, 3, h, w)``.
        before: And before.
        mask: What was pasted, ``(h, w)``.
        goals: What is explained.
        targets: The same as a method takes it.
        roles: What each goal stands for, where there are several; rows name it before the stage.
    """

    inputs: Tensor
    before: Tensor
    mask: Tensor
    goals: list[Goal]
    targets: list[int]
    roles: tuple[str, ...] = ()


def measured(questions: Sequence[Compared], bench: Bench, runs: Sequence[BoundRun], tolerance: float) -> list[Result]:
    """How much of the relevance lies on what was pasted, with it and, at the same place, without."""
    found = [Result() for _ in questions]
    asked = [place for place, one in enumerate(questions) if one.targets]
    if not asked:
        return found
    some = [questions[place] for place in asked]
    masks = torch.cat([one.mask.expand(len(one.targets), *one.mask.shape) for one in some])
    after = [runs[place].heatmaps(one.inputs, one.targets) for place, one in zip(asked, some, strict=True)]
    before = bench.subject.heatmaps(
        runs[asked[0]], torch.cat([one.before for one in some]), [one.targets for one in some]
    )
    for stage, each in ((AFTER, after), (BEFORE, before)):
        maps = torch.cat(each)
        values = {
            "energy_pointing_game": metrics.energy_pointing(maps, masks),
            "pointing_game": metrics.pointing_hit(maps, masks, tolerance=tolerance),
            "positive_ratio": metrics.positive_ratio(maps),
            "net_relevance": net_relevance(maps, masks),
        }
        for place, one, result in zip(asked, some, results([one.goals for one in some], values), strict=True):
            count = len(values)
            details = [f"{role} {stage}" for role in one.roles] if one.roles else [stage] * len(one.goals)
            found[place].rows += [replace(row, detail=details[at // count]) for at, row in enumerate(result.rows)]
    for place, one, own in zip(asked, some, after, strict=True):
        for goal, one_map in zip(one.goals, own, strict=True):
            found[place].keep(goal, one_map)
    return found


def net_relevance(maps: Tensor, masks: Tensor) -> Tensor:
    """Of each map ``(n, h, w)`` its sum on the mask over the sum of its magnitude there, -1 to 1, ``(n,)``.

    Returns:
        NaN for a map that is zero there or not finite.
    """
    inside = maps * masks
    return inside.sum((1, 2)) / inside.abs().sum((1, 2))


def seen(subject: Subject, sample: Sample) -> Tensor:
    """A photo as the network sees it, 8 bits a pixel, ``(h, w, 3)``."""
    pixels = subject.network.pictures.pixels(sample.image())
    return (pixels.permute(1, 2, 0) * 255).round().clamp(0, 255).to(torch.uint8)


def cut_out(sample: Sample, category: int) -> tuple[Image.Image, Image.Image]:
    """An object and its mask, cut to the rectangle around it.

    Raises:
        DataError: If the mask is empty.
    """
    from PIL import Image  # noqa: PLC0415  # as above

    mask = Image.fromarray(np.asarray(sample.mask(category), dtype=np.uint8) * 255)
    box = mask.getbbox()
    if box is None:
        raise DataError(f"{sample.key}: the mask is empty")
    return sample.image().crop(box), mask.crop(box)


def paste(
    before: Tensor,
    thing: Image.Image,
    mask: Image.Image,
    *,
    scale: float,
    place: tuple[float, float],
    feather: int = 0,
) -> Pasted:
    """Put an object into a photo.

    Args:
        before: The photo, ``(h, w, 3)``, uint8.
        thing: The object.
        mask: Of the same size: 0 where it is not.
        scale: Longer side of the object, as a share of the photo's shorter one.
        place: How far right and down, 0 to 1 of the room that there is.
        feather: Over how many pixels inward from its border the object fades into the photo; 0: not at all.
    """
    height, width = before.shape[:2]
    factor = scale * min(height, width) / max(thing.size)
    size = (max(1, round(thing.width * factor)), max(1, round(thing.height * factor)))
    from PIL import Image  # noqa: PLC0415  # as above

    pixels = torch.from_numpy(np.array(thing.resize(size, Image.Resampling.BICUBIC)))
    small = torch.from_numpy(np.array(mask.resize(size, Image.Resampling.NEAREST))) > 0
    left, top = (round(share * (room - side)) for share, room, side in zip(place, (width, height), size, strict=True))
    where = torch.zeros(height, width, dtype=torch.bool)
    where[top : top + size[1], left : left + size[0]] = small
    full = before.clone()
    full[top : top + size[1], left : left + size[0]] = pixels
    alpha = where.float()
    if feather:
        alpha = alpha * F.avg_pool2d(alpha[None, None], 2 * feather + 1, 1, feather)[0, 0]
    mixed = before + alpha[..., None] * (full.float() - before.float())
    after = torch.where(where[..., None], mixed.round().clamp(0, 255).to(torch.uint8), before)
    return Pasted(before, after, where)


def lettering(text: str, width: int) -> Image.Image:
    """Words as wide as asked for, at most, in hard letters: 255 on a letter, else 0."""
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415  # as above

    size = 4
    while ImageFont.load_default(size + 1).getlength(text) <= width:
        size += 1
    font = ImageFont.load_default(size)
    left, top, right, bottom = font.getbbox(text)
    found = Image.new("L", (max(1, int(right - left)), max(1, int(bottom - top))))
    draw = ImageDraw.Draw(found)
    draw.fontmode = "1"
    draw.text((-left, -top), text, fill=255, font=font)
    return found


def scores_of(bench: Bench, inputs: Tensor) -> Tensor:
    """What the network says after, which is known already where several photos were asked about at once: ``(C,)``."""
    return bench.heard.scores if bench.heard is not None else bench.subject.forward(inputs)[0]
