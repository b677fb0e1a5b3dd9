"""The authors' earlier methods: RAP, RSP; and AGF, which they build on."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from equipoise.engine import Composite, OpKind, Relevance, Rule, Trace
from equipoise.engine.numerics import over_samples, per_sample, safe_divide, working_dtype
from equipoise.engine.rule import Special
from equipoise.engine.selectors import is_last, reads_pixels
from equipoise.errors import TargetError
from equipoise.methods.base import METHODS
from equipoise.methods.bounds import GivenBounds, parse_bounds
from equipoise.methods.layers import find_layer
from equipoise.methods.propagation import ProfileName, Propagation, one_hot
from equipoise.methods.readouts import pixel_map
from equipoise.methods.starts import (
    StartName,
    below_the_head,
    check_start,
    contribution_map,
    logit_start,
    makes_scores,
)
from equipoise.methods.targets import Targets
from equipoise.rules.ae_reference import NonzeroPass
from equipoise.rules.agf import Beside, GradientTimesInput, GuidedFactorization, MaskedValue
from equipoise.rules.layered import Normed, shifted
from equipoise.rules.pooling import Pool
from equipoise.rules.rap import LastLayerAttribution, Magnitude, RelativeAttribution
from equipoise.rules.resampling import Resampled
from equipoise.rules.rsp import RelativeSection
from equipoise.rules.structure import STRUCTURE, Pass
from equipoise.rules.zbox import ZBox


class _ToThePixels(Propagation):
    """A method that ends with the box rule.

    Args:
        model: A convolutional network in eval mode; it is not changed.
        profile: ``"paper"`` or ``"reference"``.
        input_bounds: Lowest and highest pixel value; ``None``: the image's own extremes.
    """

    def __init__(self, model: nn.Module, *, profile: ProfileName = "paper", input_bounds: GivenBounds = None) -> None:
        super().__init__(model, profile)
        self.bounds = parse_bounds(input_bounds)


class _FromTheScores(_ToThePixels):
    """One that starts at the scores, too.

    Args:
        model: A convolutional network in eval mode; it is not changed.
        profile: ``"paper"`` or ``"reference"``.
        input_bounds: Lowest and highest pixel value; ``None``: the image's own extremes.
        start: ``"class"``, or ``"logit"``, which ``profile="reference"`` starts with.

    Raises:
        OptionError: If the start is unknown.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        profile: ProfileName = "paper",
        input_bounds: GivenBounds = None,
        start: StartName = "class",
    ) -> None:
        super().__init__(model, profile=profile, input_bounds=input_bounds)
        self.start = check_start(start, reference=self.reference)


@METHODS.register("rap", aliases=("RAP",))
class RAP(_FromTheScores):
    r"""Relative attributing propagation: unimportant neurons become negative by a uniform shift.

    The class's relevance goes down by raising contributions and once more by lowering ones; a uniform shift of the
    reached neurons restores the sum, so that unimportant neurons turn negative. Positive is what the network used at
    all, more than what speaks for one class.

    .. math::
        R \leftarrow C - \frac{\sum C - \sum R}{|\{C \ne 0\}|} [C \ne 0]

    Args:
        model: A convolutional network in eval mode; it is not changed.
        profile: ``"reference"``: pools and sums divide by signed values, an empty pool window loses its
            relevance, as in the released code. The layers' rule is the same in both.
        input_bounds: Lowest and highest pixel value; ``None``: the image's own extremes.
        start: ``"class"``: relevance starts as 1 at the class, whatever constant all logits share, and the
            last layer shares it by the size of each contribution. ``"logit"``: with the logit's sign and
            size, so a negative one turns the map over (a note says so); ``profile="reference"`` starts so.

    Raises:
        OptionError: If the start is unknown.

    References:
        Nam et al. 2020. Every layer keeps the sum.

        https://arxiv.org/abs/1904.00605
    """

    title: ClassVar[str] = "RAP"
    summary: ClassVar[str] = "The object against the rest: what matters is positive, what does not is negative"

    def explain_trace(self, trace: Trace, targets: Targets) -> Tensor:
        """See `Propagation`."""
        norm = Normed(safe_divide)
        signed: dict[OpKind, Rule] = dict.fromkeys((OpKind.MAX_POOL, OpKind.ADD), norm)
        signed[OpKind.AVERAGE_POOL] = Resampled(norm)
        at_class = self.start == "class" and not self.reference
        exact: dict[OpKind, Rule] = {**signed, OpKind.NORM: NonzeroPass()} if self.reference else {}
        composite = Composite(
            "rap",
            {**STRUCTURE, **exact, OpKind.LINEAR: RelativeAttribution(exact=self.reference)},
            (
                Special(OpKind.LINEAR, reads_pixels, ZBox(self.bounds)),
                Special(OpKind.LINEAR, makes_scores, Magnitude())
                if at_class
                else Special(OpKind.LINEAR, is_last, LastLayerAttribution()),
            ),
        )
        seeds = one_hot(targets, trace.logits.dtype)
        if self.start == "logit":
            self.notes += logit_start(trace, targets, seeds)[1]
        start = below_the_head(trace, seeds, Magnitude()) if at_class else {trace.output: Relevance(seeds)}
        return self.to(trace, start, composite, trace.input)


