"""What the perturbation study sets beside the methods: as many pixels, in one piece, anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise import metrics
from equipoise.experiments.protocols.study import TOP_SHARE

if TYPE_CHECKING:
    from torch import Tensor, nn


def disc(_model: nn.Module, inputs: Tensor, _target: object) -> Tensor:
    """A "method" that knows nothing but is in one piece: a disc at a random place, ``(1, 1, h, w)``.

    The counterpart of ``random``, whose highest pixels are scattered.
    """
    height, width = inputs.shape[-2:]
    seed = int(inputs.double().abs().sum().item() * 1e3) % 2**31  # another place in every image, the same in every run
    mask = metrics.clustered_mask((height, width), round(TOP_SHARE * height * width), seed)
    return mask.to(inputs)[None, None]
