"""Names lead to the right network, random weights are the same everywhere, nothing else is touched."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
import torch

from equipoise import models
from equipoise.errors import UnknownNameError, UnsupportedModelError, WeightsError
from equipoise.models import from_timm
from equipoise.models.zoo import find


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("efficientnet_lite0", "bundled/efficientnet_lite0"),
        ("EfficientNet_Lite0", "bundled/efficientnet_lite0"),
        ("bundled/efficientnet_lite0", "bundled/efficientnet_lite0"),
        ("timm/efficientnet_lite0", "timm/efficientnet_lite0.ra_in1k"),
        ("vgg16", "torchvision/vgg16.IMAGENET1K_V1"),
        ("resnet50", "torchvision/resnet50.IMAGENET1K_V2"),
        ("resnet50.default", "torchvision/resnet50.IMAGENET1K_V2"),
        ("torchvision/resnet50", "torchvision/resnet50.IMAGENET1K_V2"),
        ("torchvision/resnet50.IMAGENET1K_V1", "torchvision/resnet50.IMAGENET1K_V1"),
        ("TorchVision/ResNet50.imagenet1k_v1", "torchvision/resnet50.IMAGENET1K_V1"),
        ("resnet50.imagenet1k_v2", "torchvision/resnet50.IMAGENET1K_V2"),
        ("timm/resnet50", "timm/resnet50.a1_in1k"),
        ("timm/resnet50.A2_in1k", "timm/resnet50.a2_in1k"),
        ("resnet50.tv_in1k", "timm/resnet50.tv_in1k"),
        ("convnext_nano", "timm/convnext_nano.in12k_ft_in1k"),
        ("nf_seresnet26", "timm/nf_seresnet26"),
        ("timm/resnet50_mlp", "timm/resnet50_mlp"),  # timm tags it "untrained"
    ],
)
def test_names(name, canonical):
    assert find(name).name == canonical


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnet5", "did you mean resnet50"),
        ("torchvision/resnet51", "did you mean resnet50"),
        ("eficientnet_lite0", "did you mean efficientnet_lite0"),
        ("resnet50.nonsense", "there are resnet50.IMAGENET1K_V1, resnet50.IMAGENET1K_V2, resnet50.a1_in1k"),
        ("torchvision/resnet50.tv_in1k", "there are resnet50.IMAGENET1K_V1, resnet50.IMAGENET1K_V2$"),
        ("nf_seresnet26.ra_in1k", "there are none"),
        ("torchvison/resnet50", "no model source is called 'torchvison'; did you mean torchvision"),
        ("", "equipoise list models"),
        ("@@@@", "equipoise list models"),
    ],
)
def test_unknown_names_list_the_nearest(name, hint):
    with pytest.raises(UnknownNameError, match=hint):
        models.load_model(name)


@pytest.mark.parametrize("name", ["vgg16.IMAGENET1K_FEATURES", "convnextv2_base.fcmae"])
def test_weights_without_a_classifier(name):
    with pytest.raises(UnsupportedModelError, match="has no classifier"):
        models.load_model(name)


def test_an_architecture_without_weights():
    with pytest.raises(WeightsError, match="timm has no pretrained weights for nf_seresnet26: pass a file"):
        models.load_model("nf_seresnet26")


def test_random_weights_are_the_same_everywhere_and_touch_nothing():
    state, python = torch.get_rng_state(), random.getstate()
    first, spec = models.load_model("timm/test_resnet", "random")
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == python
    torch.rand(7)
    second, again = models.load_model("timm/test_resnet", "random")
    assert all(torch.equal(one, two) for one, two in zip(first.parameters(), second.parameters(), strict=True))
    assert spec == again
    assert (spec.name, spec.weights) == ("timm/test_resnet", "random")
    assert len(spec.weights_checksum) == 64
    assert (spec.license, spec.citation) == (None, None)
    assert not first.training
    assert len(spec.classes) == 1000
    torch.testing.assert_close(models.build("timm/test_resnet").fc.weight, first.fc.weight)


def test_random_weights_need_no_network(monkeypatch):
    monkeypatch.setattr(from_timm, "fetch_hub", lambda *_, **__: pytest.fail("asked the hub"))
    models.load_model("timm/test_resnet", "random")


@pytest.mark.parametrize("name", ["googlenet", "inception_v3", "timm/inception_v3"])
def test_networks_with_auxiliary_classifiers_give_one_tensor(name):
    network = models.build(name, 5)
    output = network(torch.rand(1, 3, 299, 299))
    assert output.shape == (1, 5)
    assert not network.training


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_the_inceptions_shift_their_input_as_with_pretrained_weights(name):
    assert models.build(name).transform_input


def test_device():
    network, spec = models.load_model("timm/test_resnet", "random", device="meta")
    assert {parameter.device.type for parameter in network.parameters()} == {"meta"}
    assert spec.weights_checksum == models.load_model("timm/test_resnet", "random")[1].weights_checksum


def test_the_default_device_of_the_process_does_not_matter():
    with torch.device("meta"):
        network, _ = models.load_model("timm/test_resnet", "random")
    assert network.fc.weight.device.type == "cpu"


def test_larger_label_sets_get_their_names():
    names = find("timm/convnext_tiny.fb_in22k")
    assert names.classes == 21841
    _, spec = models.load_model("timm/convnext_atto", "random")
    assert spec.classes[281] == "tabby"


def test_listing():
    listed = models.list_models()
    assert listed[0] == "bundled/efficientnet_lite0"
    assert len(listed) == len(set(listed)) > 500
    assert {"torchvision/vgg16.IMAGENET1K_V1", "timm/resnet50.a1_in1k"} <= set(listed)
    refused = ("vit", "swin", "FEATURES", "fcmae", "deit", "coatnet")
    assert not [name for name in listed if name.partition("/")[2].startswith(refused)]
    assert "timm/convnextv2_base.fcmae" not in listed
    assert "torchvision/vgg16.IMAGENET1K_FEATURES" not in listed


def test_every_listed_name_is_found_under_that_name():
    assert [name for name in models.list_models() if find(name).name != name] == []


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("lite0", ["bundled/efficientnet_lite0", "timm/efficientnet_lite0.ra_in1k"]),
        ("torchvision/VGG1?.*", [f"torchvision/vgg{n}.IMAGENET1K_V1" for n in (11, 13, 16, 19)]),
        ("vgg1?.imagenet*", [f"torchvision/vgg{n}.IMAGENET1K_V1" for n in (11, 13, 16, 19)]),
        ("nothing of the kind", []),
    ],
)
def test_listing_by_pattern(pattern, expected):
    listed = models.list_models(pattern)
    assert listed[: len(expected)] == expected
    assert bool(listed) == bool(expected)
    if "?" in pattern:
        assert listed == expected


def test_import_is_free_of_warnings():
    command = [sys.executable, "-W", "error", "-c", "import equipoise.models"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own code
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
