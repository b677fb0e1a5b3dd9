"""Layer-wise relevance propagation with composites of rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from equipoise._registry import Registry
from equipoise.engine import Composite, OpKind, Relevance, Trace
from equipoise.engine.numerics import safe_divide
from equipoise.engine.rule import Rule, Special
from equipoise.engine.selectors import is_dense, reads_pixels
from equipoise.errors import OptionError
from equipoise.methods.base import METHODS
from equipoise.methods.bounds import GivenBounds, PixelBounds, parse_bounds
from equipoise.methods.propagation import ProfileName, Propagation, choose, one_hot
from equipoise.methods.starts import StartName, below_the_head, check_start, logit_start, makes_scores
from equipoise.methods.targets import Targets
from equipoise.rules.gradient import Derivative
from equipoise.rules.layered import Layered, Normed, shifted, stabilized
from equipoise.rules.lrp import CONTRIBUTION, AlphaBeta, Epsilon, Flat, Gamma
from equipoise.rules.resampling import Resampled
from equipoise.rules.structure import STRUCTURE
from equipoise.rules.zbox import ZBox


@dataclass(frozen=True)
class LayerRules:
    """A composite as data: which rule convolutions, linear layers and the first layer get.

    Attributes:
        convolution: The rule of convolutions.
        dense: The rule of linear layers.
        first: Makes the rule of the layer that reads the pixels; ``None`` leaves it to ``convolution``.
        last: The rule of the layer that makes the scores, where relevance starts as 1 at the class.
    """

    convolution: Rule
    dense: Rule
    first: Callable[[PixelBounds], Rule] | None = None
    last: Layered = CONTRIBUTION


def _flat(bounds: PixelBounds) -> Rule:
    del bounds
    return Flat()


_ZPLUS = AlphaBeta(divide=stabilized())
_ALPHA2_BETA1 = AlphaBeta(divide=stabilized(), alpha=2.0)

COMPOSITES: Registry[LayerRules] = Registry("composite")
COMPOSITES.add("epsilon-gamma-box", LayerRules(Gamma(), Epsilon(), ZBox),
               aliases=("egb", "eps-gamma-box", "epsilongammabox"))  # fmt: skip
COMPOSITES.add("epsilon-plus", LayerRules(_ZPLUS, Epsilon()), aliases=("eps-plus", "epsilonplus"))
COMPOSITES.add("epsilon-plus-flat", LayerRules(_ZPLUS, Epsilon(), _flat), aliases=("eps-plus-flat", "epsilonplusflat"))
COMPOSITES.add("epsilon-alpha2-beta1", LayerRules(_ALPHA2_BETA1, Epsilon()),
               aliases=("eps-alpha2beta1", "epsilon-alpha2beta1", "epsilonalpha2beta1"))  # fmt: skip
COMPOSITES.add("epsilon-alpha2-beta1-flat", LayerRules(_ALPHA2_BETA1, Epsilon(), _flat),
               aliases=("eps-alpha2beta1-flat", "epsilon-alpha2beta1-flat", "epsilonalpha2beta1flat"))  # fmt: skip
_UNBIASED = AlphaBeta(fold=False, bias_share=False)
COMPOSITES.add("alpha1-beta0",
               LayerRules(AlphaBeta(bias_share=False), AlphaBeta(bias_share=False), ZBox, last=_UNBIASED),
               aliases=("alpha1beta0",))  # fmt: skip


@METHODS.register("lrp_composite", aliases=("LRP-COMP", "lrp"))
class CompositeLRP(Propagation):
    r"""LRP with a rule per kind of layer.

    Relevance is shared out in proportion to contributions: the box rule at the pixels, gamma in convolutions, epsilon
    in linear layers. The sum is kept but for biases and stabilizers.

    .. math::
        R_i = \sum_j \frac{x_i\, (w_{ij} + \gamma w_{ij}^+)}{\sum_{i'} x_{i'} (w_{i'j} + \gamma w_{i'j}^+)} R_j

    Args:
        model: A convolutional network in eval mode; it is not changed.
        profile: The composites are zennit's; ``"reference"`` takes its default bounds of -3 and 3
            where ``"paper"`` takes each image's own extremes, and its maximum pool and sums.
        composite: ``"epsilon-gamma-box"`` (the paper's LRP-COMP), ``"epsilon-plus"``,
            ``"epsilon-alpha2-beta1"``, either with ``"-flat"``, or ``"alpha1-beta0"``.
        input_bounds: Lowest and highest pixel value for the box rule.
        start: ``"class"``: what each input of the last layer contributes to the class, ``x w``, which is
            the epsilon rule for a score without bias; it does not turn over where the score is negative.
            ``"logit"``: the logit, bias included, through every layer's rule. ``profile="reference"``
            starts as zennit does, with 1, which the epsilon rule divides by the signed logit.

    Raises:
        OptionError: If the composite or the start is unknown.

    References:
        Montavon et al. 2019; Kohlbrenner et al. 2020 (*Towards best practice in explaining neural
        network decisions with LRP*).

        https://doi.org/10.1007/978-3-030-28954-6_10
        https://arxiv.org/abs/1910.09840
    """

    title: ClassVar[str] = "LRP composite"
    summary: ClassVar[str] = "Pixels that add to the score or take from it, by the rule that suits each kind of layer"

    def __init__(
        self,
        model: nn.Module,
        *,
        profile: ProfileName = "paper",
        composite: str = "epsilon-gamma-box",
        input_bounds: GivenBounds = None,
        start: StartName = "class",
    ) -> None:
        super().__init__(model, profile)
        self.start = check_start(start, reference=self.reference)
        self.layer_rules: LayerRules = choose(COMPOSITES, composite)
        default = (torch.tensor(-3.0), torch.tensor(3.0)) if self.reference else None
        self.bounds = default if input_bounds is None else parse_bounds(input_bounds)

    def explain_trace(self, trace: Trace, targets: Targets) -> Tensor:
        """See `Propagation`."""
        norm = Normed(stabilized())
        seeds = one_hot(targets, trace.logits.dtype)
        at_class = self.start == "class" and not self.reference
        last = (Special(OpKind.LINEAR, makes_scores, self.layer_rules.last),) if at_class else ()
        composite = Composite(
            "lrp",
            {
                **STRUCTURE,
                OpKind.LINEAR: self.layer_rules.convolution,
                OpKind.MAX_POOL: Derivative(share_ties=not self.reference),
                OpKind.AVERAGE_POOL: Resampled(norm),
                OpKind.ADD: norm,
            },
            (
                *(
                    [Special(OpKind.LINEAR, reads_pixels, self.layer_rules.first(self.bounds))]
                    if self.layer_rules.first
                    else []
                ),
                *last,
                Special(OpKind.LINEAR, is_dense, self.layer_rules.dense),
            ),
        )
        if at_class:
            start = below_the_head(trace, seeds, self.layer_rules.last, signed=self.layer_rules.last == CONTRIBUTION)
            return self.to(trace, start, composite, trace.input)
        if self.start == "logit":
            seeds, notes = logit_start(trace, targets, seeds)
            self.notes += notes
        return self.to(trace, {trace.output: Relevance(seeds)}, composite, trace.input)


def alpha_beta_composite(alpha: float, bounds: PixelBounds, *, reference: bool) -> Composite:
    """The alpha-beta rule on every layer, as the released code of RAP and AGF computes it.

    There ``x+ w+`` and ``x- w-`` are normalized each alone, no bias takes part, pools and sums are
    divided by their signed values with 1e-9 added.
    """
    divide = shifted if reference else safe_divide
    norm = Normed(divide)
    rule = AlphaBeta(divide=divide, fold=False, alpha=alpha, bias_share=False, jointly=not reference)
    structure: dict[OpKind, Rule] = dict.fromkeys((OpKind.MAX_POOL, OpKind.ADD), norm)
    structure[OpKind.AVERAGE_POOL] = Resampled(norm)
    return Composite(
        "alpha-beta",
        {**STRUCTURE, **(structure if reference else {}), OpKind.LINEAR: rule},
        (Special(OpKind.LINEAR, reads_pixels, ZBox(bounds)),),
    )


@METHODS.register("lrp_alpha_beta")
class AlphaBetaLRP(Propagation):
    r"""LRP-:math:`\alpha\beta` on every layer, the box rule at the pixels.

    Raising and lowering contributions are shared out apart, with factors alpha and beta = alpha - 1. At alpha 1 nothing
    is negative if the score is positive.

    .. math::
        R_i = \sum_j \Big(\alpha \frac{(x_i w_{ij})^+}{\sum_{i'} (x_{i'} w_{i'j})^+} - \beta \frac{(x_i
        w_{ij})^-}{\sum_{i'} (x_{i'} w_{i'j})^-}\Big) R_j

    Args:
        model: A convolutional network in eval mode; it is not changed.
        profile: ``"reference"``: as in the released code of RAP and AGF (see `alpha_beta_composite`).
        alpha: At least 1; ``beta = alpha - 1``.
        input_bounds: Lowest and highest pixel value; ``None``: the image's own extremes.
        start: ``"class"``: relevance starts as 1 at the class, whatever constant all logits share.
            ``"logit"``: as the class's logit, so a negative one turns the map over (a note says so);
            ``profile="reference"`` starts so, as the released code does.

    Raises:
        OptionError: If ``alpha`` is below 1, or the start is unknown.

    References:
        Bach et al. 2015, Eq. 60.

        https://doi.org/10.1371/journal.pone.0130140
    """

    title: ClassVar[str] = "LRP alpha-beta"
    summary: ClassVar[str] = "Pixels that add to the score or take from it, weighted alpha and beta in every layer"

    def __init__(
        self,
        model: nn.Module,
        *,
        profile: ProfileName = "paper",
        alpha: float = 1.0,
        input_bounds: GivenBounds = None,
        start: StartName = "class",
    ) -> None:
        super().__init__(model, profile)
        self.start = check_start(start, reference=self.reference)
        if not alpha >= 1:
            raise OptionError(f"alpha is {alpha}; it must be at least 1 (beta is alpha - 1)")
        self.last = AlphaBeta(fold=False, alpha=float(alpha), bias_share=False)
        self.composite = alpha_beta_composite(float(alpha), parse_bounds(input_bounds), reference=self.reference)

    def explain_trace(self, trace: Trace, targets: Targets) -> Tensor:
        """See `Propagation`."""
        seeds = one_hot(targets, trace.logits.dtype)
        if self.start == "class" and not self.reference:
            start = below_the_head(trace, seeds, self.last)
            return self.to(trace, start, self.composite, trace.input)
        seeds, notes = logit_start(trace, targets, seeds)
        self.notes += notes
        return self.to(trace, {trace.output: Relevance(seeds)}, self.composite, trace.input)


@METHODS.register("deep_taylor", aliases=("dtd",))
class DeepTaylor(AlphaBetaLRP):
    r"""Deep Taylor decomposition: the z+ rule on every layer, the box rule at the pixels.

    Relevance is the first-order term of a Taylor expansion of each neuron. Nothing is negative if the score is
    positive.

    .. math::
        R_i = \sum_j \frac{x_i w_{ij}^+}{\sum_{i'} x_{i'} w_{i'j}^+} R_j

    Args:
        model: A convolutional network in eval mode; it is not changed.
        input_bounds: Lowest and highest pixel value; ``None``: the image's own extremes.
        start: ``"class"``: relevance starts as 1 at the class. ``"logit"``: as its logit.

    References:
        Montavon et al. 2017 (*Explaining nonlinear classification decisions with deep Taylor
        decomposition*), Eq. 15 (z+) and 19 (the box). They explain a non-negative score, and z+ spreads it
        the same way whatever its size, so 1 in its place changes the map's scale alone.

        https://doi.org/10.1016/j.patcog.2016.11.008
    """

    title: ClassVar[str] = "Deep Taylor"
    summary: ClassVar[str] = "Pixels that the class's evidence rests on; little or nothing speaks against it"

    def __init__(self, model: nn.Module, *, input_bounds: GivenBounds = None, start: StartName = "class") -> None:
        super().__init__(model, alpha=1.0, input_bounds=input_bounds, start=start)
