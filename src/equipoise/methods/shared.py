"""Where a method starts in a network that says more than one thing: at the last map that all of it shares.

The paper defines the start for classifiers alone, as the last map before the pooling. This one is ours: a class for
each pixel, or a box, is made from maps by layers of its own; what they share is the last map that each of these maps
depends on. Where scores are sums of such maps, as where fine maps of an early stage are added at the end, and that
would leave out most of the network, it is the last map of all.
"""

from __future__ import annotations

from collections.abc import Callable

from equipoise.engine import OpKind, Trace, Value
from equipoise.errors import LayerError


def shared_map(trace: Trace, maps: list[Value], refuse_early: Callable[[Trace, Value], None]) -> Value:
    """The last of ``maps`` that all scores share.

    Args:
        trace: The forward pass of a network whose raw output is read.
        maps: Every map on the way to the scores, in order.
        refuse_early: Raises `LayerError` if a start leaves out most of the network.

    Raises:
        LayerError: If there is none.
    """
    scores = _class_scores(trace)
    whole = [value for value in maps if value not in scores and value.shape[0] == trace.n]
    if not whole:
        raise LayerError("no spatial map is shared by what the network says; name a layer")
    above = {value: trace.ancestors(value) for value in whole}
    in_turn = any(value.producer is not None and value.producer.kind is OpKind.CONCATENATE for value in scores)
    last = [value for value in whole if not any(value in above[other] for other in whole if other is not value)]
    for value in reversed(whole):
        if all(value in above[end] for end in last):
            try:
                refuse_early(trace, value)
            except LayerError:
                if not in_turn:
                    break
            return value
    return whole[-1]


def _class_scores(trace: Trace) -> set[Value]:
    """What the last layers of weights made, and all that is made of it."""
    found: set[Value] = set()
    pending = [trace.output]
    while pending:
        value = pending.pop()
        if value not in found:
            found.add(value)
            if value.producer is not None and value.producer.kind is not OpKind.LINEAR:
                pending.extend(value.producer.inputs)
    return found
