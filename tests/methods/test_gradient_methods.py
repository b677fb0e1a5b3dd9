"""The gradient methods against autograd, captum, closed forms and their own laws."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from captum.attr import GuidedBackprop as CaptumGuidedBackprop
from captum.attr import InputXGradient as CaptumInputXGradient
from captum.attr import IntegratedGradients as CaptumIntegratedGradients
from captum.attr import Saliency
from torch import nn

import equipoise
from equipoise.engine import record
from equipoise.errors import OptionError
from equipoise.methods import FullGrad, SmoothGrad
from equipoise.methods.gradient import gauss_legendre
from equipoise.methods.targets import resolve_targets
from helpers import NETWORKS, Plain, Residual, make, relative_error


@pytest.mark.parametrize("network", NETWORKS)
def test_gradients_equal_captums(network):
    model, x = make(network, n=3)
    target = torch.tensor([0, 2, 4])
    leaf = x.clone().requires_grad_()  # captum warns otherwise
    found = equipoise.attribute(model, x, target, method="gradient")
    assert relative_error(found, Saliency(model).attribute(leaf, target, abs=False)) < 1e-12
    found = equipoise.attribute(model, x, target, method="input_x_gradient")
    assert relative_error(found, CaptumInputXGradient(model).attribute(leaf, target).detach()) < 1e-12


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("steps", [1, 7, 50])
def test_integrated_gradients_equal_captums(network, steps):
    model, x = make(network)
    baseline = torch.randn_like(x[:1])
    found = equipoise.attribute(model, x, [1, 3], method="integrated_gradients", steps=steps, baseline=baseline)
    expected = CaptumIntegratedGradients(model).attribute(
        x, baseline.expand_as(x).contiguous(), [1, 3], n_steps=steps, method="gausslegendre"
    )
    assert relative_error(found, expected) < 1e-7  # captum keeps its nodes in float32


@pytest.mark.parametrize("count", [1, 2, 5, 50, 200])
def test_gauss_legendre_nodes_equal_numpys(count):
    nodes, weights = gauss_legendre(count)
    expected_nodes, expected_weights = np.polynomial.legendre.leggauss(count)
    np.testing.assert_allclose(nodes.numpy(), (expected_nodes + 1) / 2, atol=1e-14)
    np.testing.assert_allclose(weights.numpy(), expected_weights / 2, atol=1e-14)


class Smooth(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 8, 3), nn.Tanh(), nn.Conv2d(8, 8, 3), nn.Softplus(), nn.AvgPool2d(2),
                         nn.Flatten(), nn.Linear(392, 5))  # fmt: skip


def test_integrated_gradients_are_complete():
    """Within 1 % at the default number of steps on a smooth network; far closer, in fact."""
    model = Smooth().double().eval()
    x = 3 * torch.randn(4, 3, 18, 18, dtype=torch.float64)
    found = equipoise.attribute(model, x, 2, method="integrated_gradients").flatten(1).sum(1)
    with torch.no_grad():
        expected = model(x)[:, 2] - model(torch.zeros_like(x))[:, 2]
    assert ((found - expected).abs() <= 1e-2 * expected.abs()).all()
    assert relative_error(found, expected) < 1e-6


@pytest.mark.parametrize("profile", ["paper", "reference"])
def test_integrated_gradients_of_a_quadratic(profile):
    """Closed form: the gradient is linear along the path, so its mean is that at the middle."""

    class Quadratic(nn.Module):
        def forward(self, x):
            return x.square().mean((2, 3))

    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    found = equipoise.attribute(
        Quadratic(), x, 1, method="integrated_gradients", steps=1, baseline=0.5, profile=profile
    )
    expected = torch.zeros_like(x)
    expected[:, 1] = (x[:, 1] ** 2 - 0.25) / 20
    assert relative_error(found, expected) < 1e-12


def test_smooth_grad_is_the_mean_over_its_noise():
    model, x = make(Plain)
    method = SmoothGrad(model, samples=6, noise=0.3, seed=4)
    total = torch.zeros_like(x)
    for n in range(2):
        spread = 0.3 * (x[n].max() - x[n].min())
        for step in range(6):
            noisy = (x[n : n + 1] + spread * method.draw(step, x[0])).requires_grad_()
            (gradient,) = torch.autograd.grad(model(noisy)[0, 3], noisy)
            total[n] += gradient[0] / 6
    assert relative_error(method.attribute(x, 3), total) < 1e-12


def test_the_noise_of_smooth_grad_is_standard_normal():
    method = SmoothGrad(nn.Identity(), samples=3)
    first, second = (method.draw(step, torch.empty(3, 200, 200, dtype=torch.float64)) for step in (0, 1))
    for noise in (first, second):
        assert abs(float(noise.mean())) < 0.01
        assert abs(float(noise.std()) - 1) < 0.01
    assert abs(float((first * second).mean())) < 0.01


def test_smooth_grad_of_a_linear_network_is_its_gradient_and_without_noise_too():
    linear = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 5)).double().eval()
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    expected = equipoise.attribute(linear, x, 1, method="gradient")
    assert relative_error(equipoise.attribute(linear, x, 1, method="smooth_grad", samples=3), expected) < 1e-12
    model, x = make(Residual)
    expected = equipoise.attribute(model, x, 1, method="gradient")
    found = equipoise.attribute(model, x, 1, method="smooth_grad", samples=3, noise=0)
    assert relative_error(found, expected) < 1e-12


class Modules(nn.Module):
    """ReLU modules used once each, in place or not, with a residual sum: what captum sees."""

    def __init__(self, inplace):
        super().__init__()
        torch.manual_seed(1)
        self.a, self.b, self.c = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6, 5)
        self.r1, self.r2, self.norm = nn.ReLU(inplace), nn.ReLU(inplace), nn.BatchNorm2d(6)

    def forward(self, x):
        x = self.r1(self.a(x))
        return self.c((self.r2(self.norm(self.b(x))) + x).mean((2, 3)))


class Functions(Modules):
    """The same with functional ReLUs, one of them a clamp."""

    def forward(self, x):
        x = F.relu(self.a(x), inplace=True)
        return self.c((torch.clamp(self.norm(self.b(x)), min=0) + x).mean((2, 3)))


class Shared(Modules):
    """The same with one ReLU for all."""

    def forward(self, x):
        x = self.r1(self.a(x))
        return self.c((self.r1(self.norm(self.b(x))) + x).mean((2, 3)))


@pytest.mark.parametrize("model", [Modules(False), Modules(True), Functions(True), Shared(True)])
def test_guided_backprop_sees_every_relu(model):
    """captum, on the form that it supports, is the oracle of all forms."""
    x = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    oracle = CaptumGuidedBackprop(Modules(False).double().eval())
    with pytest.warns(UserWarning, match="hooks"):
        expected = oracle.attribute(x.clone().requires_grad_(), [1, 4])
    found = equipoise.attribute(model.double().eval(), x, [1, 4], method="guided_backprop")
    assert relative_error(found, expected.detach()) < 1e-12
    plain = equipoise.attribute(model, x, [1, 4], method="gradient")
    assert relative_error(plain, expected.detach()) > 0.01, "and it is not the gradient"


def test_guided_backprop_at_zero_and_its_reference_map():
    """An input of exactly zero blocks in the paper's profile and passes in TorchRay's."""
    model = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(12, 2, bias=False)).double().eval()
    x = torch.tensor([1.0, 0.0, -1.0, 2.0], dtype=torch.float64).repeat(3).reshape(1, 3, 2, 2)
    weight = model[-1].weight.detach()[1].reshape(1, 3, 2, 2)
    found = equipoise.attribute(model, x, 1, method="guided_backprop")
    assert torch.equal(found, weight.clamp(min=0) * (x > 0))
    reference = equipoise.attribute(model, x, 1, method="guided_backprop", profile="reference")
    assert torch.equal(reference, (weight.clamp(min=0) * (x >= 0)).amax(1, keepdim=True))


@pytest.mark.parametrize("activation", [nn.SiLU(), nn.GELU(), nn.LeakyReLU(0.2), nn.ReLU6(), nn.Hardswish()])
def test_smooth_relatives_pass_the_positive_gradient_times_their_derivative(activation):
    model = nn.Sequential(activation, nn.Flatten(), nn.Linear(27, 2, bias=False)).double().eval()
    x = (4 * torch.randn(1, 3, 3, 3, dtype=torch.float64)).requires_grad_()
    (slope,) = torch.autograd.grad(activation(x).sum(), x)
    expected = model[-1].weight.detach()[0].reshape(1, 3, 3, 3).clamp(min=0) * slope
    found = equipoise.attribute(model, x.detach(), 0, method="guided_backprop")
    assert relative_error(found, expected) < 1e-12


@pytest.mark.parametrize("network", [Plain, Residual])
def test_full_gradients_add_up_to_the_score(network):
    """Proposition 1 of the paper; with batch norm's implicit bias."""
    model, x = make(network)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.bias.normal_()
    trace = record(model, x)
    targets = resolve_targets([1, 3], trace.logits)
    terms = FullGrad(model).terms(trace, targets)
    assert len(terms) == 1 + sum(isinstance(m, nn.Conv2d | nn.Linear | nn.BatchNorm2d) and m.bias is not None
                                 for m in model.modules())  # fmt: skip
    total = sum(term.flatten(2).sum(2) for term in terms)
    torch.testing.assert_close(total, targets.scores, rtol=1e-10, atol=1e-12)


