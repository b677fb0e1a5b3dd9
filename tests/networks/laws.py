"""What must hold for every convolutional network, whatever it is built from, and the means to find out.

Weights are drawn, not trained. Many networks start with branches switched off (a layer scale of 1e-6, the last
batch norm of a residual block at zero), and would pass with those branches broken; `perturb` switches them on.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from equipoise.engine import Composite, Passage, Relevance, Rule, Step, Trace, propagate, record
from equipoise.engine.numerics import per_sample
from equipoise.methods.ae import AttributionEquilibrium
from equipoise.rules.ae import Equilibrium
from equipoise.rules.gradient import GRADIENT
from equipoise.rules.zbox import ZBox
from helpers import relative_error

GAMMA = 1.5
EXACT = 1e-10
TARGET = 3


def perturb(model: nn.Module, seed: int = 0) -> nn.Module:
    """Draw every parameter and every batch-norm statistic anew; float64, eval mode.

    Each tensor has its own stream, from its name. Matrices and kernels: normal with He's deviation (that of a
    network of ReLUs that keeps the signal's size). Scales of any shape (the weights of norms, layer scales, gains)
    and running variances: uniform in [0.5, 1.5]. Biases and running means: normal, deviation 0.1.
    """
    model = model.double().eval()
    with torch.no_grad():
        for name, tensor in _state(model):
            stream = torch.Generator().manual_seed(zlib.crc32(name.encode()) + seed)
            if tensor.numel() > max(tensor.shape, default=1):
                tensor.normal_(0, math.sqrt(2 / tensor[0].numel()), generator=stream)
            elif name.endswith(("bias", "running_mean")):
                tensor.normal_(0, 0.1, generator=stream)
            else:
                tensor.uniform_(0.5, 1.5, generator=stream)
    return model


def _state(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from ((name, t) for name, t in model.named_buffers() if name.endswith(("running_mean", "running_var")))


def image(n: int, size: int, seed: int = 0) -> Tensor:
    """``n`` images of noise at two scales, float64."""
    stream = torch.Generator().manual_seed(seed)
    coarse = torch.randn(n, 3, size // 8, size // 8, generator=stream, dtype=torch.float64)
    fine = torch.randn(n, 3, size, size, generator=stream, dtype=torch.float64)
    return nn.functional.interpolate(coarse, size=(size, size), mode="bilinear") + 0.3 * fine


@dataclass(frozen=True)
class Row:
    """One operation that relevance passed, and what the equations say must have left it.

    Attributes:
        passage: What the engine saw.
        rule: Name of the rule.
        expected: Sum of relevance that must leave, ``(k, n)``.
        scale: Absolute relevance involved, ``(k, n)``: what rounding is relative to.
        lost: The part of ``expected`` that is due to empty denominators, ``(k, n)``.
    """

    passage: Passage
    rule: str
    expected: Tensor
    scale: Tensor
    lost: Tensor

    @property
    def error(self) -> float:
        """Largest relative deviation of what left from what must leave."""
        return float(((self.passage.left - self.expected).abs() / self.scale.clamp(min=1e-300)).max())

    def __str__(self) -> str:
        return f"{self.rule} at {self.passage.call.name} in {self.passage.call.site.module}: off by {self.error:.1e}"


@dataclass(frozen=True)
class Audit(Composite):
    """A composite that gives the rules of another one, and works out what each must conserve.

    It keeps no relevance: the ledger of a step is settled while the step runs.
    """

    ledger: dict[int, tuple[str, Tensor, Tensor, Tensor]] = field(default_factory=dict)

    def rule_for(self, step: Step) -> Rule:
        rule = Composite.rule_for(self, step)

        def audited(step: Step, relevance: Sequence[Relevance | None]) -> Sequence[Relevance | None]:
            passed = rule(step, relevance)
            self.ledger[step.call.index] = (getattr(rule, "name", type(rule).__name__), *_due(rule, step, relevance))
            return passed

        return audited

    def rows(self, watch: list[Passage]) -> list[Row]:
        return [
            Row(passage, *self.ledger[passage.call.index]) for passage in watch if passage.call.index in self.ledger
        ]


def _due(rule: Rule, step: Step, relevance: Sequence[Relevance | None]) -> tuple[Tensor, Tensor, Tensor]:
    """What must leave an operation, the size of what arrived, and what is lost."""
    arrived = [r for r in relevance if r is not None]
    parts = [per_sample(r.value, step.n) for r in arrived]
    total, size = sum(p.sum(-1) for p in parts), sum(p.abs().sum(-1) for p in parts)
    if isinstance(rule, Equilibrium):
        return _due_equilibrium(step, arrived[0])
    lost = torch.zeros_like(total)
    if step.call.name == "pad":  # what a later average gave to padding, which stands for no neuron
        (kept,) = step.run([torch.ones_like(step.data())])
        lost = per_sample(arrived[0].value * (kept == 0), step.n).sum(-1)
    return total - lost, size, lost


def _due_equilibrium(step: Step, arrived: Relevance) -> tuple[Tensor, Tensor, Tensor]:
    """Eq. 6 to 13, summed over the neurons: each term carries its balanced relevance, but where it divides by 0.

    ``C`` loses what arrives where no neuron of the window is active, ``A`` the same, ``U`` what arrives where
    none is inactive, the shift is lost where no neuron is active at all. Where the relevance has one sign only,
    there is nothing to balance the other part to.
    """
    x, layer, n = step.data(), step.linear_map(), step.n
    share = arrived.value.new_ones(arrived.value.shape[0], n) if arrived.share is None else arrived.share
    gamma, shift = (1.0, 0.0) if layer.pointwise else (GAMMA, 1.0)
    weight = layer.weight.abs()
    # Whether any neuron of the window could take the relevance: magnitudes, so nothing cancels.
    no_active = (layer(x.clamp(min=0), weight) == 0).unsqueeze(0)
    no_inactive = (layer((x <= 0).to(x.dtype), weight) == 0).unsqueeze(0)

    def balanced(part: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The sum after Eq. 6, and which of it arrives where nothing is active, and where nothing is inactive."""
        whole = per_sample(part, n).sum(-1)
        factor = torch.where(whole != 0, share / whole.abs(), 0.0)
        sums = [per_sample(part * empty, n).sum(-1) * factor for empty in (no_active, no_inactive)]
        return whole * factor, *sums

    P, P_without_active, _ = balanced(arrived.value.clamp(min=0))
    N, N_without_active, N_without_inactive = balanced(arrived.value.clamp(max=0))
    any_active = per_sample((x > 0).unsqueeze(0), n).any(-1)
    lost = gamma * P_without_active + N_without_active + P_without_active + N_without_inactive
    lost = lost - shift * share * ~any_active
    due = gamma * P + N + P + N - shift * share
    return due - lost, 4 * share, lost


