"""TorchRay's networks: Caffe's geometry, the published tensors under other names, colors the other way round."""

from __future__ import annotations

import hashlib
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

import equipoise
from equipoise import models
from equipoise._vocabularies import COCO, VOC
from equipoise.errors import WeightsError
from equipoise.models import torchray
from equipoise.models.zoo import find

NAMES = ["vgg16_voc", "vgg16_coco", "resnet50_voc", "resnet50_coco"]


class SmallVGG(nn.Module):
    """Five pools and a head of three linear layers, as VGG-16 but narrow."""

    def __init__(self, num_classes):
        super().__init__()
        layers = []
        for wide, narrow in zip((3, 4, 4, 4, 4), (4, 4, 4, 4, 4), strict=True):
            layers += [nn.Conv2d(wide, narrow, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(4 * 49, 8), nn.ReLU(True), nn.Dropout(), nn.Linear(8, 8), nn.ReLU(True), nn.Dropout(),
            nn.Linear(8, num_classes),
        )  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """Networks of the same layout with few weights, and an empty folder of checkpoints."""
    monkeypatch.setattr(torchvision.models, "vgg16", SmallVGG)
    monkeypatch.setattr(
        torchvision.models, "resnet50", lambda num_classes: ResNet(Bottleneck, [1, 1, 1, 1], num_classes=num_classes)
    )
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    return folder


def network(name):
    """The network with batch statistics and weights that differ from layer to layer."""
    made = models.build(f"torchray/{name}", len(VOC if name.endswith("voc") else COCO))
    with torch.no_grad():
        for tensor_name, tensor in made.state_dict().items():
            if tensor_name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
            elif tensor_name.endswith("running_mean"):
                tensor.normal_(0, 0.1)
    return made


def published(name, made):
    """The state dict as TorchRay publishes it."""
    found = {}
    for key, tensor in made.state_dict().items():
        if key.endswith("num_batches_tracked"):
            continue
        stored = key.replace("classifier.6.", "classifier.4.").replace("classifier.3.", "classifier.2.")
        if match := re.match(r"(.*(?:bn\d|downsample\.1))\.(.*)$", key):
            part = 0 if match[2].startswith("running") else 1
            stored = f"{match[1]}.{part}.{match[2]}"
        blue_first = tensor[:, [2, 1, 0]] if key in {"features.0.weight", "conv1.weight"} else tensor
        flat = key in {"fc.weight", "classifier.0.weight", "classifier.6.weight"}
        found[stored] = (blue_first.flatten(1) if flat else blue_first).clone()
    return found


def publish(monkeypatch, small, name):
    """Put the file of a random network where the download would, its digits those of its own SHA-256."""
    made = network(name)
    file = small / "file.pth.tar"
    torch.save(published(name, made), file)
    digits = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    target = file.rename(small / f"{name}-{digits}.pth.tar")
    entry = torchray._NETWORKS[name]
    networks = {other: torchray._NETWORKS[other] for other in NAMES}
    networks[name] = torchray._Published(entry.construct, entry.translate, entry.classes, digits)
    registry = torchray.Registry("network of TorchRay")
    for other, value in networks.items():
        registry.add(other, value)
    monkeypatch.setattr(torchray, "_NETWORKS", registry)
    return made, target


def test_the_addresses():
    assert {name: torchray._NETWORKS[name].digits for name in torchray._NETWORKS} == {
        "vgg16_voc": "b050e8c3",
        "vgg16_coco": "d82c8150",
        "resnet50_voc": "9ca920d6",
        "resnet50_coco": "e99468c5",
    }
    assert torchray.SERVER == "https://dl.fbaipublicfiles.com/torchray"


@pytest.mark.parametrize("name", NAMES)
def test_names_classes_and_license(name):
    entry = find(f"torchray/{name.upper()}")
    assert (entry.name, entry.license) == (f"torchray/{name}", "cc-by-nc-4.0")
    assert find(name).name == entry.name
    assert entry.labels == (VOC if name.endswith("voc") else COCO)
    assert f"torchray/{name}" in models.list_models("torchray/*")


@pytest.mark.parametrize("name", NAMES)
def test_the_published_file_becomes_the_network_it_came_from(monkeypatch, small, name):
    made, file = publish(monkeypatch, small, name)
    loaded, spec = models.load_model(f"torchray/{name}")
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), made(images))
    assert not loaded.training
    assert spec.classes == (VOC if name.endswith("voc") else COCO)
    assert (spec.weights, spec.weights_checksum) == ("pretrained", hashlib.sha256(file.read_bytes()).hexdigest())
    assert spec.preprocessing == torchray.PREPROCESSING


@pytest.mark.parametrize("name", ["vgg16_voc", "resnet50_voc"])
def test_red_comes_first(monkeypatch, small, name):
    _, file = publish(monkeypatch, small, name)
    stored = torch.load(file, weights_only=True)
    first = "features.0" if name.startswith("vgg") else "conv1"
    loaded = models.load_model(f"torchray/{name}")[0]
    assert torch.equal(loaded.get_submodule(first).weight[:, 0], stored[f"{first}.weight"][:, 2])


