"""The variants of Attribution Equilibrium that `blur.py` compares: each changes rules of the paper's profile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from equipoise.engine import Composite, OpKind
from equipoise.engine.linear_map import LinearMap
from equipoise.engine.numerics import over_samples, safe_divide, sums
from equipoise.engine.relevance import Relevance, only, sum_to
from equipoise.engine.rule import Rule, Special, Step
from equipoise.engine.selectors import reads_pixels
from equipoise.methods.ae import PROFILES, Options, Profile
from equipoise.rules.ae import Equilibrium
from equipoise.rules.ae_fine import SharpEquilibrium, near_pixels
from equipoise.rules.ae_reference import residual_branch
from equipoise.rules.layered import stabilized
from equipoise.rules.structure import Pass

Weigh = Callable[[Tensor], Tensor]


def plus(w: Tensor) -> Tensor:
    """The positive weights."""
    return w.clamp(min=0)


def minus(w: Tensor) -> Tensor:
    """The size of the negative weights."""
    return w.clamp(max=0).neg()


def power(p: float) -> Weigh:
    """Positive values to the power ``p``, of weights their sizes: the larger, the more of the relevance."""
    return lambda x: x.clamp(min=0) ** p


def size_to(p: float) -> Weigh:
    """Sizes to the power ``p``."""
    return lambda w: w.abs() ** p


def excited_to(p: float) -> Weigh:
    """The positive weights to the power ``p``."""
    return lambda w: w.clamp(min=0) ** p


def favored(share: float) -> Weigh:
    """LRP-gamma's weights: the signed ones, and more of the positive."""
    return lambda w: w + share * w.clamp(min=0)


@dataclass(frozen=True)
class Varied:
    """Eq. 6 to 13 with a choice at each place; the defaults are the paper's rule.

    Attributes:
        C, A, U: What of the weight carries each term.
        activity: What of the input ``C`` weighs by.
        whether: What of the input ``A`` weighs by; ``None``: whether it is active.
        terms: Which take part.
        shift_pointwise: How much of the shift a 1x1 kernel takes.
        even_pointwise: Whether what that shift takes is given back: its gamma is larger by as much.
        covered: Whether a position counts less, the more windows see it: as many of them as see it.
    """

    C: Weigh = torch.abs
    A: Weigh = torch.abs
    U: Weigh = torch.abs
    activity: Weigh = plus
    whether: Weigh | None = None
    terms: frozenset[str] = frozenset({"C", "A", "U", "shift"})
    shift_pointwise: float = 0.0
    even_pointwise: bool = False
    covered: bool = False
    gamma: float = 1.0

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        arrived = only(relevance)
        R, n = arrived.value, step.n
        share = R.new_ones(len(R), n) if arrived.share is None else arrived.share
        value = self.equation(step.data(), step.linear_map(), R, share)
        return [arrived.with_value(value), *[None] * (len(step.call.inputs) - 1)]

    def equation(self, x: Tensor, layer: LinearMap, R: Tensor, share: Tensor) -> Tensor:
        n = share.shape[1]
        P, N = (
            over_samples(share, R) * safe_divide(part, over_samples(sums(part, n).abs(), part))
            for part in (R.clamp(min=0), R.clamp(max=0))
        )
        a = self.activity(x)
        active = (a != 0).to(x)
        inactive, count, seen = 1 - active, active, torch.ones_like(x[:1])
        if self.covered and not layer.pointwise:
            ones = torch.ones_like(layer.weight)
            seen = layer.adjoint(layer(torch.zeros_like(x[:1]), ones) + 1, ones)
            seen = torch.where(seen > 0, seen, 1.0)
            a, active, inactive = a / seen, active / seen, inactive / seen
        divide = stabilized(1e-9)

        def J(x: Tensor, R: Tensor, w: Tensor) -> Tensor:  # noqa: N802
            z = layer(x, w)
            signed = bool((w < 0).any())
            return x * layer.adjoint((divide(R, z) * (z != 0)) if signed else safe_divide(R, z), w)

        w, result = layer.weight, torch.zeros((len(R), *x.shape), dtype=R.dtype)
        if "C" in self.terms:
            gamma = 1 + self.even_pointwise * self.shift_pointwise if layer.pointwise else self.gamma
            result = result + J(a, gamma * P + N, self.C(w))
        if "A" in self.terms:
            result = result + J(active if self.whether is None else self.whether(x) / seen, P, self.A(w))
        if "U" in self.terms:
            result = result + J(inactive, N, self.U(w))
        if "shift" in self.terms:
            part = self.shift_pointwise if layer.pointwise else 1.0
            result = result - part * over_samples(safe_divide(share, sums(count[None], n)), R) * count
        return result


