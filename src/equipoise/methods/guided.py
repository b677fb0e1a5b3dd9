"""Gradients with their rules changed: guided backpropagation, and full gradients with their bias terms."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from equipoise.engine import Composite, OpKind, Relevance, Step, Trace, Value
from equipoise.engine.extents import parts_of_the_image
from equipoise.engine.functions import behavior
from equipoise.engine.numerics import per_sample, safe_divide
from equipoise.engine.rule import Rule
from equipoise.errors import UnsupportedOperationError
from equipoise.methods.base import METHODS
from equipoise.methods.layers import map_dims
from equipoise.methods.propagation import Propagation, one_hot
from equipoise.methods.readouts import map_size, resize
from equipoise.methods.targets import Targets
from equipoise.rules.full_grad import BiasTerm, terms_of
from equipoise.rules.gradient import GRADIENT, Derivative
from equipoise.rules.guided import Guided


@dataclass(frozen=True)
class _AtRectifiers(Composite):
    """Rectifiers, however they are written, have their own rule; everything else gets its derivative."""

    guide: Rule = field(default_factory=Guided)

    def rule_for(self, step: Step) -> Rule:
        acts = step.call.kind is OpKind.ACTIVATION and step.call.operation is not None and step.call.operation.pointwise
        return self.guide if acts and behavior(step.call) == "rectifier" else GRADIENT.rule_for(step)


@dataclass(frozen=True)
class _AtNamedReLUs(Composite):
    """What is called a ReLU has its own rule, as in TorchRay; everything else gets torch's derivative."""

    def rule_for(self, step: Step) -> Rule:
        return Guided(zeros=True) if step.call.name == "relu" else Derivative()


_PAPER = _AtRectifiers("guided (paper)", {}, by_derivative=True)
_REFERENCE = _AtNamedReLUs("guided (reference)", {}, by_derivative=True)


@METHODS.register("guided_backprop", aliases=("guided_backpropagation", "GBP"))
class GuidedBackprop(Propagation):
    r"""The gradient without what lowers the score on the way.

    The pictures are crisp and hardly depend on the class: read them as what the network sees at all.

    .. math::
        g_{\mathrm{in}} = [x > 0]\; \mathrm{relu}(g_{\mathrm{out}}) \quad\text{at each ReLU}

    At each ReLU only the positive part of the gradient passes, and only where the ReLU is active. A
    smooth relative (SiLU, GELU, ...) multiplies the positive part by its own derivative, which may be
    negative. Functional, in-place and shared ReLUs are seen like any other.

    Args:
        model: A convolutional network in eval mode; it is not changed.
        profile: ``"paper"``: signed, ``(n, 3, h, w)``, equal to captum's on networks of ReLU modules.
            ``"reference"``: TorchRay's map ``(n, 1, h, w)``, the largest magnitude over the channels;
            there a ReLU whose input is exactly zero passes, and only ReLUs guide.

    References:
        Springenberg et al. 2015 (*Striving for simplicity*), Section 3.4.

        https://arxiv.org/abs/1412.6806
    """

    title: ClassVar[str] = "Guided BackProp"
    summary: ClassVar[str] = "Edges and textures that excite the class: gradients that stay positive at every ReLU"

    def __init__(self, model: nn.Module, *, profile: Literal["paper", "reference"] = "paper") -> None:
        super().__init__(model, profile)
        if self.reference:
            self.level, self.signed = "map", False

    def explain_trace(self, trace: Trace, targets: Targets) -> Tensor:
        """See `Propagation`."""
        composite = _REFERENCE if self.reference else _PAPER
        start = {trace.output: Relevance(one_hot(targets, trace.logits.dtype))}
        found = self.to(trace, start, composite, trace.input)
        return found.abs().amax(2, keepdim=True) if self.reference else found


