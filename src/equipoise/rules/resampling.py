r"""Interpolation whose weights have both signs, such as bicubic: shared by the weights' size.

A pool's rule divides by the pooled value, which lies among the values pooled; a bicubic value does not, and
crosses zero. There, and only there, positions share by the absolute weight:

.. math:: R_{in} = X \odot |W|^T \big(R / (|W| X)\big), \quad X = \max(x, 0) + 10^{-9}

:math:`W` is separable, so it is kept as one matrix per axis, found by running the operation itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from equipoise.engine.numerics import safe_divide
from equipoise.engine.relevance import Relevance
from equipoise.engine.rule import Rule, Step

_FLOOR = 1e-9  # lets positions without activity pass their relevance, as the pool rule does
_AVERAGES = frozenset({"nearest", "nearest-exact", "linear", "bilinear", "trilinear", "area"})
_MODE_POSITION = 3  # of interpolate(input, size, scale_factor, mode)


@dataclass(frozen=True)
class Resampled:
    """Another rule for averages, but for interpolation with weights of both signs.

    Attributes:
        rule: What averages follow.
    """

    rule: Rule

    @property
    def name(self) -> str:
        """The rule for averages, by which the coverage table calls this one."""
        return type(self.rule).__name__

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> Sequence[Relevance | None]:
        """See `Rule`."""
        arrived = relevance[0]
        matrices = signed_weights(step)
        if arrived is None or matrices is None:
            return self.rule(step, relevance)
        value = self.equation(step.data(), [matrix.abs() for matrix in matrices], arrived.value)
        return [arrived.with_value(value), *[None] * (len(step.call.inputs) - 1)]

    def equation(self, x: Tensor, weights: Sequence[Tensor], R: Tensor) -> Tensor:
        """Relevance ``(k, m, c, *in)`` of the input ``(m, c, *in)``; one matrix ``(out, in)`` of weights per axis."""
        X = x.clamp(min=0) + _FLOOR
        return X * _along(safe_divide(R, _along(X, weights)), [weight.mT for weight in weights])


def signed_weights(step: Step) -> list[Tensor] | None:
    """The matrix ``(out, in)`` of an interpolation along each axis; ``None`` where no weight is negative."""
    call = step.call
    if call.name not in {"interpolate", "upsample"} or len(call.inputs) != 1:
        return None
    mode = call.kwargs.get("mode", call.args[_MODE_POSITION] if len(call.args) > _MODE_POSITION else "nearest")
    if mode in _AVERAGES:
        return None
    space = call.inputs[0].shape[2:]
    like = step.data()
    matrices = []
    for axis, size in enumerate(space):
        # Images that vary along this axis alone: along the others the weights add up to 1.
        shape = [size, 1, *[size if other == axis else 1 for other in range(len(space))]]
        units = torch.eye(size, dtype=like.dtype, device=like.device).reshape(shape).expand(size, 1, *space)
        matrices.append(step.run([units])[0][:, 0].movedim(1 + axis, 1).flatten(2)[..., 0].mT)
    return matrices if any(bool((matrix < 0).any()) for matrix in matrices) else None


def _along(x: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """``x`` ``(..., *space)`` with one matrix applied along each of the last axes."""
    for axis, matrix in enumerate(matrices, start=-len(matrices)):
        x = (x.movedim(axis, -1) @ matrix.mT).movedim(-1, axis)
    return x
