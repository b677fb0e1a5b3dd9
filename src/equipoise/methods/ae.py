"""Attribution Equilibrium (Nam & Lee, T-PAMI 2024)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Literal, cast

import torch
from torch import Tensor, nn

from equipoise._typing import Bool
from equipoise.engine import Composite, OpKind, Relevance, Trace, Value
from equipoise.engine.kernels.equilibrium import TERMS, Term
from equipoise.engine.numerics import over_samples, per_sample, sums
from equipoise.engine.rule import Special
from equipoise.engine.selectors import reads_pixels
from equipoise.errors import OptionError
from equipoise.methods.base import METHODS
from equipoise.methods.bounds import GivenBounds, PixelBounds, parse_bounds
from equipoise.methods.layers import LAST_MAPS, REFERENCE_MAPS, LastMaps, find_layer
from equipoise.methods.propagation import ProfileName, Propagation
from equipoise.methods.starts import contribution_map
from equipoise.methods.targets import Targets
from equipoise.rules.ae import Equilibrium
from equipoise.rules.ae_fine import SharpEquilibrium, near_pixels
from equipoise.rules.ae_reference import NonzeroPass, NonzeroSlices, ResidualBranchOnly, fork
from equipoise.rules.pooling import Pool
from equipoise.rules.structure import STRUCTURE
from equipoise.rules.zbox import ZBox

# What the paper's rules never look at again, so the tape need not hold it.
_KEEP = frozenset(OpKind) - {OpKind.NORM, OpKind.VIEW, OpKind.IDENTITY, OpKind.ACTIVATION, OpKind.GATE}


@METHODS.register("ae", aliases=("attribution_equilibrium", "Attribution Equilibrium"))
class AttributionEquilibrium(Propagation):
    r"""Little positive relevance, and on the object: the positive and negative evidence kept in balance.

    The last feature map, weighted by its gradient, speaks for and against the class. Going down, at each layer the
    positive part is scaled to +1 and the negative to -1, carried along, and the same is taken from every activated
    neuron, so that what matters little turns negative. Little positive relevance is left, and on the object. `gamma`,
    from 1 to 2, keeps more of it.

    .. math::
        R \leftarrow C(R) + A(R^+) + U(R^-) - \Psi \quad\text{(Eq. 8 to 12)},\qquad \sum R = \gamma - 2

    Args:
        model: A convolutional network in eval mode; it is not changed.
        gamma: How much evidence to keep, from 1 (least) to 2.
        profile: ``"paper"``: the equations, for any architecture and per image. ``"reference"``: what
            the authors' released implementation computes. ``"fine"``: the equations with two changes of our
            own, for maps that show detail on networks without pools (`equipoise.rules.ae_fine`).
        layer: The module at whose output the classification stage begins; ``None`` finds it.
        terms: Which of ``"C"``, ``"A"``, ``"U"``, ``"shift"`` take part (the ablation of Table 2).
        input_bounds: Lowest and highest value a pixel can have, as numbers or tensors
            broadcastable to ``(n, c, h, w)`` or of shape ``(c,)``; ``None``: the image's own extremes.

    Raises:
        OptionError: If ``gamma`` is not in [1, 2], or a profile, term or bound makes no sense.

    References:
        Nam & Lee, T-PAMI 2024, Eq. 5 to 13 and Algorithm 1.

        https://arxiv.org/abs/2205.11109
    """

    title: ClassVar[str] = "Attribution Equilibrium"
    summary: ClassVar[str] = "Evidence for and against the class, kept in balance layer by layer down to the pixels"
    profiles: ClassVar[tuple[str, ...]] = ("paper", "reference", "fine")
    keep = _KEEP
    carries_once = True

    def __init__(
        self,
        model: nn.Module,
        *,
        gamma: float = 1.0,
        profile: ProfileName | Literal["fine"] = "paper",
        layer: str | None = None,
        terms: Collection[str] = TERMS,
        input_bounds: GivenBounds = None,
    ) -> None:
        if not isinstance(gamma, int | float) or not 1 <= gamma <= 2:
            raise OptionError(f"gamma is {gamma!r}; it must lie between 1 (least evidence) and 2 (most)")
        wrong = [term for term in terms if term not in TERMS]
        if wrong or isinstance(terms, str) or not set(terms) - {"shift"}:
            raise OptionError(f"terms are {terms!r}; choose from C, A, U and shift, at least one of the first three")
        super().__init__(model, profile)
        self.layer = layer
        self.options = Options(float(gamma), frozenset(cast("Collection[Term]", terms)), parse_bounds(input_bounds))
        self.profile = PROFILES[profile]

    def origin(self, trace: Trace) -> Value:
        """The map at which the classification stage begins."""
        return find_layer(self.model, trace, self.layer, self.profile.last_maps)

    def explain_trace(self, trace: Trace, targets: Targets) -> Tensor:
        """Algorithm 1: the starting map of Eq. 5, then the equilibrium of Eq. 6 to 13 down to the pixels.

        Returns:
            Signed, ``(k, n, 3, h, w)``. For ``profile="paper"`` on a network without branches each image's sum is
            ``gamma - 2`` at every layer with a kernel larger than 1x1; for ``"fine"``, too, where something excites
            every window.
        """
        layer = self.origin(trace)
        start = initial_map(trace, layer, targets.seeds)
        start = start if self.profile.shares else replace(start, share=None)
        flat = start.value.flatten(2)
        sides = torch.stack([(flat > 0).any(-1), (flat < 0).any(-1)], -1)
        found = self.to(trace, {layer: start}, self.profile.composite(self.options), trace.input)
        self.notes += _notes(sides, targets.first)  # last: an accelerator is waited for
        factor = self.profile.factor(trace, layer)
        return found if factor == 1 else found * factor


def initial_map(trace: Trace, layer: Value, seeds: Tensor) -> Relevance:
    """The gradient-weighted activation map of Eq. 5, scaled to an absolute total of 1.

    Args:
        trace: The forward pass.
        layer: The feature map ``(n, c, *positions)``.
        seeds: Gradient of the explained scores by the logits, ``(k, n, C)``.

    Returns:
        ``(k, n, c, *positions)`` with share 1; share 0 where the map is zero everywhere. A map whose
        sum is exactly zero is not scaled (the balance of Eq. 6 scales it).
    """
    contribution = _unit_peak(contribution_map(trace, layer, seeds), trace.n)
    total = sums(contribution, trace.n).abs()
    scale = torch.where(total > 0, 1 / total, 1.0)
    present = per_sample(contribution != 0, trace.n).any(-1)
    return Relevance(contribution * over_samples(scale, contribution), present.to(contribution.dtype))


def _unit_peak(value: Tensor, n: int) -> Tensor:
    """Scale each sample so that its largest magnitude is 1; what follows does not see the scale."""
    peak = per_sample(value, n).abs().amax(-1)
    return value / over_samples(torch.where(peak > 0, peak, 1.0), value)


def _notes(sides: Bool[Tensor, "k n side"], first: int) -> list[str]:
    """What to say of starting maps that have no positive or no negative part, of targets number ``first`` and on."""
    return [
        f"image {n}, target {first + k}: the starting map has no {' and no '.join(absent)} part"
        for k, row in enumerate(sides.tolist())
        for n, present in enumerate(row)
        if (absent := [name for name, there in zip(("positive", "negative"), present, strict=True) if not there])
    ]


@dataclass(frozen=True)
class Options:
    """What the user chose of Attribution Equilibrium, checked."""

    gamma: float
    terms: frozenset[Term]
    bounds: PixelBounds


@dataclass(frozen=True)
class Profile:
    """One reading of the paper.

    Attributes:
        composite: Makes the rules for the feature extraction stage.
        last_maps: Architectures that start at another map than the last one.
        shares: Whether branches balance to their share of tau; else every layer balances to 1.
        factor: What the final map is multiplied by.
    """

    composite: Callable[[Options], Composite]
    last_maps: LastMaps = LAST_MAPS
    shares: bool = True
    factor: Callable[[Trace, Value], float] = lambda _trace, _layer: 1.0


def _paper(options: Options) -> Composite:
    return Composite(
        "attribution equilibrium (paper)",
        {**STRUCTURE, OpKind.LINEAR: Equilibrium(options.gamma, options.terms)},
        (Special(OpKind.LINEAR, reads_pixels, ZBox(options.bounds)),),
    )


def _fine(options: Options) -> Composite:
    paper = _paper(options)
    weighed = paper.replacing({OpKind.LINEAR: Equilibrium(options.gamma, options.terms, weighed=True)})
    sharp = Special(OpKind.LINEAR, near_pixels, SharpEquilibrium(options.gamma, options.terms))
    return replace(weighed, name="attribution equilibrium (fine)", exceptions=(*paper.exceptions, sharp))


def _reference(options: Options) -> Composite:
    layer = Equilibrium(options.gamma, options.terms, shift_over="nonzero", flat_kernel=True)
    return Composite(
        "attribution equilibrium (reference)",
        {
            **STRUCTURE,
            OpKind.LINEAR: layer,
            OpKind.MAX_POOL: Pool(),
            OpKind.NORM: NonzeroPass(),
            OpKind.ADD: ResidualBranchOnly(),
            OpKind.CONCATENATE: NonzeroSlices(),
        },
        (Special(OpKind.LINEAR, lambda step: step.call.inputs[0].shape[1:2] == (3,), ZBox(options.bounds)),),
    )


def _doubled_blocks(trace: Trace, layer: Value) -> float:
    """The reference doubles the result of every residual block; later layers undo it, but for the last."""
    factor = 1.0
    reached = trace.ancestors(layer)
    for call in trace.calls:
        if call.kind is OpKind.ADD and len(call.inputs) == 2 and call.outputs[0] in reached:
            below = (value.producer for value in trace.ancestors(fork(call, trace)))
            layers = [c for c in below if c is not None and c.kind is OpKind.LINEAR]
            if all(c.inputs[0].shape[1:2] == (3,) for c in layers):
                factor *= 2
    return factor


PROFILES: Final[Mapping[str, Profile]] = {
    "paper": Profile(_paper),
    "reference": Profile(_reference, REFERENCE_MAPS, shares=False, factor=_doubled_blocks),
    "fine": Profile(_fine),
}
