"""The methods that captum computes: completeness, what is refused, and a missing package."""

import importlib

import captum.attr
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import equipoise
from equipoise.errors import OptionError, UnsupportedModelError
from equipoise.methods.captum_squares import squares
from helpers import Functional, Plain, Residual, make, relative_error

NAMES = ["deep_lift", "deep_lift_shap", "gradient_shap", "lime", "kernel_shap"]


class Twice(nn.Sequential):
    """One ReLU at two places of a chain."""

    def __init__(self):
        relu = nn.ReLU()
        super().__init__(nn.Conv2d(3, 6, 3), relu, nn.Conv2d(6, 6, 3), relu, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(6, 5))  # fmt: skip


class Once(nn.Sequential):
    """The same with two."""

    def __init__(self):
        super().__init__(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
                         nn.Flatten(), nn.Linear(6, 5))  # fmt: skip


@pytest.mark.parametrize("network", [Plain, Once])
def test_deep_lift_is_captums_where_captum_works(network):
    model, x = make(network)
    baseline = torch.randn_like(x[:1])
    with pytest.warns(UserWarning, match="hooks"):
        expected = captum.attr.DeepLift(model).attribute(
            x.clone().requires_grad_(), baseline.expand_as(x).contiguous(), [1, 3]
        )
    found = equipoise.attribute(model, x, [1, 3], method="deep_lift", baseline=baseline)
    assert relative_error(found, expected.detach()) < 1e-10


@pytest.mark.parametrize("network", [Plain, Residual, Twice])
def test_deep_lift_is_complete_also_where_a_relu_is_shared_or_in_place(network):
    model, x = make(network)
    x = 5 * x
    found = equipoise.attribute(model, x, 2, method="deep_lift", baseline=0.3).flatten(1).sum(1)
    with torch.no_grad():
        expected = (model(x) - model(torch.full_like(x, 0.3)))[:, 2]
    # captum's rule for max pools, which only Plain has, loses what a zero difference would have to carry.
    assert relative_error(found, expected) < (1e-2 if network is Plain else 1e-8)


def test_deep_lift_of_a_shared_relu_is_that_of_two():
    model, x = make(Twice)
    separate = Once().double().eval()
    separate.load_state_dict(model.state_dict())
    found = equipoise.attribute(model, x, 1, method="deep_lift")
    assert relative_error(found, equipoise.attribute(separate, x, 1, method="deep_lift")) < 1e-12


@pytest.mark.parametrize("method", ["deep_lift", "deep_lift_shap"])
@pytest.mark.parametrize("activation", [nn.GELU(), nn.SiLU(), "function"])
def test_a_nonlinearity_that_captum_does_not_know_is_refused(method, activation):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)
            self.act = F.relu if activation == "function" else activation

        def forward(self, x):
            return self.fc(self.act(self.conv(x)).mean((2, 3)))

    with pytest.raises(UnsupportedModelError, match=r"plain gradient of (relu|gelu|silu).*knows the modules ReLU"):
        equipoise.attribute(Net().eval(), torch.randn(1, 3, 8, 8), method=method)


class ByHand(Once):
    """It calls its first ReLU past the hooks."""

    def forward(self, x):
        for place, layer in enumerate(self):
            x = layer.forward(x) if place == 1 else layer(x)
        return x


def elsewhere():
    """A forward of its own, which holds the original's layers."""
    network = Once().eval()
    layers = list(network)

    def forward(x):
        for layer in layers:
            x = layer(x)
        return x

    network.forward = forward
    return network


@pytest.mark.parametrize("network", [ByHand().eval(), elsewhere()], ids=["by hand", "elsewhere"])
def test_a_relu_that_no_hook_would_see_is_refused(network):
    x = torch.randn(1, 3, 12, 12)
    with pytest.raises(UnsupportedModelError, match="would miss nonlinearities"):
        equipoise.attribute(network, x, 1, method="deep_lift")


def test_a_users_own_backward_hook_does_not_hide_a_relu_from_captum():
    model, x = make(Once)
    expected = equipoise.attribute(model, x, 1, method="deep_lift")
    model[1].register_full_backward_hook(lambda *_: None)
    found = equipoise.attribute(model, x, 1, method="deep_lift")
    assert relative_error(found, expected) < 1e-12
    assert len(model[1]._backward_hooks) == 1


def test_deep_lift_shap_is_the_mean_over_its_baselines():
    model, x = make(Residual)
    baselines = torch.randn(3, *x.shape[1:], dtype=x.dtype)
    found = equipoise.attribute(model, x, 1, method="deep_lift_shap", baselines=baselines)
    each = [equipoise.attribute(model, x, 1, method="deep_lift", baseline=baseline) for baseline in baselines]
    assert relative_error(found, torch.stack(each).mean(0)) < 1e-8


