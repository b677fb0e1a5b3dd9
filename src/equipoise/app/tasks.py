"""What the page offers to choose from, by the task of the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from equipoise._registry import Registry

if TYPE_CHECKING:
    from equipoise.models.spec import ModelSpec

_WORDS: Final = "Or in words: negative:NAME, group:NAME|NAME"


@dataclass(frozen=True)
class Offer:
    """What a visitor can choose.

    Attributes:
        chips: Label of what the network says of the photo.
        search: Label of the search among all.
        hint: What else can be typed there.
        count: How many of what the network says are offered.
        contrast: Whether "this rather than that" is offered, where there are two.
        pixels: Whether a click on a map asks for the clicked pixel.
        boxes: Whether what is found has places in the photo, which are drawn.
        pairs: Whether the photo can be compared with another.
    """

    chips: str
    search: str = "Any other class: search by name"
    hint: str = _WORDS
    count: int = 5
    contrast: bool = False
    pixels: bool = False
    boxes: bool = False
    pairs: bool = False


OFFERS: Final[Registry[Offer]] = Registry("task")
"""By task."""

for _task, _offer in (
    ("classification", Offer("Its highest classes", contrast=True)),
    ("multi-label", Offer("Its highest classes; those that it says are there are chosen", contrast=True)),
    ("binary", Offer("Its two classes", hint="")),
    ("regression", Offer("What it estimates", "Any other value: search by name", "", contrast=True)),
    ("embedding", Offer("The first numbers of its vector", "Any other number of it", "", pairs=True)),
    ("segmentation", Offer(
        "Its classes, by their share of the photo",
        hint="Click a pixel of a map to ask for it alone; or in words: pixel:NAME|X|Y, in pixels of the photo",
        pixels=True,
    )),
    ("detection", Offer(
        "What it found, by score", "A class, for its best box",
        "Or a box in words: box:LEFT|TOP|RIGHT|BOTTOM, in pixels of the photo", count=10, boxes=True,
    )),
):  # fmt: skip
    OFFERS.add(_task, _offer)


def offer_of(spec: ModelSpec) -> Offer:
    """What a network's visitors can choose."""
    return OFFERS[spec.task]
