"""The fused path of Attribution Equilibrium's rule, whose equations are in `equipoise.rules.ae`.

The six convolutions that a layer costs, the forward pass among them: two denominators in one batch (the third, of
the inactive neurons, is the difference from an image of ones, Eq. 11), three numerators in one transposed
convolution. The denominators serve all ``k`` targets. Large layers are worked on in stripes, many images and targets
in turn, so that no intermediate result is large; passes over a layer's pixels are done in place where they can be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from equipoise._typing import Float
from equipoise.engine import devices
from equipoise.engine.layout import Room, in_turn, laid_out, rows_like
from equipoise.engine.linear_map import LinearMap, Stripe
from equipoise.engine.numerics import in_range, no_zeros_, over_samples, rows_per_image, safe_divide, sums
from equipoise.engine.relevance import Relevance

Term: TypeAlias = Literal["C", "A", "U", "shift"]
"""A term of Eq. 13."""

TERMS: tuple[Term, ...] = ("C", "A", "U", "shift")
_CARRIED: tuple[Term, ...] = TERMS[:3]


@dataclass(frozen=True)
class FusedEquilibrium:
    """Eq. 6 to 13 for a layer of weights.

    Attributes:
        gamma: How much positive relevance to keep, 1 to 2.
        terms: Which of the terms take part.
        shift_over: What the shift is spread over: the active neurons, or the entries where ``C`` is not zero.
        flat_kernel: Whether a kernel of height 1 and any width counts as 1x1.
        weighed: Whether A weighs by activity, as C does: the two are then carried as one.
    """

    gamma: float = 1.0
    terms: frozenset[Term] = frozenset(TERMS)
    shift_over: Literal["active", "nonzero"] = "active"
    flat_kernel: bool = False
    weighed: bool = False

    @property
    def carried(self) -> frozenset[Term]:
        """The terms that are carried back each by itself."""
        if self.weighed and "A" in self.terms:
            return self.terms - {"A"} | {"C"}
        return self.terms

    def __call__(self, x: Tensor, layer: LinearMap, arrived: Relevance, n: int, *, usual: bool = False) -> Tensor:
        """Relevance of the layer's input.

        Args:
            x: The layer's input, ``(m, *in)``.
            layer: The layer.
            arrived: Relevance of its output, ``(k, m, *out)``, and its share of tau, ``(k, n)``; no
                share means all of tau.
            n: Number of images; ``m`` is a multiple of it.
            usual: Whether the weight is known to be of no extreme size.

        Returns:
            ``(k, m, *in)``.
        """
        R = arrived.value
        share = R.new_ones(len(R), n) if arrived.share is None else arrived.share
        room = Room.of(x[:1], R[:1, :1])
        weight = torch.abs(layer.weight, out=rows_like(layer.weight, 1)[0])
        weight = weight if usual else in_range(weight.unsqueeze(0)).squeeze(0)
        # A shift over the entries where C is not zero has to see all of C.
        stripes = list(replace(layer, weight=weight).stripes(room.stripes if self.shift_over == "active" else 1))
        folded = rows_per_image(len(x), n)
        turns = list(in_turn(n, room.rows // (3 * folded)))
        most = _most(stripes[0].layer) if len(stripes) == 1 < len(turns) else None
        result = rows_like(x, len(R))
        for images in turns:
            rows = slice(images.start * folded, images.stop * folded)
            some = _Arrived(R[:, rows], share[:, images])
            self._of_images(x[rows], some, stripes, room=room, most=most, out=result[:, rows])
        return result

    def _of_images(
        self, x: Tensor, arrived: _Arrived, stripes: Sequence[Stripe], *, room: Room, most: Tensor | None, out: Tensor
    ) -> None:
        """The same for images that are worked on together, written into ``out``."""
        layer, n, striped = stripes[0].layer, arrived.share.shape[1], len(stripes) > 1
        pointwise = layer.pointwise or (self.flat_kernel and layer.kernel[:1] == (1,))
        turns = [arrived.of(targets) for targets in in_turn(len(out), room.rows // (3 * len(x)))]
        # A stripe does not see all that is balanced.
        factors = [_balanced(some) if striped else None for some in turns]
        count = _count((x > 0).to(x.dtype), n) if striped else None
        if striped:
            out.zero_()
        for stripe in stripes:
            activity = _activity(stripe.cut(x, stripe.inside), stripe.layer, most, room)
            count = _count(activity.active, n) if count is None else count
            first = 0
            for some, factor in zip(turns, factors, strict=True):
                last = some is turns[-1]
                z = activity.z if last else dict(activity.z)
                R = stripe.cut(some.R, stripe.outside)
                parts = self._parts(
                    _Arrived(R, some.share, factor), z, stripe.layer, gamma=1.0 if pointwise else self.gamma, room=room
                )
                carried = next(parts).mul_(activity.x) if "C" in self.carried else rows_like(activity.x, len(R)).zero_()
                if "shift" in self.terms and not pointwise:
                    self._shift(stripe.cut(carried, stripe.fresh), some.share, count)
                if "A" in self.carried:
                    carried.add_(next(parts))
                spot = stripe.cut(out[first : first + len(R)], stripe.inside)
                whole = carried if striped else spot
                if "U" in self.terms:
                    torch.lerp(next(parts), carried, activity.active, out=whole)
                else:
                    torch.mul(carried, activity.active, out=whole)
                if striped:
                    spot.add_(whole)
                first += len(R)

    def _shift(self, carried: Tensor, share: Float[Tensor, "k n"], count: Tensor) -> None:
        """Eq. 12, in place; what it takes from inactive neurons is replaced afterwards. ``count`` has no zeros."""
        if self.shift_over == "active":
            carried.sub_(over_samples(share / count, carried))
        else:
            reached = (carried != 0).to(carried.dtype)
            carried.sub_(reached.mul_(over_samples(safe_divide(share, sums(reached, share.shape[1])), carried)))

    def _parts(
        self,
        arrived: _Arrived,
        z: dict[Term, Tensor],
        layer: LinearMap,
        *,
        gamma: float,
        room: Room,
    ) -> Iterator[Tensor]:
        """What each term carries back, ``(k, m, *in)``: three transposed convolutions, in one if there is room."""
        R = arrived.R
        memory = rows_like(R[0], 3 * len(R)).view(3, *R.shape)
        quotients = self._quotients(arrived, z, gamma, memory)
        if room.rows >= 3 * R.shape[0] * R.shape[1]:
            chosen = [_CARRIED.index(term) for term, _ in quotients]
            yield from layer.adjoint(memory if len(chosen) == 3 else memory[chosen])
        else:
            for _, s in quotients:
                yield layer.adjoint(s)

    def _quotients(
        self, arrived: _Arrived, z: dict[Term, Tensor], gamma: float, memory: Tensor
    ) -> Iterator[tuple[Term, Tensor]]:
        """The relevance over each term's denominator, which is then let go, in ``memory`` ``(3, k, m, *out)``."""
        both, positive, negative = memory
        torch.clamp(arrived.R, min=0, out=positive)
        torch.clamp(arrived.R, max=0, out=negative)
        parts = memory[1:].flatten(0, 1)
        factors = balance(memory[1:], arrived.share) if arrived.factors is None else arrived.factors
        parts.mul_(over_samples(factors, parts))
        if "C" in self.terms:
            with_a = self.carried != self.terms
            yield "C", torch.add(negative, positive, alpha=gamma + with_a, out=both).div_(z.pop("C"))
        elif "C" in self.carried:  # A alone
            yield "C", torch.div(positive, z.pop("C"), out=both)
        if "A" in self.carried:
            yield "A", positive.div_(z.pop("A"))
        if "U" in self.terms:
            yield "U", negative.div_(z.pop("U"))


