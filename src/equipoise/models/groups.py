"""Everyday words for many ImageNet classes at once: no class is called "dog", 118 breeds are.

The ranges follow the order of the ILSVRC-2012 classes, in which the synsets of an animal family are
neighbours.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

GROUPS: Final = MappingProxyType(
    {
        "dog": (range(151, 269),),  # Chihuahua to Mexican hairless
        "cat": (range(281, 286),),  # tabby to Egyptian cat; the big cats are their own classes
        # cock to great grey owl, black grouse to black swan, white stork to albatross
        "bird": (range(7, 25), range(80, 101), range(127, 147)),
    }
)
"""Group to ranges of class indices of ImageNet-1k."""


def imagenet_group(name: str) -> tuple[int, ...] | None:
    """The class indices of a group, in order; ``None`` if there is no such group."""
    ranges = GROUPS.get(name.strip().casefold())
    return None if ranges is None else tuple(index for part in ranges for index in part)
