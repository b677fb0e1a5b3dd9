"""The equivalence catalogue: functions as data, each with a base spelling and others of the same function.

A new spelling is one line in the ``spellings`` of its family.
"""

from __future__ import annotations

from exceptions import DIFFERENT, REFUSED
from families import Family, NotAsked
from spelled_gates import GATES
from spelled_layers import LAYERS
from spelled_moves import MOVED
from spelled_norms import NORMS
from spelled_pointwise import POINTWISE
from spelled_pools import POOLS
from spelled_sums import SUMS

__all__ = ["DIFFERENT", "FAMILIES", "NOT_ASKED", "PAIRS", "REFUSED"]

FAMILIES: dict[str, Family] = {
    family.name: family for family in (*GATES, *POINTWISE, *LAYERS, *NORMS, *SUMS, *POOLS, *MOVED)
}
assert len(FAMILIES) == len((*GATES, *POINTWISE, *LAYERS, *NORMS, *SUMS, *POOLS, *MOVED)), "a name occurs once"

PAIRS: list[tuple[str, str]] = [(name, spelling) for name, family in FAMILIES.items() for spelling in family.spellings]
"""Every family with each of its spellings."""


NOT_ASKED = (
    NotAsked(
        "an average pool",
        "a depthwise convolution with learnt weights that happen to be equal",
        "a mean has no weights",
    ),
    NotAsked(
        "a convolution",
        "the sum of two convolutions of half the channels each",
        "the halves are two signals, and summed",
    ),
    NotAsked(
        "two layers of weights in a row", "one layer with the product of their weights", "what lies between are neurons"
    ),
    NotAsked(
        "a batch norm", "the same scale and shift inside the weights of its convolution", "these are other weights"
    ),
    NotAsked("a batch norm", "a depthwise 1x1 convolution", "it is a layer of weights that mixes nothing"),
    NotAsked(
        "a number", "a scale or shift for each channel, all of them equal", "these are weights, as a batch norm's"
    ),
    NotAsked("`maximum(a, b)`", "`relu(a - b) + b`", "the difference is a signal of its own"),
    NotAsked(
        "a max pool with equal maxima, explained by torch's own gradient (`gradient`, integrated gradients, ...)",
        "another spelling of the pool",
        "there torch itself picks one of them or shares, call by call",
    ),
)
"""Pairs that a table of invariance must not promise."""
