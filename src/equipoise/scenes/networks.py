"""Three small networks for drawn scenes: two plain ones, one with residual blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from torch import Tensor, nn

from equipoise._registry import Registry
from equipoise.datasets.drawing import SHAPES, SHORTCUT, UNBIASED, Bias
from equipoise.errors import OptionError, WeightsError

FOLDER: Final = Path(__file__).parent / "weights"
SEEDS: Final = (0, 1)
"""Of the packaged weights."""

MEAN, DEVIATION = 0.45, 0.25


class Block(nn.Module):
    """A residual block with batch norm, as in ResNet-18."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outside)
        self.skip = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """``(n, inside, h, w)`` to ``(n, outside, h / stride, w / stride)``."""
        found: Tensor = self.relu2(self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(x))))) + self.skip(x))
        return found


def _plain(*widths: int) -> nn.Sequential:
    """3x3 convolutions with batch norm and ReLU; a 2x2 max pool after each of the first three."""
    layers: list[nn.Module] = []
    for index, (inside, outside) in enumerate(zip((3, *widths[:-1]), widths, strict=True)):
        layers += [nn.Conv2d(inside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if index < 3 else []
    return nn.Sequential(*layers)


def _residual() -> nn.Sequential:
    first = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*first, Block(16, 24, 2), Block(24, 32, 2), Block(32, 40, 2))


class Network(nn.Module):
    """Features, their mean over positions, one score for each shape; colors are shifted and scaled first.

    Args:
        features: Its convolutions.
        width: Channels of their result.
    """

    def __init__(self, features: nn.Module, width: int) -> None:
        super().__init__()
        self.features = features
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(width, len(SHAPES))

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(n, shapes)`` of normalized scenes ``(n, 3, h, w)``; a sigmoid makes probabilities of them."""
        scores: Tensor = self.classifier(self.flatten(self.pool(self.features(x))))
        return scores


@dataclass(frozen=True)
class Architecture:
    """A network and the scenes that it is trained on.

    Attributes:
        build: Makes it, with random weights.
        bias: Of the scenes.
    """

    build: Callable[[], Network]
    bias: Bias


ARCHITECTURES: Registry[Architecture] = Registry("network for scenes")
ARCHITECTURES.add("plain", Architecture(lambda: Network(_plain(16, 24, 32, 40, 40), 40), UNBIASED))
ARCHITECTURES.add("plain_shortcut", Architecture(lambda: Network(_plain(16, 24, 32, 40, 40), 40), SHORTCUT))
ARCHITECTURES.add("residual", Architecture(lambda: Network(_residual(), 40), UNBIASED))


def normalized(images: Tensor) -> Tensor:
    """What a network takes, of pictures from 0 to 1."""
    return (images - MEAN) / DEVIATION


def load(name: str, seed: int = 0) -> Network:
    """A trained network, in eval mode.

    Args:
        name: In `ARCHITECTURES`: ``"plain"``, ``"plain_shortcut"`` or ``"residual"``.
        seed: Of its training, one of `SEEDS`.

    Raises:
        UnknownNameError: If there is no such network.
        OptionError: If there are no weights of that seed.
        WeightsError: If the packaged file is damaged.
    """
    from safetensors.torch import load_file  # noqa: PLC0415  # an extra

    key = ARCHITECTURES.canonical(name)
    if seed not in SEEDS:
        raise OptionError(f"seed is {seed}; there are weights of {', '.join(map(str, SEEDS))}")
    network = ARCHITECTURES[key].build()
    state = {key: value.to(network.state_dict()[key].dtype) for key, value in load_file(weights(key, seed)).items()}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"{weights(key, seed)} is not the file of {key}") from error
    return network.eval()


def weights(name: str, seed: int) -> Path:
    """Where the weights of a network are, in half precision."""
    return FOLDER / f"{name}-{seed}.safetensors"
