"""Photos and a small network that other processes can load by name."""

import sys

import numpy as np
import pytest
from PIL import Image

from attribution_world import write_network


@pytest.fixture
def network(tmp_path, monkeypatch):
    """The name of a network, in a module of the current folder."""
    home = tmp_path / "home"
    write_network(home)
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
