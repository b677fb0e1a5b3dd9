"""The same network wrapped, compiled, exported or under autocast: the same map from every method."""

import inspect
import sys
import warnings

import pytest
import torch
from torch import nn

import equipoise
from equipoise.errors import EquipoiseError, LayerError, NetworkError
from registered import EVERY, HOOKS, explain, images, network, spread

every = pytest.mark.parametrize("method", EVERY)
LAYERED = [m for m in EVERY if "layer" in inspect.signature(equipoise.METHODS[m]).parameters]
SEVERAL = {"grad_cam", "grad_cam_plus_plus", "score_cam", "relevance_cam"}


def compiled_part():
    model = network()
    model[0] = torch.compile(model[0], backend="eager")
    return model


def compiled_in_place():
    model = network()
    model.compile(backend="eager")
    return model


def compiled_forward():
    model = network()
    model[0].forward = torch.compile(model[0].forward, backend="eager")
    return model


def exported():
    batch = torch.export.Dim.AUTO
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(network(), (images(),), dynamic_shapes=({0: batch},)).module()


WRAPPED = {
    "compiled": lambda: torch.compile(network(), backend="eager"),
    "compiled part": compiled_part,
    "model.compile": compiled_in_place,
    "compiled forward": compiled_forward,
    "data parallel": lambda: nn.DataParallel(network()),
    "data parallel, compiled": lambda: nn.DataParallel(torch.compile(network(), backend="eager")),
    "exported": exported,
}


@pytest.mark.parametrize(("method", "how"), spread(EVERY, WRAPPED, each=2))
def test_wrapping_changes_no_map(method, how):
    model, x = WRAPPED[how](), images()
    expected = explain(method, network(), x)
    if how == "exported" and method in HOOKS:
        with pytest.raises(EquipoiseError, match=r"DeepLIFT.*relu"):
            explain(method, model, x)
        return
    assert torch.allclose(explain(method, model, x), expected, rtol=1e-5, atol=1e-7)
    assert sys.modules["torch._dynamo"].eval_frame._stance.stance == "default", "nothing is left"


def test_a_compiled_network_is_still_compiled_afterwards():
    compilations = []

    def backend(graph, _inputs):
        compilations.append(graph)
        return graph

    torch._dynamo.reset()
    model = torch.compile(network(), backend=backend)
    explain("ae", model, images())
    assert not compilations
    with torch.no_grad():
        model(images())
    assert compilations


@pytest.mark.filterwarnings("ignore")
def test_a_program_exported_for_one_batch_size_says_so():
    program = torch.export.export(network(), (images(),)).module()
    assert torch.equal(explain("ae", program, images()), explain("ae", network(), images()))
    for method in ("rise", "integrated_gradients", "gradient_shap"):
        with pytest.raises(NetworkError, match="dynamic batch size"):
            explain(method, program, images())


@every
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_around_the_call_changes_no_map(method, dtype):
    model, x = network(), images()
    expected = explain(method, model, x)
    with torch.autocast("cpu", dtype=dtype):
        assert torch.equal(explain(method, model, x), expected)
        assert torch.is_autocast_enabled("cpu")
        half = explain(method, model, x.to(dtype))
    assert half.dtype == dtype
    if method != "random":  # made from the image's bytes
        assert torch.nn.functional.cosine_similarity(half.float().flatten(), expected.flatten(), dim=0) > 0.98


def replaced_forward():
    """A network whose nonlinearity a copy reaches only in the original."""
    model = network()
    original = model[0]
    model[0] = nn.Identity()
    model[0].inner = original
    model[0].forward = lambda x: original(x)  # noqa: PLW0108  # a copy of it runs the original
    return model


@pytest.mark.parametrize("method", sorted(HOOKS))
def test_deep_lift_takes_no_plain_gradient_behind_a_replaced_forward(method):
    with pytest.raises(EquipoiseError, match="DeepLIFT"):
        explain(method, replaced_forward(), images())


@pytest.mark.parametrize("method", LAYERED)
def test_a_layer_is_a_name_or_the_module(method):
    model, x = network(), images()
    expected = explain(method, model, x, layer="2")
    assert torch.equal(explain(method, model, x, layer=model[2]), expected)
    wrapped = nn.DataParallel(model)
    assert torch.equal(explain(method, wrapped, x, layer="module.2"), expected)
    assert torch.equal(explain(method, wrapped, x, layer=wrapped.module[2]), expected)
    part = compiled_part()
    assert torch.equal(explain(method, part, x, layer="0.0"), explain(method, model, x, layer="0.0"))
    assert torch.equal(explain(method, part, x, layer=part[0]), explain(method, model, x, layer="0"))
    with pytest.raises(LayerError, match="no module of this network"):
        explain(method, model, x, layer=nn.ReLU())
    with pytest.raises(LayerError, match="not int"):
        explain(method, model, x, layer=3)


@pytest.mark.parametrize("method", LAYERED)
def test_of_several_layers_the_class_activation_maps_give_the_mean(method):
    model, x = network(), images()
    if method not in SEVERAL:
        with pytest.raises(LayerError, match="starts at one layer"):
            explain(method, model, x, layer=["0", model[2]])
        return
    each = [explain(method, model, x, layer=layer) for layer in ("0", "2")]
    found = explain(method, model, x, layer=["0", model[2]])
    assert torch.allclose(found, (each[0] + each[1]) / 2, rtol=1e-5, atol=1e-7)
    with pytest.raises(LayerError, match="leave out interpolate"):
        explain(method, model, x, layer=["0", "2"], interpolate=False)
    with pytest.raises(LayerError, match="empty"):
        explain(method, model, x, layer=[])


class HalfInside(nn.Module):
    """A network that enters autocast itself, or casts by hand."""

    def __init__(self, *, by_hand):
        super().__init__()
        self.body = network().bfloat16() if by_hand else network()
        self.by_hand = by_hand

    def forward(self, x):
        if self.by_hand:
            return self.body(x.bfloat16()).float()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.body(x).float()


@every
@pytest.mark.parametrize("by_hand", [True, False])
def test_half_precision_inside_the_network(method, by_hand):
    expected = explain(method, network(), images())
    found = explain(method, HalfInside(by_hand=by_hand).eval(), images())
    assert found.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(found.flatten(), expected.flatten(), dim=0) > 0.98
