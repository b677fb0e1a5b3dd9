"""Float32, with the channels last, in fewer passes and in stripes, stays within 1e-5 of float64."""

import pytest
import torch
from torch import nn

from equipoise.engine import Relevance, layout, record
from equipoise.engine.rule import Step
from equipoise.rules.ae import Equilibrium
from equipoise.rules.excitation import Excitation
from equipoise.rules.lrp import AlphaBeta, Epsilon, Flat, Gamma
from equipoise.rules.pooling import Pool
from equipoise.rules.relevance_cam import DoubledBias
from equipoise.rules.structure import Split
from equipoise.rules.zbox import ZBox
from helpers import relative_error

RULES = [
    Equilibrium(), Equilibrium(1.7), Equilibrium(shift_over="nonzero"), Epsilon(), AlphaBeta(), AlphaBeta(alpha=2.0),
    Gamma(), Flat(), Excitation(), DoubledBias(), ZBox(),
]  # fmt: skip


class Sum(nn.Module):
    """``x`` and its mirror image, added."""

    def forward(self, x):
        return (x.relu() + x.flip(3)).flatten(1)


def found(network, x, R, rule, at):
    trace = record(network.to(x.dtype).eval(), x)
    call = next(call for call in trace.calls if call.name == at)
    return [part.value for part in rule(Step(call, trace), [Relevance(R.to(x.dtype))]) if part is not None]


@pytest.mark.parametrize("stripe", [layout.STRIPE, 2**12], ids=["whole", "stripes"])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_a_layer(rule, signed, stripe, monkeypatch):
    torch.manual_seed(3)
    network = nn.Sequential(nn.Conv2d(16, 24, 3, padding=1), nn.Flatten()).double()
    x = torch.randn(2, 16, 20, 20, dtype=torch.float64)
    x, R = x if signed else x.relu(), torch.randn(1, 2, 24, 20, 20, dtype=torch.float64)
    (expected,) = found(network, x, R, rule, "conv2d")
    monkeypatch.setattr(layout, "STRIPE", stripe)
    (single,) = found(network, x.float(), R, rule, "conv2d")
    assert single.dtype == torch.float32
    # Epsilon divides by a signed sum, which cancels: what rounding changes there grows without bound.
    limit = 1e-3 if isinstance(rule, Epsilon) else 1e-5
    assert relative_error(single.double(), expected) < limit


@pytest.mark.parametrize(("rule", "network", "at"), [
    (Pool(), nn.Sequential(nn.MaxPool2d(2), nn.Flatten()), "max_pool2d"),
    (Pool(), nn.Sequential(nn.AvgPool2d(2), nn.Flatten()), "avg_pool2d"),
    (Split(), Sum(), "add"),
], ids=["max", "mean", "sum"])  # fmt: skip
def test_what_is_no_layer(rule, network, at):
    torch.manual_seed(4)
    x = torch.randn(3, 8, 12, 12, dtype=torch.float64)
    R = torch.randn(2, 3, 8, *((12, 12) if at == "add" else (6, 6)), dtype=torch.float64)
    expected, single = (found(network, data, R, rule, at) for data in (x, x.float()))
    for a, b in zip(single, expected, strict=True):
        assert relative_error(a.double(), b) < 1e-5
