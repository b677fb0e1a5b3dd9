"""A tiny network that finds red squares, its spec, and methods that need no engine."""

# ruff: noqa: ARG002

import torch
from torch import nn

from equipoise.models import ModelSpec, Preprocessing

CLASSES = ("red thing", "Egyptian cat", "tiger cat", "tabby")


class RedNet(nn.Module):
    """Class 0 is the mean of red minus blue; the others are constants, so that the order is known."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        with torch.no_grad():
            self.features.weight.zero_()
            self.features.weight[0, 0, 1, 1] = 1.0
            self.features.weight[0, 2, 1, 1] = -1.0
        self.register_buffer("bias", torch.tensor([0.0, 0.03, 0.02, 0.01]))

    def forward(self, inputs):
        return self.features(inputs).mean((2, 3)) + self.bias


def model():
    spec = ModelSpec(
        name="fake/rednet",
        source="fake",
        architecture="rednet",
        classes=CLASSES,
        preprocessing=Preprocessing(resize=(40, 40), crop=(32, 32), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        weights="pretrained",
        weights_checksum="ab" * 32,
        synonyms=("", "cat", "", "tabby, tabby cat, cat"),
    )
    return RedNet().eval(), spec


class InputTimesWeight:
    """The exact share of each pixel in class 0, signed; for other classes its negative."""

    summary, level, signed = "test method", "pixel", True

    def __init__(self, module, *, gamma=1.0, layer=None, terms=("C", "A"), input_bounds=None, profile="paper"):
        self.module, self.input_bounds = module, input_bounds
        self.notes = []

    def attribute(self, inputs, target=None):
        self.notes = [f"explained {target.tolist()}"]
        share = inputs * torch.tensor([1.0, 0.0, -1.0]).view(3, 1, 1) / inputs[0, 0].numel()
        sign = torch.where(target == 0, 1.0, -1.0)
        if target.dim() == 1:
            return share * sign.view(-1, 1, 1, 1)
        return share[:, None] * sign[:, :, None, None, None]


class CoarseMap:
    """A map-level method."""

    summary, level, signed = "test map", "map", False

    def __init__(self, module, *, power=1):
        self.power = power

    def attribute(self, inputs, target=None):
        result = inputs.mean(1, keepdim=True) ** self.power
        return result if target.dim() == 1 else result[:, None].expand(-1, target.shape[1], -1, -1, -1)