@pytest.mark.parametrize("name", ["vgg16_voc", "resnet50_voc"])
def test_a_file_of_ones_own_is_read_as_it_is_or_as_published(small, name):
    made = network(name)
    images = torch.randn(1, 3, 224, 224)
    for state in (made.state_dict(), published(name, made)):
        torch.save(state, small / "own.pth")
        loaded, _ = models.load_model(f"torchray/{name}", weights=small / "own.pth")
        with torch.no_grad():
            torch.testing.assert_close(loaded(images), made(images))


def test_a_file_of_another_checksum_is_refused(monkeypatch, small):
    _, file = publish(monkeypatch, small, "vgg16_voc")
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(WeightsError, match=r"is not the published file of torchray/vgg16_voc: its SHA-256 begins with"):
        models.load_model("torchray/vgg16_voc")


def test_a_download_of_another_checksum_is_refused(monkeypatch, tmp_path, small):
    server = tmp_path / "server"
    server.mkdir()
    (server / "vgg16_voc-b050e8c3.pth.tar").write_bytes(b"another file")
    monkeypatch.setattr(torchray, "SERVER", server.as_uri())
    with pytest.raises(WeightsError, match=r"the download failed .*hash"):
        models.load_model("torchray/vgg16_voc")
    assert list(small.iterdir()) == []


def test_a_tensor_that_does_not_fit_is_named(small):
    state = published("resnet50_voc", network("resnet50_voc"))
    state["conv1.bias"] = state.pop("fc.bias")
    torch.save(state, small / "own.pth")
    with pytest.raises(WeightsError, match=r"fc\.bias"):
        models.load_model("torchray/resnet50_voc", weights=small / "own.pth")


def test_pools_round_up_and_the_vgg_slides():
    made = network("vgg16_voc").double()
    images = torch.randn(1, 3, 225, 257, dtype=torch.float64)  # 8 x 9 features: the window of 7 fits 2 x 3 times
    maps = made.features(images)
    assert maps.shape[-2:] == (8, 9)
    weights = [made.classifier[index].weight.flatten(1) for index in (0, 3, 6)]
    biases = [made.classifier[index].bias for index in (0, 3, 6)]
    scores = []
    for top in range(2):
        for left in range(3):
            x = maps[:, :, top : top + 7, left : left + 7].flatten(1)
            for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
                x = F.relu(F.linear(x, weight, bias))
            scores.append(F.linear(x, weights[-1], biases[-1]))
    torch.testing.assert_close(made(images), torch.stack(scores).mean(0))


def test_the_resnet_of_caffe():
    made = network("resnet50_voc")
    assert made.conv1.bias is not None
    for stage, stride in ((made.layer1, 1), (made.layer2, 2), (made.layer3, 2), (made.layer4, 2)):
        assert stage[0].conv1.stride == (stride, stride)
        assert stage[0].conv2.stride == (1, 1)
        assert stage[0].downsample[0].stride == (stride, stride)
    pooled = made.maxpool(torch.arange(36.0).view(1, 1, 6, 6))  # windows of 3 from 0, 2 and, cut off, 4
    assert pooled[0, 0].tolist() == [[14.0, 16.0, 17.0], [26.0, 28.0, 29.0], [32.0, 34.0, 35.0]]


def test_the_resnet_slides():
    made = network("resnet50_voc").double()
    images = torch.randn(1, 3, 224, 288, dtype=torch.float64)
    with torch.no_grad():
        maps = made.maxpool(made.relu(made.bn1(made.conv1(images))))
        maps = made.layer4(made.layer3(made.layer2(made.layer1(maps))))
        assert maps.shape[-2:] == (7, 9)
        windows = torch.stack([maps[..., left : left + 7].mean((2, 3)) for left in range(3)])
        expected = F.linear(windows, made.fc.weight[:, :, 0, 0], made.fc.bias).mean(0)
        torch.testing.assert_close(made(images), expected)
        made(images[..., :195, :195])
        with pytest.raises(RuntimeError):
            made(images[..., :194, :194])


def test_the_preprocessing_of_caffe():
    pixels = np.zeros((224, 224, 3), np.uint8)
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = 200, 100, 0
    found = torchray.PREPROCESSING(Image.fromarray(pixels))
    expected = torch.tensor([200 - 123.68, 100 - 116.779, 0 - 103.939])
    torch.testing.assert_close(found[:, 5, 7], expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize("name", ["vgg16_voc", "resnet50_voc"])
def test_attribution_equilibrium_explains_it(name):
    made = network(name)
    bounds = torchray.PREPROCESSING.bounds()
    images = torch.rand(1, 3, 224, 256) * 255 - bounds[0].abs().view(3, 1, 1)
    found = equipoise.attribute(made, images, 11, method="AE")
    assert found.shape == images.shape
    assert found.isfinite().all()
    assert found.any()
