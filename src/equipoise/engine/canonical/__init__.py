"""From a tape as it was called to one in the canonical vocabulary, which is all that rules ever see.

A rule must not depend on how a network is written, only on what it computes and which of its constants are
weights. So every forward pass is brought to one spelling here, once, between the recorder and the rules:

1. words that say several things are said one by one (`spelling`, `contraction`);
2. images come first in every value (`images`);
3. layers of weights have channels second and positions after them (`layers`, `patches`);
4. a function of one signal, entry by entry, is one call (`pointwise`);
5. scalings and shifts by constants are one affine map, or the bias of their layer (`affine`);
6. sums, products, maxima and pools of several are one call each (`several`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from equipoise.engine.canonical.affine import affine_of as affine_of
from equipoise.engine.canonical.affine import gather_affine, join_affine
from equipoise.engine.canonical.arranging import gather_maxima, join_layers, spread_patches, write_concatenations
from equipoise.engine.canonical.cropping import constant_channels, crop_outputs, spread_inputs, trim_kernels
from equipoise.engine.canonical.images import images_first
from equipoise.engine.canonical.layers import absorb_padding, gather_patches, lay_out, name_averages, write_pads
from equipoise.engine.canonical.lockstep import join_frames, part_positions
from equipoise.engine.canonical.patches import SWAPS
from equipoise.engine.canonical.patches import distinct as distinct
from equipoise.engine.canonical.patches import places as places
from equipoise.engine.canonical.patches import source_of_views as source_of_views
from equipoise.engine.canonical.pointwise import expand_last, join_chains, join_pointwise, name_functions, slice_first
from equipoise.engine.canonical.pools import is_tiled as is_tiled
from equipoise.engine.canonical.pools import join_pools, join_windows
from equipoise.engine.canonical.several import distribute, join_maxima, join_products, join_sums, rectify_last, unstack
from equipoise.engine.canonical.spelling import respell
from equipoise.engine.canonical.tape import Tape
from equipoise.engine.canonical.turning import share_views, turn_layers, undo_swaps
from equipoise.engine.canonical.uncommon import name_extremes, rejoin, scale_last
from equipoise.engine.canonical.weighing import multiply_and_add
from equipoise.engine.operations import OpKind
from equipoise.engine.trace import Trace, Value

_MOVING = frozenset({OpKind.VIEW, OpKind.CONCATENATE})
# Each pass, and what there must be on the tape for it to have anything to do: kinds of operation or names.
_PASSES: tuple[tuple[Callable[[Tape], None], frozenset[OpKind | str]], ...] = (
    (name_extremes, frozenset({"sort", "kthvalue", "aminmax", "var_mean", "std_mean"})),
    (rejoin, frozenset({"cat"})),
    (multiply_and_add, frozenset({"sum", "mean"})),
    (scale_last, frozenset({"sum", "neg"})),
    (unstack, frozenset({"stack", "cat"})),
    (images_first, frozenset(OpKind)),
    (write_pads, _MOVING),
    (gather_maxima, frozenset({"gather", "take_along_dim"})),
    (write_concatenations, _MOVING),
    (share_views, frozenset({OpKind.VIEW})),
    (lay_out, frozenset({OpKind.LINEAR})),
    (join_frames, frozenset({"stack"})),
    (part_positions, frozenset({"cat"})),
    (undo_swaps, SWAPS | {"flip"}),
    (gather_patches, _MOVING),
    (spread_patches, frozenset({OpKind.VIEW})),
    (absorb_padding, frozenset({"pad"})),
    (spread_inputs, _MOVING),
    (constant_channels, frozenset({"cat"})),
    (turn_layers, SWAPS | {"flip"}),
    (undo_swaps, SWAPS | {"flip"}),
    (crop_outputs, frozenset({OpKind.VIEW})),
    (trim_kernels, frozenset({OpKind.LINEAR})),
    (name_averages, frozenset({OpKind.LINEAR})),
    (join_layers, frozenset({"cat"})),
    (distribute, frozenset({"mul", "div", "neg"})),
    (expand_last, frozenset({"expand", "broadcast_to", "expand_as"})),
    (slice_first, frozenset({"getitem", "narrow", "slice", "index_select"})),
    (join_pointwise, frozenset(OpKind)),
    (join_chains, frozenset(OpKind)),
    (join_affine, frozenset({OpKind.ADD, OpKind.MULTIPLY, OpKind.NORM})),
    (gather_affine, frozenset({"affine"})),
    (join_sums, frozenset({OpKind.ADD})),
    (join_products, frozenset({OpKind.MULTIPLY})),
    (rectify_last, frozenset({"maximum"})),
    (join_maxima, frozenset({OpKind.MAXIMUM})),
    (join_windows, frozenset({OpKind.MAX_POOL})),
    (join_pools, frozenset({OpKind.AVERAGE_POOL, OpKind.MAX_POOL})),
    (name_functions, frozenset({OpKind.ACTIVATION, OpKind.GATE})),
)


def canonicalize(trace: Trace) -> None:
    """Write `Trace.calls` from `Trace.recorded`; no call reaches across `Trace.barriers`."""
    tape = Tape(trace, trace.recorded)
    tape.each(respell)
    for change, needed in _PASSES:
        if not needed.isdisjoint(tape.kinds) or not needed.isdisjoint(tape.names):
            change(tape)
    trace.calls = tape.calls
    for value in {value for call in trace.calls for value in call.inputs}:
        value.first_reader = None
    for index, call in enumerate(trace.calls):
        call.index = index
        for value in call.inputs:
            value.first_reader = index if value.first_reader is None else value.first_reader


def open_at(trace: Trace, values: Iterable[Value]) -> None:
    """Write the canonical tape anew where ``values`` lie inside one of its calls."""
    made = {value for call in trace.calls for value in call.outputs}
    hidden = {value for value in values if value not in made and value.maker is not None}
    if hidden:
        trace.barriers |= hidden
        canonicalize(trace)
