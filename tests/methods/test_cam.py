"""The class activation maps against closed forms, captum and their definitions."""

import pytest
import torch
import torch.nn.functional as F
from captum.attr import LayerGradCam
from torch import nn

import equipoise
from equipoise.errors import LayerError
from helpers import NETWORKS, Functional, Plain, Residual, make, relative_error

CAMS = ["grad_cam", "grad_cam_plus_plus", "score_cam"]


def one_layer():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    with torch.no_grad():
        model[4].weight[3] = torch.tensor([0.5, -0.3, 0.2, 0.4])
    return model.double().eval(), torch.randn(2, 3, 8, 9, dtype=torch.float64)


def test_grad_cam_of_one_layer_in_closed_form():
    """With a global mean and a linear head the gradient is the head's weight over the number of positions: CAM."""
    model, x = one_layer()
    with torch.no_grad():
        activation = model[1](model[0](x))
        expected = torch.einsum("c,nchw->nhw", model[4].weight[3], activation).unsqueeze(1) / (6 * 7)
    signed = equipoise.attribute(model, x, 3, method="grad_cam", relu=False, interpolate=False)
    assert relative_error(signed, expected) < 1e-12
    found = equipoise.attribute(model, x, 3, method="grad_cam", interpolate=False)
    assert relative_error(found, expected.clamp(min=0)) < 1e-12
    resized = F.interpolate(expected.clamp(min=0), size=(8, 9), mode="bilinear", align_corners=False)
    assert relative_error(equipoise.attribute(model, x, 3, method="grad_cam"), resized) < 1e-12


@pytest.mark.parametrize(("network", "layer"), [(Plain, "3"), (Plain, "5"), (Residual, "conv2"), (Residual, "bn1")])
def test_grad_cam_equals_captums(network, layer):
    model, x = make(network)
    oracle = LayerGradCam(model, model.get_submodule(layer))
    for relu in (False, True):
        found = equipoise.attribute(model, x, [1, 4], method="grad_cam", layer=layer, relu=relu, interpolate=False)
        expected = oracle.attribute(x, [1, 4], relu_attributions=relu).detach()
        assert relative_error(found, expected) < 1e-10


def test_grad_cam_plus_plus_of_one_layer_in_closed_form():
    model, x = one_layer()
    with torch.no_grad():
        activation = model[1](model[0](x))
        g = (model[4].weight[3] / 42).reshape(1, 4, 1, 1)
        alpha = g**2 / (2 * g**2 + g**3 * activation.sum((2, 3), keepdim=True))
        weights = (alpha * g.clamp(min=0)).expand_as(activation).sum((2, 3), keepdim=True)
        expected = (weights * activation).sum(1, keepdim=True).clamp(min=0)
    found = equipoise.attribute(model, x, 3, method="grad_cam_plus_plus", interpolate=False)
    assert relative_error(found, expected) < 1e-12


def test_grad_cam_plus_plus_survives_tiny_gradients():
    """The square of 1e-25 is no float32; the weights are ratios and stay."""
    model, x = one_layer()
    model, x = model.float(), x.float()
    with torch.no_grad():
        model[4].weight.mul_(1e-25)
    found = equipoise.attribute(model, x, 3, method="grad_cam_plus_plus")
    assert found.any()
    assert found.isfinite().all()


def test_score_cam_by_hand():
    model, x = make(Plain, n=1)
    model = nn.Sequential(*list(model)[:4], nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        activation = nn.Sequential(*list(model)[:4])(x)
        scores = []
        for channel in range(8):
            seen = activation[:, channel : channel + 1]
            span = seen.max() - seen.min()
            mask = (seen - seen.min()) / span if span > 0 else torch.zeros_like(seen)
            scores.append(model(x * mask)[0, 5] - model(torch.zeros_like(x))[0, 5])
        weights = torch.stack(scores).softmax(0)
        expected = torch.einsum("c,nchw->nhw", weights, activation).unsqueeze(1).clamp(min=0)
    assert relative_error(equipoise.attribute(model, x, 5, method="score_cam"), expected) < 1e-12


@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_score_cam_does_not_depend_on_the_chunk(chunk):
    model, x = make(Residual, n=3)
    expected = equipoise.attribute(model, x, 1, method="score_cam")
    assert relative_error(equipoise.attribute(model, x, 1, method="score_cam", chunk=chunk), expected) < 1e-12


@pytest.mark.parametrize("method", CAMS)
@pytest.mark.parametrize("network", NETWORKS)
def test_the_layer_is_found_and_the_map_kept_as_computed(method, network):
    model, x = make(network)
    small = equipoise.attribute(model, x, 1, method=method, interpolate=False)
    large = equipoise.attribute(model, x, 1, method=method)
    assert large.shape == (2, 1, *x.shape[2:])
    assert small.shape[:2] == (2, 1)
    mode = {3: "linear", 4: "bilinear", 5: "trilinear"}[x.dim()]
    torch.testing.assert_close(F.interpolate(small, size=x.shape[2:], mode=mode, align_corners=False), large)


@pytest.mark.parametrize("method", CAMS)
def test_layers_that_make_no_sense(method):
    model, x = make(Plain)
    for layer, words in (("nothing", "no module"), ("10", "no spatial positions")):
        with pytest.raises(LayerError, match=words):
            equipoise.attribute(model, x, method=method, layer=layer)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(75, 3)).double().eval()
    with pytest.raises(LayerError, match="name a layer"):
        equipoise.attribute(flat, x[:, :, :5, :5], method=method)


@pytest.mark.parametrize("method", ["grad_cam", "grad_cam_plus_plus"])
def test_several_targets_run_the_network_once(method):
    model, x = make(Functional)
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    equipoise.attribute(model, x, torch.tensor([[0, 1, 2, 3], [0, 1, 2, 3]]), method=method)
    assert len(calls) == 1
