"""The rule near the pixels of Attribution Equilibrium's profile fine: against its equations, and its laws."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import equipoise
from equipoise.engine import Relevance, record
from equipoise.engine.rule import Step
from equipoise.metrics import starting_detail
from equipoise.rules.ae_fine import SharpEquilibrium
from helpers import dense_matrix, relative_error
from oracle import J

LAYERS = {
    "3x3": lambda: nn.Conv2d(3, 4, 3, padding=1),
    "strided": lambda: nn.Conv2d(3, 4, 3, stride=2, padding=1),
    "depthwise": lambda: nn.Conv2d(3, 3, 3, padding=1, groups=3),
    "1x1": lambda: nn.Conv2d(3, 4, 1),
    "transposed": lambda: nn.ConvTranspose2d(3, 4, 3, stride=2),
    "linear": lambda: nn.Linear(6, 4),
}
TERMS = {"C": "C", "A": "A", "U": "U", "S": "shift"}


def sharp(x, w, R, gamma, pointwise, terms="CAUS"):
    """The module's equations at tau = 1, term by term; nothing of the engine takes part."""
    P, N = R.clamp(min=0), R.clamp(max=0)
    P = P / P.sum() if P.sum() > 0 else P
    N = N / N.sum().abs() if N.sum() < 0 else N
    gamma = 1.0 if pointwise else gamma
    active, inactive = (x > 0).to(x.dtype), (x <= 0).to(x.dtype)
    result = torch.zeros_like(x)
    if "C" in terms:
        result = result + J(x.clamp(min=0) ** 2, w.clamp(min=0) ** 2, gamma * P)
        result = result + J(x.clamp(min=0) ** 2, w.clamp(min=0) ** 2, N)
    if "A" in terms:
        result = result + J(x.clamp(min=0) ** 2, w.clamp(min=0) ** 2, P)
    if "U" in terms:
        result = result + J(inactive, w**2, N)
    if "S" in terms and not pointwise and active.sum() > 0:
        result = result - active / active.sum()
    return result


class Pooled(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x).flatten(2).sum(2) if x.dim() > 2 else self.layer(x)


def step_of(layer, x):
    trace = record(Pooled(layer.double()).eval(), x)
    return Step(trace.calls[0], trace), trace.calls[0].outputs[0].shape


def images(kind, n=2):
    return torch.randn(n, *((6,) if kind == "linear" else (3, 6, 5)), dtype=torch.float64)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("gamma", [1.0, 1.6])
@pytest.mark.parametrize("terms", ["CAUS", "C", "AU", "CUS"])
def test_equals_its_equations_on_the_dense_matrix(kind, gamma, terms):
    layer, x = LAYERS[kind](), images(kind)
    step, shape = step_of(layer, x)
    R = torch.randn(2, *shape, dtype=torch.float64)
    chosen = frozenset(TERMS[term] for term in terms)
    found = SharpEquilibrium(gamma, chosen)(step, [Relevance(R)])[0].value
    with torch.no_grad():
        matrix = dense_matrix(layer, x.shape[1:])
    for k in range(2):
        for n in range(len(x)):
            expected = sharp(x[n].flatten(), matrix, R[k, n].flatten(), gamma, kind in ("1x1", "linear"), terms)
            assert relative_error(found[k, n].flatten(), expected) < 1e-10


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.floats(1, 2), st.floats(0.1, 1), st.sampled_from(["3x3", "strided", "1x1"]))
def test_the_sum_is_gamma_minus_two_times_the_share(seed, gamma, part, kind):
    """Wide enough that every window holds an active neuron that excites, and an inactive one."""
    torch.manual_seed(seed)
    make = {"3x3": (96, 5, 3, 1, 1), "strided": (96, 5, 3, 2, 1), "1x1": (96, 5, 1)}
    layer = nn.Conv2d(*make[kind])
    step, shape = step_of(layer, torch.randn(2, 96, 5, 5, dtype=torch.float64))
    share = torch.full((1, 2), part, dtype=torch.float64)
    found = SharpEquilibrium(gamma)(step, [Relevance(torch.randn(1, *shape, dtype=torch.float64), share)])[0]
    expected = 0.0 if kind == "1x1" else part * (gamma - 2)
    assert found.share is share
    torch.testing.assert_close(found.value.sum((2, 3, 4)), torch.full_like(share, expected), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("exponent", [-60, -30, 30, 60])
def test_no_scale_of_activity_weight_or_relevance_matters_in_float32(exponent):
    """Squares of 1e-38 and 1e38 would vanish and overflow."""
    layer, x, scale = nn.Conv2d(3, 4, 3, padding=1), torch.randn(2, 3, 6, 5), 2.0**exponent

    def found(factor_x, factor_w, factor_R):
        scaled = nn.Conv2d(3, 4, 3, padding=1)
        scaled.load_state_dict({name: factor_w * value for name, value in layer.state_dict().items()})
        trace = record(Pooled(scaled).eval(), x * factor_x)
        R = torch.randn(1, *trace.calls[0].outputs[0].shape, generator=torch.Generator().manual_seed(1)) * factor_R
        return SharpEquilibrium()(Step(trace.calls[0], trace), [Relevance(R)])[0].value

    expected = found(1, 1, 1)
    for factors in ((scale, 1, 1), (1, scale, 1), (1, 1, scale)):
        assert relative_error(found(*factors), expected) < 1e-5


def test_what_nothing_excites_is_lost():
    layer = nn.Conv2d(3, 4, 1, bias=False)
    with torch.no_grad():
        layer.weight.abs_()
        layer.weight[0].neg_()
    step, shape = step_of(layer, torch.rand(1, 3, 4, 4, dtype=torch.float64))
    R = torch.rand(1, *shape, dtype=torch.float64)
    found = SharpEquilibrium()(step, [Relevance(R)])[0].value
    torch.testing.assert_close(found.sum(), 2 * R[:, :, 1:].sum() / R.sum())


def test_degenerate_input_is_finite():
    layer = nn.Conv2d(3, 4, 3, padding=1)
    for x in (torch.zeros(1, 3, 6, 5), -torch.ones(1, 3, 6, 5)):
        step, shape = step_of(layer, x.double())
        for R in (torch.zeros(1, *shape), torch.ones(1, *shape), -torch.ones(1, *shape)):
            assert SharpEquilibrium()(step, [Relevance(R.double())])[0].value.isfinite().all()


def network():
    torch.manual_seed(0)
    layers, width = [], 3
    for stride in (1, 2, 2, 2):  # positions for every 1, 1, 2 and 4 pixels are read; then for every 8
        layers += [nn.Conv2d(width, 16, 3, stride, 1), nn.ReLU()]
        width = 16
    head = [nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)]
    return nn.Sequential(*layers, *head).double().eval()


