"""What weights come wrapped in: every usual wrapper and prefix is taken off, and nothing of the network's is lost."""

import argparse
import pathlib
import sys

import pytest
import timm
import torch
from torch import nn

from equipoise import models
from equipoise.errors import WeightsError
from equipoise.loading import load
from equipoise.models.checkpoints import read_tensors
from equipoise.models.wrappings import bare, fitted, unwrapped

NAME = "timm/test_resnet"


def network(seed=3):
    torch.manual_seed(seed)
    return timm.create_model("test_resnet", num_classes=4)


def same(one, other):
    first, second = one.state_dict(), other.state_dict()
    return list(first) == list(second) and all(torch.equal(first[key], second[key]) for key in first)


def loaded(content, tmp_path, suffix=".pth"):
    torch.save(content, tmp_path / f"w{suffix}")
    return models.load_model(NAME, tmp_path / f"w{suffix}")[0]


@pytest.mark.parametrize("wrap", [
    lambda state: {"net": state}, lambda state: {"params": state}, lambda state: {"weights": state},
    lambda state: {"ema": state, "model": network(1).state_dict()},
    lambda state: {"ema_state_dict": state, "state_dict": network(1).state_dict()},
    lambda state: {"model_ema": {"decay": 0.99, "module": state}}, lambda state: {"module": state, "steps": 3},
    lambda state: {"state_dict": {"model": state}}, lambda state: {"state_dict_ema": None, "state_dict": state},
    lambda state: {"ema": {}, "model": state, "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}}},
    lambda state: {"state_dict": state, "args": argparse.Namespace(model="test_resnet", out=pathlib.Path("runs"))},
])  # fmt: skip
def test_wrappers(tmp_path, wrap):
    assert same(loaded(wrap(network().state_dict()), tmp_path), network())


PREFIXES = ["module.", "backbone.", "encoder.net.", "module._orig_mod.model.", "_orig_mod.module.", "student.", "0."]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_beside_what_belongs_to_no_layer(tmp_path, prefix):
    state = {prefix + key: value for key, value in network().state_dict().items()}
    others = {"criterion.weight": torch.ones(4), "loss.margin": torch.ones(1), "train_acc.tp": torch.zeros(4)}
    content = {"state_dict": state | others, "pytorch-lightning_version": "2.4", "callbacks": {"best": 0.3}}
    assert same(loaded(content, tmp_path, ".ckpt"), network())


def test_the_real_wrappers(tmp_path):
    averaged = torch.optim.swa_utils.AveragedModel(network())
    assert same(loaded(averaged.state_dict(), tmp_path), network())
    assert same(loaded(nn.DataParallel(network()).state_dict(), tmp_path), network())
    part = network()
    part.layer1 = torch.compile(part.layer1)  # nothing is compiled before it runs
    assert any("_orig_mod" in key for key in part.state_dict())
    assert same(loaded(part.state_dict(), tmp_path), network())


def test_averaged_weights_come_first_among_prefixes(tmp_path):
    state = {f"model.{key}": value for key, value in network(1).state_dict().items()}
    state |= {f"ema_model.{key}": value for key, value in network(2).state_dict().items()}
    assert same(loaded({"state_dict": state}, tmp_path), network(2))


def test_two_that_fit_are_refused(tmp_path):
    state = {f"teacher.{key}": value for key, value in network(1).state_dict().items()}
    state |= {f"student.{key}": value for key, value in network(2).state_dict().items()}
    with pytest.raises(WeightsError, match=r"holds several networks that fit \(student\., teacher\.\)"):
        loaded(state, tmp_path)


def test_what_is_inside_the_prefix_is_never_ignored(tmp_path):
    state = {f"model.{key}": value for key, value in network().state_dict().items()}
    with pytest.raises(WeightsError, match=r"1 unknown to the network: extra\.weight"):
        loaded({"state_dict": state | {"model.extra.weight": torch.ones(1)}}, tmp_path)
    del state["model.fc.bias"]
    with pytest.raises(WeightsError, match=r"1 missing from the file: fc\.bias"):
        loaded({"state_dict": state}, tmp_path)
    with pytest.raises(WeightsError, match=r"1 unknown to the network: extra\.weight"):
        loaded(network().state_dict() | {"extra.weight": torch.ones(1)}, tmp_path)


class Wrapped(nn.Module):
    """A network of a user's own, all of whose names begin like a wrapper's."""

    def __init__(self):
        super().__init__()
        self.model = network()
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.model(x))


@pytest.mark.parametrize("prefix", ["", "module.", "net."])
def test_names_that_look_like_a_prefix_stay(tmp_path, monkeypatch, prefix):
    torch.manual_seed(0)
    right = Wrapped().eval()
    content = {prefix + key: value for key, value in right.state_dict().items()}
    torch.save(content, tmp_path / "w.pth")
    monkeypatch.setitem(sys.modules, "wrapped", sys.modules[__name__])
    assert same(load("wrapped:Wrapped", weights=tmp_path / "w.pth").module, right)


def test_fitted_to_what_is_there_already():
    state = network().state_dict()
    assert fitted(state, state.keys(), file="w") is state
    assert unwrapped({"a": 3}) == {}
    assert unwrapped([1]) == {}
    assert bare({"module.a": state["fc.bias"], "x": state["fc.bias"]}).keys() == {"module.a", "x"}


def test_a_misfit_names_what_would_fit(tmp_path):
    state = {f"model.{key}": value for key, value in network().state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "best_test_resnet.ckpt")
    with pytest.raises(
        WeightsError, match=r"does not fit timm/resnet18: .*; its names and shapes are those of timm/te"
    ):
        models.load_model("timm/resnet18", tmp_path / "best_test_resnet.ckpt")


def test_a_whole_model_is_refused_with_the_lines_that_save_its_weights(tmp_path):
    torch.save({"model": network(), "epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(WeightsError) as caught:
        read_tensors(tmp_path / "w.pth")
    assert "torch.load('w.pth', weights_only=False); torch.save(model.state_dict(), \"weights.pth\")" in str(
        caught.value
    )
    assert "holds Python objects (timm." in str(caught.value)
