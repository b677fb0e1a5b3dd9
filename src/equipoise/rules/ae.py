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
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from equipoise._typing import Float
from equipoise.engine.linear_map import LinearMap
from equipoise.engine.numerics import in_range, over_samples, per_sample
from equipoise.engine.relevance import Relevance
from equipoise.engine.rule import Step
from equipoise.rules.structure import only

Term = Literal["C", "A", "U", "shift"]
TERMS: tuple[Term, ...] = ("C", "A", "U", "shift")


@dataclass(frozen=True)
class Equilibrium:
    """The rule of Eq. 6 to 13 for a convolution or linear layer.

    The six convolutions that it costs, the forward pass among them: two denominators in one batch
    (the third, of the inactive neurons, is the difference from an image of ones, Eq. 11), three
    numerators in one transposed convolution. The denominators serve all ``k`` targets.

    Attributes:
        gamma: How much positive relevance to keep, 1 to 2.
        terms: Which of the terms take part (the ablation of Table 2).
        shift_over: What the shift is spread over: the active neurons (the paper), or the entries
            where ``C`` is not zero (the authors' code).
        flat_kernel: Whether a kernel of height 1 and any width counts as 1x1, as in the authors' code.
    """

    gamma: float = 1.0
    terms: frozenset[Term] = frozenset(TERMS)
    shift_over: Literal["active", "nonzero"] = "active"
    flat_kernel: bool = False

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        arrived = only(relevance)
        value = self.equation(step.data(), step.linear_map(), arrived, step.n)
        return [arrived.with_value(value), *[None] * (len(step.call.inputs) - 1)]

    def equation(self, x: Tensor, layer: LinearMap, arrived: Relevance, n: int) -> Tensor:
        """Relevance of the layer's input.

        Args:
            x: The layer's input, ``(m, *in)``.
            layer: The layer.
            arrived: Relevance of its output, ``(k, m, *out)``, and its share of tau, ``(k, n)``; no
                share means all of tau.
            n: Number of images; ``m`` is a multiple of it.

        Returns:
            ``(k, m, *in)``.
        """
        R = arrived.value
        share = R.new_ones(len(R), n) if arrived.share is None else arrived.share
        weight = in_range(layer.weight.abs().flatten().unsqueeze(0)).reshape(layer.weight.shape)
        ones = layer.of_ones(weight)
        step = images_at_once(x, R, n, len(self.terms))
        if step >= n:
            return self._of_images(x, layer, R, share, weight=weight, z_ones=ones)
        result, rows = R.new_empty((len(R), *x.shape)), len(x) // n
        for first in range(0, n, step):
            images, some = slice(first, first + step), slice(first * rows, (first + step) * rows)
            result[:, some] = self._of_images(x[some], layer, R[:, some], share[:, images], weight=weight, z_ones=ones)
        return result

    def _of_images(
        self,
        x: Tensor,
        layer: LinearMap,
        R: Tensor,
        share: Float[Tensor, "k n"],
        *,
        weight: Tensor,
        z_ones: Tensor,
    ) -> Tensor:
        """The same for images that are worked on together, with what depends on no image given."""
        n = share.shape[1]
        flat = self.flat_kernel and layer.kernel[:1] == (1,)
        pointwise = layer.pointwise or flat
        stacked, active = _activity(in_range(x))
        z, z_active = layer(stacked.flatten(0, 1), weight).chunk(2)
        s = self._quotients(R, share, 1.0 if pointwise else self.gamma, z=z, z_active=z_active, z_ones=z_ones)
        parts = dict(zip(self._order, layer.adjoint(s, weight), strict=True))
        zero = R.new_zeros(())
        result = parts["C"].mul_(stacked[0]) if "C" in parts else zero.expand(s.shape[1], *x.shape)
        if "shift" in self.terms and not pointwise:
            spread = active.unsqueeze(0) if self.shift_over == "active" else result != 0
            count = per_sample(spread, n).sum(-1)
            shift = over_samples(torch.where(count > 0, share / count, 0.0), result)
            result = result - shift if self.shift_over == "active" else result - shift * spread
        if "A" in parts:
            result = result + parts["A"]
        return torch.where(active, result, parts.get("U", zero))

    @property
    def _order(self) -> tuple[Term, ...]:
        return tuple(term for term in ("C", "A", "U") if term in self.terms)

    def _quotients(
        self, R: Tensor, share: Tensor, gamma: float, *, z: Tensor, z_active: Tensor, z_ones: Tensor
    ) -> Float[Tensor, "terms k m *out"]:
        """The relevance over each term's denominator, zero where that is zero."""
        s = R.new_empty((len(self._order), *R.shape))
        positive = balanced(R.clamp(min=0), share)
        negative = balanced(R.clamp(max=0), share)
        # An inactive share below rounding is none: no neuron of the window is inactive.
        rounding = 4 * torch.finfo(z.dtype).eps
        z_inactive = z_ones - z_active
        z_inactive.masked_fill_(z_inactive <= rounding * z_ones, torch.inf)
        for slot, term in zip(s, self._order, strict=True):
            if term == "C":
                torch.add(negative, positive, alpha=gamma, out=slot)
                slot.div_(z.masked_fill(z == 0, torch.inf))
            elif term == "A":
                torch.div(positive, z_active.masked_fill(z_active == 0, torch.inf), out=slot)
            else:
                torch.div(negative, z_inactive, out=slot)
        return s


WORKING_SET = 16 * 2**20
"""Bytes of a layer's largest intermediate result: below the 32 MiB from which glibc always asks the system for
memory anew, which then has to be cleared page by page."""


def images_at_once(x: Tensor, R: Tensor, n: int, terms: int) -> int:
    """How many images of a batch are worked on together, so that no intermediate exceeds `WORKING_SET`; at least 1.

    On an accelerator all: its memory is kept by torch, and it wants large batches.
    """
    if x.device.type != "cpu" or n < 2:
        return n
    largest = max(2 * x.numel(), terms * R.numel(), terms * len(R) * x.numel()) * x.element_size()
    return max(1, WORKING_SET * n // max(largest, 1))


def balanced(part: Tensor, share: Float[Tensor, "k n"]) -> Tensor:
    """Scale the positive or the negative part of relevance to a total of ``share`` (Eq. 6); zero stays zero."""
    total = per_sample(part, share.shape[1]).sum(-1).abs()
    factor = torch.where(total > 0, share / total, 0.0)
    return part * over_samples(factor, part)


def _activity(x: Tensor) -> tuple[Tensor, Tensor]:
    """``(x+, 1[x > 0])`` in one batch ``(2, m, ...)``, and the mask of active neurons."""
    active = x > 0
    stacked = x.new_empty((2, *x.shape))
    torch.clamp(x, min=0, out=stacked[0])
    stacked[1].copy_(active)
    return stacked, active
