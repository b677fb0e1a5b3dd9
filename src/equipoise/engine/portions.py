"""Working on a layer in portions: a few images, a stripe of one, at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from equipoise.engine.layout import Room, in_turn, rows_like
from equipoise.engine.linear_map import LinearMap

Equation = Callable[[Sequence[Tensor], LinearMap, Tensor], Tensor]
"""From what is known of the input, each ``(m, *in)``, the layer, and relevance of its output ``(k, m, *out)`` to
that of its input ``(k, m, *in)``."""


def rows_in_turn(*relevance: Tensor) -> Iterator[slice]:
    """Slices of the rows ``m`` of tensors ``(k, m, ...)``, so that none of their slices is large."""
    room = Room.of(*(tensor[:1, :1] for tensor in relevance))
    return in_turn(relevance[0].shape[1], room.rows // max(1, len(relevance[0])))


def in_portions(equation: Equation, inputs: Sequence[Tensor], layer: LinearMap, R: Tensor) -> Tensor:
    """``equation(inputs, layer, R)``, computed so that no intermediate result is large.

    Args:
        equation: A rule whose images do not see each other, and whose result is a sum over the layer's outputs.
        inputs: Tensors as large as the layer's input, ``(m, *in)``.
        layer: The layer.
        R: Relevance of its output, ``(k, m, *out)``.

    Returns:
        ``(k, m, *in)``.
    """
    m, k = len(inputs[0]), len(R)
    room = Room.of(inputs[0][:1], R[:1, :1])
    stripes = list(layer.stripes(room.stripes))
    turns = list(in_turn(m, room.rows // max(k, 1)))
    if len(stripes) == 1 and len(turns) <= 1:
        return equation(inputs, layer, R)
    result = rows_like(inputs[0], k)
    if len(stripes) > 1:
        result.zero_()
    for rows in turns:
        for stripe in stripes:
            portion = [stripe.cut(part[rows], stripe.inside) for part in inputs]
            found = equation(portion, stripe.layer, stripe.cut(R[:, rows], stripe.outside))
            spot = stripe.cut(result[:, rows], stripe.inside)
            if len(stripes) > 1:
                spot.add_(found)
            else:
                spot.copy_(found)
    return result
