"""A small network that other processes can load by name, photos, and processes that are killed."""

import os
import signal
from pathlib import Path

import numpy as np
from PIL import Image

MODULE = "tinynet_attributions"

NETWORK = '''
import os
import signal
import time

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


def slow(model, inputs, target):
    """A method that takes a moment for each photo."""
    time.sleep(0.02 * len(inputs))
    return inputs


def refusing(model, inputs, target):
    """A method that explains no network."""
    raise UnsupportedModelError("not with this network")


def deadly(model, inputs, target):
    """A method that kills its process at a photo that is white."""
    if bool((inputs.amin((1, 2, 3)) > 0.99).any()):
        os.kill(os.getpid(), signal.SIGKILL)
    return inputs
'''


def write_network(home):
    """The network's module, in a folder that is made."""
    home.mkdir(parents=True)
    (home / f"{MODULE}.py").write_text(NETWORK)


def write_photos(folder, count, *, side=20, seed=1):
    """Photos of noise."""
    folder.mkdir()
    dice = np.random.default_rng(seed)
    for index in range(count):
        Image.fromarray(dice.integers(0, 255, (side, side, 3), dtype=np.uint8)).save(folder / f"{index:03}.png")
    return folder


def alive(pid):
    """Whether a process runs; one that has ended and is not buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def below(pid):
    """The processes that a process has started, and those that they have, with their command lines."""
    found = {}
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        threads = [one.name for one in Path(f"/proc/{pid}/task").iterdir()]
        for thread in threads:
            children += Path(f"/proc/{pid}/task/{thread}/children").read_text().split()
    except OSError:
        return found
    for child in {int(one) for one in children}:
        try:
            line = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        found[child] = line
        found |= below(child)
    return found


def kill(pid):
    """Kill a process that may have ended by now."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
