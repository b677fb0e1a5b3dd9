"""Each rule for a layer of weights against its paper's equation, written on the layer's dense matrix in float64."""

import pytest
import torch
from torch import nn

from equipoise.engine import Relevance, record
from equipoise.engine.rule import Step
from equipoise.rules.excitation import Excitation
from equipoise.rules.layered import stabilized
from equipoise.rules.lrp import AlphaBeta, Contribution, Epsilon, Flat, Gamma
from equipoise.rules.rap import LastLayerAttribution, Magnitude, RelativeAttribution
from equipoise.rules.relevance_cam import DoubledBias
from equipoise.rules.rsp import RelativeSection
from equipoise.rules.zbox import ZBox
from helpers import dense_matrix, relative_error
from test_ae_rule import CONVOLUTIONS, Pooled

KINDS = ["3x3", "strided", "grouped", "dilated", "1x1", "transposed", "1d", "linear"]


def up(w):
    return w.clamp(min=0)


def down(w):
    return w.clamp(max=0)


def share(weights, R, total):
    """``sum_j weights_ji / total_j R_j`` for non-shared contributions ``weights`` (out, in)."""
    return (weights * torch.where(total == 0, 0.0, R / total)[:, None]).sum(0)


def stable(z):
    return z + torch.where(z < 0, -1e-6, 1e-6)


def epsilon(x, w, b, R):
    parts = w * x
    return share(parts, R, stable(parts.sum(1) + b))


def alpha_beta(alpha):
    def rule(x, w, b, R):
        parts = w * x
        raising, lowering = up(parts), down(parts)
        plus = share(raising, R, raising.sum(1) + up(b))
        return plus if alpha == 1 else alpha * plus - (alpha - 1) * share(lowering, R, lowering.sum(1) + down(b))

    return rule


def gamma(x, w, b, R):
    parts, z = w * x, (w * x).sum(1) + b
    favored_up, favored_down = parts + 0.25 * up(parts), parts + 0.25 * down(parts)
    return share(favored_up, R * (z > 0), stable(favored_up.sum(1) + b + 0.25 * up(b))) + share(
        favored_down, R * (z < 0), stable(favored_down.sum(1) + b + 0.25 * down(b))
    )


def excitation(x, w, _b, R):
    parts = up(w * x)
    return share(parts, R, parts.sum(1))


def contribution(x, w, _b, R):
    return (w * x * R[:, None]).sum(0)


def magnitude(x, w, _b, R):
    parts = (w * x).abs()
    return share(parts, R, parts.sum(1))


def doubled_bias(x, w, b, R):
    parts = up(w * x)
    return share(parts, R, parts.sum(1) + 2 * b)


def even_shift(C, total):
    reached = C != 0
    return C - reached * (C.sum() - total) / reached.sum()


def rap(conv):
    def rule(x, w, _b, R):
        C = torch.zeros_like(x)
        for side in (1, -1):
            v, u = up(side * x), side * w
            raising, lowering = up(u) * v, up(-u) * v
            a, d = raising.sum(1), lowering.sum(1)
            both = torch.where(a + d == 0, 0.0, d / (a + d))
            P, N = up(R) * (a + d != 0), down(R) * (a + d != 0)
            C = C + share(raising, P if conv else P + N, a) + share(lowering, (up(R) + down(R)) * both, d)
            C = C + (share(lowering, N, d) if conv else 0)
        return even_shift(C, R.sum())

    return rule


RULES = {
    "epsilon": (Epsilon(), lambda _kind: epsilon),
    "zplus": (AlphaBeta(), lambda _kind: alpha_beta(1)),
    "alpha2beta1": (AlphaBeta(alpha=2.0), lambda _kind: alpha_beta(2)),
    "gamma": (Gamma(), lambda _kind: gamma),
    "excitation": (Excitation(), lambda _kind: excitation),
    "contribution": (Contribution(), lambda _kind: contribution),
    "magnitude": (Magnitude(), lambda _kind: magnitude),
    "negated": (Excitation(negated=True), lambda _kind: lambda x, w, b, R: excitation(x, -w, b, R)),
    "doubled bias": (DoubledBias(), lambda kind: doubled_bias if kind != "linear" else excitation),
    "rap": (RelativeAttribution(), lambda kind: rap(kind != "linear")),
}


def setting(kind, *, signed):
    layer = CONVOLUTIONS[kind]().double()
    shape = {"1d": (3, 7), "linear": (6,)}.get(kind, (3, 6, 5))
    x = torch.randn(2, *shape, dtype=torch.float64)
    x = x if signed else x.relu()
    trace = record(Pooled(layer).eval(), x)
    out = trace.calls[0].outputs[0].shape
    with torch.no_grad():
        matrix = dense_matrix(layer, shape)
        bias = layer(torch.zeros(1, *shape, dtype=torch.float64)).flatten()
    return Step(trace.calls[0], trace), x, matrix, bias, torch.randn(3, *out, dtype=torch.float64)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", RULES)