@dataclass(frozen=True, slots=True)
class _Arrived:
    """Relevance that arrived at a layer.

    Attributes:
        R: That of the layer's output, ``(k, m, *out)``.
        share: Its share of tau, ``(k, n)``.
        factors: What balances it, where `R` is not all of it; see `balance`.
    """

    R: Tensor
    share: Float[Tensor, "k n"]
    factors: Tensor | None = None

    def of(self, targets: slice) -> _Arrived:
        """Some of the targets."""
        return _Arrived(self.R[targets], self.share[targets])


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


def _most(layer: LinearMap) -> Tensor:
    """What arrives where every neuron of a window is 1, ``(1, *out)``; infinite where that is nothing."""
    return no_zeros_(laid_out(layer.of_ones(layer.weight)))


def _activity(x: Tensor, layer: LinearMap, most: Tensor | None, room: Room) -> _Activity:
    """What images ``x`` bring to a layer of weights ``|w|``: two convolutions, in one if there is room."""
    both = rows_like(x, 2)
    clamped, active = both
    if layer.rectified and not devices.free_to_ask(x):
        torch.gt(x, 0, out=active)
        positive = in_range(x, out=clamped)
    else:
        torch.gt(torch.clamp(x, min=0, out=clamped), 0, out=active)
        positive = in_range(clamped)
    if room.rows >= 2 * len(x):
        if positive is not clamped:
            clamped.copy_(positive)
        z, z_active = layer(both.flatten(0, 1)).chunk(2)
    else:
        z, z_active = layer(positive), layer(active)
    most = _most(layer) if most is None else most
    # The inactive neurons' part of the most. Below rounding it is none: no neuron of the window is inactive.
    part = torch.addcmul(z.new_ones(()), z_active, most.reciprocal(), value=-1)
    z_inactive = torch.threshold_(part, 4 * torch.finfo(z.dtype).eps, torch.inf).mul_(most)
    return _Activity(positive, active, {"C": no_zeros_(z), "A": no_zeros_(z_active), "U": z_inactive})


def balance(parts: Tensor, share: Tensor) -> Tensor:
    """What to multiply the two parts of relevance ``(2, k, m, ...)`` by (Eq. 6).

    Returns:
        Factors ``(2 k, n)``, so that each part totals ``share`` ``(k, n)``; 0 where there is nothing.
    """
    totals = sums(parts.flatten(0, 1), share.shape[1]).abs_()
    return (share / no_zeros_(totals).view(2, *share.shape)).flatten(0, 1)


def _balanced(arrived: _Arrived) -> Tensor:
    """`balance` of all that arrived."""
    return balance(torch.stack([arrived.R.clamp(min=0), arrived.R.clamp(max=0)]), arrived.share)


def _count(active: Tensor, n: int) -> Tensor:
    """How many neurons of each image are active, ``(1, n)``; infinity in place of zero."""
    return no_zeros_(sums(active.unsqueeze(0), n))
