"""Drawn scenes as a data set: needs no file, and is the same every time."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from equipoise.datasets.base import DataSet, Sample
from equipoise.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from equipoise.datasets.drawing import Scenes
    from equipoise.datasets.problems import Problems

COUNT: Final = 500
"""How many scenes there are."""

FIRST: Final = 5_000_011
"""Seed of the first scenes: the packaged networks were trained on smaller ones."""


@dataclass(frozen=True)
class SceneSample(Sample):
    """A drawn scene, as a photo and as what it was drawn from.

    Args:
        scene: What it was drawn from, one scene.
    """

    scene: Scenes | None = field(default=None, repr=False, compare=False)


def drawn(count: int, seed: int = 0) -> list[SceneSample]:
    """Scenes that no packaged network was trained on.

    Args:
        count: How many.
        seed: Another seed, other scenes.

    Raises:
        OptionError: If ``count`` is negative.
    """
    from equipoise.datasets.drawing import draw  # noqa: PLC0415  # loads torch, which a list of data sets does not need

    every = draw(count, FIRST + seed)
    found = []
    for place in range(count):
        scene = every.take(slice(place, place + 1))
        key = f"scene {place}" if seed == 0 else f"scene {place} of seed {seed}"
        labels = tuple(int(one) for one in scene.labels[0].nonzero()[:, 0])
        sample = SceneSample(
            key,
            Path(key),
            labels,
            read_mask=partial(_mask, scene),
            read_pixels=partial(_picture, scene),
            scene=scene,
        )
        found.append(sample)
    return found


def read_scenes(name: str, folder: Path, problems: Problems) -> DataSet:
    """The first `COUNT` scenes.

    Args:
        name: Of the data set.
        folder: Not looked at.
        problems: There are none.
    """
    from equipoise.datasets.drawing import SHAPES  # noqa: PLC0415  # as above

    del folder
    return DataSet(name, tuple(SHAPES.names()), "custom", tuple(drawn(COUNT)), problems.found)


def _picture(scene: Scenes) -> Image.Image:
    from PIL import Image  # noqa: PLC0415  # a list of data sets does not need it

    return Image.fromarray((scene.images()[0].permute(1, 2, 0) * 255).round().byte().numpy())


def _mask(scene: Scenes, category: int | None) -> NDArray[np.bool_]:
    if category is None:
        found: NDArray[np.bool_] = scene.masks()[0].any(0).numpy()
        return found
    found = scene.causes(category)[0].numpy()
    if not found.any():
        raise DataError(f"there is no object of category {category} in this scene")
    return found
