"""Our methods in captum's and Quantus' clothes, and captum's objects in ours."""

import importlib
import warnings

import numpy as np
import pytest
import torch
from captum.attr import Attribution, IntegratedGradients, NoiseTunnel
from captum.metrics import infidelity, sensitivity_max

import equipoise
from equipoise.adapters import as_captum, quantus_explain_func
from equipoise.errors import TargetError, UnknownNameError, UnknownOptionError
from helpers import Plain, Residual, make, relative_error


@pytest.mark.parametrize("method", ["ae", "grad_cam", "gradient", "rise"])
def test_a_method_is_a_captum_attribution(method):
    model, x = make(Plain)
    options = {"masks": 10} if method == "rise" else {}
    adapter = as_captum(method, model, **options)
    assert isinstance(adapter, Attribution)
    assert adapter.forward_func is model
    expected = equipoise.attribute(model, x, 1, method=method, **options)
    assert torch.equal(adapter.attribute(x, target=1), expected)
    (found,) = adapter.attribute((x,), target=torch.tensor([1, 1]))
    assert torch.equal(found, expected)
    assert adapter.attribute(x.requires_grad_()).requires_grad is False


def test_captums_noise_tunnel_takes_it():
    """Without noise the tunnel is the method itself; with noise it is near SmoothGrad."""
    model, x = make(Plain)
    adapter = as_captum("gradient", model)
    found = NoiseTunnel(adapter).attribute(x, nt_samples=3, stdevs=0.0, target=[1, 3])
    assert relative_error(found, equipoise.attribute(model, x, [1, 3], method="gradient")) < 1e-12
    spread = float(x[:1].max() - x[:1].min())
    noisy = NoiseTunnel(adapter).attribute(x[:1], nt_samples=3000, stdevs=0.15 * spread, target=2)
    ours = equipoise.attribute(model, x[:1], 2, method="smooth_grad", samples=3000, chunk=500)
    assert (noisy - ours).norm() / ours.norm() < 0.1


def test_captums_metrics_take_it():
    model, x = make(Plain)
    x = x.float()
    model = model.float()
    adapter = as_captum("ae", model)
    assert sensitivity_max(adapter.attribute, x, target=1, n_perturb_samples=2).shape == (2,)

    def perturb(inputs):
        noise = 0.01 * torch.randn_like(inputs)
        return noise, inputs - noise

    values = infidelity(model, perturb, x, adapter.attribute(x, target=1), target=1, n_perturb_samples=2)
    assert values.isfinite().all()


def test_captums_visualization_takes_it():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from captum.attr import visualization

    model, x = make(Plain, n=1)
    found = as_captum("ae", model).attribute(x, target=1)[0].permute(1, 2, 0).numpy()
    figure, _ = visualization.visualize_image_attr(found, sign="all", use_pyplot=False)
    assert figure.axes


def test_a_captum_object_runs_as_a_method():
    model, x = make(Residual)

    def integrated(model, inputs, target, steps):
        return IntegratedGradients(model).attribute(inputs, target=target, n_steps=steps)

    found = equipoise.attribute(model, x, torch.tensor([1, 4]), method=integrated, steps=20)
    expected = equipoise.attribute(model, x, [1, 4], method="integrated_gradients", steps=20)
    assert relative_error(found, expected) < 1e-7  # captum keeps its nodes in float32
    again = as_captum(integrated, model, steps=20).attribute(x, target=torch.tensor([1, 4]))
    assert torch.equal(again, found)


def quantus():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it imports
        return pytest.importorskip("quantus")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", ["ae", "grad_cam", "input_x_gradient"])
def test_a_method_explains_for_quantus(method):
    package = quantus()
    model, x = make(Plain)
    model = model.float()
    images, classes = x.float().numpy(), np.array([1, 4])
    function = quantus_explain_func(method)
    metric = package.Sparseness(disable_warnings=True, display_progressbar=False)
    values = metric(model=model, x_batch=images, y_batch=classes, a_batch=None, explain_func=function, device="cpu")
    found = function(model, images, classes, device="cpu")
    expected = equipoise.attribute(model, x.float(), [1, 4], method=method).numpy()
    np.testing.assert_array_equal(found, expected)
    given = metric(model=model, x_batch=images, y_batch=classes, a_batch=expected)
    np.testing.assert_allclose(values, given)
    flipping = package.PixelFlipping(features_in_step=17, disable_warnings=True, display_progressbar=False)
    scores = flipping(model=model, x_batch=images, y_batch=classes, a_batch=None, explain_func=function)
    assert len(scores) == 2


def test_arrays_are_brought_to_the_networks_dtype():
    model, x = make(Plain)
    found = quantus_explain_func("gradient")(model.float(), x.numpy(), None)
    assert found.dtype == np.float32
    expected = equipoise.attribute(model, x.float(), method="gradient").numpy()
    np.testing.assert_array_equal(found, expected)


def test_what_makes_no_sense():
    model, x = make(Plain)
    with pytest.raises(UnknownNameError, match="grad_cam"):
        as_captum("grad_camm", model)
    with pytest.raises(UnknownOptionError, match="gamma"):
        as_captum("ae", model, gama=1)
    with pytest.raises(TargetError, match="ragged"):
        as_captum("gradient", model).attribute(x, target=[[1], [2, 3]])


def test_without_captum_a_sentence_says_what_to_install(monkeypatch):
    def refuse(name, *args):
        raise ModuleNotFoundError(name)

    model, _ = make(Plain)
    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(ImportError, match=r"pip install equipoise\[captum\]"):
        as_captum("ae", model)
