"""What a network really uses, found by changing one thing of a scene and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from equipoise._typing import Float
from equipoise.datasets.drawing import MOST, SHAPES, TEXTURES, Scenes, draw
from equipoise.scenes.networks import normalized

Answer = Callable[[Tensor], Tensor]
"""A network: normalized scenes ``(n, 3, h, w)`` to logits ``(n, shapes)``."""

_OTHER_GROUND = 104_729


def logits(network: Answer, scenes: Scenes) -> Float[Tensor, "n s"]:
    """What a network says of scenes, without gradient."""
    with torch.no_grad():
        return network(normalized(scenes.images()))


def effects(network: Answer, scenes: Scenes) -> Float[Tensor, "n o s"]:
    """What each object adds to each score: the logits less those of the same scene without it.

    Returns:
        ``(n, 3, shapes)``; NaN where there is no such object.
    """
    whole = logits(network, scenes)
    found = torch.stack([whole - logits(network, scenes.without(index)) for index in range(MOST)], dim=1)
    return found.masked_fill((scenes.shapes < 0)[..., None], torch.nan)


def same_signs(sums: Tensor, effects: Tensor) -> Tensor:
    """1 where a map's sum over an object has the sign of what the object adds, else 0; NaN where the sum is not finite.

    Args:
        sums: Of maps, over objects, any shape.
        effects: Of the same shape, on any device; see `effects`.
    """
    return (sums.sign() == effects.sign().to(sums.device)).float().masked_fill(~sums.isfinite(), torch.nan)


def flips(network: Answer, scenes: Scenes) -> Mapping[str, float]:
    """How often an answer turns over when one thing is changed, each a share from 0 to 1.

    ``"cause"``: all objects of a shape that the network sees are taken away, one shape at a time; ``"another
    object"``: one of another shape is taken away; ``"texture"``, ``"ground"``, ``"watermark"``: that is changed. A
    network whose answers rest on the shapes has the first near 1 and the others near 0.
    """
    said = logits(network, scenes) > 0
    cause, other = [], []
    for shape in range(len(SHAPES)):
        mine = scenes.shapes == shape
        seen = said[:, shape] & mine.any(1)
        gone = scenes.without_shape(shape)
        for index in range(MOST):
            alone = scenes.without(index)
            there = (scenes.shapes[:, index] >= 0) & ~mine[:, index]
            other.append(((logits(network, alone)[:, shape] > 0) != said[:, shape])[there])
        cause.append(~(logits(network, gone)[:, shape] > 0)[seen])
    changed = {
        "texture": [scenes.textured(texture) for texture in range(len(TEXTURES))],
        "ground": [scenes.on(draw(len(scenes), _OTHER_GROUND))],
    }
    found = {"cause": _share(cause), "another object": _share(other)}
    for name, others in changed.items():
        found[name] = _share([(logits(network, one) > 0) != said for one in others])
    both = [logits(network, scenes.with_watermark(marked=marked)) > 0 for marked in (False, True)]
    found["watermark"] = _share([both[0] != both[1]])
    return found


def _share(parts: list[Tensor]) -> float:
    return float(torch.cat([part.flatten() for part in parts]).double().mean())
