"""Over which part of the input's positions a value lies: the map of a crop is no map of the whole image."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

import torch

from equipoise.engine.operations import OpKind
from equipoise.engine.trace import OpCall, Trace, Value

Extent: TypeAlias = tuple[tuple[float, float], ...]
"""For each axis of positions where a value begins and ends, in shares of the input from 0 to 1."""

LEAST: Final = 0.75
"""A value that lies over less than this of an axis is of a part of the image; a margin that is cut off is none."""


def parts_of_the_image(trace: Trace) -> dict[Value, Extent]:
    """The values ``(n, c, *positions)`` that are of a part of it: of a crop, a half, a cell, until put together again.

    Slices, splits and concatenations say so; what layers make lies where their input lies.
    """
    rank = len(trace.input.shape)
    whole: Extent = ((0.0, 1.0),) * (rank - 2)
    found: dict[Value, Extent] = {}
    for call in trace.calls:
        given = [found.get(one, whole) for one in call.inputs if len(one.shape) == rank]
        own = _hull(given) if given else whole
        cut = call.kind is OpKind.VIEW and len(call.inputs) == 1 == len(given)
        for index, out in enumerate(call.outputs):
            smaller = cut and len(out.shape) == rank and out.shape[2:] != call.inputs[0].shape[2:]
            found[out] = _cut(call, index, own) if smaller else own
    return {value: one for value, one in found.items() if any(end - begin < LEAST for begin, end in one)}


def _hull(extents: Iterable[Extent]) -> Extent:
    """What lies over all of them."""
    return tuple((min(a for a, _ in axis), max(b for _, b in axis)) for axis in zip(*extents, strict=True))


def _cut(call: OpCall, index: int, given: Extent) -> Extent:
    """What a view leaves of an extent: it is given numbers that rise along an axis, from 1 to 2."""
    shape = call.inputs[0].shape
    found = []
    for axis, (begin, end) in enumerate(given):
        size = shape[2 + axis]
        edges = torch.linspace(1, 2, size + 1)
        sides = []
        for ramp in (edges[:-1], edges[1:]):  # where each position begins, and where it ends
            line = ramp.reshape(-1, *[1] * (len(given) - 1 - axis))
            moved = call.run(line.expand(shape).contiguous())[index]
            sides.append(moved[moved > 0] - 1)  # what a pad adds is nowhere
        if not all(side.numel() for side in sides):
            return given
        low, high = float(sides[0].min()), float(sides[1].max())
        found.append((begin + low * (end - begin), begin + high * (end - begin)))
    return tuple(found)
