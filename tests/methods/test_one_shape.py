"""Methods have one shape: one `attribute`, one signature of `explain_trace`, and say of themselves what they give."""

import inspect

import pytest
import torch

import equipoise
from equipoise.errors import ModelModeError, NotFiniteError, OptionError
from equipoise.methods import METHODS
from equipoise.methods.base import Method
from equipoise.methods.propagation import Propagation
from equipoise.records import method_options, method_record
from helpers import Plain, make

WITH_PROFILE = [name for name in METHODS if "profile" in method_options(name)]


@pytest.mark.parametrize("name", METHODS.names())
def test_one_attribute_for_all(name):
    entry = METHODS[name]
    assert issubclass(entry, Method)
    assert entry.attribute is Method.attribute
    if issubclass(entry, Propagation):
        assert list(inspect.signature(entry.explain_trace).parameters) == ["self", "trace", "targets"]
        assert entry.explained is Propagation.explained
        assert entry.coverage is Propagation.coverage


@pytest.mark.parametrize("name", WITH_PROFILE)
@pytest.mark.parametrize("profile", ["papr", "", None, 3])
def test_a_bad_profile_is_an_option_error(name, profile):
    model, _ = make(Plain)
    with pytest.raises(OptionError, match="choose from paper, reference"):
        METHODS[name](model, profile=profile)


@pytest.mark.parametrize(("name", "options"), [
    *((name, {"profile": profile}) for name in WITH_PROFILE for profile in ("paper", "reference")),
    ("grad_cam", {"relu": False}), ("grad_cam_plus_plus", {"relu": False}), ("grad_cam", {"relu": True}),
])  # fmt: skip
def test_level_and_sign_are_those_of_the_options(name, options):
    """A map of one channel is not called pixel-level, nor a map without negative values signed."""
    if name == "integrated_gradients":
        options = options | {"steps": 2}
    model, x = make(Plain)
    made = METHODS[name](model, **options)
    found = made.attribute(x, torch.tensor([[0, 1, 2]] * len(x)))
    assert found.shape[2] == (1 if made.level == "map" else x.shape[1])
    if (name, options) != ("eb", {"profile": "reference"}):  # TorchRay's multiplies by negative pixels, too
        assert made.signed or not bool((found < 0).any())
    assert method_record(name, options, made)["level"] == made.level


def test_an_own_function_has_the_same_entrance():
    model, x = make(Plain)

    def mine(_model, inputs, _target):
        return inputs

    model.train()
    noisy = torch.nn.Sequential(torch.nn.Dropout(0.5), model).train()
    with pytest.raises(ModelModeError, match="Dropout"):
        equipoise.attribute(noisy, x, 0, method=mine)
    with pytest.raises(NotFiniteError):
        equipoise.attribute(model.eval(), x * torch.nan, 0, method=mine)
    assert torch.equal(equipoise.attribute(model.eval(), x, 0, method=mine), x)


def test_parts_of_the_targets_know_their_number():
    """What is noted of a target says which one it is, also where the memory holds a few at a time."""
    from equipoise.methods.targets import resolve_targets

    targets = resolve_targets(torch.arange(5)[None], torch.zeros(1, 5))
    assert [part.first for part in targets.parts(2)] == [0, 2, 4]
