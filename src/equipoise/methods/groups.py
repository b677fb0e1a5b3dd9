"""Names for several methods at once: ``--method fast``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from equipoise._registry import Registry
from equipoise.methods.base import METHODS

COMPARED: Final = (
    "grad_cam",
    "lrp_composite",
    "contrastive_eb",
    "contrastive_lrp",
    "agf",
    "relevance_cam",
    "rsp",
    "ae",
)
"""The columns of Fig. 4 of Nam & Lee 2024, in its order."""


@dataclass(frozen=True)
class MethodGroup:
    """Several methods under one name.

    Attributes:
        summary: One line for a help text.
        members: Gives the registered names, in order.
    """

    summary: str
    members: Callable[[], list[str]]


def _fast() -> list[str]:
    return [name for name, entry in METHODS.items() if not getattr(entry, "costly", False)]


GROUPS: Registry[MethodGroup] = Registry("group of methods")
GROUPS.add("all", MethodGroup("every method", METHODS.names))
GROUPS.add("fast", MethodGroup("those that take few passes of the network", _fast))
GROUPS.add("paper", MethodGroup("those of the paper's Fig. 4, in its order", lambda: list(COMPARED)))


def expand(name: str) -> list[str]:
    """The registered names that ``name``, a group or a method, stands for.

    Raises:
        UnknownNameError: If it is neither; the text lists the nearest of both.
    """
    return GROUPS[name].members() if name in GROUPS else [METHODS.canonical(name, GROUPS)]