@dataclass(frozen=True)
class Shared:
    """A sum: each summand's part by a size of its own.

    Attributes:
        size: From a summand to what its part is in proportion to.
    """

    size: Weigh

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        arrived, inputs = only(relevance), step.call.inputs
        if len(inputs) == 1:
            return Pass()(step, relevance)
        sizes = [self.size(step.data(i)) for i in range(len(inputs))]
        whole = sum(sizes[1:], start=sizes[0])
        even = (whole == 0).to(whole)
        parts = [arrived.value * ((size + even) / (whole + len(sizes) * even)) for size in sizes]
        return arrived.split([sum_to(part, source.shape) for part, source in zip(parts, inputs, strict=True)])


@dataclass(frozen=True)
class Largest:
    """A sum: the summand of the largest magnitude takes all, as in a maximum pool."""

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        arrived, inputs = only(relevance), step.call.inputs
        if len(inputs) == 1:
            return Pass()(step, relevance)
        sizes = torch.stack([step.data(i).abs() for i in range(len(inputs))])
        wins = F.one_hot(sizes.argmax(0), len(inputs)).movedim(-1, 0).to(arrived.value)
        return arrived.split([arrived.value * win for win in wins])


@dataclass(frozen=True)
class OneBranch:
    """A sum of two: the residual branch takes all, or the skip branch.

    Attributes:
        skip: Which of them.
        strided: Only where the skip branch is a strided 1x1 layer; other sums as the paper's profile has them.
    """

    skip: bool = False
    strided: bool = False

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        inputs = step.call.inputs
        if len(inputs) != 2:
            return Pass()(step, relevance)
        branch = residual_branch(step.call, step.trace)
        if self.strided and not _after_strided(step, 1 - branch):
            return Shared(torch.abs)(step, relevance)
        wanted = 1 - branch if self.skip else branch
        return [only(relevance) if index == wanted else None for index in range(2)]


def _after_strided(step: Step, index: int) -> bool:
    value = step.call.inputs[index]
    while value.producer is not None and value.producer.kind in (OpKind.NORM, OpKind.IDENTITY):
        value = value.producer.inputs[0]
    call = value.producer
    return call is not None and call.kind is OpKind.LINEAR and strided(Step(call, step.trace))


@dataclass(frozen=True)
class Spread:
    """A strided 1x1 layer: the paper's rule, then each position's relevance evenly to all that its stride steps over.

    Attributes:
        by_activity: In proportion to the activity of the channel there, not evenly.
    """

    by_activity: bool = False

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        moved = Equilibrium()(step, relevance)
        found = moved[0]
        if found is None:
            return moved
        x, value = step.data(), found.value
        stride = step.linear_map().geometry.stride  # type: ignore[union-attr]  # of a convolution
        rows, columns = x.shape[-2:]
        seen = value[..., :: stride[0], :: stride[1]]
        size = (x.clamp(min=0) + 1e-9) if self.by_activity else torch.ones_like(x)
        pad = (0, -columns % stride[1], 0, -rows % stride[0])
        size = F.pad(size, pad)
        total = F.avg_pool2d(size, stride, stride, divisor_override=1)
        given = (seen / total).repeat_interleave(stride[0], -2).repeat_interleave(stride[1], -1) * size
        return [found.with_value(given[..., :rows, :columns]), *moved[1:]]


@dataclass(frozen=True)
class Stem:
    """The layer that reads the pixels: by its weights' squares, evenly over the window, or signed by ``x w``."""

    kind: str

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        arrived, x, layer = only(relevance), step.data(), step.linear_map()
        w = {"squares": layer.weight**2, "even": torch.ones_like(layer.weight), "signed": layer.weight}[self.kind]
        point = x if self.kind == "signed" else torch.ones_like(x)
        z = layer(point, w)
        s = stabilized(1e-3 * float(z.abs().mean()))(arrived.value, z) if self.kind == "signed" else arrived.value / z
        return [arrived.with_value(point * layer.adjoint(s, w)), *[None] * (len(step.call.inputs) - 1)]


