"""The authors' earlier methods: RAP, RSP; and AGF, which they build on."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from equipoise.engine import Composite, OpKind, Relevance, Rule, Trace
from equipoise.engine.numerics import over_samples, per_sample, safe_divide
from equipoise.engine.rule import Special
from equipoise.errors import TargetError
from equipoise.methods.ae import contribution_map, parse_bounds, reads_pixels
from equipoise.methods.base import METHODS
from equipoise.methods.excitation import is_last
from equipoise.methods.layers import find_layer
from equipoise.methods.propagation import ProfileName, Propagation, channel_sum, one_hot
from equipoise.methods.targets import Targets
from equipoise.rules.ae_reference import NonzeroPass
from equipoise.rules.agf import Beside, GradientTimesInput, Guided, MaskedValue
from equipoise.rules.layered import Normed, shifted
from equipoise.rules.pooling import Pool
from equipoise.rules.rap import LastLayerAttribution, RelativeAttribution
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

    def __init__(self, model: nn.Module, *, profile: ProfileName = "paper", input_bounds: Any = None) -> None:
        super().__init__(model, profile)
        self.bounds = parse_bounds(input_bounds)


@METHODS.register("rap", aliases=("RAP",))
class RAP(_ToThePixels):
    """Relative attributing propagation: unimportant neurons become negative by a uniform shift.

    Args:
        model: A convolutional network in eval mode; it is not changed.
        profile: ``"reference"``: pools and sums divide by signed values, an empty pool window loses its
            relevance, as in the released code. The layers' rule is the same in both.
        input_bounds: Lowest and highest pixel value; ``None``: the image's own extremes.

    References:
        Nam et al. 2020. The sum is the logit, and every layer keeps it.
    """

    summary: ClassVar[str] = "relative attributing propagation (RAP)"

    def explain_trace(self, trace: Trace, targets: Targets) -> Tensor:
        """See `Propagation`."""
        norm = Normed(safe_divide)
        signed: dict[OpKind, Rule] = dict.fromkeys(
            (OpKind.MAX_POOL, OpKind.AVERAGE_POOL, OpKind.REDUCE, OpKind.ADD), norm
        )
        exact: dict[OpKind, Rule] = {**signed, OpKind.NORM: NonzeroPass()} if self.reference else {}
        composite = Composite(
            "rap",
            {**STRUCTURE, **exact, OpKind.LINEAR: RelativeAttribution()},
            (
                Special(OpKind.LINEAR, reads_pixels, ZBox(self.bounds)),
                Special(OpKind.LINEAR, is_last, LastLayerAttribution()),
            ),
        )
        start = {trace.output: Relevance(one_hot(targets, trace.logits.dtype))}
        return self.to(trace, start, composite, trace.input)


@METHODS.register("rsp", aliases=("RSP",))
class RSP(_ToThePixels):
    """Relative sectional propagation: hostile and friendly relevance, each where its own neurons fire.

    Args:
        model: A convolutional network in eval mode; it is not changed.
        profile: ``"reference"``: relevance at exact zeros of a batch norm is lost, as in the released
            code. The layers' rule is the same in both.
        layer: The module at whose output the initial map is taken; ``None``: as for AE.
        input_bounds: Lowest and highest pixel value; ``None``: the image's own extremes.

    References:
        Nam et al. 2021. The map starts as the gradient-weighted activation over its maximum.
    """

    summary: ClassVar[str] = "relative sectional propagation (RSP)"

    def __init__(
        self,
        model: nn.Module,
        *,
        profile: ProfileName = "paper",
        layer: str | None = None,
        input_bounds: Any = None,
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
            {**STRUCTURE, **(exact if self.reference else {}), OpKind.LINEAR: RelativeSection(flat_kernel=self.reference)},
            (Special(OpKind.LINEAR, reads_pixels, ZBox(self.bounds)),),
        )
        return self.to(trace, {layer: Relevance(shifted(G, peak))}, composite, trace.input)


@METHODS.register("agf", aliases=("AGF",))
class AGF(_ToThePixels):
    """Attribution guided factorization.

    Args:
        model: A convolutional network in eval mode; it is not changed.
        profile: The released rules in both; they run on any network here, where layers other than a
            convolution with a kernel larger than 1x1 share relevance plainly.
        input_bounds: Lowest and highest pixel value; ``None``: the image's own extremes.

    Raises:
        TargetError: If the target is a function of the logits other than a `ClassGroup`, whose score then
            stands where a class's would, beside the classes that are no members.

    References:
        Gur et al. 2021. The map is divided by its largest entry, then summed over channels.
    """

    summary: ClassVar[str] = "attribution guided factorization (AGF)"
    level: ClassVar[str] = "map"

    def explain_trace(self, trace: Trace, targets: Targets) -> Tensor:
        """See `Propagation`."""
        if targets.members is None:
            raise TargetError("AGF starts from one class's logit; the target is a function of the logits")
        masked = Beside(MaskedValue())
        rules = {kind: Beside(rule) for kind, rule in STRUCTURE.items()}
        rules.update(dict.fromkeys((OpKind.ACTIVATION, OpKind.MAX_POOL, OpKind.AVERAGE_POOL, OpKind.ADD), masked))
        composite = Composite(
            "agf",
            {**rules, OpKind.NORM: Beside(Pass()), OpKind.LINEAR: Guided()},
            (
                Special(OpKind.LINEAR, reads_pixels, Beside(ZBox(self.bounds))),  # colors may be rescaled below
                Special(OpKind.LINEAR, is_last, GradientTimesInput()),
            ),
        )
        hot = one_hot(targets, trace.logits.dtype)
        seeds = softened_gradient(trace.logits, hot, targets.members.to(hot.dtype))
        start = {trace.output: Relevance(torch.zeros_like(seeds), gradient=seeds)}
        cam = self.to(trace, start, composite, trace.input)
        peak = per_sample(cam, trace.n).amax(-1)
        return channel_sum(cam / over_samples(torch.where(peak == 0, 1.0, peak), cam))


def softened_gradient(logits: Tensor, hot: Tensor, own: Tensor) -> Tensor:
    """Gradient by the logits of AGF's softened class score (their Eq. 4 and 5), ``(k, n, C)``.

    The score is ``softmax_j(y_t exp(-((y_j - y_t) / sigma)^2 / 2))`` at the class, with ``sigma`` the
    largest distance of a logit from the class's.

    Args:
        logits: ``(n, C)``.
        hot: The start at the target, ``(k, n, C)``; gives the dtype.
        own: 1 at the classes that the target stands for, ``(k, n, C)``; ``y_t`` is their log-sum-exp.
    """
    with torch.inference_mode(mode=False), torch.enable_grad():
        y = logits.detach().to(hot.dtype).clone().expand_as(hot).requires_grad_()
        member = own > 0
        target = y.masked_fill(~member, -torch.inf).logsumexp(-1, keepdim=True)
        distance = (y - target).masked_fill(member, 0)
        sigma = distance.abs().amax(-1, keepdim=True)
        others = (target * torch.exp(-((distance / sigma) ** 2) / 2)).masked_fill(member, -torch.inf)
        score = torch.cat([target, others], -1).softmax(-1)[..., 0]
        (gradient,) = torch.autograd.grad(score.sum(), y)
    return gradient