def test_equals_the_equation_on_the_dense_matrix(name, kind, signed):
    step, x, matrix, bias, R = setting(kind, signed=signed)
    rule, oracle = RULES[name][0], RULES[name][1](kind)
    found = rule(step, [Relevance(R)])[0].value
    for k in range(len(R)):
        for n in range(len(x)):
            expected = oracle(x[n].flatten(), matrix, bias, R[k, n].flatten())
            assert relative_error(found[k, n].flatten(), expected) < 1e-9


@pytest.mark.parametrize("kind", ["3x3", "strided", "grouped", "1d"])
def test_box_equals_the_equation(kind):
    step, x, w, _, R = setting(kind, signed=True)
    low, high = torch.tensor(-4.0), torch.tensor(3.5)
    found = ZBox((low, high))(step, [Relevance(R)])[0].value
    for n in range(2):
        v = x[n].flatten()
        parts = w * v - up(w) * low - down(w) * high
        for k in range(3):
            assert relative_error(found[k, n].flatten(), share(parts, R[k, n].flatten(), parts.sum(1))) < 1e-9


@pytest.mark.parametrize("kind", ["3x3", "strided", "linear"])
def test_flat_spreads_evenly(kind):
    step, _, w, _, R = setting(kind, signed=True)
    found = Flat(divide=stabilized(0.0))(step, [Relevance(R)])[0].value
    # The window is where the layer's weights are, whatever their value.
    window = (w != 0).double()
    expected = torch.stack([torch.stack([share(window, r.flatten(), window.sum(1)) for r in row]) for row in R])
    assert relative_error(found.flatten(2), expected) < 1e-9


@pytest.mark.parametrize("kind", ["3x3", "strided", "1x1", "linear"])
def test_rsp_correlates_activity_with_relevance(kind):
    step, x, _, _, R = setting(kind, signed=False)
    found = RelativeSection()(step, [Relevance(R)])[0].value
    layer = step.linear_map()
    for k in range(3):
        for n in range(2):
            total = torch.zeros_like(x[n].flatten())
            for sign in (1, -1):
                r = up(sign * R[k, n])
                # The pseudo weight, entry by entry: how often input and relevance fire together.
                weight = torch.zeros_like(layer.weight)
                for index in range(weight.numel()):
                    unit = torch.zeros_like(weight).flatten()
                    unit[index] = 1.0
                    weight.flatten()[index] = (layer(x[n : n + 1], unit.reshape(weight.shape)) * r).sum()
                g = dense_matrix(lambda v, weight=weight: layer(v, weight), tuple(x.shape[1:]))
                parts = g * x[n].flatten()
                total = total + sign * share(parts, r.flatten(), parts.sum(1))
            expected = total if kind in ("1x1", "linear") else even_shift(2 * total, R[k, n].sum())
            assert relative_error(found[k, n].flatten(), expected) < 1e-9


def test_the_last_layer_of_rap_by_hand():
    layer = nn.Linear(5, 3).double()
    x = torch.tensor([[0.5, -1.0, 2.0, 1.5, -0.2]], dtype=torch.float64)
    layer.weight.data[:, 3:] = torch.tensor([0.3, -0.4], dtype=torch.float64)
    layer.weight.data[:, 0] = -0.7
    trace = record(Pooled(layer).eval(), x)
    hot = torch.eye(3, dtype=torch.float64).unsqueeze(1)
    found = LastLayerAttribution()(Step(trace.calls[0], trace), [Relevance(hot)])[0].value
    for t in range(3):
        w, b = layer.weight[t].detach(), layer.bias[t].detach()
        parts = x[0] * w
        raising, lowering = up(parts).sum(), down(parts).sum()
        a, d = up(x[0]) * up(w), up(x[0]) * down(w)
        part = raising / (raising + lowering)
        c = parts + a * (b * part / a.sum()) + d * (b * (1 - part) / d.sum())
        assert relative_error(found[t, 0], c.abs() * c.sum() / c.abs().sum()) < 1e-10


def test_a_batch_norm_behind_a_convolution_is_folded():
    """Conv + batch norm and the convolution that equals both get the same relevance."""
    conv, norm = nn.Conv2d(3, 4, 3).double(), nn.BatchNorm2d(4).double()
    norm.weight.data.uniform_(-1, 1)
    norm.bias.data.normal_()
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    both = nn.utils.fusion.fuse_conv_bn_eval(conv.eval(), norm.eval())
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    for rule in (Epsilon(), AlphaBeta(alpha=2.0), Gamma()):
        traces = [record(Pooled(net).eval(), x) for net in (nn.Sequential(conv, norm), both)]
        R = torch.randn(1, 2, 4, 4, 4, dtype=torch.float64)
        a, b = (rule(Step(t.calls[0], t), [Relevance(R)])[0].value for t in traces)
        assert relative_error(a, b) < 1e-9