@METHODS.register("rsp", aliases=("RSP",))
class RSP(_ToThePixels):
    r"""Relative sectional propagation: hostile and friendly relevance, each where its own neurons fire.

    Friendly and hostile relevance go down apart, each to the neurons that fire where it arrives: the weights are
    replaced by the correlation of activity with relevance. A uniform shift restores the sum.

    .. math::
        g^\pm = \frac{\partial}{\partial w} \big\langle R^\pm,\, w * x^+ \big\rangle,\quad C^\pm = x^+ \odot
        g^{\pm\top}\Big(\frac{R^\pm}{g^\pm * x^+}\Big),\quad R \leftarrow 2 (C^+ - C^-) - \text{shift}

    Args:
        model: A convolutional network in eval mode; it is not changed.
        profile: ``"reference"``: relevance at exact zeros of a batch norm is lost, as in the released
            code. The layers' rule is the same in both.
        layer: The module at whose output the initial map is taken; ``None``: as for AE.
        input_bounds: Lowest and highest pixel value; ``None``: the image's own extremes.

    References:
        Nam et al. 2021. The map starts as the gradient-weighted activation over its maximum.

        https://arxiv.org/abs/2012.03434
    """

    title: ClassVar[str] = "RSP"
    summary: ClassVar[str] = "The class against others in the image: its pixels are positive, theirs are negative"

    def __init__(
        self,
        model: nn.Module,
        *,
        profile: ProfileName = "paper",
        layer: str | None = None,
        input_bounds: GivenBounds = None,
    ) -> None:
        super().__init__(model, profile=profile, input_bounds=input_bounds)
        self.layer = layer

    def explain_trace(self, trace: Trace, targets: Targets) -> Tensor:
        """See `Propagation`."""
        layer = find_layer(self.model, trace, self.layer)
        G = contribution_map(trace, layer, targets.seeds)
        peak = over_samples(per_sample(G, trace.n).amax(-1), G)
        exact: dict[OpKind, Rule] = {OpKind.NORM: NonzeroPass(), OpKind.MAX_POOL: Pool()}
        composite = Composite(
            "rsp",
            {
                **STRUCTURE,
                **(exact if self.reference else {}),
                OpKind.LINEAR: RelativeSection(flat_kernel=self.reference, exact=self.reference),
            },
            (Special(OpKind.LINEAR, reads_pixels, ZBox(self.bounds)),),
        )
        return self.to(trace, {layer: Relevance(shifted(G, peak))}, composite, trace.input)


