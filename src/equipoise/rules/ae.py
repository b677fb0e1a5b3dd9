r"""Attribution Equilibrium's rule for a layer of weights.

Nam & Lee, *Illuminating Salient Contributions in Neuron Activation with Attribution Equilibrium*,
IEEE T-PAMI 2024, section 4.2. With :math:`P', N'` the positive and negative part of the arriving
relevance, each scaled to the layer's share of :math:`\tau` (Eq. 6), and
:math:`J(x, w, R)_i = x_i \sum_j w_{ij} R_j / \sum_{i'} x_{i'} w_{i'j}`:

.. math::
    C &= J(x^+, |w|, \gamma P' + N') & \text{(Eq. 8)} \\
    A &= J(1[x > 0], |w|, P')        & \text{(Eq. 10)} \\
    U &= J(1[x \le 0], |w|, N')      & \text{(Eq. 11)} \\
    \Psi_i &= \tau\, 1[x_i > 0] / \#\{x > 0\} & \text{(Eq. 12)} \\
    R &= C + A + U - \Psi            & \text{(Eq. 13)}

The sum is :math:`(\gamma - 2)\tau`. A 1x1 kernel takes :math:`\gamma = 1` and no :math:`\Psi`; its sum is 0.

`equilibrium` is these equations, to be read. What runs is `equipoise.engine.kernels.equilibrium`, which computes the
same with half of the convolutions; a test holds the two equal on random layers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from equipoise.engine.kernels.equilibrium import TERMS, FusedEquilibrium, Term
from equipoise.engine.linear_map import LinearMap
from equipoise.engine.numerics import over_samples, safe_divide, sums
from equipoise.engine.relevance import Relevance, only
from equipoise.engine.remembered import of_usual_size
from equipoise.engine.rule import Step


def equilibrium(
    x: Tensor,
    layer: LinearMap,
    R: Tensor,
    *,
    gamma: float,
    terms: Collection[str],
    share: Tensor,
    weighed: bool = False,
) -> Tensor:
    """Eq. 6 to 13, plainly.

    Args:
        x: The layer's input, ``(m, *in)``.
        layer: The layer, without its bias.
        R: Relevance of its output, ``(k, m, *out)``.
        gamma: How much positive relevance to keep, 1 to 2.
        terms: Which of ``"C"``, ``"A"``, ``"U"`` and ``"shift"`` take part.
        share: The layer's share of tau, ``(k, n)``, for each of ``n`` images.
        weighed: Whether A weighs by activity, as C does.

    Returns:
        Relevance of its input, ``(k, m, *in)``.
    """
    w, n, tau = layer.weight.abs(), share.shape[1], over_samples(share, R)

    def J(x: Tensor, R: Tensor) -> Tensor:  # noqa: N802  # Eq. 2, with the weight |w|
        return x * layer.adjoint(safe_divide(R, layer(x, w)), w)

    def balanced(part: Tensor) -> Tensor:  # Eq. 6: so that each image's sum is tau, or -tau
        return tau * safe_divide(part, over_samples(sums(part, n).abs(), part))

    P, N = balanced(R.clamp(min=0)), balanced(R.clamp(max=0))
    active, inactive = (x > 0).to(x.dtype), (x <= 0).to(x.dtype)
    psi = over_samples(safe_divide(share, sums(active[None], n)), R) * active  # Eq. 12
    if layer.pointwise:  # a 1x1 kernel
        gamma, psi = 1.0, torch.zeros_like(psi)
    parts = {
        "C": J(x.clamp(min=0), gamma * P + N),  # Eq. 7 and 8
        "A": J(x.clamp(min=0) if weighed else active, P),  # Eq. 10
        "U": J(inactive, N),  # Eq. 11
        "shift": -psi,
    }
    return sum((parts[term] for term in terms), torch.zeros_like(psi))  # Eq. 13


@dataclass(frozen=True)
class Equilibrium:
    """The rule of Eq. 6 to 13 for a convolution or linear layer.

    Attributes:
        gamma: How much positive relevance to keep, 1 to 2.
        terms: Which of the terms take part (the ablation of Table 2).
        shift_over: What the shift is spread over: the active neurons (the paper), or the entries
            where ``C`` is not zero (the authors' code).
        flat_kernel: Whether a kernel of height 1 and any width counts as 1x1, as in the authors' code.
        weighed: Whether A weighs by activity, as C does; see `equipoise.rules.ae_fine`.
    """

    gamma: float = 1.0
    terms: frozenset[Term] = frozenset(TERMS)
    shift_over: Literal["active", "nonzero"] = "active"
    flat_kernel: bool = False
    weighed: bool = False

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        arrived = only(relevance)
        fused = FusedEquilibrium(self.gamma, self.terms, self.shift_over, self.flat_kernel, self.weighed)
        usual = of_usual_size(step.call.bound()["weight"])
        value = fused(step.data(), step.linear_map(), arrived, step.n, usual=usual)
        return [arrived.with_value(value), *[None] * (len(step.call.inputs) - 1)]
