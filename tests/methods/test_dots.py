"""A map that shows the strides of a network's 1x1 layers as a grid says so, and no other does."""

import pytest
import torch
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet, resnet50

import equipoise
from equipoise.methods.base import METHODS
from equipoise.methods.dots import strided_pointwise

LAYERED = ("ae", "lrp_composite", "rsp")


def residual(*, zero: bool = True) -> nn.Module:
    """Blocks of ResNet-50 before training; ``zero``: all goes by the shortcuts, as where training often begins."""
    torch.manual_seed(0)
    return ResNet(Bottleneck, [1, 1, 1, 1], num_classes=10, zero_init_residual=zero).eval()


def plain(stride: int = 1, kernel: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, kernel, stride, padding=kernel // 2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5),
    ).eval()  # fmt: skip


def photos(count: int = 2, side: int = 96) -> torch.Tensor:
    fine = torch.rand(count, 3, side // 4, side // 4, generator=torch.Generator().manual_seed(1))
    return nn.functional.interpolate(fine, scale_factor=4, mode="bicubic")


def said(method) -> list[str]:
    return [note for note in method.notes if "regular grid" in note]


@pytest.mark.parametrize("name", LAYERED)
def test_strided_shortcuts_are_said(name):
    method = METHODS[name](residual())
    method.attribute(photos(), [[1, 2], [3, 4]])
    notes = said(method)
    assert len(notes) == 4
    assert {note.split(":")[0] for note in notes} == {f"image {n}, target {k}" for n in range(2) for k in range(2)}
    assert all("downsample.0 of 1x1" in note and "grad_cam" in note for note in notes)
    step = {int(note.partition("step of ")[2].split()[0]) for note in notes}
    assert step <= {16, 32}


def test_the_grid_of_an_untrained_network_is_said():
    torch.manual_seed(0)
    method = METHODS["ae"](resnet50(weights=None).eval())
    method.attribute(photos(1))
    (note,) = said(method)
    assert "a step of 8 pixels" in note
    assert "layer2.0.downsample.0 of 1x1" in note


@pytest.mark.parametrize("name", LAYERED)
@pytest.mark.parametrize("network", [plain(), plain(2), plain(1, 1)])
def test_a_network_without_them_says_nothing(name, network):
    method = METHODS[name](network)
    method.attribute(photos())
    assert said(method) == []


def test_no_map_of_small_photos_says_it():
    method = METHODS["ae"](residual())
    method.attribute(photos(side=32))  # too few dots to be told from what is there
    assert said(method) == []


def test_where_the_kernels_pass_most_nothing_is_said():
    network = residual(zero=False)
    for name, module in network.named_modules():
        if name.endswith("downsample.1"):
            nn.init.zeros_(module.weight)
    method = METHODS["lrp_composite"](network)
    method.attribute(photos())
    assert len(strided_pointwise(method.trace(photos()))) == 3
    assert "step of 32" not in " ".join(said(method))


def test_the_layers_are_found():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 4, 1, (3, 1)), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.ReLU(),
        nn.Conv2d(4, 4, 2, 2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2),
    ).eval()  # fmt: skip
    network(torch.rand(1, 3, 36, 24))
    assert strided_pointwise(METHODS["ae"](network).trace(torch.rand(1, 3, 36, 24))) == [((6, 2), (3, 1), "2")]


def test_it_is_in_the_explanation_and_its_record():
    seen = equipoise.explain((255 * photos(1)[0].clamp(0, 1)).byte().movedim(0, -1).numpy(), residual())
    notes = [note for note in seen.notes if "regular grid" in note]
    assert len(notes) == 1
    assert notes[0] in seen.record["notes"]
