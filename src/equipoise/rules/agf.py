r"""Attribution guided factorization.

Gur et al. 2021, *Visualization of supervised and self-supervised neural networks via attribution
guided factorization*, AAAI.

Relevance (the "CAM") and the true gradient travel together. A layer shares relevance by
:math:`|x||w|`, then adds residuals (a gradient-weighted activation, two factorizations of
activation and gradient guided by the relevance, an input-agnostic part) and takes their sum away
evenly, so that the total is kept: their section 3, Eq. 9 to 19.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from equipoise.engine.linear_map import LinearMap
from equipoise.engine.numerics import over_samples, per_sample, rows_per_image, sums, without_residue, without_rounding
from equipoise.engine.operations import OpKind
from equipoise.engine.relevance import Relevance, only
from equipoise.engine.rule import Rule, Step
from equipoise.engine.trace import Value
from equipoise.errors import RuleNotApplicableError
from equipoise.rules.layered import shifted
from equipoise.rules.pooling import TiedMaximum, Winner

_HELD_BACK = 1e-3  # of its input: less than that is the tail of an activation


@dataclass(frozen=True)
class Beside:
    """A rule for the relevance, with the chain rule for the gradient beside it.

    Attributes:
        rule: What the relevance follows.
        share_ties: Whether equal maxima share the gradient; else it is torch's derivative.
    """

    rule: Rule
    share_ties: bool = False

    def _derivative(self, step: Step, gradients: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        first = gradients[0]
        if self.share_ties and first is not None:
            if step.call.kind is OpKind.MAX_POOL and len(step.call.inputs) == 1:
                shared = TiedMaximum().equation(step, first)
                if shared is not None:
                    return [shared]
            if step.call.kind is OpKind.MAXIMUM and len(step.call.inputs) > 1:
                return [None if part is None else part.value for part in Winner()(step, [Relevance(first)])]
        return step.vjp(gradients)

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        values = self.rule(step, relevance)
        gradients = self._derivative(step, [None if r is None else r.gradient for r in relevance])
        result: list[Relevance | None] = []
        for value, gradient in zip(values, gradients, strict=True):
            if value is not None:
                result.append(replace(value, gradient=gradient))
            elif gradient is not None:
                result.append(Relevance(torch.zeros_like(gradient), gradient=gradient))
            else:
                result.append(None)
        return result


@dataclass(frozen=True)
class GradientTimesInput:
    """The last layer: relevance begins as the input times its gradient."""

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        gradient = step.vjp([only(relevance).gradient])[0]
        if gradient is None:
            raise RuleNotApplicableError("the last layer does not depend on its input")
        return [Relevance(step.data() * gradient, gradient=gradient), *[None] * (len(step.call.inputs) - 1)]


@dataclass(frozen=True)
class MaskedValue:
    """Activations, pools, sums: ``x J^T (cam / f(x))``, where relevance arrived at all.

    Attributes:
        share_ties: Whether equal maxima of a pool's window share; else torch's winner takes all.
        exact: Whether an activation's value counts however small it is, as in the authors' code.
    """

    share_ties: bool = False
    exact: bool = False

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        cam = only(relevance).value
        if step.call.kind is OpKind.MAX_POOL and self.share_ties:
            return self._of_winners(step, cam)
        if step.call.kind is OpKind.MAXIMUM and self.share_ties:
            data = [step.data(i) for i in range(len(step.call.inputs))]
            alive = Relevance(cam * (step.run(data)[0] != 0))
            return list(Winner()(step, [alive]))
        points = [step.data(i) for i in range(len(step.call.inputs))]
        made = step.run(points)
        alone = len(points) == 1 and points[0].shape == made[0].shape
        if step.call.kind is OpKind.ACTIVATION and alone and not self.exact:
            return [Relevance(self._of_function(step, points[0], made[0], cam))]
        moved = step.vjp([shifted(cam, made[0] * (cam != 0)), *[None] * (len(made) - 1)], points)
        return [None if g is None else Relevance(x * g) for x, g in zip(points, moved, strict=True)]

    def _of_function(self, step: Step, x: Tensor, made: Tensor, cam: Tensor) -> Tensor:
        """The same for an activation; where it holds its input back, the quotient is rounding, and relevance passes."""
        made = without_rounding(made, step.n)
        (moved,) = step.vjp([shifted(cam, made * (cam != 0))], [x])
        if moved is None:
            return torch.zeros_like(cam)
        tail = (made != 0) & (made.abs() <= _HELD_BACK * x.abs())
        return torch.where(tail, cam, x * moved)

    def _of_winners(self, step: Step, cam: Tensor) -> list[Relevance | None]:
        """The same for a maximum: what it makes of its winners is their value, so that they keep their relevance."""
        x = step.data()
        alive = cam * (step.run([x])[0] != 0)
        shared = TiedMaximum().equation(step, alive)
        return [None if shared is None else Relevance(shared)]


@dataclass(frozen=True)
class GuidedFactorization:
    """A layer of weights between the pixels and the last layer.

    Linear layers fed by a flattened map add the gradient-weighted activation; convolutions with a
    kernel larger than 1x1 add all residuals; every other layer shares plainly.

    Attributes:
        exact: Whether a neuron counts as reached however little it fires, as in the authors' code; else rounding does
            not count.
    """

    exact: bool = False

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        arrived = only(relevance)
        if arrived.gradient is None:
            raise RuleNotApplicableError("the gradient does not travel beside the relevance")
        cam, n = arrived.value, step.n
        layer, x = step.linear_map(), step.data()
        x = x if self.exact else without_rounding(x, n)
        gradient = layer.adjoint(arrived.gradient)
        C = x.abs() * self._shared(cam, layer, layer(x.abs(), layer.weight.abs()))
        C = C if self.exact else without_residue(C, n)
        if layer.geometry is None:
            value = self._dense(step, x, gradient, C, n)
        elif layer.pointwise:
            value = C
        else:
            masked = layer.adjoint(arrived.gradient * (cam != 0))
            A = self._shared(cam, layer, layer.of_ones(layer.weight.abs()))
            value = _add_residual(C, self._residual(x, gradient, masked, C, n) + A, n)
        return [Relevance(value, gradient=gradient), *[None] * (len(step.call.inputs) - 1)]

    def _shared(self, cam: Tensor, layer: LinearMap, z: Tensor) -> Tensor:
        return layer.adjoint(shifted(cam, z * (cam != 0)), layer.weight.abs())

    def _dense(self, step: Step, x: Tensor, gradient: Tensor, C: Tensor, n: int) -> Tensor:
        shape = _map_before_flatten(step.call.inputs[0])
        if shape is None:
            return C
        maps = (x * gradient).reshape(len(C), *shape).mean(2, keepdim=True).relu()
        M = maps.expand(len(C), *shape).reshape(C.shape)
        M = M * (C != 0)
        return _add_residual(C, _unit(M, n), n)

    def _residual(self, x: Tensor, u: Tensor, masked: Tensor, C: Tensor, n: int) -> Tensor:
        M = _unit((x * u).mean(2, keepdim=True).relu().expand_as(C), n)
        phi = C.mean(2, keepdim=True)
        F_x = _of_images(torch.sigmoid(10 * _unit(x.expand_as(C), n)), phi, n)
        F_dx = _of_images(torch.sigmoid(10 * _unit(masked, n)), phi, n)
        return shifted(F_x + M, 1 + torch.exp(-C)) + F_dx


def _of_images(ref: Tensor, phi: Tensor, n: int) -> Tensor:
    """`factorization`, where what was folded into the batch counts as positions of its image."""
    f = rows_per_image(ref.shape[1], n)
    if f == 1:
        return factorization(ref, phi)
    ref, phi = (part.reshape(part.shape[0], n, f, *part.shape[2:]).movedim(2, 3) for part in (ref, phi))
    return factorization(ref, phi).movedim(3, 2).flatten(1, 2)


def factorization(ref: Tensor, phi: Tensor) -> Tensor:
    """How much more each position resembles the positively than the negatively relevant ones.

    Args:
        ref: What is factorized, ``(k, n, c, *positions)``.
        phi: The relevance that says which positions are positive and negative, ``(k, n, 1, *positions)``.

    Returns:
        Non-negative, ``(k, n, 1, *positions)``: with the two mean vectors ``R`` (Eq. 14), the ridge
        solution ``W = ReLU((R^T R + I)^-1 R^T ref)`` (Eq. 15), then ``ReLU(W_+ - W_-)``.
    """
    space = tuple(range(3, ref.dim()))
    means = []
    for side in (phi < 0, phi > 0):
        count = side.sum(space, keepdim=True).to(ref.dtype)
        means.append(shifted((ref * side).sum(space, keepdim=True), count).flatten(2))
    R = torch.stack(means, -1)  # (k, n, c, 2)
    gram = R.mT @ R + torch.eye(2, dtype=ref.dtype, device=ref.device)
    W: Tensor = torch.linalg.solve(gram, R.mT @ ref.flatten(3)).relu()  # (k, n, 2, positions)
    return (W[:, :, 1:] - W[:, :, :1]).relu().reshape(*ref.shape[:2], 1, *ref.shape[3:])


def _unit(value: Tensor, n: int) -> Tensor:
    return shifted(value, over_samples(per_sample(value, n).amax(-1), value))


def _add_residual(C: Tensor, residual: Tensor, n: int) -> Tensor:
    """Their delta shift (Eq. 12): add, and take the residual's sum from every reached entry evenly."""
    reached = C != 0
    residual = residual * reached
    count = sums(reached, n).clamp(min=1)
    return C + residual - reached * over_samples(sums(residual, n) / count, C)


def _map_before_flatten(value: Value) -> tuple[int, ...] | None:
    """Shape of the map that was flattened into ``value``, if that is what it is."""
    while value.producer is not None and value.producer.kind in (OpKind.VIEW, OpKind.IDENTITY):
        value = value.producer.inputs[0]
        if len(value.shape) > 2:
            return value.shape
    return None
