"""From relevance to the map that is handed back: channels summed, resized to the input."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from equipoise._typing import Float
from equipoise.engine import Trace, Value
from equipoise.engine.channels import channel_axis
from equipoise.errors import LayerError
from equipoise.methods.layers import map_dims


def channel_sum(relevance: Tensor) -> Tensor:
    """``(k, n, c, ...)`` to ``(k, n, 1, ...)``."""
    return relevance.sum(2, keepdim=True)


def pixel_map(trace: Trace, relevance: Tensor) -> Tensor:
    """Relevance of the pixels ``(k, n, c, *space)``, summed over the channels, where the input has them."""
    if relevance.dim() - 1 < map_dims(trace) + 2:
        return relevance.unsqueeze(2)
    return relevance.sum(2, keepdim=True)


def channels_first(tensor: Tensor, value: Value) -> Tensor:
    """``(k, n, *shape)`` of ``value`` with the channels moved to axis 2: ``(k, n, c, *positions)``."""
    return tensor.movedim(1 + channel_axis(value), 2)


def map_size(dims: int, shape: Sequence[int]) -> tuple[int, ...]:
    """The positions of inputs of ``shape`` that a map of ``dims`` dimensions is resized to.

    Images ``(n, c, h, w)`` have maps ``(n, 1, h, w)``. Inputs without a channel axis, such as spectrograms
    ``(n, mel, time)`` that the network itself gives one, have maps ``(n, 1, mel, time)``.

    Raises:
        LayerError: If the map's dimensions are not the input's.
    """
    for axis in (2, 1):
        if dims == len(shape) - axis:
            return tuple(shape[axis:])
    raise LayerError(
        f"a map with {dims} dimensions cannot be resized to inputs {tuple(shape)}; name another layer, or pass "
        "interpolate=False to get it as computed"
    )


def resize(maps: Float[Tensor, "k n c *space"], size: Sequence[int]) -> Float[Tensor, "k n c *larger"]:
    """Resize maps bilinearly (linearly, trilinearly) to ``size``, corners not aligned."""
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(size)]
    flat = F.interpolate(maps.flatten(0, 1), size=tuple(size), mode=mode, align_corners=False)
    return flat.reshape(*maps.shape[:2], *flat.shape[1:])


def mean_of_maps(maps: Sequence[Tensor], shape: Sequence[int], *, interpolate: bool) -> Tensor:
    """The mean of the maps of several layers ``(k, n, 1, *positions)``, resized to inputs of ``shape``.

    Raises:
        LayerError: If they cannot be resized, or must not be (``interpolate=False``) and differ in shape.
    """
    if interpolate:
        size = map_size(maps[0].dim() - 3, shape)
        maps = [one if one.shape[3:] == torch.Size(size) else resize(one, size) for one in maps]
    if len({one.shape for one in maps}) > 1:
        shapes = ", ".join(str(tuple(one.shape[3:])) for one in maps)
        raise LayerError(f"the layers' maps have the positions {shapes}, so they have no mean; leave out interpolate")
    return maps[0] if len(maps) == 1 else torch.stack(list(maps)).mean(0)