def test_full_grad_of_one_layer_by_hand():
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3))
    model = model.double().eval()
    x = torch.randn(1, 3, 4, 5, dtype=torch.float64)
    with torch.no_grad():
        active = model[0](x) > 0
        bias = (active * model[0].bias.reshape(1, 2, 1, 1) * model[4].weight[1].reshape(1, 2, 1, 1) / 20).abs()
        pixel = (x * equipoise.attribute(model, x, 1, method="gradient")).abs()
        expected = sum(((m - m.min()) / (m.max() - m.min())).sum(1, keepdim=True) for m in (pixel, bias))
    assert relative_error(equipoise.attribute(model, x, 1, method="full_grad"), expected) < 1e-12


def test_full_grad_scales_from_the_lowest_to_the_highest():
    """A linear network without biases: one term, whose smallest magnitude is not zero."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(27, 2, bias=False)).double().eval()
    x = 1 + torch.rand(1, 3, 3, 3, dtype=torch.float64)
    with torch.no_grad():
        model[1].weight.copy_(torch.rand(2, 27) + 1)
        term = x * model[1].weight[1].reshape(1, 3, 3, 3)
    expected = ((term - term.min()) / (term.max() - term.min())).sum(1, keepdim=True)
    assert relative_error(equipoise.attribute(model, x, 1, method="full_grad"), expected) < 1e-12


@pytest.mark.parametrize("method", ["gradient", "input_x_gradient", "guided_backprop", "full_grad"])
def test_several_targets_run_the_network_once(method):
    model, x = make(Plain)
    calls = []
    model[0].register_forward_hook(lambda *_: calls.append(1))
    equipoise.attribute(model, x, torch.tensor([[0, 1, 2, 3], [0, 1, 2, 3]]), method=method)
    assert len(calls) == 1


@pytest.mark.parametrize(("method", "options", "words"), [
    ("smooth_grad", {"samples": 0}, "from 1 on"),
    ("smooth_grad", {"samples": 2.5}, "whole number"),
    ("smooth_grad", {"noise": -1}, "at least 0"),
    ("smooth_grad", {"noise": math.nan}, "at least 0"),
    ("smooth_grad", {"chunk": 0}, "from 1 on"),
    ("integrated_gradients", {"steps": True}, "whole number"),
    ("integrated_gradients", {"profile": "mine"}, "paper, reference"),
    ("guided_backprop", {"profile": "mine"}, "paper, reference"),
    ("integrated_gradients", {"baseline": torch.zeros(7)}, "must broadcast"),
    ("integrated_gradients", {"baseline": "black"}, "must broadcast"),
])  # fmt: skip
def test_options_that_make_no_sense(method, options, words):
    with pytest.raises(OptionError, match=words):
        equipoise.attribute(*make(Plain), method=method, **options)


@pytest.mark.parametrize("method", ["smooth_grad", "integrated_gradients"])
def test_the_chunk_does_not_change_the_result(method):
    model, x = make(Residual, n=3)
    expected = equipoise.attribute(model, x, 1, method=method, chunk=1)
    for chunk in (2, 7, 1000):
        assert relative_error(equipoise.attribute(model, x, 1, method=method, chunk=chunk), expected) < 1e-12
