"""Which axis of a map holds the channels."""

from __future__ import annotations

import torch

from equipoise.engine.operations import OpKind
from equipoise.engine.trace import OpCall, Value

_WRITING = frozenset({"setitem", "overwrite", "copy", "pad", "index_copy", "slice_scatter", "select_scatter"})


def channel_axis(value: Value) -> int:
    """The axis of the channels of a map: where the nearest layer of weights puts them, and views carry them.

    Networks such as MambaOut keep their maps channels last; there it is the last axis.
    """
    return _channels_of(value, set())


def _channels_of(value: Value, seen: set[Value]) -> int:
    call = value.producer or value.maker
    if call is None or value in seen or len(value.shape) < 2:
        return 1
    seen.add(value)
    if call.kind is OpKind.LINEAR:
        return len(value.shape) - 1 if call.name == "linear" else 1
    if call.name in _WRITING and len(call.inputs[0].shape) == len(value.shape):
        return _channels_of(call.inputs[0], seen)
    if call.kind is OpKind.VIEW and len(call.inputs) == 1 and not call.inputs[0].discrete:
        return _moved(call, value, _channels_of(call.inputs[0], seen))
    if call.inputs and len(call.inputs) == 1 and len(call.inputs[0].shape) != len(value.shape):
        return _moved(call, value, _channels_of(call.inputs[0], seen))  # a mean or a maximum over some axes
    alike = [source for source in call.inputs if len(source.shape) == len(value.shape) and not source.discrete]
    return _channels_of(max(alike, key=lambda source: torch.Size(source.shape).numel()), seen) if alike else 1


def _moved(call: OpCall, value: Value, axis: int) -> int:
    """Where a view puts an axis: found by moving the numbers of its entries."""
    source = call.inputs[0]
    if len(source.shape) <= axis or source.shape[axis] == 1:
        return 1 if len(source.shape) <= axis or len(value.shape) != len(source.shape) else axis
    size = source.shape[axis]
    shape = [1] * len(source.shape)
    shape[axis] = size
    numbers = torch.arange(size, dtype=torch.float32).reshape(shape).expand(source.shape)
    try:
        with torch.no_grad():
            made = call.run(numbers)[call.outputs.index(value)]
    except (RuntimeError, TypeError, ValueError):
        return 1
    for place, extent in enumerate(made.shape):
        if place and extent > 1:
            if 0 in made.shape:
                return 1
            first = made.movedim(place, 0).flatten(1)
            if bool((first == first[:, :1]).all()) and bool((first[1:, 0] != first[:-1, 0]).any()):
                return place
    return 1
