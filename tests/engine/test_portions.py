"""A layer worked on in portions is the layer."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

import equipoise
from equipoise.engine import Relevance, layout, record
from equipoise.engine.linear_map import Geometry, LinearMap, Stripe
from equipoise.engine.portions import in_portions
from equipoise.engine.rule import Step
from equipoise.rules.excitation import Excitation
from equipoise.rules.lrp import AlphaBeta, Epsilon, Flat, Gamma
from equipoise.rules.relevance_cam import DoubledBias
from equipoise.rules.zbox import ZBox


def convolution(size, kernel, stride, padding, dilation, before, groups=1):
    geometry = Geometry((stride, 1), (padding, 1), (dilation, 1), (0, 0), groups=groups, before=before)
    return LinearMap(torch.randn(4, 4 // groups, kernel, 2, dtype=torch.float64), None, geometry, (4, size, 5))


@settings(max_examples=150, deadline=None)
@given(
    size=st.integers(4, 14), kernel=st.integers(1, 4), stride=st.integers(1, 5), padding=st.integers(0, 3),
    dilation=st.integers(1, 3), count=st.integers(1, 9), groups=st.sampled_from([1, 2]),
    before=st.sampled_from([(), (1, 0), (0, 1, 1, 0), (0, 0, 0, 2)]),
)  # fmt: skip
def test_stripes_make_the_whole(size, kernel, stride, padding, dilation, count, groups, before):
    layer = convolution(size, kernel, stride, padding, dilation, before, groups)
    assume(size + 2 * padding + sum(before[2:]) >= dilation * (kernel - 1) + 1)
    x = torch.randn(2, 4, size, 5, dtype=torch.float64)
    z = layer(x)
    stripes = list(layer.stripes(count))
    assert 1 <= len(stripes) <= count
    parts = [stripe.layer(stripe.cut(x, stripe.inside)) for stripe in stripes]
    torch.testing.assert_close(torch.cat(parts, 2), z, rtol=1e-12, atol=1e-12)

    s, back, seen = torch.randn_like(z), torch.zeros_like(x), torch.zeros_like(x)
    for stripe in stripes:
        stripe.cut(back, stripe.inside).add_(stripe.layer.adjoint(stripe.cut(s, stripe.outside)))
        stripe.cut(stripe.cut(seen, stripe.inside), stripe.fresh).add_(1)
    torch.testing.assert_close(back, layer.adjoint(s), rtol=1e-12, atol=1e-12)
    assert torch.equal(seen, torch.ones_like(x)), "every row is fresh in exactly one stripe"


@pytest.mark.parametrize("layer", [
    LinearMap(torch.randn(3, 4), None, None, (4,)),
    LinearMap(torch.randn(3, 4, 2), None, Geometry((1,), (0,), (1,), (0,)), (4, 9)),
    LinearMap(torch.randn(4, 3, 2, 2), None, Geometry((2, 2), (0, 0), (1, 1), (0, 0), transposed=True), (4, 9, 9)),
    convolution(9, 2, 1, 2, 1, ()),
])  # fmt: skip
def test_what_is_not_cut_comes_whole(layer):
    assert list(layer.stripes(3)) == [Stripe(layer)]


@pytest.mark.parametrize("limit", [1, 3, 7, 40])
@pytest.mark.parametrize("rule", [
    Epsilon(), AlphaBeta(), AlphaBeta(alpha=2.0), AlphaBeta(alpha=2.0, jointly=False), Gamma(), Flat(), Excitation(),
    DoubledBias(), ZBox(), ZBox((torch.tensor(-5.0), torch.tensor(4.0))),
], ids=lambda rule: type(rule).__name__)  # fmt: skip
def test_rules_give_the_same_in_portions(rule, limit, monkeypatch):
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(144 * 4, 2)).double().eval()
    trace = record(model, torch.randn(5, 3, 12, 12, dtype=torch.float64))
    step, R = Step(trace.calls[0], trace), torch.randn(2, 5, 4, 12, 12, dtype=torch.float64)
    (together, *_) = rule(step, [Relevance(R)])
    monkeypatch.setattr(layout, "WORKING_SET", limit * 8 * R[0, 0].numel())
    monkeypatch.setattr(layout, "STRIPE", limit * 8 * R[0, 0].numel() // 3)
    (apart, *_) = rule(step, [Relevance(R)])
    torch.testing.assert_close(apart.value, together.value, rtol=1e-9, atol=1e-12)


def test_portions_are_as_many_as_the_room_asks_for(monkeypatch):
    layer, sizes = convolution(12, 3, 1, 1, 1, ()), []
    x = torch.randn(5, 4, 12, 5, dtype=torch.float64)
    R = torch.randn(1, 5, *layer(x).shape[1:], dtype=torch.float64)

    def equation(inputs, part, R):
        sizes.append((len(inputs[0]), R.shape[3]))
        return part.adjoint(R)

    row = 8 * max(x[0].numel(), R[0, 0].numel())
    monkeypatch.setattr(layout, "STRIPE", row)
    for rows, expected in ((5, [(5, 12)]), (2, [(2, 12), (2, 12), (1, 12)])):
        monkeypatch.setattr(layout, "WORKING_SET", rows * row)
        in_portions(equation, [x], layer, R)
        assert sizes == expected
        sizes.clear()
    monkeypatch.setattr(layout, "STRIPE", row // 3)
    in_portions(equation, [x[:1]], layer, R[:, :1])
    assert sizes == [(1, 4), (1, 4), (1, 4)]


class Branched(nn.Module):
    """A residual sum of three, both pools, and a sum that broadcasts."""

    def __init__(self):
        super().__init__()
        self.stem, self.left, self.right = (nn.Conv2d(3 if i == 0 else 4, 4, 3, padding=1) for i in range(3))
        self.pool, self.mean, self.head = nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Linear(4, 2)

    def forward(self, x):
        x = self.pool(self.stem(x).relu())
        x = torch.add(self.left(x) + self.right(x), x).relu()
        x = self.mean(x) + x.mean((2, 3), keepdim=True)
        return self.head(x.relu().mean((2, 3)))


@pytest.mark.parametrize("method", ["ae", "lrp_composite", "excitation_backprop", "rap"])
@pytest.mark.parametrize("limit", [1, 800, 3000])
def test_a_network_gives_the_same_in_portions(method, limit, monkeypatch):
    model, x = Branched().double().eval(), torch.randn(5, 3, 16, 16, dtype=torch.float64)
    target = torch.tensor([[0, 1]] * 5)
    together = equipoise.attribute(model, x, target, method=method)
    monkeypatch.setattr(layout, "WORKING_SET", limit * 8)
    monkeypatch.setattr(layout, "STRIPE", limit * 2)
    apart = equipoise.attribute(model, x, target, method=method)
    torch.testing.assert_close(apart, together, rtol=1e-9, atol=1e-12)
    assert float(together.abs().max()) > 0
