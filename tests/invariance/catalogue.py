"""The equivalence catalogue: functions as data, each with a base spelling and others of the same function.

A new spelling is one line in the ``spellings`` of its family.
"""

from __future__ import annotations

from families import Family, NotAsked
from spelled_gates import GATES
from spelled_layers import LAYERS
from spelled_pointwise import POINTWISE
from spelled_pools import MOVED, POOLS
from spelled_sums import SUMS

FAMILIES: dict[str, Family] = {family.name: family for family in (*GATES, *POINTWISE, *LAYERS, *SUMS, *POOLS, *MOVED)}
assert len(FAMILIES) == len((*GATES, *POINTWISE, *LAYERS, *SUMS, *POOLS, *MOVED)), "a name occurs once"

PAIRS: list[tuple[str, str]] = [(name, spelling) for name, family in FAMILIES.items() for spelling in family.spellings]
"""Every family with each of its spellings."""

REFUSED: dict[str, tuple[str, ...]] = {}
"""The spellings that a method refuses by name where it explains the base: family to spellings."""

NOT_ASKED = (
    NotAsked(
        "average pool", "depthwise convolution with a kernel of equal weights", "weights are learnt, a mean is not"
    ),
    NotAsked("one convolution", "the sum of two convolutions of half the input channels", "the halves are two signals"),
)
