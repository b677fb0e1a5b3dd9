"""The laws of this folder have teeth: each fails for a library that breaks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import laws
import pytest
import torch

import equipoise.engine.kernels.equilibrium as ae_kernel
import equipoise.methods.ae as ae_method
from equipoise.engine import Relevance, Trace
from equipoise.models import build
from equipoise.rules.ae import Equilibrium
from equipoise.rules.gradient import Derivative
from equipoise.rules.pooling import Pool
from equipoise.rules.structure import Split
from equipoise.rules.zbox import ZBox

NETWORK = "timm/test_resnet"


def networks() -> dict[str, str]:
    return laws.examine(laws.perturb(build(NETWORK, num_classes=10)), laws.image(2, 48))


def leak(rule: type, factor: float) -> Callable[..., Any]:
    """``rule`` with one part in many missing."""
    honest = rule.__call__

    def leaking(self, step, relevance):
        return [None if r is None else r.with_value(r.value * factor) for r in honest(self, step, relevance)]

    return leaking


def test_the_network_of_this_file_keeps_every_law() -> None:
    assert networks() == {}


@pytest.mark.parametrize("rule", [Pool, Split, ZBox, Equilibrium])
def test_a_leak_of_a_millionth_breaks_the_sums(rule: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule, "__call__", leak(rule, 1 - 1e-6))
    broken = networks()
    assert set(broken) == {"sums_are_right"}
    assert rule.__name__ in broken["sums_are_right"]


def test_a_batch_that_balances_together_breaks_the_law_of_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = ae_kernel.balance

    def together(*parts):
        return tuple(factor.mean(1, keepdim=True).expand_as(factor) for factor in honest(*parts))

    monkeypatch.setattr(ae_kernel, "balance", together)
    assert "sample_does_not_see_its_batch" in networks()


def test_a_gradient_off_by_a_millionth_breaks_its_law(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Derivative, "__call__", leak(Derivative, 1 - 1e-6))
    assert "gradient_is_autograd" in networks()


def test_a_map_of_zeros_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = ae_method.initial_map

    def empty(*args: Any) -> Relevance:
        start = honest(*args)
        return Relevance(torch.zeros_like(start.value), start.share * 0)

    monkeypatch.setattr(ae_method, "initial_map", empty)
    assert "result_is_finite_and_not_zero" in networks()


def test_a_forward_pass_off_by_one_bit_breaks_its_law(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = Trace.logits.fget
    monkeypatch.setattr(
        Trace, "logits", property(lambda self: torch.nextafter(exact(self), torch.tensor(9e9).double()))
    )
    assert set(networks()) == {"forward_is_bit_equal"}


def test_perturbed_weights_leave_no_branch_switched_off() -> None:
    for name in ("timm/test_convnext", NETWORK, "timm/test_efficientnet"):
        model = laws.perturb(build(name, num_classes=10))
        assert all(float(p.detach().abs().amax()) > 1e-3 for p in model.parameters()), name


def test_relevance_is_lost_only_where_nothing_could_take_it() -> None:
    """The ledger's losses, found another way: the layer's input has no active (or no inactive) neuron at all."""
    study = laws.Study(laws.perturb(build("timm/hgnetv2_b0", num_classes=10)), laws.image(2, 64))
    rows = [row for row in study.rows if row.rule == "Equilibrium" and float(row.lost.abs().max()) > 0.2]
    assert rows  # a pooled map of positive values: all of U finds no neuron
    whole = [row for row in rows if bool((study.trace.data(row.passage.call.inputs[0]) > 0).all())]
    assert whole
    for row in whole:
        assert row.passage.share is not None
        torch.testing.assert_close(row.lost.abs(), row.passage.share, rtol=1e-9, atol=0)
