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
from equipoise.rules.layered import STABILIZED, Divide, Layered


@dataclass(frozen=True)
class Epsilon(Layered):
    r""":math:`R_i = x_i \sum_j w_{ij} R_j / (z_j + \epsilon\,\mathrm{sign} z_j)`, with the bias in :math:`z`."""

    divide: Divide = STABILIZED

    def equation(self, x: Tensor, layer: LinearMap, bias: Tensor, R: Tensor) -> Tensor:
        """See `Layered`."""
        return x * layer.adjoint(self.divide(R, layer(x) + bias))


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
        raising = self._part(x, layer, (up, down), bias.clamp(min=0), R)
        if self.alpha == 1:
            return raising
        lowering = self._part(x, layer, (down, up), bias.clamp(max=0), R)
        return self.alpha * raising - (self.alpha - 1) * lowering

    def _part(self, x: Tensor, layer: LinearMap, weights: tuple[Tensor, Tensor], bias: Tensor, R: Tensor) -> Tensor:
        positive, negative = x.clamp(min=0), x.clamp(max=0)
        z = [layer(positive, weights[0]), layer(negative, weights[1])]
        share = bias if self.bias_share else 0.0
        if self.jointly:
            both = self.divide(R, z[0] + z[1] + share)
            return positive * layer.adjoint(both, weights[0]) + negative * layer.adjoint(both, weights[1])
        return positive * layer.adjoint(self.divide(R, z[0]), weights[0]) + negative * layer.adjoint(
            self.divide(R, z[1]), weights[1]
        )


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
        positive, negative = x.clamp(min=0), x.clamp(max=0)
        z = layer(x) + bias
        raised = layer(positive, up) + layer(negative, down) + bias + self.gamma * bias.clamp(min=0)
        lowered = layer(positive, down) + layer(negative, up) + bias + self.gamma * bias.clamp(max=0)
        s = torch.where(z > 0, self.divide(R, raised), 0.0)
        t = torch.where(z < 0, self.divide(R, lowered), 0.0)
        return positive * (layer.adjoint(s, up) + layer.adjoint(t, down)) + negative * (
            layer.adjoint(s, down) + layer.adjoint(t, up)
        )


@dataclass(frozen=True)
class Flat(Layered):
    """Every input of a window gets the same: the rule of the first layer in the flat composites."""

    divide: Divide = STABILIZED

    def equation(self, x: Tensor, layer: LinearMap, bias: Tensor, R: Tensor) -> Tensor:
        """See `Layered`."""
        del bias
        ones = torch.ones_like(layer.weight)
        return layer.adjoint(self.divide(R, layer(torch.ones_like(x), ones)), ones)