def test_gradient_shap_converges_to_integrated_gradients():
    model, x = make(Plain, n=1)
    expected = equipoise.attribute(model, x, 1, method="integrated_gradients", steps=200)
    few = equipoise.attribute(model, x, 1, method="gradient_shap", samples=10)
    many = equipoise.attribute(model, x, 1, method="gradient_shap", samples=1000)
    error = [(found - expected).norm() / expected.norm() for found in (few, many)]
    assert error[1] < 0.15
    assert error[1] < error[0] / 2


def test_kernel_shap_of_an_additive_network_in_closed_form():
    """Where the score is a sum over squares, each square's Shapley value is its own summand."""

    class Additive(nn.Module):
        def forward(self, x):
            return x.sum((2, 3))

    x = torch.randn(2, 3, 6, 8, dtype=torch.float64)
    found = equipoise.attribute(Additive(), x, [0, 2], method="kernel_shap", grid=2, samples=200, baseline=0.5)
    for n, channel in enumerate([0, 2]):
        for rows in (slice(0, 3), slice(3, 6)):
            for columns in (slice(0, 4), slice(4, 8)):
                expected = (x[n, channel, rows, columns] - 0.5).sum().expand(3, 4)
                assert relative_error(found[n, 0, rows, columns], expected) < 1e-4


def test_lime_takes_its_penalty():
    model, x = make(Plain)
    assert equipoise.attribute(model, x, 1, method="lime", grid=3, samples=60, penalty=1e-6).any()
    assert not equipoise.attribute(model, x, 1, method="lime", grid=3, samples=60, penalty=10.0).any()


def test_squares_number_the_cells_without_gaps():
    found = squares(torch.zeros(1, 3, 5, 2), 3)
    assert found.shape == (1, 3, 5, 2)
    assert found[0, 0].tolist() == [[0, 1], [0, 1], [2, 3], [2, 3], [4, 5]]


@pytest.mark.parametrize("name", NAMES)
def test_without_captum_a_sentence_says_what_to_install(monkeypatch, name):
    def refuse(module, *args):
        if module.startswith("captum"):
            raise ModuleNotFoundError(module)
        return original(module, *args)

    original = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(
        equipoise.EquipoiseError, match=r"captum, which is not installed: pip install equipoise\[captum"
    ):
        equipoise.attribute(*make(Plain), method=name)


@pytest.mark.parametrize(("method", "options", "words"), [
    ("deep_lift_shap", {"baselines": 1}, "from 2 on"),
    ("deep_lift_shap", {"baselines": torch.zeros(1, 3, 17, 19)}, "at least two images"),
    ("deep_lift_shap", {"baselines": torch.zeros(2, 3, 5, 5)}, "must broadcast"),
    ("deep_lift", {"baseline": torch.zeros(2)}, "must broadcast"),
    ("gradient_shap", {"noise": -1.0}, "at least 0"),
    ("gradient_shap", {"samples": 0}, "from 1 on"),
    ("lime", {"grid": 0}, "from 1 on"),
    ("lime", {"penalty": -1.0}, "at least 0"),
    ("kernel_shap", {"samples": 0}, "from 1 on"),
])  # fmt: skip
def test_options_that_make_no_sense(method, options, words):
    with pytest.raises(OptionError, match=words):
        equipoise.attribute(*make(Plain), method=method, **options)


def test_a_functional_network_still_has_the_methods_that_hook_nothing():
    model, x = make(Functional)
    assert equipoise.attribute(model, x, 1, method="gradient_shap", samples=2).any()


@pytest.mark.parametrize("method", ["lime", "kernel_shap"])
@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 6, 8, 8), (2, 24), (1, 3, 3)])
@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_maps_of_small_networks_are_not_empty_and_follow_the_scale_of_the_score(method, shape, scale):
    torch.manual_seed(1)
    convolution = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[len(shape) - 1](shape[0], 8, 3)
    pool = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}[len(shape) - 1](1)
    model = nn.Sequential(convolution, nn.ReLU(), pool, nn.Flatten(), nn.Linear(8, 4)).eval()
    x = torch.randn(1, *shape)
    found = equipoise.attribute(model, x, 1, method=method, samples=200)
    assert (found != 0).float().mean() > 0.3
    with torch.no_grad():
        model[-1].weight.mul_(scale)
        model[-1].bias.mul_(scale)
    scaled = equipoise.attribute(model, x, 1, method=method, samples=200)
    assert relative_error(scaled / scale, found) < 1e-2


def test_a_single_square_has_the_whole_difference():
    model, x = make(Plain)
    found = equipoise.attribute(model, x, 1, method="kernel_shap", grid=1)
    expected = (model(x) - model(torch.zeros_like(x))).detach()[:, 1].reshape(-1, 1, 1, 1).expand_as(found)
    assert relative_error(found, expected) < 1e-6


def test_cubes_are_about_as_many_as_squares():
    assert int(squares(torch.zeros(1, 1, 16, 16, 16), 8).max()) + 1 == 64
    assert int(squares(torch.zeros(1, 1, 16, 16, 16), 2).max()) + 1 == 8
    assert int(squares(torch.zeros(1, 1, 16), 8).max()) + 1 == 8
