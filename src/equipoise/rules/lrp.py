r"""Layer-wise relevance propagation: the rules for a layer of weights.

Bach et al. 2015 (*On pixel-wise explanations*), Eq. 58 (:math:`\epsilon`) and 60 (:math:`\alpha\beta`);
Montavon et al. 2019 (*Layer-wise relevance propagation: an overview*), Table 10.1; the generalized
:math:`\gamma` rule of Andeol et al. 2021. Each is written on :math:`x^\pm, w^\pm`, so signed inputs are
fine. A batch norm that follows a convolution alone is folded into it, numerically, for the denominator.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from equipoise.engine.linear_map import LinearMap
from equipoise.rules.layered import STABILIZED, Divide, Halves, Layered


@dataclass(frozen=True)
class Epsilon(Layered):
    r""":math:`R_i = x_i \sum_j w_{ij} R_j / (z_j + \epsilon\,\mathrm{sign} z_j)`, with the bias in :math:`z`."""

    divide: Divide = STABILIZED

    def equation(self, x: Tensor, layer: LinearMap, bias: Tensor, R: Tensor) -> Tensor:
        """See `Layered`."""
        return x * layer.adjoint(self.divide(R, layer(x) + bias))


@dataclass(frozen=True)
class Contribution(Layered):
    r"""The :math:`\epsilon` rule where relevance starts as the score itself: :math:`R_i = x_i \sum_j w_{ij} R_j`.

    ``R`` says which score; neither a bias nor the score's sign takes part.
    """

    fold: bool = False

    def equation(self, x: Tensor, layer: LinearMap, bias: Tensor, R: Tensor) -> Tensor:
        """See `Layered`."""
        del bias
        return x * layer.adjoint(R)


CONTRIBUTION = Contribution()
"""It has no options."""


@dataclass(frozen=True)
class AlphaBeta(Layered):
    r""":math:`R = \alpha J(\text{positive contributions}) - \beta J(\text{negative ones})`, :math:`\alpha - \beta = 1`.

    Attributes:
        alpha: Weight of what raises the output; ``beta = alpha - 1``. ``alpha=1`` is :math:`z^+`.
        bias_share: Whether the bias takes its part of the denominator.
        jointly: Whether ``x+ w+`` and ``x- w-`` share one denominator, or are normalized each alone.
    """

    alpha: float = 1.0
    bias_share: bool = True
    jointly: bool = True

    def equation(self, x: Tensor, layer: LinearMap, bias: Tensor, R: Tensor) -> Tensor:
        """See `Layered`."""
        up, down = layer.weight.clamp(min=0), layer.weight.clamp(max=0)
        halves = Halves.of(x, layer)
        raising = self._part(halves, layer, (up, down), bias.clamp(min=0), R)
        if self.alpha == 1:
            return raising
        lowering = self._part(halves, layer, (down, up), bias.clamp(max=0), R)
        return raising.mul_(self.alpha).sub_(lowering, alpha=self.alpha - 1)

    def _part(self, x: Halves, layer: LinearMap, weights: tuple[Tensor, Tensor], bias: Tensor, R: Tensor) -> Tensor:
        if self.jointly:
            z = x.through(layer, weights)
            return x.back(layer, (self.divide(R, z + bias if self.bias_share else z), weights))
        alone = [Halves((part,)) for part in x.parts]
        found = [half.back(layer, (self.divide(R, half.through(layer, weights)), weights)) for half in alone]
        return sum(found[1:], start=found[0])


@dataclass(frozen=True)
class Gamma(Layered):
    r"""The generalized :math:`\gamma` rule: contributions of the output's own sign count ``1 + gamma`` times.

    Attributes:
        gamma: How much they are favored; 0 is LRP-0.
    """

    divide: Divide = STABILIZED
    gamma: float = 0.25

    def equation(self, x: Tensor, layer: LinearMap, bias: Tensor, R: Tensor) -> Tensor:
        """See `Layered`."""
        w = layer.weight
        up, down = w + self.gamma * w.clamp(min=0), w + self.gamma * w.clamp(max=0)
        halves, z = Halves.of(x, layer), layer(x) + bias
        raised = halves.through(layer, (up, down)).add_(bias + self.gamma * bias.clamp(min=0))
        lowered = halves.through(layer, (down, up)).add_(bias + self.gamma * bias.clamp(max=0))
        s = self.divide(R, raised).mul_(torch.gt(z, 0, out=torch.empty_like(z)))
        t = self.divide(R, lowered).mul_(torch.lt(z, 0, out=torch.empty_like(z)))
        return halves.back(layer, (s, (up, down)), (t, (down, up)))


@dataclass(frozen=True)
class Flat(Layered):
    """Every input of a window gets the same: the rule of the first layer in the flat composites."""

    divide: Divide = STABILIZED

    def equation(self, x: Tensor, layer: LinearMap, bias: Tensor, R: Tensor) -> Tensor:
        """See `Layered`."""
        del bias
        ones = torch.ones_like(layer.weight)
        return layer.adjoint(self.divide(R, layer(torch.ones_like(x), ones)), ones)
