"""A small world: photos of one colored square, a network that names the color, methods that know the answer."""

import torch
from PIL import Image, ImageDraw
from torch import nn

from equipoise.experiments import MethodRun
from equipoise.models import ModelSpec, Preprocessing

PERFECT = MethodRun("perfect", "colors:perfect")
UNIFORM = MethodRun("uniform", "colors:uniform")

NAMES = ("red", "green", "blue", "yellow")
RGB = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0)}
SIDE = 48


class ColorNet(nn.Module):
    """One channel per color, which is on where the pixel has exactly that color; the logits are their shares."""

    def __init__(self, gain=200.0):
        super().__init__()
        self.paint = nn.Conv2d(3, 4, 1)
        self.relu = nn.ReLU()
        self.head = nn.Linear(4, 4, bias=False)
        weight = torch.tensor([[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, -1]])
        with torch.no_grad():
            self.paint.weight.copy_(weight[:, :, None, None])
            self.paint.bias.copy_(torch.tensor([-0.5, -0.5, -0.5, -1.5]))
            self.head.weight.copy_(gain * torch.eye(4))

    def forward(self, inputs):
        return self.head(self.relu(self.paint(inputs)).mean((2, 3)))


def build():
    """The network and its spec."""
    spec = ModelSpec(
        name="colors",
        source="test",
        architecture="colors",
        classes=NAMES,
        preprocessing=Preprocessing((SIDE, SIDE), (SIDE, SIDE), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        weights="made by hand",
        weights_checksum="0" * 64,
    )
    return ColorNet().eval(), spec


def build_other():
    """The same with other weights, so that another network's rows can be told apart."""
    return ColorNet(gain=100.0).eval(), build()[1]


def perfect(_model, inputs, target):
    """1 on every pixel of the target's color, else -1; a color is told by its channels."""
    wanted = torch.tensor([RGB[NAMES[int(index)]] for index in torch.as_tensor(target).reshape(-1)]) / 255
    same = ((inputs - wanted[:, :, None, None]).abs().amax(1, keepdim=True) < 0.2).float()
    return 2 * same - 1


def uniform(_model, inputs, _target):
    """1 everywhere."""
    return torch.ones_like(inputs[:, :1])


def failing(_model, _inputs, _target):
    """A method that cannot explain this network."""
    from equipoise.errors import UnsupportedOperationError

    raise UnsupportedOperationError("relevance reached an operation without a rule")


def photo(color, left, top, side=16, size=SIDE):
    image = Image.new("RGB", (size, size), (0, 0, 0))
    ImageDraw.Draw(image).rectangle((left, top, left + side - 1, top + side - 1), fill=RGB[color])
    return image


def write_world(folder, count=8):
    """``count`` photos with boxes, in the layout of the data set ``folder``."""
    (folder / "images").mkdir(parents=True)
    lines = ["image,class,left,top,right,bottom"]
    for index in range(count):
        color, left, top = NAMES[index % 4], 2 + 3 * (index % 5), 4 + 4 * (index % 4)
        name = f"photo{index:02d}.png"
        photo(color, left, top).save(folder / "images" / name)
        lines.append(f"{name},{color},{left},{top},{left + 16},{top + 16}")
    (folder / "boxes.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
