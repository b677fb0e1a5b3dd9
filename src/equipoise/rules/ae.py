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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from equipoise._typing import Float
from equipoise.engine.layout import in_turn, laid_out, rows_at_once, rows_like
from equipoise.engine.linear_map import LinearMap
from equipoise.engine.numerics import in_range, no_zeros_, over_samples, safe_divide, sums
from equipoise.engine.relevance import Relevance
from equipoise.engine.rule import Step
from equipoise.rules.structure import only

Term = Literal["C", "A", "U", "shift"]
TERMS: tuple[Term, ...] = ("C", "A", "U", "shift")
_CARRIED: tuple[Term, ...] = TERMS[:3]


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
        absolute = _Absolute(layer, rows_at_once(x[:1], R[:1, :1]))
        folded = len(x) // n
        turns = list(in_turn(n, absolute.room // (3 * folded)))
        most = absolute.most() if len(turns) > 1 else None
        result = rows_like(x, len(R))
        for images in turns:
            rows = slice(images.start * folded, images.stop * folded)
            some = absolute.activity(x[rows], most)
            for targets in in_turn(len(R), absolute.room // (3 * len(some.x))):
                last = targets.stop == len(R)
                arriving = R[targets, rows], share[targets, images]
                self._spread(*arriving, absolute, some, last=last, out=result[targets, rows])
        return result

    def _spread(
        self,
        R: Tensor,
        share: Float[Tensor, "k n"],
        absolute: _Absolute,
        to: _Activity,
        *,
        last: bool,
        out: Tensor,
    ) -> None:
        """Carry ``R`` of a few targets to the layer's input, written into ``out``; each part is let go once used."""
        layer = absolute.layer
        pointwise = layer.pointwise or (self.flat_kernel and layer.kernel[:1] == (1,))
        memory = rows_like(R[0], 3 * len(R)).view(3, *R.shape)
        quotients = self._quotients(R, share, 1.0 if pointwise else self.gamma, to.z, memory, last=last)
        if absolute.room >= 3 * len(R) * len(to.x):
            chosen = [_CARRIED.index(term) for term, _ in quotients]
            parts = iter(absolute.adjoint(memory if len(chosen) == 3 else memory[chosen]))
        else:
            parts = (absolute.adjoint(s) for _, s in quotients)
        if "C" in self.terms:
            torch.mul(next(parts), to.x, out=out)
        else:
            out.zero_()
        if "shift" in self.terms and not pointwise:
            self._shift(out, share, to.active)
        if "A" in self.terms:
            out.add_(next(parts))
        if "U" in self.terms:
            torch.lerp(next(parts), out, to.active, out=out)
        else:
            out.mul_(to.active)

    def _shift(self, carried: Tensor, share: Float[Tensor, "k n"], active: Tensor) -> None:
        """Eq. 12, in place; what it takes from inactive neurons is overwritten afterwards."""
        n = share.shape[1]
        if self.shift_over == "active":
            carried.sub_(over_samples(safe_divide(share, sums(active.unsqueeze(0), n)), carried))
        else:
            spread = (carried != 0).to(carried.dtype)
            carried.sub_(spread.mul_(over_samples(safe_divide(share, sums(spread, n)), carried)))

    def _quotients(
        self, R: Tensor, share: Tensor, gamma: float, z: dict[Term, Tensor], memory: Tensor, *, last: bool
    ) -> Iterator[tuple[Term, Tensor]]:
        """The relevance over each term's denominator, one after the other, in ``memory`` ``(3, k, m, *out)``."""
        take = z.pop if last else z.__getitem__
        both, positive, negative = memory
        balance_(torch.clamp(R, min=0, out=positive), share)
        balance_(torch.clamp(R, max=0, out=negative), share)
        if "C" in self.terms:
            yield "C", torch.add(negative, positive, alpha=gamma, out=both).div_(take("C"))
        if "A" in self.terms:
            yield "A", positive.div_(take("A"))
        if "U" in self.terms:
            yield "U", negative.div_(take("U"))


@dataclass(frozen=True, slots=True)
class _Activity:
    """What an image brings to a layer, the same for all its targets.

    Attributes:
        x: The positive part of the input, ``(m, *in)``.
        active: 1 where it is positive, 0 elsewhere.
        z: Each term's denominator ``(m, *out)``, infinite where it is zero.
    """

    x: Tensor
    active: Tensor
    z: dict[Term, Tensor]


class _Absolute:
    """A layer with ``|w|``.

    Args:
        layer: The layer.
        room: How many rows are worked on at once.
    """

    def __init__(self, layer: LinearMap, room: int) -> None:
        self.layer, self.room = layer, room
        self._weight = in_range(layer.weight.abs().flatten().unsqueeze(0)).reshape(layer.weight.shape)

    def adjoint(self, s: Tensor) -> Tensor:
        """``|w|^T s``."""
        return self.layer.adjoint(s, self._weight)

    def most(self) -> Tensor:
        """What arrives where every neuron of a window is 1, ``(1, *out)``; infinite where that is nothing."""
        return no_zeros_(laid_out(self.layer.of_ones(self._weight)))

    def activity(self, x: Tensor, most: Tensor | None) -> _Activity:
        """What images ``x`` bring to the layer: two convolutions, in one if there is room."""
        both = rows_like(x, 2)
        clamped, active = torch.clamp(x, min=0, out=both[0]), torch.gt(x, 0, out=both[1])
        positive = in_range(clamped)
        if self.room >= 2 * len(x):
            if positive is not clamped:
                clamped.copy_(positive)
            z, z_active = self.layer(both.flatten(0, 1), self._weight).chunk(2)
        else:
            z, z_active = self.layer(positive, self._weight), self.layer(active, self._weight)
        most = self.most() if most is None else most
        # The inactive neurons' part of the most. Below rounding it is none: no neuron of the window is inactive.
        part = torch.addcmul(z.new_ones(()), z_active, most.reciprocal(), value=-1)
        z_inactive = torch.threshold_(part, 4 * torch.finfo(z.dtype).eps, torch.inf).mul_(most)
        return _Activity(positive, active, {"C": no_zeros_(z), "A": no_zeros_(z_active), "U": z_inactive})


def balance_(part: Tensor, share: Float[Tensor, "k n"]) -> None:
    """Scale the positive or the negative part of relevance in place to a total of ``share`` (Eq. 6); zero stays."""
    part.mul_(over_samples(safe_divide(share, sums(part, share.shape[1]).abs()), part))
