"""Build networks without pretrained weights, leaving the process's random state as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

Construct = Callable[..., nn.Module]
"""From a number of classes, and keyword arguments, to a network with whatever weights its library starts with."""

SEED = 0
"""Of random weights."""


def seeded(construct: Construct, classes: int, **arguments: Any) -> nn.Module:
    """The network on the CPU with random weights, the same in every process."""
    with own_randomness(), torch.device("cpu"):
        return construct(classes, **arguments)


def skeleton(construct: Construct, classes: int, **arguments: Any) -> nn.Module:
    """The network for the names and shapes of its tensors; without memory for them where that can be."""
    try:
        with own_randomness(), torch.device("meta"):
            return construct(classes, **arguments)
    except NotImplementedError:  # its constructor computes with tensors, as torchvision's regnet does
        return seeded(construct, classes, **arguments)


@contextmanager
def own_randomness() -> Iterator[None]:
    """Seed torch's CPU generator, and put it back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)
        yield
