"""A network explained in another precision: float32 maps, the network untouched, the process as it was."""

import copy

import pytest
import torch

import equipoise
from equipoise.engine import layout
from equipoise.engine.precision import CHANNELS_LAST, PRECISIONS, Prepared, precision
from equipoise.errors import UnknownNameError
from helpers import Residual, make, relative_error
from registered import ONE_OF_EACH, explain, images, network


def flags():
    autocast = torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32, autocast


@pytest.mark.parametrize("name", PRECISIONS)
def test_the_process_is_as_before_afterwards(name):
    def fail():
        with precision(name, network()):
            assert flags()[:2] == (PRECISIONS[name].tf32,) * 2
            raise ZeroDivisionError

    before = flags()
    for tf32 in (True, False):
        torch.backends.cudnn.allow_tf32 = tf32
        here = flags()
        with pytest.raises(ZeroDivisionError):
            fail()
        assert flags() == here
    torch.backends.cudnn.allow_tf32 = before[0]


@pytest.mark.parametrize("method", ONE_OF_EACH)
@pytest.mark.parametrize("name", PRECISIONS)
def test_every_kind_of_method_gives_float32_maps_near_the_exact_ones(method, name):
    model, x = network(), images()
    state, expected = copy.deepcopy(model.state_dict()), explain(method, model, x)
    with precision(name, model) as fast:
        found = explain(method, fast.model, fast.images(x))
    assert found.dtype == torch.float32
    assert relative_error(found, expected) <= (0.2 if name == "bfloat16" else 0)
    assert all(
        torch.equal(value, state[key]) and value.dtype == state[key].dtype for key, value in model.state_dict().items()
    )


def test_what_needs_no_change_is_the_network_itself():
    model = network()
    for name in ("float32", "tf32"):
        with precision(name, model) as fast:
            assert fast.model is model
    with precision("bf16", model) as fast:
        assert fast.model is not model
        assert fast.model[2].weight.dtype == torch.bfloat16
    assert model[2].weight.dtype == torch.float32
    with precision("float32", model, "meta") as fast:
        assert fast.model[2].weight.is_meta
    assert not model[2].weight.is_meta


def test_float64_stays_where_no_other_dtype_is_asked_for():
    model, x = make(Residual)
    with precision("tf32", model) as fast:
        assert torch.equal(equipoise.attribute(fast.model, fast.images(x), 1), equipoise.attribute(model, x, 1))


@pytest.mark.parametrize(("name", "near"), [("float23", "float32"), ("tf23", "tf32"), ("bfloat", "bfloat16")])
def test_an_unknown_precision_is_refused_with_the_nearest(name, near):
    with (
        pytest.raises(UnknownNameError, match=f"no precision is called '{name}'; did you mean .*{near}"),
        precision(name, network()),
    ):
        pass


def test_where_channels_lie_last_the_copy_and_the_images_do(monkeypatch):
    monkeypatch.setattr("equipoise.engine.precision.CHANNELS_LAST", {("cpu", "tf32")})
    model, x = network(), images()
    with precision("tf32", model) as fast:
        assert fast.channels_last
        assert fast.model[2].weight.is_contiguous(memory_format=torch.channels_last)
        assert fast.images(x).is_contiguous(memory_format=torch.channels_last)
        assert fast.images(x[0]).shape == x[0].shape
        with precision("tf32", fast.model) as again:
            assert again.model is fast.model, "it lies so already"
        with precision("tf32", model, channels_last=False) as plain:
            assert plain.model is model
        found = explain("ae", fast.model, fast.images(x))
    assert found.is_contiguous()
    assert relative_error(found, explain("ae", model, x)) < 1e-5
    assert not model[2].weight.is_contiguous(memory_format=torch.channels_last)


def test_rules_lay_out_for_another_device_only_within():
    x = torch.zeros(2, 3, 4, 5, device="meta")
    assert not layout.channels_last(x)
    with layout.lying_last("meta"):
        assert layout.channels_last(x)
        assert layout.channels_last(torch.zeros(2, 3, 4, 5))
    assert not layout.channels_last(x)


def test_the_rule_names_precisions_that_there_are():
    assert {name for _, name in CHANNELS_LAST} <= set(PRECISIONS)
    assert Prepared(network(), torch.device("cpu")).images(images()).shape == images().shape
