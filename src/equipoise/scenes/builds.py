"""The packaged networks for drawn scenes as ``--model`` takes them: ``equipoise.scenes:plain_0``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise.datasets.drawing import SHAPES, SIDE
from equipoise.models import ModelSpec, Preprocessing
from equipoise.models.checkpoints import file_checksum
from equipoise.scenes.networks import DEVIATION, MEAN, load, weights

if TYPE_CHECKING:
    from equipoise.scenes.networks import Network

Built = tuple["Network", ModelSpec]


def plain_0() -> Built:
    """Five 3x3 convolutions, trained where the shape alone decides."""
    return _built("plain", 0)


def plain_1() -> Built:
    """The same, trained from another seed."""
    return _built("plain", 1)


def residual_0() -> Built:
    """Three residual blocks, trained where the shape alone decides."""
    return _built("residual", 0)


def residual_1() -> Built:
    """The same, trained from another seed."""
    return _built("residual", 1)


def shortcut_0() -> Built:
    """Five 3x3 convolutions, trained where the watermark tells of circles and stripes of squares."""
    return _built("plain_shortcut", 0)


def shortcut_1() -> Built:
    """The same, trained from another seed."""
    return _built("plain_shortcut", 1)


def _built(name: str, seed: int) -> Built:
    preprocessing = Preprocessing(
        resize=(SIDE, SIDE), crop=(SIDE, SIDE), crop_mode="squash", mean=(MEAN,) * 3, std=(DEVIATION,) * 3
    )
    spec = ModelSpec(
        name=f"scenes/{name}.{seed}",
        source="own",
        architecture=name,
        classes=tuple(SHAPES.names()),
        preprocessing=preprocessing,
        weights=str(seed),
        weights_checksum=file_checksum(weights(name, seed)),
        license="as equipoise",
        task="multi-label",
    )
    return load(name, seed), spec