@METHODS.register("agf", aliases=("AGF",))
class AGF(_FromTheScores):
    r"""Attribution guided factorization.

    Relevance and gradient go down together. At each layer, positions that resemble the positively relevant ones more
    than the negatively relevant ones, in activation and in gradient, are raised, at the cost of all others.

    .. math::
        R \leftarrow C + \mathrm{Res} - \frac{\sum \mathrm{Res}}{|\{C \ne 0\}|} [C \ne 0],\quad \mathrm{Res} =
        \frac{F_x + M}{1 + e^{-C}} + F_{\partial x} + A

    Args:
        model: A convolutional network in eval mode; it is not changed.
        profile: The released rules in both; they run on any network here, where layers other than a
            convolution with a kernel larger than 1x1 share relevance plainly.
        input_bounds: Lowest and highest pixel value; ``None``: the image's own extremes.
        start: ``"class"``: the softened score is made of the class's logit less the mean logit, so that a
            constant added to all logits changes nothing. ``"logit"``: of the logit itself, as published; a
            negative one turns the map over (a note says so). ``profile="reference"`` starts so. A network
            with one logit is read as one of two classes, the other's logit being 0.

    Raises:
        TargetError: If the target is a function of the logits other than a `ClassGroup`, whose score then
            stands where a class's would, beside the classes that are no members.
        OptionError: If the start is unknown.

    References:
        Gur et al. 2021. The map is divided by its largest entry, then summed over channels.

        https://arxiv.org/abs/2012.02166
    """

    title: ClassVar[str] = "AGF"
    summary: ClassVar[str] = "Regions that set the class off from the rest, from factors of features and gradients"
    level = "map"

    def explain_trace(self, trace: Trace, targets: Targets) -> Tensor:
        """See `Propagation`."""
        if targets.members is None or targets.others is None:
            raise TargetError("AGF starts from one class's logit; the target is a function of the logits")
        ties = not self.reference
        masked = Beside(MaskedValue(share_ties=ties, exact=self.reference), share_ties=ties)
        rules = {kind: Beside(rule) for kind, rule in STRUCTURE.items()}
        rules.update(dict.fromkeys((OpKind.ACTIVATION, OpKind.MAX_POOL, OpKind.MAXIMUM, OpKind.ADD), masked))
        rules[OpKind.AVERAGE_POOL] = Beside(Resampled(MaskedValue()))
        composite = Composite(
            "agf",
            {**rules, OpKind.NORM: Beside(Pass()), OpKind.LINEAR: GuidedFactorization(exact=self.reference)},
            (
                Special(OpKind.LINEAR, reads_pixels, Beside(ZBox(self.bounds))),  # colors may be rescaled below
                Special(OpKind.LINEAR, is_last, GradientTimesInput()),
            ),
        )
        hot = targets.class_seeds.to(working_dtype(trace.logits.dtype))
        centered = self.start == "class" and not self.reference
        own, others = (marked.to(hot.dtype) for marked in (targets.members, targets.others))
        seeds = softened_gradient(trace.logits, hot, own, others, centered=centered)
        if self.start == "logit":
            self.notes += logit_start(trace, targets, hot)[1]
        start = {trace.output: Relevance(torch.zeros_like(seeds), gradient=seeds)}
        cam = self.to(trace, start, composite, trace.input)
        peak = per_sample(cam, trace.n).amax(-1)
        return pixel_map(trace, cam / over_samples(torch.where(peak == 0, 1.0, peak), cam))


def softened_gradient(logits: Tensor, hot: Tensor, own: Tensor, others: Tensor, *, centered: bool = False) -> Tensor:
    """Gradient by the logits of AGF's softened class score (their Eq. 4 and 5), ``(k, n, C)``.

    The score is ``softmax_j(y_t exp(-((y_j - y_t) / sigma)^2 / 2))`` at the class, with ``sigma`` the
    largest distance of a logit from the class's.

    Args:
        logits: ``(n, C)``.
        hot: The start at the target, ``(k, n, C)``; gives the dtype.
        own: 1 at the classes that the target stands for, ``(k, n, C)``; ``y_t`` is their log-sum-exp.
        others: 1 at the classes ``j``, likewise.
        centered: Whether ``y_t`` counts from the mean logit of all these, where it stands by itself. With one
            logit that is half of it: the other class's is 0.
    """
    with torch.inference_mode(mode=False), torch.enable_grad():
        y = logits.detach().to(hot.dtype).clone().expand_as(hot).requires_grad_()
        member, other = own > 0, others > 0
        target = y.masked_fill(~member, -torch.inf).logsumexp(-1, keepdim=True)
        distance = (y - target).masked_fill(~other, 0)
        if logits.shape[-1] == 1 or not bool(other.any(-1).all()):  # no other class: one of logit 0, a sigma away
            distance, other = torch.cat([distance, -target], -1), torch.cat([other, other[..., :1] | True], -1)
        sigma = distance.abs().amax(-1, keepdim=True)
        sigma = torch.where(sigma == 0, 1.0, sigma)  # all logits alike
        if centered:
            told = own + others
            mean = (y * told).sum(-1, keepdim=True) / told.sum(-1, keepdim=True)
            target = target - (mean if y.shape[-1] > 1 else y / 2)
        beside = (target * torch.exp(-((distance / sigma) ** 2) / 2)).masked_fill(~other, -torch.inf)
        score = torch.cat([target, beside], -1).softmax(-1)[..., 0]
        (gradient,) = torch.autograd.grad(score.sum(), y)
    return gradient
