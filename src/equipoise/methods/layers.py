"""Where the classification stage begins: the last spatial feature map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor, nn

from equipoise._registry import Registry
from equipoise.engine import OpKind, Output, Trace, Value, python_module, record
from equipoise.errors import LayerError

LastMaps: TypeAlias = Registry[Callable[[Trace], Value]]

LAST_MAPS: LastMaps = Registry("architecture")
"""Architectures whose map in the paper is not the last one, by the qualified name of their class."""

REFERENCE_MAPS: LastMaps = Registry("architecture")
"""The same for the authors' implementation."""


STAGE_INPUTS: LastMaps = Registry("architecture")
"""Where the last stage begins, for architectures in which it is not the last larger map."""


def last_map(_trace: Trace, maps: list[Value]) -> Value:
    """The last spatial map: the plain answer of `find_layer`."""
    return maps[-1]


def find_layer(
    model: nn.Module,
    trace: Trace,
    name: str | None,
    last_maps: LastMaps = LAST_MAPS,
    pick: Callable[[Trace, list[Value]], Value] = last_map,
) -> Value:
    """The feature map where a method starts.

    Args:
        model: The network.
        trace: Its forward pass.
        name: A module's dotted name; ``None`` finds the map: the last tensor with as many dimensions
            as the input and more than one position that the class scores depend on. VGG (the last
            ReLU, before the last pool) and AlexNet (the output of ``features``) follow the paper.
        last_maps: The exceptions.
        pick: Chooses among the maps on the way to the class scores, in order.

    Raises:
        LayerError: If the module does not exist, or no such map exists.
    """
    if name is not None:
        value = trace.layer(name)
        if len(value.shape) < 3:
            raise LayerError(f"{name!r} returns {value.shape}, which has no spatial positions")
        if value not in trace.ancestors(trace.output):
            raise LayerError(f"the class scores do not depend on the output of {name!r}")
        return value
    for cls in type(model).__mro__:
        key = f"{cls.__module__}.{cls.__qualname__}"
        if key in last_maps:
            return last_maps[key](trace)
    maps = candidates(trace)
    if not maps:
        raise LayerError("no spatial feature map leads to the class scores; name a layer")
    return pick(trace, maps)


def candidates(trace: Trace) -> list[Value]:
    """Every spatial map on the way to the class scores, in the order of the forward pass."""
    dims = len(trace.input.shape)
    return sorted(
        (
            value
            for value in trace.ancestors(trace.output)
            if value.producer is not None and len(value.shape) == dims and positions(value) > 1
        ),
        key=lambda value: value.index,
    )


def positions(value: Value) -> int:
    """The number of spatial positions of a map ``(n, c, *positions)``, or ``(n, *positions, c)``."""
    channels = channel_axis(value)
    count = 1
    for axis, size in enumerate(value.shape[1:], start=1):
        count *= 1 if axis == channels else size
    return count


def channel_axis(value: Value) -> int:
    """Which axis of a map holds the channels: 1, or the last where a linear layer made the map.

    Networks such as MambaOut keep their maps channels last; the nearest layer of weights above the map,
    not counting what moves axes, tells.
    """
    pending, seen = [value], {value}
    while pending:
        call = pending.pop(0).producer
        if call is None or call.kind is OpKind.VIEW:
            continue
        if call.kind is OpKind.LINEAR:
            return len(value.shape) - 1 if call.name in {"linear", "matmul"} else 1
        fresh = [source for source in call.inputs if len(source.shape) == len(value.shape) and source not in seen]
        seen.update(fresh)
        pending.extend(fresh)
    return 1


def channels_first(tensor: Tensor, value: Value) -> Tensor:
    """``(k, n, *shape)`` of ``value`` with the channels moved to axis 2: ``(k, n, c, *positions)``."""
    return tensor.movedim(1 + channel_axis(value), 2)


@dataclass(frozen=True)
class LayerRow:
    """A module where a method can start.

    Attributes:
        name: Dotted name, for the ``layer`` option.
        kind: The module's class.
        shape: Of its output, with the batch dimension.
        is_default: Whether ``layer=None`` starts at the same map.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    is_default: bool


def list_layers(model: nn.Module, inputs: Tensor, output: Output = None) -> list[LayerRow]:
    """The modules of ``model`` whose output is a spatial map that the class scores depend on."""
    model = python_module(model)
    trace = record(model, inputs, output=output)
    usable = set(candidates(trace))
    default = find_layer(model, trace, None)
    modules = dict(model.named_modules())
    rows = [
        LayerRow(name, type(modules[name]).__name__, value.shape, value is default)
        for name, value in trace.module_outputs.items()
        if value in usable and name
    ]
    order = {name: index for index, name in enumerate(modules)}
    return sorted(rows, key=lambda row: order[row.name])


def _before_last_pool(trace: Trace) -> Value:
    pools = [call for call in trace.calls if call.kind is OpKind.MAX_POOL]
    if not pools:
        raise LayerError("this VGG has no max pool; name a layer")
    return pools[-1].inputs[0]


def _after_last_pool_but_one(trace: Trace) -> Value:
    pools = [call for call in trace.calls if call.kind is OpKind.MAX_POOL]
    if len(pools) < 2:
        raise LayerError("this VGG has no two max pools; name a layer")
    return pools[-2].outputs[0]


def _features(trace: Trace) -> Value:
    return trace.layer("features")


for _table in (LAST_MAPS, REFERENCE_MAPS):
    _table.add("torchvision.models.vgg.VGG", _before_last_pool, aliases=("timm.models.vgg.VGG",))
    _table.add("torchvision.models.alexnet.AlexNet", _features)
STAGE_INPUTS.add("torchvision.models.vgg.VGG", _after_last_pool_but_one, aliases=("timm.models.vgg.VGG",))
REFERENCE_MAPS.add("torchvision.models.densenet.DenseNet", _features)
