"""What the equivalence catalogue is made of: a function, the ways to write it, and the network around it.

A family is one function with its parameters. Its base spelling and all others compute the same numbers, so every
method must give the same map for each, or refuse the odd one by name.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Spelling = Callable[..., Tensor]
CHANNELS = 8
CLASSES = 5


class Weights(nn.Module):
    """The parameters, buffers and modules of a family, by name; it computes nothing itself."""

    def __init__(self, **named: Any) -> None:
        super().__init__()
        for name, item in named.items():
            setattr(self, name, item)


def scale(*shape: int) -> nn.Parameter:
    """Learnt numbers, filled in by `settle`."""
    return nn.Parameter(torch.zeros(shape))


def signal(_p: Any, x: Tensor) -> tuple[Tensor]:
    """The arguments of spellings without parameters."""
    return (x,)


@dataclass(frozen=True)
class Frame:
    """The network around the spelled part.

    Attributes:
        before: Makes what stands before it.
        after: Makes what stands after it, from the number of channels that the spelled part returns.
        shape: The shape of one image.
    """

    before: Callable[[], nn.Module]
    after: Callable[[int], nn.Module]
    shape: tuple[int, ...] = (3, 8, 10)


def _stem() -> nn.Module:
    return nn.Conv2d(3, CHANNELS, 3, padding=1)


def _relu_stem() -> nn.Module:
    return nn.Sequential(_stem(), nn.ReLU())


def _maps() -> nn.Module:
    return nn.Sequential(_stem(), nn.ReLU(), nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), nn.ReLU())


def _tail(channels: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(6, CLASSES))  # fmt: skip


def _relu_tail(channels: int) -> nn.Module:
    return nn.Sequential(nn.ReLU(), *_tail(channels))


def _line_tail(channels: int) -> nn.Module:
    return nn.Sequential(nn.ReLU(), nn.Conv1d(channels, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool1d(1),
                         nn.Flatten(), nn.Linear(6, CLASSES))  # fmt: skip


def _clip_tail(channels: int) -> nn.Module:
    return nn.Sequential(nn.ReLU(), nn.Conv3d(channels, 6, (3, 1, 1), padding=(1, 0, 0)), nn.ReLU(),
                         nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(6, CLASSES))  # fmt: skip


BLOCK = Frame(_relu_stem, _tail)
"""A rectified map in, a map out."""
SIGNED = Frame(_stem, _tail)
"""A map of both signs in, a map out: for activations."""
LAYER = Frame(_relu_stem, _relu_tail)
"""A rectified map in, a map out that is rectified then: for layers of weights."""
NORM = Frame(_stem, _relu_tail)
"""A map of both signs in, one out that is rectified then: for normalizations."""
HEAD = Frame(_maps, lambda channels: nn.Linear(channels, CLASSES))
"""A rectified map in, a vector of features out."""
LOGITS = Frame(_maps, lambda _: nn.Identity())
"""A rectified map in, the class scores out."""
PIXELS = Frame(nn.Identity, lambda channels: nn.Sequential(nn.Conv2d(channels, CHANNELS, 3, padding=1), nn.ReLU(),
                                                           *_tail(CHANNELS)))  # fmt: skip
"""The image in, an image out."""
SPECTROGRAM = Frame(nn.Identity, PIXELS.after, (8, 10))
"""An image ``(mel, time)`` without channels in, one with channels out."""
LINE = Frame(lambda: nn.Sequential(nn.Conv1d(3, CHANNELS, 3, padding=1), nn.ReLU()), _line_tail, (3, 20))
"""A rectified sequence in, a sequence out."""
CLIP = Frame(nn.Identity, _clip_tail, (3, 4, 6, 7))
"""A video in, a map per frame ``(n, c, time, h, w)`` out."""


@dataclass(frozen=True)
class Family:
    """One function and its spellings.

    Attributes:
        name: In the table of the documentation.
        section: The heading there.
        base: The spelling that the others are measured by.
        spellings: All others, by what is odd about them.
        build: Makes the parameters.
        given: From the parameters and the signal to the arguments of the spellings: what all have in common.
        frame: The network around it.
        out: How many channels the spelled part returns.
        integers: Whether images and weights before it are small whole numbers, so that maxima have ties.
    """

    name: str
    section: str
    base: Spelling
    spellings: Mapping[str, Spelling]
    build: Callable[[], nn.Module] = Weights
    given: Callable[[Any, Tensor], tuple[Any, ...]] = lambda p, x: (p, x)
    frame: Frame = BLOCK
    out: int = CHANNELS
    integers: bool = False

    def network(self, spelling: str | None = None, dtype: torch.dtype = torch.float64) -> Network:
        """The network with this spelling (``None``: the base), the same weights for each."""
        model = Network(self, self.base if spelling is None else self.spellings[spelling])
        settle(model.before, integers=self.integers)
        settle(model.p, integers=self.integers)
        settle(model.after)
        return model.to(dtype).eval()

    def images(self, n: int = 3, dtype: torch.dtype = torch.float64) -> Tensor:
        """Images for the network."""
        stream = torch.Generator().manual_seed(5)
        if self.integers:
            return torch.randint(0, 3, (n, *self.frame.shape), generator=stream).to(dtype)
        # In float32 first, so that both precisions see the same image.
        return (1.5 * torch.randn(n, *self.frame.shape, generator=stream)).to(dtype)


class Network(nn.Module):
    """A family's frame around one of its spellings."""

    def __init__(self, family: Family, spelling: Spelling) -> None:
        super().__init__()
        self.before = family.frame.before()
        self.p = family.build()
        self.after = family.frame.after(family.out)
        self.given = family.given
        self.spelling = spelling

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.spelling(*self.given(self.p, self.before(x))))


def quiet(function: Callable[..., Tensor], *args: Any, **options: Any) -> Tensor:
    """What a function returns, without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **options)


def settle(model: nn.Module, *, integers: bool = False) -> None:
    """Fill every parameter and statistic from a stream that its name alone decides.

    Kernels and matrices keep the signal's size; a bias is never zero; scales and variances lie in [0.5, 1.5]. With
    ``integers`` kernels hold -1, 0 and 1, most of them 0.
    """
    state = [*model.named_parameters(), *((n, b) for n, b in model.named_buffers() if b.is_floating_point())]
    with torch.no_grad():
        for name, tensor in state:
            stream = torch.Generator().manual_seed(zlib.crc32(name.encode()))
            if integers:
                draw = torch.rand(tensor.shape, generator=stream)
                tensor.copy_((draw > 0.8).to(tensor) - (draw < 0.2).to(tensor))
            elif tensor.numel() > max(tensor.shape, default=1):
                tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5, generator=stream)
            elif name.endswith(("bias", "shift", "mean")):
                tensor.normal_(0, 0.3, generator=stream)
            else:
                tensor.uniform_(0.5, 1.5, generator=stream)


@dataclass(frozen=True)
class NotAsked:
    """A pair that looks like two spellings of one function, but of which no method promises one map.

    Attributes:
        one: A way to write it.
        other: Another one.
        why: What makes them two networks.
    """

    one: str
    other: str
    why: str


@dataclass
class Catalogue:
    """All families, by name."""

    families: dict[str, Family] = field(default_factory=dict)

    def add(self, *families: Family) -> None:
        """Add families; a name occurs once."""
        for family in families:
            assert family.name not in self.families, family.name
            self.families[family.name] = family