def test_only_layers_near_the_pixels_are_sharp():
    model, x = network(), torch.randn(1, 3, 64, 64, dtype=torch.float64)
    rows = equipoise.AttributionEquilibrium(model, profile="fine").coverage(x)
    rules = [row.rule for row in rows if row.rule in ("Equilibrium", "SharpEquilibrium", "ZBox")]
    assert rules == ["Equilibrium", "SharpEquilibrium", "SharpEquilibrium", "SharpEquilibrium", "ZBox"]
    paper = equipoise.AttributionEquilibrium(model).coverage(x)
    assert [row.rule for row in paper].count("SharpEquilibrium") == 0


def test_a_batch_norm_behind_a_layer_belongs_to_it():
    """Also where its scale is negative: then what excites is what else inhibits. The pixels' rule
    sees the sign of weights in both profiles, so the first norm has none.
    """
    torch.manual_seed(3)
    convs, norms = [nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, stride=2)], [nn.BatchNorm2d(8), nn.BatchNorm2d(8)]
    for norm in norms:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.running_mean)
    with torch.no_grad():
        norms[0].weight.abs_()
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)]
    relus = [nn.ReLU(), nn.ReLU()]
    passed = nn.Sequential(convs[0], norms[0], relus[0], convs[1], norms[1], relus[1], *head).double().eval()
    folded = [nn.utils.fuse_conv_bn_eval(conv, norm) for conv, norm in zip(convs, norms, strict=True)]
    folded = nn.Sequential(folded[0], relus[0], folded[1], relus[1], *head).eval()
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    for profile in ("paper", "fine"):
        expected, found = (equipoise.attribute(net, x, 1, profile=profile) for net in (passed, folded))
        assert relative_error(found, expected) < 1e-9


def test_it_is_sharper_than_the_paper_on_strided_convolutions_and_keeps_the_sum():
    model, x = network(), torch.randn(4, 3, 64, 64, dtype=torch.float64)
    detail = {}
    for profile in ("paper", "fine"):
        relevance = equipoise.attribute(model, x, 1, profile=profile)
        torch.testing.assert_close(relevance.sum((1, 2, 3)), torch.full((4,), -1.0, dtype=torch.float64))
        detail[profile] = starting_detail(equipoise.heatmap(relevance), (8, 8)).mean()
    assert detail["fine"] > 1.5 * detail["paper"], detail


def test_where_no_layer_is_near_the_pixels_a_is_weighed_by_activity_alone():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
                          nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)).double().eval()  # fmt: skip
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    fine, paper = (equipoise.attribute(model, x, 1, profile=profile) for profile in ("fine", "paper"))
    assert relative_error(fine, paper) > 0.01
    without = [equipoise.attribute(model, x, 1, profile=name, terms=("C", "U", "shift")) for name in ("fine", "paper")]
    torch.testing.assert_close(*without)
