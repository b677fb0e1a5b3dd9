"""Networks of several inputs of a user's own, each as a module and its description in a folder, with examples."""

import numpy as np
import own

MODULE = """
import torch
from torch import nn


def branch(kind, channels):
    return nn.Sequential(kind(channels, 4, 3, padding=1), nn.ReLU())


class Pair(nn.Module):
    def __init__(self, second, channels):
        super().__init__()
        self.color, self.other, self.head = branch(nn.Conv2d, 3), branch(second, channels), nn.Linear(8, 3)

    def forward(self, image, other):
        return self.head(torch.cat([self.color(image).flatten(2).mean(2), self.other(other).flatten(2).mean(2)], 1))


class Dense(Pair):
    def forward(self, image, other):
        seen = torch.cat([self.color(image), nn.functional.interpolate(self.other(other), image.shape[2:])], 1)
        return self.head(seen.movedim(1, 3)).movedim(3, 1)


def seeded(network):
    generator = torch.Generator().manual_seed(11)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.4
    return network.eval()


def with_depth():
    return seeded(Pair(nn.Conv2d, 1))


def with_heart():
    return seeded(Pair(nn.Conv1d, 2))


def dense():
    return seeded(Dense(nn.Conv2d, 1))
"""
_IMAGE = f"[inputs.image]\nsize = {own.SIDE}\nresize = {own.SIDE}\nmean = [0.5, 0.5, 0.5]\nstd = [0.25, 0.25, 0.25]\n"
_DEPTH = '[inputs.other]\nsize = [16, 24]\ncrop_mode = "squash"\nmean = [0.5]\nstd = [0.5]\n'
_HEART = "[inputs.other]\nsize = [60]\nmean = [0.25, 0.25]\nstd = [0.5, 0.5]\n"
_CLASSES = 'classes = ["cup", "bowl", "jar"]\nexamples = "{examples}"\n'
SAID = {
    "pair": 'architecture = "{m}:with_depth"\n' + _CLASSES.format(examples="depths") + _IMAGE + _DEPTH,
    "mixed": 'architecture = "{m}:with_heart"\n' + _CLASSES.format(examples="hearts") + _IMAGE + _HEART,
    "dense": 'architecture = "{m}:dense"\ntask = "segmentation"\n'
    + _CLASSES.format(examples="depths") + _IMAGE + _DEPTH,
}  # fmt: skip
"""What the descriptions say, by their names."""


def write(folder, module):
    """A module, a description of each of `SAID`, examples; ``folder`` has to be on Python's path."""
    (folder / f"{module}.py").write_text(MODULE, encoding="utf-8")
    random = np.random.default_rng(3)
    for examples, shape in (("depths", (1, 16, 24)), ("hearts", (2, 60))):
        for name in ("image", "other"):
            (folder / examples / name).mkdir(parents=True)
        for seed, name in enumerate(("garden", "meadow")):
            own.photo(seed).save(folder / examples / "image" / f"{name}.png")
            np.save(folder / examples / "other" / f"{name}.npy", random.random(shape, dtype=np.float32))
    for name, said in SAID.items():
        (folder / f"{name}.toml").write_text(said.format(m=module), encoding="utf-8")
    return folder