def pointwise(step: Step) -> bool:
    """Whether a layer is 1x1."""
    return step.linear_map().pointwise


def strided(step: Step) -> bool:
    """Whether a 1x1 layer steps over positions."""
    layer = step.linear_map()
    return layer.pointwise and layer.geometry is not None and max(layer.geometry.stride) > 1


def depthwise(step: Step) -> bool:
    """Whether each channel is by itself."""
    layer = step.linear_map()
    return layer.geometry is not None and 1 < layer.geometry.groups == layer.in_shape[0]


def spatial(step: Step) -> bool:
    """Whether a kernel is larger than 1x1."""
    return not pointwise(step)


def up_to(stride: int) -> Callable[[Step], bool]:
    """Whether a layer's input has a position for every ``stride`` pixels, or more of them."""

    def fine(step: Step) -> bool:
        return step.trace.input.shape[-1] <= stride * step.call.inputs[0].shape[-1]

    return fine


def after_bottleneck(step: Step) -> bool:
    """Whether a layer's input has negative values: no rectifier comes before it."""
    return bool((step.data() < 0).any())


def _with(*specials: tuple[OpKind, Callable[[Step], bool], Rule], stem: Rule | None = None, shares: bool = True,
          **rules: Any) -> Profile:  # fmt: skip
    """The paper's profile with other rules."""
    paper = PROFILES["paper"]

    def composite(options: Options) -> Composite:
        base = paper.composite(options).replacing({OpKind[key]: rule for key, rule in rules.items()})
        first = Special(OpKind.LINEAR, reads_pixels, stem) if stem is not None else base.exceptions[0]
        added = tuple(Special(*special) for special in specials)
        return replace(base, exceptions=(first, *added, *base.exceptions[1:]))

    return replace(paper, composite=composite, shares=shares)


def _layers(where: Callable[[Step], bool], **choices: Any) -> tuple[OpKind, Callable[[Step], bool], Rule]:
    return (OpKind.LINEAR, where, Varied(**choices))


def _always(_step: Step) -> bool:
    return True


C_ALONE = frozenset({"C"})
CA = frozenset({"C", "U", "shift"})
EXCITED = {"C": plus, "A": plus}
BY_X = {"whether": plus}
NEAR_THE_PIXELS = (OpKind.LINEAR, near_pixels, SharpEquilibrium())


def _powers(
    p: float, where: Callable[[Step], bool], *, excited: bool = False, weighed: bool = False, **more: Any
) -> Profile:
    """Contributions to a power: winners take more. ``weighed``: ``A`` weighs by activity, too."""
    size = excited_to(p) if excited else size_to(p)
    choices = {"C": size, "A": size, "U": size_to(p), "activity": power(p), "whether": power(p) if weighed else None}
    return _with(_layers(where, **{**choices, **more}))


