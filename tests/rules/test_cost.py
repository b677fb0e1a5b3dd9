"""What a rule costs in convolutions: an empty half of the input is not taken through the layer."""

import pytest
import torch
from torch import nn

from equipoise.engine import Relevance, linear_map, record
from equipoise.engine.rule import Step
from equipoise.rules.excitation import Excitation
from equipoise.rules.gradient import Derivative
from equipoise.rules.lrp import AlphaBeta, Epsilon, Gamma
from equipoise.rules.relevance_cam import DoubledBias
from equipoise.rules.zbox import ZBox

# Forward and transposed convolutions after a ReLU, and for an input of both signs.
COST = {
    Epsilon(): ((1, 1), (1, 1)),
    AlphaBeta(): ((1, 1), (2, 2)),
    AlphaBeta(alpha=2.0): ((2, 2), (4, 4)),
    Gamma(): ((3, 2), (5, 4)),
    Excitation(): ((1, 1), (2, 2)),
    DoubledBias(): ((1, 1), (2, 2)),
    ZBox(): ((2, 2), (2, 2)),
    Derivative(): ((0, 1), (0, 1)),
}


@pytest.mark.parametrize("rule", COST, ids=lambda rule: f"{type(rule).__name__}{getattr(rule, 'alpha', '')}")
@pytest.mark.parametrize("signed", [False, True])
def test_convolutions_are_counted(rule, signed, monkeypatch):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    x = torch.randn(2, 3, 6, 6)
    trace = record(model, x if signed else x.relu())
    calls = {"forward": 0, "back": 0}

    def counted(name, function):
        def call(*arguments):
            calls[name] += 1
            return function(*arguments)

        return call

    monkeypatch.setitem(linear_map._CONVOLUTIONS, 2, counted("forward", torch.conv2d))
    monkeypatch.setitem(linear_map._TRANSPOSED, 2, counted("back", torch.conv_transpose2d))
    rule(Step(trace.calls[0], trace), [Relevance(torch.randn(1, 2, 4, 4, 4))])
    assert tuple(calls.values()) == COST[rule][signed]
