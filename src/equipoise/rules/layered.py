"""What rules for a layer of weights share: the layer with its bias, and ways to divide.

A batch norm that follows a convolution alone can be folded into it, numerically; the model is not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from equipoise.engine import devices
from equipoise.engine.canonical import affine_of
from equipoise.engine.layout import laid_out
from equipoise.engine.linear_map import LinearMap
from equipoise.engine.numerics import no_zeros, safe_divide
from equipoise.engine.portions import in_portions
from equipoise.engine.relevance import Relevance, only
from equipoise.engine.rule import Step

Divide = Callable[[Tensor, Tensor], Tensor]
"""How a rule divides relevance by a denominator: `safe_divide`, `stabilized` or `shifted`."""


@dataclass(frozen=True)
class stabilized:  # noqa: N801  # reads as the verb it is: stabilized(1e-6)(R, z)
    """Division by ``z + epsilon sign(z)``, where the sign of 0 is +1.

    Attributes:
        epsilon: In units of ``z``.
    """

    epsilon: float = 1e-6

    def __call__(self, R: Tensor, z: Tensor) -> Tensor:
        """The quotient."""
        z = z + 0.0  # of a negative zero a positive one
        return R / z.add_(torch.copysign(z.new_full((), self.epsilon), z))


STABILIZED = stabilized()
"""With the usual epsilon of 1e-6."""


def shifted(R: Tensor, z: Tensor) -> Tensor:
    """Division by ``z + 1e-9``, zero where ``z`` is; what several released implementations do."""
    return R / no_zeros(z).add_(1e-9)


@dataclass(frozen=True)
class Layered:
    """A rule for layers of weights: subclasses state their equation; this brings the layer.

    Attributes:
        divide: How relevance is divided by a denominator.
        fold: Whether a batch norm behind the layer is folded into its weight and bias.
        in_portions: Whether the equation is a sum over the layer's outputs that no image's others take part in.
    """

    divide: Divide = safe_divide
    fold: bool = True
    in_portions: ClassVar[bool] = True

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        arrived, x = only(relevance), laid_out(step.data())
        layer, bias = layer_of(step, fold=self.fold)
        layer = replace(layer, weight=laid_out(layer.weight))

        def equation(inputs: Sequence[Tensor], part: LinearMap, R: Tensor) -> Tensor:
            return self.equation(inputs[0], part, bias, R)

        R = arrived.value
        whole = self.of_images
        value = in_portions(equation, [x], layer, R) if self.in_portions else whole(x, layer, bias, R, step.n)
        return [arrived.with_value(value), *[None] * (len(step.call.inputs) - 1)]

    def of_images(self, x: Tensor, layer: LinearMap, bias: Tensor, R: Tensor, n: int) -> Tensor:
        """The equation for ``n`` images whose rows belong together, for rules that look at a whole image."""
        del n
        return self.equation(x, layer, bias, R)

    def equation(self, x: Tensor, layer: LinearMap, bias: Tensor, R: Tensor) -> Tensor:
        """Relevance of the input ``(k, m, *in)`` from that of the output ``R`` ``(k, m, *out)``.

        Args:
            x: The layer's input, ``(m, *in)``.
            layer: The linear map.
            bias: Shaped to broadcast over the output.
            R: Relevance of the output.
        """
        raise NotImplementedError  # abstract: every rule of this file defines it


@dataclass(frozen=True)
class Normed:
    """Average pools and sums: each summand by its signed value, ``x_i R / f(x)``.

    Attributes:
        divide: How relevance is divided by the sum.
    """

    divide: Divide = safe_divide

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        arrived = only(relevance)
        points = [laid_out(step.data(i)) for i in range(len(step.call.inputs))]
        moved = step.vjp(lambda made: [self.divide(arrived.value, made[0])], points)
        return arrived.split([None if g is None else x * g for x, g in zip(points, moved, strict=True)])


@dataclass(frozen=True)
class Halves:
    """The parts of a layer's input by sign, without those that are empty: after a ReLU there is only one.

    Attributes:
        parts: Each part, and whether it is the positive one.
    """

    parts: tuple[tuple[Tensor, bool], ...]

    @classmethod
    def of(cls, x: Tensor, layer: LinearMap) -> Halves:
        """Of a layer's input ``x``; of one of zeros the positive part.

        An accelerator would be waited for, so it is not asked: there a part is left out only where what made ``x``
        says that it is empty.
        """
        if not may_be_negative(x, layer):
            return cls(((x, True),))
        if devices.free_to_ask(x) and bool(x.amax() <= 0):
            return cls(((x, False),))
        return cls(((x.clamp(min=0), True), (x.clamp(max=0), False)))

    def through(self, layer: LinearMap, weights: tuple[Tensor, Tensor]) -> Tensor:
        """The positive part through the first weight, the negative through the second, added."""
        parts = [layer(part, weights[0 if positive else 1]) for part, positive in self.parts]
        return sum(parts[1:], start=parts[0])

    def back(self, layer: LinearMap, *terms: tuple[Tensor, tuple[Tensor, Tensor]]) -> Tensor:
        """What arrives at each part by its weight, times the part, added; for all pairs of ``s`` and weights."""
        found = []
        for part, positive in self.parts:
            moved = [layer.adjoint(s, weights[0 if positive else 1]) for s, weights in terms]
            found.append(part * sum(moved[1:], start=moved[0]))
        return sum(found[1:], start=found[0])


def may_be_negative(x: Tensor, layer: LinearMap) -> bool:
    """Whether a layer's input has negative entries; on an accelerator, which is not asked, whether it may have."""
    if layer.rectified or x.numel() == 0:
        return False
    return not devices.free_to_ask(x) or bool(x.amin() < 0)


def layer_of(step: Step, *, fold: bool) -> tuple[LinearMap, Tensor]:
    """A layer's linear map and its bias, shaped to broadcast over the output.

    Args:
        step: The layer.
        fold: Whether to multiply in a batch norm that alone reads the layer's output. The model is not touched.
    """
    layer = step.linear_map()
    trailing = 0 if layer.geometry is None else len(layer.geometry.stride)
    shape = (-1, *[1] * trailing)
    bias = layer.weight.new_zeros(()) if layer.bias is None else layer.bias.reshape(shape)
    found = _norm_behind(step) if fold else None
    if found is None:
        return layer, bias
    scale, shift = (part.to(layer.weight.dtype) for part in found)
    bias = bias * scale.reshape(shape) + shift.reshape(shape)
    transposed = layer.geometry is not None and layer.geometry.transposed
    if transposed and layer.geometry is not None:
        groups = layer.geometry.groups
        rows = scale.reshape(groups, -1).repeat_interleave(layer.weight.shape[0] // groups, dim=0)
        weight = layer.weight * rows.reshape(layer.weight.shape[0], -1, *[1] * trailing)
    else:
        weight = layer.weight * scale.reshape(-1, *[1] * (layer.weight.dim() - 1))
    return replace(layer, weight=weight), bias


def _norm_behind(step: Step) -> tuple[Tensor, Tensor] | None:
    """Scale and shift ``(out,)`` of the batch norm that is the only reader of a layer's output."""
    output = step.call.outputs[0]
    readers = [call for call in step.trace.calls if output in call.inputs]
    return affine_of(readers[0]) if len(readers) == 1 else None