@METHODS.register("full_grad")
class FullGrad(Propagation):
    r"""Input times gradient, plus every layer's bias times its gradient.

    The score of a ReLU network is the sum of all these terms (`terms`). Each spatial one becomes a map:
    absolute value, scaled to [0, 1] per image over all its channels, summed over channels, resized to
    the input; the result is the sum of the maps. Batch norm's bias is what it adds to a signal of zero.

    .. math::
        L = \psi\Big(x \odot \frac{\partial y}{\partial x}\Big) + \sum_\ell \sum_c \psi\Big(b_{\ell c}\,
        \frac{\partial y}{\partial z_{\ell c}}\Big)

    Args:
        model: A convolutional network in eval mode; it is not changed.

    Raises:
        UnsupportedOperationError: If a layer saw a part of the image alone, a crop of it or a half.

    References:
        Srinivas & Fleuret 2019 (*Full-gradient representation for neural network visualization*), Eq. 3
        and 5. The authors resize with aligned corners; this does not, like every map here.

        https://arxiv.org/abs/1905.00780
    """

    title: ClassVar[str] = "FullGrad"
    summary: ClassVar[str] = "Where the score comes from, the biases' part too: input and bias gradients as one map"
    level = "map"
    signed = False

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)

    def explain_trace(self, trace: Trace, targets: Targets) -> Tensor:
        """See `Propagation`."""
        pixels, *biases = self.terms(trace, targets)
        dims = map_dims(trace)
        size = map_size(dims, trace.input.shape)
        pixels = pixels if pixels.dim() == dims + 3 else pixels.unsqueeze(2)  # inputs without a channel axis
        if any(term.dim() == dims + 3 and term.shape[1] != trace.n for term in biases):
            raise UnsupportedOperationError(
                "full gradients add one map per layer and image, but this network folds frames into the batch; "
                "use integrated_gradients, or a class activation map"
            )
        biases = [_unfolded(term, trace.n) for term in biases]
        spatial = [pixels, *(term for term in biases if term.dim() == dims + 3)]
        maps = [resize(_unit_range(term.abs(), trace.n).sum(2, keepdim=True), size) for term in spatial]
        return torch.stack(maps).sum(0)

    def terms(self, trace: Trace, targets: Targets) -> list[Tensor]:
        """The score, taken apart.

        Returns:
            ``(k, n, c, *positions)`` for the input and then for the bias of every convolution, linear
            layer and batch norm, from the last to the first. On a network of linear layers, batch norms,
            ReLUs, max and average pools and sums they add up to the logit.
        """
        found: list[tuple[Tensor, Tensor]] = []
        start = {trace.output: Relevance(one_hot(targets, trace.logits.dtype))}
        rules = _BiasTerms("full gradient", {}, by_derivative=True, found=found, parts=parts_of_the_image(trace))
        gradient = self.to(trace, start, rules, trace.input)
        return [gradient * trace.data(trace.input), *terms_of(found)]


@dataclass(frozen=True)
class _BiasTerms(Composite):
    """The derivative everywhere; biased layers leave the product of bias and gradient in ``found``."""

    found: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    parts: Container[Value] = ()

    def rule_for(self, step: Step) -> Rule:
        call, derivative = step.call, GRADIENT.rule_for(step)
        biased = call.kind is OpKind.LINEAR or call.kind is OpKind.NORM
        return BiasTerm(self.found, derivative, self.parts) if biased and len(call.inputs) == 1 else derivative


def _unfolded(term: Tensor, n: int) -> Tensor:
    """A layer's term, its rows of one image (frames folded into the batch) as the first axis of positions."""
    if term.shape[1] == n:
        return term
    return term.reshape(len(term), n, -1, *term.shape[2:]).transpose(2, 3)


def _unit_range(value: Tensor, n: int) -> Tensor:
    """Scale each sample's values from its lowest and highest to 0 and 1."""
    flat = per_sample(value, n)
    low, high = flat.amin(-1, keepdim=True), flat.amax(-1, keepdim=True)
    return safe_divide(flat - low, high - low).reshape(value.shape)
