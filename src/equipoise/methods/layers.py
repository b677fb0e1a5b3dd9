"""Where the classification stage begins: the last spatial feature map."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor, nn

from equipoise._registry import Registry
from equipoise.engine import OpCall, OpKind, Output, Trace, Value, check_images, python_module, record
from equipoise.engine.canonical import open_at, source_of_views
from equipoise.engine.channels import channel_axis
from equipoise.errors import LayerError
from equipoise.methods.attention import is_attention
from equipoise.methods.shared import shared_map
from equipoise.methods.starts import head_of

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
        name: A module's dotted name; ``None`` finds the map: the last of `candidates`. VGG (the last
            ReLU, before the last pool) and AlexNet (the output of ``features``) follow the paper.
        last_maps: The exceptions.
        pick: Chooses among the maps on the way to the class scores, in order.

    Raises:
        LayerError: If the module does not exist, or no such map exists, or most of the network's layers
            that mix or see positions come after the last such map.
    """
    if name is not None:
        value = trace.layer(name)
        value = trace.twins.get(value, value)
        open_at(trace, [value])
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
        check_images(trace, *trace.ancestors(trace.output))
        raise LayerError("no spatial feature map leads to the class scores; name a layer")
    if trace.dense and pick is last_map:
        return shared_map(trace, maps, _refuse_early_start)
    _refuse_early_start(trace, maps[-1])
    found = pick(trace, maps)
    check_images(trace, found)
    return found


def candidates(trace: Trace) -> list[Value]:
    """Every spatial map on the way to the class scores, in the order of the forward pass.

    A map has more than one position and as many dimensions as what the first layer of weights reads (a
    spectrogram ``(n, mel, time)`` may be given a channel before), or as the input has (frames may be folded
    into the batch and unfolded again); and it comes from a layer of weights that worked on as many: the heads
    of an attention are no map. Class scores are none either: those of a convolution whose mean over the
    positions is the network's output belong to the classification stage, as a linear layer behind the mean
    does.
    """
    reached = trace.ancestors(trace.output)
    layers = [call for call in trace.calls if call.kind is OpKind.LINEAR and call.outputs[0] in reached]
    if not layers:
        return []
    ranks = {len(layers[0].inputs[0].shape), len(trace.input.shape)}
    head = head_of(trace)
    scores = head.inside if head else set()
    worked_on = _ranks_of_layers(trace)
    maps = [
        value
        for value in reached
        if len(value.shape) in ranks & worked_on.get(value, frozenset()) and positions(value) > 1 and _whole(value)
    ]
    return sorted([value for value in maps if value not in scores] or maps, key=lambda value: value.index)


def _whole(value: Value) -> bool:
    """Whether a map was computed, not cut, padded or put together from others."""
    call = value.producer
    if call is not None and call.kind is OpKind.MULTIPLY and len(call.inputs) == 1:
        return False  # a map times a number says no more than the map
    source = source_of_views(value)
    # A layer whose channels come last is one whose channels come first, and a view of it.
    own = source.maker is None and source.producer is not None
    return source is value or (
        own and math.prod(value.shape) == math.prod(source.shape) and positions(value) == positions(source)
    )


def _ranks_of_layers(trace: Trace) -> dict[Value, frozenset[int]]:
    """How many dimensions the layers of weights that last made each value worked on."""
    ranks: dict[Value, frozenset[int]] = {}
    for call in trace.calls:
        own = [frozenset({len(call.outputs[0].shape)})] if call.kind is OpKind.LINEAR else []
        found = frozenset().union(*(own or [ranks.get(value, frozenset()) for value in call.inputs]))
        ranks.update(dict.fromkeys(call.outputs, found))
    return ranks


def map_dims(trace: Trace) -> int:
    """How many dimensions of positions the network's first layer of weights sees, at least as many as the input."""
    layers = [call for call in trace.calls if call.kind is OpKind.LINEAR]
    dims = len(trace.input.shape)
    return max(dims, *(len(call.inputs[0].shape) for call in layers[:1])) - 2 if layers else dims - 2


def _after(trace: Trace, *values: Value) -> set[Value]:
    """``values`` and what depends on them."""
    found = set(values)
    for call in trace.calls:
        if not found.isdisjoint(call.inputs):
            found.update(call.outputs)
    return found


def rows_of_images(value: Value, trace: Trace) -> Value:
    """``value``, if each image has one row of it.

    Raises:
        LayerError: If frames, patches or the like are folded into its first axis.
    """
    if value.shape[0] != trace.n:
        usable = [made for made in candidates(trace) if made.shape[0] == trace.n]
        names = [name for name, made in trace.module_outputs.items() if name and made in usable]
        hint = (
            f"layer={names[-1]!r}" if names else "a layer after they are unfolded, or a method that ends at the pixels"
        )
        raise LayerError(
            f"the map {value.shape} holds several rows (frames?) for each of {trace.n} images, so it is no map of an "
            f"image; use {hint}"
        )
    return value


def _refuse_early_start(trace: Trace, start: Value) -> None:
    """Refuse a start that leaves most of the network out.

    Raises:
        LayerError: If more than half of the layers of weights that see several positions (pixels of a map or
            tokens) come after ``start``.
    """
    reached = trace.ancestors(trace.output)
    layers = [c for c in trace.calls if c.outputs[0] in reached and _sees_positions(c)]
    later = _after(trace, start)
    skipped = [call for call in layers if call.inputs[0] in later]
    if 2 * len(skipped) <= len(layers):
        return
    made = f" in {start.producer.site}" if start.producer else ""
    raise LayerError(
        f"the last spatial map {start.shape}{made} leaves out {len(skipped)} of the {len(layers)} layers that see "
        f"several positions: what follows works on tokens, not on maps{_better(trace, layers)}"
    )


def _better(trace: Trace, layers: list[OpCall]) -> str:
    """Which module to name instead, in words."""
    reached = trace.ancestors(trace.output)
    for name, value in reversed(trace.module_outputs.items()):
        if (
            not name
            or value not in reached
            or len(value.shape) < 3
            or value.shape[0] != trace.n
            or positions(value) < 2
        ):
            continue
        if any(is_attention(call) for call in trace.calls if call.outputs[0] in trace.ancestors(value)):
            return "; attention makes them, which no map method explains: use one such as integrated_gradients"
        later = _after(trace, value)
        if 2 * sum(call.inputs[0] in later for call in layers) <= len(layers):
            return f"; a later start is layer={name!r}, of shape {value.shape}"
    return "; use a method that needs no map, such as integrated_gradients"


def _sees_positions(call: OpCall) -> bool:
    if call.kind is not OpKind.LINEAR or not call.inputs:
        return False
    shape = call.inputs[0].shape
    places = shape[1:-1] if call.name in {"linear", "matmul"} else shape[2:]
    return math.prod(places) > 1


def positions(value: Value) -> int:
    """The number of spatial positions of a map ``(n, c, *positions)``, or ``(n, *positions, c)``."""
    channels = channel_axis(value)
    count = 1
    for axis, size in enumerate(value.shape[1:], start=1):
        count *= 1 if axis == channels else size
    return count


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
    try:
        default = find_layer(model, trace, None)
    except LayerError:  # there is no default; that is no reason not to list the others
        default = None
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
