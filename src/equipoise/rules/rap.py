r"""Relative attributing propagation (Nam et al. 2020, *Relative attributing propagation*, AAAI), section 3.

Relevance goes wholly by the raising contributions ``x+ w+``, and once more, in proportion to their
strength, by the lowering ones; a uniform shift of the reached neurons restores the sum, so that
unimportant neurons turn negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from equipoise.engine.linear_map import LinearMap
from equipoise.engine.numerics import over_samples, safe_divide, shift_to, sums, without_residue, without_rounding
from equipoise.engine.relevance import Relevance, only
from equipoise.engine.rule import Step
from equipoise.rules.layered import Layered, layer_of, may_be_negative


@dataclass(frozen=True)
class RelativeAttribution(Layered):
    """The rule of the layers below the classifier's last.

    A convolution sends negative relevance by the lowering contributions, a linear layer by the
    raising ones; so do the authors. Signed inputs take part as ``(-x)+`` with ``-w``.

    Attributes:
        exact: Whether a neuron counts as reached however little it fires, as in the authors' code; else rounding does
            not count.
    """

    fold: bool = False
    exact: bool = False
    in_portions: ClassVar[bool] = False  # the shift is over the whole image

    def equation(self, x: Tensor, layer: LinearMap, bias: Tensor, R: Tensor) -> Tensor:
        """See `Layered`."""
        return self.of_images(x, layer, bias, R, x.shape[0])

    def of_images(self, x: Tensor, layer: LinearMap, bias: Tensor, R: Tensor, n: int) -> Tensor:
        """See `Layered`."""
        del bias
        x = x if self.exact else without_rounding(x, n)  # the shift counts the neurons that are reached
        C = self._half(x.clamp(min=0), layer, layer.weight, R)
        if may_be_negative(x, layer):
            C = C + self._half((-x).clamp(min=0), layer, -layer.weight, R)
        return shift_to(C if self.exact else without_residue(C, n), sums(R, n), n)

    def _half(self, x: Tensor, layer: LinearMap, weight: Tensor, R: Tensor) -> Tensor:
        up, down = weight.clamp(min=0), (-weight).clamp(min=0)
        raising, lowering = layer(x, up), layer(x, down)
        present = (raising + lowering) != 0
        strength = safe_divide(lowering, raising + lowering)
        positive, negative = R.clamp(min=0), R.clamp(max=0)
        by_up, by_down = positive * present, R * strength
        if layer.geometry is None:
            by_up = by_up + negative * present
        else:
            by_down = by_down + negative * present
        s, t = safe_divide(by_up, raising), safe_divide(by_down, lowering)
        return x * (layer.adjoint(s, up) + layer.adjoint(t, down))


@dataclass(frozen=True)
class Magnitude(Layered):
    """The classifier's last layer where relevance starts as 1: every input by the size of its contribution.

    `LastLayerAttribution` without the bias, over the absolute value of what it sums to.
    """

    fold: bool = False

    def equation(self, x: Tensor, layer: LinearMap, bias: Tensor, R: Tensor) -> Tensor:
        """See `Layered`."""
        del bias
        x, weight = x.abs(), layer.weight.abs()
        return x * layer.adjoint(safe_divide(R, layer(x, weight)), weight)


@dataclass(frozen=True)
class LastLayerAttribution:
    """The classifier's last layer: every input gets the sign of the logit, by the size of its contribution.

    The bias is shared among raising and lowering contributions in proportion to their totals.
    """

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        arrived = only(relevance)
        layer, bias = layer_of(step, fold=False)
        value = self.equation(step.data(), layer, bias, arrived.value)
        return [arrived.with_value(value), *[None] * (len(step.call.inputs) - 1)]

    def equation(self, x: Tensor, layer: LinearMap, bias: Tensor, R: Tensor) -> Tensor:
        """Relevance ``(k, m, *in)`` of the input from one-hot ``R`` ``(k, m, *out)``."""
        positive, negative = x.clamp(min=0), x.clamp(max=0)
        up, down = layer.weight.clamp(min=0), layer.weight.clamp(max=0)
        by_up, by_down = layer(positive, up), layer(positive, down)
        raising, lowering = by_up + layer(negative, down), by_down + layer(negative, up)
        part = safe_divide(raising, raising + lowering)
        s, t = safe_divide(bias * part, by_up), safe_divide(bias * (1 - part), by_down)
        c = x * layer.adjoint(R) + positive * (layer.adjoint(R * s, up) + layer.adjoint(R * t, down))
        n = x.shape[0]
        scale = safe_divide(sums(c, n), sums(c.abs(), n))
        return c.abs() * over_samples(scale, c)
