"""The loop that equipoise is timed against gives the same maps."""

import json

import authors_loop
import measuring
import pytest
import render
import torch
from torch import nn

from equipoise.methods.ae import AttributionEquilibrium
from helpers import relative_error


class SmallVGG(nn.Module):
    """VGG's three parts, for images of 32 pixels."""

    def __init__(self):
        super().__init__()
        layers, width = [], 3
        for out in (8, 8, "M", 12, 12, "M", 16, "M"):
            if out == "M":
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(width, out, 3, padding=1), nn.ReLU(inplace=True)]
                width = out
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(3)
        self.classifier = nn.Sequential(nn.Linear(9 * 16, 12), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(12, 5))

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


@pytest.mark.parametrize("gamma", [1.0, 1.7])
def test_the_loop_gives_the_map_of_the_equations(gamma):
    model = SmallVGG().double().eval().requires_grad_(requires_grad=False)
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    before = images.clone()
    last = str(len(model.features) - 2)
    method = AttributionEquilibrium(model, gamma=gamma, layer=f"features.{last}")
    ours = authors_loop.paying_the_first(method).attribute(images, 2)
    theirs = torch.cat([authors_loop.explain(model, image[None], 2, gamma) for image in images])
    assert relative_error(theirs, ours) < 1e-9
    assert torch.equal(images, before)
    assert theirs.sum((1, 2, 3)).sub(gamma - 2).abs().max() < 1e-9


def test_a_quick_run_writes_its_result(tmp_path, monkeypatch):
    small = SmallVGG().eval()
    monkeypatch.setattr(authors_loop, "build", lambda _name: small)
    monkeypatch.setattr(authors_loop, "LAYER", "features.11")
    path = tmp_path / "loop.json"
    authors_loop.main(["--quick", "--output", str(path)])
    data = json.loads(path.read_text())
    assert data["machine"] == measuring.machine()
    assert data["vgg16"]["speedup"]["runs"] == 2
    assert data["vgg16"]["relative_error"] < 1e-4
    assert set(data["vgg16"]["images_per_second"]) == {"equipoise", "loop"}
    assert "| the authors' loop, written again from the equations |" in render.page({"authors_loop": data})


def test_maps_that_differ_are_not_timed(tmp_path, monkeypatch):
    small = SmallVGG().eval()
    monkeypatch.setattr(authors_loop, "build", lambda _name: small)
    monkeypatch.setattr(authors_loop, "LAYER", "features.8")
    with pytest.raises(RuntimeError, match="differ by"):
        authors_loop.main(["--quick", "--output", str(tmp_path / "loop.json")])
    assert not (tmp_path / "loop.json").exists()
