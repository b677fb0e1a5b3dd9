"""Weights from files: every usual wrapping is read, every misfit is named, no code in a file runs."""

from __future__ import annotations

import hashlib
import os
import re
from collections import OrderedDict

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from equipoise import models
from equipoise.errors import WeightsError
from equipoise.models.checkpoints import state_checksum

NAME = "timm/test_resnet"


def network(classes=1000, seed=3):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return timm.create_model("test_resnet", num_classes=classes)


def same(one, other):
    first, second = one.state_dict(), other.state_dict()
    return list(first) == list(second) and all(torch.equal(first[key], second[key]) for key in first)


def wrapped(state, wrapper):
    return {"epoch": 3, wrapper: state}


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".ckpt"])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "model_state_dict", "state_dict_ema"])
def test_state_dicts_of_torch(tmp_path, suffix, wrapper):
    source, file = network(), tmp_path / f"w{suffix}"
    torch.save(wrapped(source.state_dict(), wrapper) if wrapper else source.state_dict(), file)
    loaded, spec = models.load_model(NAME, file)
    assert same(loaded, source)
    assert not loaded.training
    assert spec.weights_checksum == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (spec.name, spec.weights) == (NAME, str(file))
    assert (spec.license, spec.citation) == (None, None)


def test_averaged_weights_come_first(tmp_path):
    average, raw, file = network(seed=1), network(seed=2), tmp_path / "w.pth"
    torch.save({"state_dict": raw.state_dict(), "state_dict_ema": average.state_dict()}, file)
    assert same(models.load_model(NAME, file)[0], average)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module.model."])
def test_prefixes_of_wrapping_modules(tmp_path, prefix):
    source, file = network(), tmp_path / "w.pth"
    state = {prefix + key: value for key, value in source.state_dict().items()}
    torch.save({"state_dict": state}, file)
    assert same(models.load_model(NAME, file)[0], source)


def test_safetensors_as_text_path(tmp_path):
    source, file = network(), tmp_path / "w.safetensors"
    save_file(source.state_dict(), file)
    loaded, spec = models.load_model(NAME, str(file))
    assert same(loaded, source)
    assert spec.weights == str(file)


@pytest.mark.parametrize("name", ["timm/test_resnet", "torchvision/squeezenet1_1", "efficientnet_lite0"])
def test_the_file_decides_the_number_of_classes(tmp_path, name):
    source, file = models.build(name, 7), tmp_path / "w.pth"
    torch.save(source.state_dict(), file)
    loaded, spec = models.load_model(name, file)
    assert same(loaded, source)
    assert spec.classes == tuple(f"class {index}" for index in range(7))
    assert loaded(torch.rand(1, 3, 96, 96)).shape == (1, 7)


def test_counters_of_batch_norm_may_be_absent(tmp_path):
    source, file = network(), tmp_path / "w.safetensors"
    state = {key: value for key, value in source.state_dict().items() if "num_batches" not in key}
    assert len(state) < len(source.state_dict())
    save_file(state, file)
    assert same(models.load_model(NAME, file)[0], source)


def test_auxiliary_classifiers_of_training_are_dropped(tmp_path):
    full = torchvision.models.googlenet(weights=None, aux_logits=True, transform_input=True, init_weights=False)
    file = tmp_path / "w.pth"
    torch.save(full.state_dict(), file)
    loaded, _ = models.load_model("googlenet", file)
    image = torch.rand(1, 3, 224, 224)
    assert torch.equal(loaded(image), full.eval()(image))


def test_old_names_of_densenet(tmp_path):
    source = models.build("densenet121")
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): value
        for key, value in source.state_dict().items()
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(OrderedDict(old), tmp_path / "w.pth")
    assert same(models.load_model("densenet121", tmp_path / "w.pth")[0], source)


