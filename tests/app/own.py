"""Networks of a user's own, of every task, each as a module and its description in a folder."""

import textwrap

import torch
from PIL import Image

SIDE = 32

MODULE = """
import torch
from torch import nn


def seeded(channels, *layers):
    generator = torch.Generator().manual_seed(5)
    network = nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), *layers
    )
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    return network.eval()


def pooled(outputs, channels=3):
    return seeded(channels, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, outputs))


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = seeded(3, nn.Conv2d(8, 3, 1))

    def forward(self, x):
        boxes = torch.tensor([[0.0, 0, 8, 8], [16, 16, 32, 32]])
        return [
            {"boxes": boxes, "labels": torch.tensor([1, 2]), "scores": torch.stack([one[1, 4, 4], one[2, 20, 20]])}
            for one in self.body(x).softmax(1)
        ]


def classes():
    return pooled(4)


def one_logit():
    return pooled(1)


def gray():
    return pooled(3, channels=1)


def pixels():
    return seeded(3, nn.Conv2d(8, 4, 1))


def boxes():
    return Detector().eval()


def nothing():
    class Nothing(Detector):
        def forward(self, x):
            found = super().forward(x)[0]
            return [{key: value[:0] for key, value in found.items()}]

    return Nothing().eval()
"""

SAID = {
    "classes": 'architecture = "{m}:classes"\nclasses = ["rose", "tulip", "daisy", "oak"]',
    "labels": (
        'architecture = "{m}:classes"\nclasses = ["rose", "tulip", "daisy", "oak"]\ntask = "multi-label"\n'
        "threshold = 0.0"
    ),
    "binary": 'architecture = "{m}:one_logit"\nclasses = ["healthy", "ill"]\ntask = "binary"',
    "value": 'architecture = "{m}:one_logit"\nclasses = ["age"]\ntask = "regression"\nunit = "years"',
    "gray": 'architecture = "{m}:gray"\nclasses = ["bone", "lung", "skin"]',
    "vector": 'architecture = "{m}:classes"\ntask = "embedding"',
    "pixels": 'architecture = "{m}:pixels"\nclasses = ["sky", "sea", "sand", "ship"]\ntask = "segmentation"',
    "boxes": 'architecture = "{m}:boxes"\nclasses = ["background", "cat", "dog"]\ntask = "detection"',
    "nothing": 'architecture = "{m}:nothing"\nclasses = ["background", "cat", "dog"]\ntask = "detection"',
    "unsaid": 'architecture = "{m}:classes"',
}
"""What the descriptions say, by their names."""


def write(folder, module):
    """A module, a description of each of `SAID`, a folder of two photos; ``folder`` has to be on Python's path."""
    (folder / f"{module}.py").write_text(MODULE, encoding="utf-8")
    (folder / "photos").mkdir()
    for seed, name in enumerate(("garden.png", "meadow.png")):
        photo(seed).save(folder / "photos" / name)
    for name, said in SAID.items():
        channels = 1 if name == "gray" else 3
        prepared = f"""
            examples = "photos"
            [preprocessing]
            size = {SIDE}
            resize = {SIDE}
            mean = {[0.5] * channels}
            std = {[0.5] * channels}
            """
        text = said.format(m=module) + ("" if name == "unsaid" else textwrap.dedent(prepared))
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return folder


def photo(seed=0):
    """64 x 32 pixels of which the network sees the middle 32: noise over a red square on green."""
    generator = torch.Generator().manual_seed(seed)
    image = Image.new("RGB", (2 * SIDE, SIDE), (40, 120, 60))
    image.paste((200, 40, 30), (24, 6, 40, 22))
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).float()
    noisy = (pixels + 30 * torch.randn(pixels.shape, generator=generator)).clamp(0, 255).byte()
    return Image.frombytes("RGB", image.size, bytes(noisy.tolist()))
