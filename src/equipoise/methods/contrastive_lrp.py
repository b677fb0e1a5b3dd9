"""Contrastive LRP: the relevance of the class less that of all others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from equipoise._registry import Registry
from equipoise.engine import Composite, OpKind, Relevance, Trace, Value
from equipoise.engine.numerics import over_samples, safe_divide, sums, working_dtype
from equipoise.engine.rule import Special
from equipoise.engine.selectors import is_last, reads_pixels
from equipoise.errors import TargetError
from equipoise.methods.base import METHODS
from equipoise.methods.bounds import GivenBounds, parse_bounds
from equipoise.methods.lrp import alpha_beta_composite
from equipoise.methods.propagation import ProfileName, Propagation, choose
from equipoise.methods.starts import StartName, below_the_head, check_start, logit_start
from equipoise.methods.targets import Targets
from equipoise.rules.excitation import Excitation
from equipoise.rules.lrp import AlphaBeta
from equipoise.rules.pooling import TiedMaximum
from equipoise.rules.structure import STRUCTURE
from equipoise.rules.zbox import ZBox

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Variant:
    """One published way to contrast.

    Attributes:
        starts: From the logits ``(n, C)``, the start at the target ``(k, n, C)`` (one-hot for a class) and
            the classes that the target stands for ``(k, n, C)``, the start of the target and of its
            contrast, each ``(k, n, C)``.
        combine: From the two maps ``(k, n, c, h, w)``, the result.
        zplus: Whether it is defined with the rules of Gu et al. (z+, ties of a maximum shared,
            constant pixel bounds), else with alpha-beta at alpha = 1.
        dual: Whether the contrast runs through the last layer with negated weights.
        at_class: ``starts`` where relevance starts at the class, not as its logit; ``None``: the same, since
            the variant is defined on the logits' size or their softmax.
    """

    starts: Callable[[Tensor, Tensor, Tensor], Pair]
    combine: Callable[[Tensor, Tensor], Tensor]
    zplus: bool = False
    dual: bool = False
    at_class: Callable[[Tensor, Tensor, Tensor], Pair] | None = None


def _total(maps: Tensor) -> Tensor:
    return over_samples(sums(maps, maps.shape[1]), maps)


def _scaled_difference(target: Tensor, others: Tensor) -> Tensor:
    return target - others * safe_divide(_total(target), _total(others))


def _unit_difference(target: Tensor, others: Tensor) -> Tensor:
    return safe_divide(target, _total(target)) - safe_divide(others, _total(others))


def _evenly(logits: Tensor, hot: Tensor, others: Tensor) -> Pair:
    score = (logits * hot).sum(-1, keepdim=True)
    return score * hot, score / others.sum(-1, keepdim=True).clamp(min=1) * others


def _one_and_evenly(logits: Tensor, hot: Tensor, others: Tensor) -> Pair:
    del logits
    return hot, others / others.sum(-1, keepdim=True)


def _all_others(logits: Tensor, hot: Tensor, others: Tensor) -> Pair:
    return logits.abs() * hot, logits.abs() * others


def _same_unit(logits: Tensor, hot: Tensor, others: Tensor) -> Pair:  # noqa: ARG001  # one signature for all
    return logits.abs() * hot, logits.abs() * hot


def _softmax_gradient(logits: Tensor, hot: Tensor, others: Tensor) -> Pair:
    told = (hot != 0) | (others > 0)
    p = logits.masked_fill(~told, -torch.inf).softmax(-1)
    share = 1 - (p * others).sum(-1, keepdim=True)
    return (share * (1 - share) + 1e-8) * hot, share * p * others


VARIANTS: Registry[Variant] = Registry("variant of contrastive LRP")
VARIANTS.add("others", Variant(_evenly, _scaled_difference, at_class=_one_and_evenly))
VARIANTS.add("clrp1", Variant(_all_others, _unit_difference, zplus=True))
VARIANTS.add("clrp2", Variant(_same_unit, _unit_difference, zplus=True, dual=True))
VARIANTS.add("sglrp", Variant(_softmax_gradient, _scaled_difference))


@METHODS.register("contrastive_lrp", aliases=("c*LRP", "c_star_lrp", "clrp"))
class ContrastiveLRP(Propagation):
    r"""Relevance of the class less relevance of the other classes, brought to the same total.

    The sum is zero, and what serves every class cancels.

    .. math::
        R = R_t - R_o\, \frac{\sum R_t}{\sum R_o}

    Args:
        model: A convolutional network in eval mode; it is not changed.
        profile: ``"reference"``: the released rules of each variant, 1e-9 in every denominator.
        variant: ``"others"``: the same as the class's, spread evenly over the others (the c*LRP of the AE
            paper). ``"clrp1"``, ``"clrp2"``: Gu et al. 2018: all others' logits, or the class's own
            unit with negated weights. ``"sglrp"``: Iwana et al. 2019: the softmax's gradient.
        input_bounds: Lowest and highest pixel value; ``None``: the image's own extremes, for CLRP
            in the reference profile -2.1179 and 2.64.
        start: For ``"others"``: ``"class"``: 1 at the class and spread over the others. ``"logit"``: its
            logit, so a negative one turns the map over (a note says so); ``profile="reference"`` starts
            so, as the released code does. The other variants start from sizes and probabilities.

    Raises:
        TargetError: If the target is a function of the logits other than a `ClassGroup`: a contrast needs
            to know which classes are the others; or if there are no others.
        OptionError: If the variant or the start is unknown.

    References:
        Gu, Yang & Tresp 2018 (CLRP); Iwana, Kuroki & Uchida 2019 (SGLRP).

        https://arxiv.org/abs/1812.02100
        https://arxiv.org/abs/1908.04351
    """

    title: ClassVar[str] = "c*LRP"
    summary: ClassVar[str] = "Pixels that speak for this class rather than the others: relevance of one less the rest's"

    def __init__(
        self,
        model: nn.Module,
        *,
        profile: ProfileName = "paper",
        variant: str = "others",
        input_bounds: GivenBounds = None,
        start: StartName = "class",
    ) -> None:
        super().__init__(model, profile)
        self.start = check_start(start, reference=self.reference)
        self.variant: Variant = choose(VARIANTS, variant)
        gu = self.variant.zplus and self.reference and input_bounds is None
        self.bounds = (torch.tensor(-2.1179), torch.tensor(2.64)) if gu else parse_bounds(input_bounds)

    def explain_trace(self, trace: Trace, targets: Targets) -> Tensor:
        """See `Propagation`."""
        if targets.others is None:
            raise TargetError("contrastive LRP contrasts a class with others; the target is a function of the logits")
        hot = targets.class_seeds.to(working_dtype(trace.logits.dtype))
        others = targets.others.to(hot.dtype)
        count = others.shape[-1]
        if not self.variant.dual and not bool(others.any(-1).all()):
            raise TargetError(
                f"contrastive LRP sets a class against the others, and of {count} "
                f"{'class' if count == 1 else 'classes'} none is left; use lrp_alpha_beta, or contrastive_eb "
                'or variant="clrp2", which contrast a unit with its own negative weights'
            )
        logits = trace.logits.to(hot.dtype)
        plain = self.start == "logit" or self.reference or self.variant.at_class is None
        starts = self.variant.starts if plain or self.variant.at_class is None else self.variant.at_class
        pair = starts(logits, hot, others)
        if self.start == "logit" and self.variant.at_class is not None:
            self.notes += logit_start(trace, targets, hot)[1]
        composite = self._composite(dual=False)
        if self.variant.dual:
            maps = [
                self.to(trace, self._from(trace, start, negated=dual), rules, trace.input)
                for start, rules, dual in zip(pair, (composite, self._composite(dual=True)), (False, True), strict=True)
            ]
        else:  # class and contrast are two rows of one relevance
            both = self.to(trace, self._from(trace, torch.cat(pair)), composite, trace.input)
            maps = list(both.chunk(2))
        return self.variant.combine(*maps)

    def _from(self, trace: Trace, start: Tensor, *, negated: bool = False) -> dict[Value, Relevance]:
        if self.reference or self.start == "logit":
            return {trace.output: Relevance(start)}
        zplus = AlphaBeta(fold=False, bias_share=False)
        return below_the_head(trace, start, Excitation(negated=negated) if self.variant.zplus else zplus)

    def _composite(self, *, dual: bool) -> Composite:
        if not self.variant.zplus:
            return alpha_beta_composite(1.0, self.bounds, reference=self.reference)
        specials = [Special(OpKind.LINEAR, reads_pixels, ZBox(self.bounds))]
        if dual:
            specials.append(Special(OpKind.LINEAR, is_last, Excitation(negated=True)))
        return Composite(
            "contrastive lrp",
            {**STRUCTURE, OpKind.LINEAR: Excitation(), OpKind.MAX_POOL: TiedMaximum()},
            tuple(specials),
        )