def test_original_names_of_a_network_of_timm(tmp_path):
    source, file = models.build("timm/convnext_atto", 3), tmp_path / "w.pth"
    publisher = [
        (r"stem\.", "downsample_layers.0."),
        (r"stages\.(\d)\.downsample\.", r"downsample_layers.\1."),
        (r"\.blocks\.", "."),
        (r"conv_dw", "dwconv"),
        (r"mlp\.fc", "pwconv"),
        (r"head\.norm", "norm"),
        (r"head\.fc", "head"),
    ]
    old = {}
    for key, value in source.state_dict().items():
        name = key
        for pattern, replacement in publisher:
            name = re.sub(pattern, replacement, name)
        old[name] = value
    assert "downsample_layers.0.0.weight" in old
    torch.save(old, file)
    assert same(models.load_model("timm/convnext_atto", file)[0], source)


def refusal(file, name=NAME):
    with pytest.raises(WeightsError) as caught:
        models.load_model(name, file)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_misfits_are_named(tmp_path):
    state = network().state_dict()
    state["conv1.0.weight"] = torch.zeros(4, 3, 3, 3)
    renamed = {key.replace("layer4", "stage4"): value for key, value in state.items()}
    file = tmp_path / "w.pth"
    torch.save(renamed, file)
    message = refusal(file)
    count = sum("layer4" in key and "num_batches" not in key for key in state)
    assert f"{file} does not fit timm/test_resnet: {count} missing from the file: layer4.0.conv1.weight" in message
    assert f"{count} unknown to the network: stage4.0.conv1.weight" in message
    wanted = tuple(network().state_dict()["conv1.0.weight"].shape)
    assert f"1 of another shape: conv1.0.weight (file (4, 3, 3, 3), network {wanted})" in message
    assert len(message) < 800


def test_weights_of_another_network(tmp_path):
    torch.save(models.build("squeezenet1_1").state_dict(), tmp_path / "w.pth")
    assert "does not fit timm/test_resnet" in refusal(tmp_path / "w.pth")
    assert "does not fit torchvision/vgg11" in refusal(tmp_path / "w.pth", "vgg11")


def test_no_such_file(tmp_path):
    assert refusal(tmp_path / "w.pth") == f"there is no weights file {tmp_path / 'w.pth'}"
    assert "there is no weights file" in refusal(tmp_path)


def test_unknown_suffix(tmp_path):
    (tmp_path / "w.h5").write_bytes(b"")
    assert "none of the suffixes" in refusal(tmp_path / "w.h5")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04" + bytes(100)])
def test_damaged_files(tmp_path, suffix, content):
    file = tmp_path / f"w{suffix}"
    file.write_bytes(content)
    assert str(file) in refusal(file)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_cut_short(tmp_path, suffix):
    file = tmp_path / f"w{suffix}"
    torch.save(network().state_dict(), file) if suffix == ".pth" else save_file(network().state_dict(), file)
    file.write_bytes(file.read_bytes()[:-5000])
    assert str(file) in refusal(file)


@pytest.mark.parametrize("content", [{}, {"state_dict": {}}, [1, 2], {"epoch": 3}, torch.zeros(2)])
def test_files_without_a_state_dict(tmp_path, content):
    torch.save(content, tmp_path / "w.pth")
    assert "holds no state dict" in refusal(tmp_path / "w.pth")


def test_a_whole_network_is_refused(tmp_path):
    torch.save(network(), tmp_path / "w.pth")
    message = refusal(tmp_path / "w.pth")
    assert "save its state_dict alone" in message
    assert "holds Python objects (timm." in message
    assert "torch.save(model.state_dict()" in message


class Trap:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_code_in_a_file_does_not_run(tmp_path):
    torch.save({"state_dict": network().state_dict(), "x": Trap(str(tmp_path / "sprung"))}, tmp_path / "w.pth")
    assert "does not run" in refusal(tmp_path / "w.pth")
    assert not (tmp_path / "sprung").exists()


def test_checksum_sees_values_names_and_shapes():
    layer = torch.nn.Linear(2, 2)
    before = state_checksum(layer)
    assert len(before) == 64
    assert before == state_checksum(layer)
    with torch.no_grad():
        layer.weight[0, 0] += 1
    assert state_checksum(layer) != before
    zeros = [torch.nn.Linear(*shape, bias=False) for shape in ((2, 3), (3, 2))]
    for module in zeros:
        torch.nn.init.zeros_(module.weight)
    assert state_checksum(zeros[0]) != state_checksum(zeros[1])
    assert state_checksum(zeros[0]) != state_checksum(torch.nn.Sequential(zeros[0]))
