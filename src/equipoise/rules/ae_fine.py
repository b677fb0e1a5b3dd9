r"""The sharper rules of Attribution Equilibrium's profile `fine`: our own, not the paper's.

Eq. 6 to 13 of `equipoise.rules.ae` carry relevance to every neuron of a window in proportion to ``|w|``, and **A** does
so whatever the neuron's activity: each layer blurs, and where no maximum pool picks winners, as in residual and
bottleneck networks, nothing undoes it. With :math:`J(x, w, R)_i = x_i \sum_j w_{ij} R_j / \sum_{i'} x_{i'} w_{i'j}`,
:math:`P', N'` and :math:`\Psi` as there, all layers of weights but the one that reads the pixels take

.. math::
    S &= J(x^+, |w|, (\gamma + 1) P' + N') \\
    U &= J(1[x \le 0], |w|, N') \\
    R &= S + U - \Psi

1. **A** weighs by activity as **C** does, so both are one term, **S** (`Equilibrium` with ``weighed``).

and those near the pixels (`near_pixels`), `SharpEquilibrium`,

.. math::
    S = J((x^+)^2, (w^+)^2, (\gamma + 1) P' + N'), \qquad U = J(1[x \le 0], w^2, N')

2. **S** goes to those neurons that excited the one above: :math:`w^+` in place of :math:`|w|`, of the weights with the
   batch norm that follows them multiplied in, since that may turn a channel over.
3. Contributions are squared, so that the larger of them take more: between a mean and a maximum.

The sum is :math:`(\gamma - 2)\tau` as before, where no relevance falls on a window that nothing excites, whose
relevance is lost; a 1x1 kernel takes :math:`\gamma = 1` and no :math:`\Psi`, and its sum is 0. Squares of relevance's
weights, not of relevance: the rules stay linear in :math:`P'` and :math:`N'`, and know no scale of ``x`` or ``w``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from equipoise._typing import Float
from equipoise.engine.kernels.equilibrium import TERMS, Term
from equipoise.engine.layout import laid_out
from equipoise.engine.linear_map import LinearMap
from equipoise.engine.numerics import over_samples, safe_divide, sums
from equipoise.engine.relevance import Relevance, only
from equipoise.engine.rule import Step
from equipoise.rules.layered import layer_of

FINEST = 4
"""Pixels between the positions of a layer's input, at most, for the layer to be near the pixels."""


@dataclass(frozen=True)
class SharpEquilibrium:
    r"""The rule near the pixels for a convolution or linear layer.

    Attributes:
        gamma: How much positive relevance to keep, 1 to 2.
        terms: Which of the paper's terms take part; of **S**, ``"C"`` is :math:`\gamma P' + N'` and ``"A"`` is
            :math:`P'`.
    """

    gamma: float = 1.0
    terms: frozenset[Term] = frozenset(TERMS)

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        arrived = only(relevance)
        R = arrived.value
        share = R.new_ones(len(R), step.n) if arrived.share is None else arrived.share
        layer, _ = layer_of(step, fold=True)  # a batch norm that turns a channel over turns over what excites it
        value = self.equation(laid_out(step.data()), layer, R, share)
        return [arrived.with_value(value), *[None] * (len(step.call.inputs) - 1)]

    def equation(self, x: Tensor, layer: LinearMap, R: Tensor, share: Float[Tensor, "k n"]) -> Tensor:
        """Relevance of the layer's input ``(k, m, *in)``.

        Args:
            x: The layer's input, ``(m, *in)``.
            layer: The layer, without its bias.
            R: Relevance of its output, ``(k, m, *out)``.
            share: The layer's share of tau, ``(k, n)``, for each of ``n`` images.
        """
        gamma = 1.0 if layer.pointwise else self.gamma
        P, N = (_balanced(part, share) for part in (R.clamp(min=0), R.clamp(max=0)))
        active = (x > 0).to(x.dtype)
        excited = _near_one(x.clamp(min=0)).square()
        weight = laid_out(_near_one(layer.weight.flatten().unsqueeze(0)).reshape(layer.weight.shape))
        kept = gamma * ("C" in self.terms) + ("A" in self.terms)
        taken = float("C" in self.terms)
        result = excited * _shared(excited, layer, weight.clamp(min=0).square(), kept * P + taken * N)
        if "U" in self.terms:
            inactive = 1 - active
            result = result + inactive * _shared(inactive, layer, weight.square(), N)
        if "shift" in self.terms and not layer.pointwise:
            result = result - over_samples(safe_divide(share, sums(active[None], share.shape[1])), R) * active
        return result


def _balanced(part: Tensor, share: Float[Tensor, "k n"]) -> Tensor:
    """Eq. 6: one part of relevance, scaled so that each image's sum has the size of its share."""
    return part * over_samples(safe_divide(share, sums(part, share.shape[1]).abs()), part)


def _shared(x: Tensor, layer: LinearMap, weight: Tensor, R: Tensor) -> Tensor:
    """What arrives at each neuron per unit of ``x``: ``J(x, weight, R) / x``."""
    return layer.adjoint(safe_divide(R, layer(x, weight)), weight)


def _near_one(x: Tensor) -> Tensor:
    """Each row of ``x`` ``(m, ...)`` by a power of two, so that its largest magnitude is 0.5 to 1.

    Squares then neither overflow nor vanish, and nothing is rounded.
    """
    if not x.numel():
        return x
    peak = x.abs().flatten(1).amax(1)
    exponent = torch.frexp(torch.where(peak.isfinite(), peak, 1.0)).exponent
    half = -exponent // 2
    shape = (-1, *[1] * (x.dim() - 1))
    return torch.ldexp(torch.ldexp(x, half.reshape(shape)), (-exponent - half).reshape(shape))


def near_pixels(step: Step) -> bool:
    """Whether a layer's input has a position for every `FINEST` pixels, or more of them, along every axis."""
    pixels, positions = step.trace.input.shape[2:], step.call.inputs[0].shape[2:]
    return len(pixels) == len(positions) > 0 and all(
        size <= FINEST * count for size, count in zip(pixels, positions, strict=True)
    )
