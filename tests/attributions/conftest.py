"""Photos and a small network that other processes can load by name."""

import sys

import numpy as np
import pytest
from PIL import Image

NETWORK = '''
import os
import signal

import torch
from torch import nn

from equipoise.errors import UnsupportedModelError
from equipoise.models.preprocessing import Preprocessing
from equipoise.models.spec import ModelSpec

SIDE = 16


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
        )
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


def spec():
    preprocessing = Preprocessing((SIDE, SIDE), (SIDE, SIDE), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    classes = ("ant", "bee", "cat", "dog", "elk")
    return ModelSpec("tiny", "own", "tiny", classes, preprocessing, "random", "0" * 64)


def build():
    return Net().eval(), spec()


def nothing(model, inputs, target):
    """A method that does nothing."""
    return torch.zeros_like(inputs)


def refusing(model, inputs, target):
    """A method that explains no network."""
    raise UnsupportedModelError("not with this network")


def deadly(model, inputs, target):
    """A method that kills its process at a photo that is white."""
    if bool((inputs.amin((1, 2, 3)) > 0.99).any()):
        os.kill(os.getpid(), signal.SIGKILL)
    return inputs
'''


@pytest.fixture
def network(tmp_path, monkeypatch):
    """The name of a network, in a module of the current folder."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "tinynet_attributions.py").write_text(NETWORK)
    monkeypatch.chdir(home)
    monkeypatch.syspath_prepend(str(home))
    yield "tinynet_attributions:build"
    sys.modules.pop("tinynet_attributions", None)


@pytest.fixture
def photos(tmp_path):
    """A folder of 11 photos of two classes."""
    folder = tmp_path / "photos"
    dice = np.random.default_rng(0)
    for index in range(11):
        place = folder / ("bee" if index % 2 else "ant")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(dice.integers(0, 255, (20, 24 + index, 3), dtype=np.uint8)).save(place / f"{index:02}.png")
    return folder