VARIANTS: dict[str, Profile] = {
    "paper": PROFILES["paper"],
    "reference": PROFILES["reference"],
    "fine": PROFILES["fine"],
    "sum: all to the residual branch": _with(ADD=OneBranch()),
    "sum: all to the skip branch": _with(ADD=OneBranch(skip=True)),
    "sum: in halves": _with(ADD=Shared(torch.ones_like)),
    "sum: by positive parts": _with(ADD=Shared(plus)),
    "sum: by squares": _with(ADD=Shared(torch.square)),
    "sum: the larger takes all": _with(ADD=Largest()),
    "sum: tau on every branch": _with(shares=False),
    "strided 1x1: nothing to it": _with(ADD=OneBranch(strided=True)),
    "strided 1x1: spread evenly": _with((OpKind.LINEAR, strided, Spread())),
    "strided 1x1: spread by activity": _with((OpKind.LINEAR, strided, Spread(by_activity=True))),
    "1x1: with shift": _with(_layers(pointwise, shift_pointwise=1.0)),
    "1x1: with shift, gamma 2": _with(_layers(pointwise, shift_pointwise=1.0, even_pointwise=True)),
    "1x1: with shift, gamma 2 + A by x": _with(_layers(_always, **BY_X, shift_pointwise=1.0, even_pointwise=True)),
    "1x1: with shift, gamma 2 + fine": _with(
        NEAR_THE_PIXELS, _layers(_always, **BY_X, shift_pointwise=1.0, even_pointwise=True)
    ),
    "1x1: half of the shift, gamma 1.5 + fine": _with(
        NEAR_THE_PIXELS, _layers(_always, **BY_X, shift_pointwise=0.5, even_pointwise=True)
    ),
    "1x1: C by w+": _with(_layers(pointwise, C=plus)),
    "1x1: C and A by w+": _with(_layers(pointwise, **EXCITED)),
    "1x1: C alone": _with(_layers(pointwise, terms=C_ALONE)),
    "1x1: C alone, by w+": _with(_layers(pointwise, C=plus, terms=C_ALONE)),
    "1x1: signed": _with(_layers(pointwise, C=favored(0.25), terms=C_ALONE)),
    "kernels: C and A by w+": _with(_layers(spatial, **EXCITED)),
    "kernels: C alone, by w+": _with(_layers(spatial, C=plus, terms=C_ALONE)),
    "kernels: without A": _with(_layers(spatial, terms=CA)),
    "all: C and A by w+": _with(_layers(_always, **EXCITED)),
    "all: C and A by w+, U by w-": _with(_layers(_always, **EXCITED, U=minus)),
    "all: C alone, by w+": _with(_layers(_always, C=plus, terms=C_ALONE)),
    "all: signed": _with(_layers(_always, C=favored(0.25), terms=C_ALONE)),
    "bottleneck: C by |x|": _with(_layers(after_bottleneck, activity=torch.abs)),
    "bottleneck: C signed": _with(_layers(after_bottleneck, C=favored(0.25), activity=torch.clone, terms=C_ALONE)),
    "depthwise: C alone": _with(_layers(depthwise, terms=C_ALONE)),
    "depthwise: C alone, by w+": _with(_layers(depthwise, C=plus, terms=C_ALONE)),
    "depthwise: C and A by w+": _with(_layers(depthwise, **EXCITED)),
    "kernels: covered": _with(_layers(spatial, covered=True)),
    "kernels: squares": _powers(2, spatial),
    "A by x": _powers(1, _always, weighed=True),
    "A by x + 1x1: C alone, by w+": _with(_layers(pointwise, C=plus, terms=C_ALONE), _layers(_always, **BY_X)),
    "A by x + up to stride 4: squares": _with(
        _layers(up_to(4), C=size_to(2), A=size_to(2), U=size_to(2), activity=power(2), whether=power(2)),
        _layers(_always, **BY_X),
    ),
    "A by x, w+": _powers(1, _always, weighed=True, excited=True),
    "A by x, w+, squares": _powers(2, _always, weighed=True, excited=True),
    "A by x, w+, fourth powers": _powers(4, _always, weighed=True, excited=True),
    "A by x, w+, squares, covered": _powers(2, _always, weighed=True, excited=True, covered=True),
    "A by x, w+, squares, U by w-": _powers(2, _always, weighed=True, excited=True, U=lambda w: minus(w) ** 2),
    "all: squares": _powers(2, _always),
    "A by x, squares": _powers(2, _always, weighed=True),
    "A by x, fourth powers": _powers(4, _always, weighed=True),
    "up to stride 2: A by x, w+, squares": _powers(2, up_to(2), weighed=True, excited=True),
    "up to stride 4: A by x, w+, squares": _powers(2, up_to(4), weighed=True, excited=True),
    "up to stride 8: A by x, w+, squares": _powers(2, up_to(8), weighed=True, excited=True),
    "up to stride 16: A by x, w+, squares": _powers(2, up_to(16), weighed=True, excited=True),
    "up to stride 4: as fine": _with(NEAR_THE_PIXELS),
    "sharp up to stride 8": _with((OpKind.LINEAR, up_to(8), SharpEquilibrium())),
    "up to stride 8: A by x, w+": _powers(1, up_to(8), weighed=True, excited=True),
    "up to stride 4: A by x, squares": _powers(2, up_to(4), weighed=True),
    "up to stride 8: A by x, squares": _powers(2, up_to(8), weighed=True),
    "up to stride 8: A by x, w+, fourth powers": _powers(4, up_to(8), weighed=True, excited=True),
    "stem: by squares": _with(stem=Stem("squares")),
    "stem: evenly": _with(stem=Stem("even")),
    "stem: signed": _with(stem=Stem("signed")),
}
"""What is compared, by name; the part before the colon says what is changed."""