@dataclass
class Study:
    """One network under examination."""

    model: nn.Module
    images: Tensor

    @cached_property
    def plain(self) -> Tensor:
        with torch.no_grad():
            return self.model(self.images)

    @cached_property
    def method(self) -> AttributionEquilibrium:
        return AttributionEquilibrium(self.model, gamma=GAMMA)

    @cached_property
    def trace(self) -> Trace:
        return self.method.trace(self.images)

    @cached_property
    def heat(self) -> Tensor:
        found = self.method.attribute(self.images, TARGET)
        assert isinstance(found, Tensor)
        return found

    @cached_property
    def rows(self) -> list[Row]:
        """The coverage table of this run, each row with what is due."""
        paper = self.method.profile
        audits: list[Audit] = []

        def composite(options) -> Composite:
            rules = paper.composite(options)
            audits.append(Audit(rules.name, rules.rules, rules.exceptions))
            return audits[0]

        audited = AttributionEquilibrium(self.model, gamma=GAMMA)
        audited.profile = replace(paper, composite=composite)
        passages = audited.coverage_trace(self.trace, TARGET)
        return audits[0].rows(passages)


def forward_is_bit_equal(study: Study) -> None:
    assert torch.equal(study.trace.logits, study.plain)


def result_is_finite_and_not_zero(study: Study) -> None:
    assert study.heat.shape == study.images.shape
    assert bool(study.heat.isfinite().all())
    assert bool((study.heat.flatten(1).abs().amax(1) > 0).all())


def sums_are_right(study: Study) -> None:
    rows = study.rows
    assert {ZBox.__name__, Equilibrium.__name__} <= {row.rule for row in rows}, {row.rule for row in rows}
    wrong = [str(row) for row in rows if not row.error <= EXACT]
    assert not wrong, wrong
    # What reaches the pixels is what left the layers that read them.
    left = sum(row.passage.left for row in rows if row.passage.call.inputs[0] is study.trace.input)
    pixels = per_sample(study.heat[None], len(study.images))
    assert bool(((pixels.sum(-1) - left).abs() <= EXACT * pixels.abs().sum(-1)).all())


def sample_does_not_see_its_batch(study: Study) -> None:
    last = slice(len(study.images) - 1, None)  # a wrong sum over the batch would show in each image
    alone = study.method.attribute(study.images[last], TARGET)
    assert relative_error(study.heat[last], alone) <= EXACT


def gradient_is_autograd(study: Study) -> None:
    seeds = torch.randn(1, *study.plain.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    trace = record(study.model, study.images)
    found = propagate(trace, {trace.output: Relevance(seeds)}, GRADIENT)[trace.input].value[0]
    leaf = study.images.clone().requires_grad_()
    (expected,) = torch.autograd.grad(study.model(leaf.clone()), leaf, seeds[0])
    assert relative_error(found, expected) <= EXACT


def examine(model: nn.Module, images: Tensor) -> dict[str, str]:
    """Which laws a network breaks, and how."""
    study, broken = Study(model, images), {}
    for law in LAWS:
        try:
            law(study)
        except Exception as error:  # noqa: BLE001  # whatever a network does wrong is the finding
            broken[law.__name__] = f"{type(error).__name__}: {error}"
    return broken


LAWS: tuple[Callable[[Study], None], ...] = (
    forward_is_bit_equal,
    result_is_finite_and_not_zero,
    sums_are_right,
    sample_does_not_see_its_batch,
    gradient_is_autograd,
)
