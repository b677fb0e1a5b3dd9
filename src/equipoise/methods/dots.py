"""Whether a map shows the strides of a network's 1x1 layers as a regular grid, and what is said then.

A layer of 1x1 with stride 2 reads one position in four; a rule that goes layer by layer gives the others nothing of its
relevance. Where much of it takes that way, such as the shortcuts of a residual network, the map is dots.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod, sqrt
from typing import TypeAlias

import torch
from torch import Tensor

from equipoise._typing import Float
from equipoise.engine import OpKind, Trace
from equipoise.engine.rule import Step
from equipoise.errors import UnsupportedOperationError
from equipoise.metrics.strides import dot_share, stride_energy

Strided: TypeAlias = "tuple[tuple[int, int], tuple[int, int], str]"
"""A layer: the pixels from one position that it reads to the next, its stride, and the module's name."""

CELLS = 9
"""So many periods a map needs for dots to be told from what a photo shows."""

_FULLER = 1.4  # times its area, at least, a window of dots holds; with few cells an object has more
_REPEATS = 0.2  # of the fine structure that repeats with the stride, above what it is by chance


def strided_pointwise(trace: Trace) -> list[Strided]:
    """The layers of 1x1 that step over positions of a photo, one of each period.

    Returns:
        From the finest on.
    """
    pixels = trace.input.shape[2:]
    found: dict[tuple[int, int], tuple[tuple[int, int], str]] = {}
    for call in trace.calls:
        if call.kind is not OpKind.LINEAR or call.name == "linear" or len(pixels) != 2:
            continue
        try:
            layer = Step(call, trace).linear_map()
        except UnsupportedOperationError:  # which a rule that meets it says
            continue
        geometry, positions = layer.geometry, call.inputs[0].shape[2:]
        if geometry is None or geometry.transposed or not layer.pointwise or max(geometry.stride) == 1:
            continue
        down, across = (
            round(side / count) * step for side, count, step in zip(pixels, positions, geometry.stride, strict=True)
        )
        if min(down, across) > 0:
            found.setdefault((down, across), ((geometry.stride[0], geometry.stride[1]), call.site.module))
    return [(period, *found[period]) for period in sorted(found, key=prod)]


def grid_notes(layers: list[Strided], attribution: Float[Tensor, "k n c h w"]) -> list[str]:
    """A sentence for each map that shows a regular grid.

    Args:
        layers: Of the network, as `strided_pointwise` gives them.
        attribution: Of each target and image.
    """
    n = attribution.shape[1]
    maps = attribution.detach().sum(2).flatten(0, 1)
    if not layers or not len(maps):
        return []
    worst, place = torch.stack([over.double() for over in _over(layers, maps)]).max(0)
    found = torch.where(worst > 1, place // 2, -1).tolist()  # a device is waited for once
    return [
        f"image {one % n}, target {one // n}: {_sentence(layers[layer])}"
        for one, layer in enumerate(found)
        if layer >= 0
    ]


def _over(layers: list[Strided], maps: Float[Tensor, "m h w"]) -> Iterator[Float[Tensor, " m"]]:
    """For each layer twice, as dots and as a pattern: what a map has of what would be too much; 0: not known."""
    none = maps.new_zeros(len(maps))
    for (down, across), (tall, broad), _ in layers:
        rows, columns = maps.shape[1] // down, maps.shape[2] // across
        cells = rows * columns
        if cells < CELLS:
            yield none
        else:
            share = dot_share(maps, (down, across), (down // tall, across // broad)) * tall * broad
            yield share.nan_to_num() / max(_FULLER, 1 + 3 / sqrt(cells))
        if down != across or min(rows, columns) < 3:  # narrower than the neighborhoods of two multiples
            yield none
        else:
            chance = 9 / cells
            yield stride_energy(maps, down).nan_to_num() / (chance + _REPEATS)


def _sentence(layer: Strided) -> str:
    (down, across), _, module = layer
    step = str(down) if down == across else f"{down} by {across}"
    place = f"{module} " if module else "one "
    return (
        f"the map shows a regular grid with a step of {step} pixels, which is the network's and not the photo's: "
        f"layers with strides, such as {place}of 1x1, read some pixels more than others; grad_cam and rise, which do "
        "not go down layer by layer, show whether the place is right"
    )
