"""Signals, images and volumes of any number of channels, by every method: one law for all."""

import pytest
import torch
from torch import nn

import equipoise
from equipoise import records
from equipoise.errors import OptionError, ShapeError

CLASSES = 3
SPACES = {1: (24,), 2: (12, 16), 3: (6, 8, 10)}
CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POOLS = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
MEANS = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
OPTIONS = {
    "rise": {"masks": 16}, "lime": {"samples": 20}, "kernel_shap": {"samples": 20},
    "extremal_perturbation": {"steps": 2}, "smooth_grad": {"samples": 2}, "integrated_gradients": {"steps": 4},
    "gradient_shap": {"samples": 4}, "deep_lift_shap": {"baselines": 2},
}  # fmt: skip
REFUSED = {("extremal_perturbation", 3): r"signals \(n, c, l\) and images \(n, c, h, w\), not .* \(2, 1, 6, 8, 10\)"}
"""What a method does not explain, and what it says then."""


def network(dims, channels):
    convolution = CONVOLUTIONS[dims]
    layers = nn.Sequential(
        convolution(channels, 5, 3, padding=1), nn.ReLU(), POOLS[dims](2), convolution(5, 6, 3, padding=1), nn.ReLU(),
        MEANS[dims](1), nn.Flatten(), nn.Linear(6, CLASSES),
    ).eval().double()  # fmt: skip
    generator = torch.Generator().manual_seed(2)
    for parameter in layers.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.4
    return layers


def inputs(dims, channels, n=2):
    generator = torch.Generator().manual_seed(channels)
    return torch.randn(n, channels, *SPACES[dims], generator=generator, dtype=torch.float64)


def explain(method, model, x, **more):
    known = records.method_options(method)
    few = {key: value for key, value in OPTIONS.get(method, {}).items() if key in known}
    return equipoise.attribute(model, x, 1, method=method, **few, **more)


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize("dims", SPACES)
@pytest.mark.parametrize("method", equipoise.METHODS.names())
def test_every_method_explains_it(method, dims, channels):
    """The map has the positions of the input, is not zero, and is of each input alone; or it is refused by name."""
    model, x = network(dims, channels), inputs(dims, channels)
    if (method, dims) in REFUSED:
        with pytest.raises(ShapeError, match=REFUSED[method, dims].replace("2, 1,", f"2, {channels},")):
            explain(method, model, x)
        return
    found = explain(method, model, x)
    level = equipoise.METHODS[method](model).level
    assert found.shape == (2, channels if level == "pixel" else 1, *SPACES[dims])
    assert found.isfinite().all()
    assert (found.flatten(1).abs().sum(1) > 0).all()
    one = explain(method, model, x[1:])
    if method != "random":  # which draws for each place of the batch
        torch.testing.assert_close(one, found[1:], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dims", SPACES)
def test_sums_are_the_scores(dims):
    model, x = network(dims, 2), inputs(dims, 2)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.data.zero_()
    scores = model(x)[:, 1].detach()
    for method in ("input_x_gradient", "integrated_gradients", "deep_lift"):
        found = explain(method, model, x)
        torch.testing.assert_close(found.flatten(1).sum(1), scores, rtol=1e-6, atol=1e-9)


BOUNDED = [name for name in equipoise.METHODS.names() if "input_bounds" in records.method_options(name)]


@pytest.mark.parametrize("dims", SPACES)
@pytest.mark.parametrize("method", BOUNDED)
def test_bounds_of_each_channel(method, dims):
    """They are those of every position, however many dimensions there are, and no others are taken."""
    model, x = network(dims, 2), inputs(dims, 2)
    low, high = torch.tensor([-4.0, -5.0]), torch.tensor([5.0, 6.0])
    found = explain(method, model, x, input_bounds=(low, high))
    full = [bound.reshape(1, 2, *[1] * dims).expand_as(x).clone() for bound in (low, high)]
    torch.testing.assert_close(found, explain(method, model, x, input_bounds=full))
    assert not torch.allclose(found, explain(method, model, x, input_bounds=(-9, 9)))
    with pytest.raises(OptionError, match=r"input_bounds of shape \(3,\) do not fit inputs \(2, 2, "):
        explain(method, model, x, input_bounds=(torch.zeros(3), torch.ones(3)))


@pytest.mark.parametrize("dims", SPACES)
def test_a_heatmap_of_any_dimension_sums_the_channels(dims):
    attribution = torch.randn(2, 4, *SPACES[dims])
    torch.testing.assert_close(equipoise.heatmap(attribution, dims=dims), attribution.sum(1))
    torch.testing.assert_close(equipoise.heatmap(attribution[0], dims=dims), attribution[0].sum(0))


def test_a_heatmap_says_what_it_takes():
    with pytest.raises(ShapeError, match=r"shape \(..., c, d, h, w\), not \(3, 8, 8\)"):
        equipoise.heatmap(torch.zeros(3, 8, 8), dims=3)
    with pytest.raises(OptionError, match="dims is 0; a map has 1"):
        equipoise.heatmap(torch.zeros(3, 8, 8), dims=0)


def test_the_mask_of_a_signal_keeps_what_speaks_for_the_class():
    x = torch.zeros(1, 1, 60, dtype=torch.float64)
    x[0, 0, 15:21] = 3.0
    x[0, 0, 40:46] = -3.0
    model = nn.Sequential(nn.Conv1d(1, 1, 3, padding=1), nn.AdaptiveAvgPool1d(1), nn.Flatten()).eval().double()
    model[0].weight.data.fill_(1.0)
    found = equipoise.attribute(model, x, 0, method="extremal_perturbation", area=0.2, steps=60)[0, 0]
    assert found[15:21].mean() > 0.7
    assert found[40:46].mean() < 0.2
