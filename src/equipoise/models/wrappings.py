"""What training scripts wrap weights in: keys of dictionaries around them, prefixes before their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, Final

from torch import Tensor

from equipoise.errors import WeightsError

StateDict = dict[str, Tensor]

# Training scripts store the weights below one of these keys; the first that holds tensors counts, averaged ones first.
_WRAPPERS: Final = (
    "state_dict_ema", "ema_state_dict", "model_ema", "ema_model", "ema", "params_ema", "state_dict",
    "model_state_dict", "model_state", "model", "net", "network", "module", "params", "weights",
)  # fmt: skip
# ... and wrap the network in modules that put one of these before every name.
_PREFIXES: Final = ("module.", "model.", "net.", "network.")
_COMPILED: Final = "_orig_mod."  # by torch.compile, before the names of any part of a network

COUNTERS: Final = ".num_batches_tracked"
"""Batch norm counts its training steps here; inference never reads it and old files lack it."""


def unwrapped(content: object) -> StateDict:
    """The innermost mapping of names to tensors, its prefixes on; empty when there is none."""
    while isinstance(content, Mapping):
        inner = next((content[key] for key in _WRAPPERS if _holds_tensors(content.get(key))), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, Mapping):
        return {}
    return {
        name.replace(_COMPILED, ""): value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }


def _holds_tensors(content: Any) -> bool:
    if not isinstance(content, Mapping):
        return False
    return any(isinstance(value, Tensor) or _holds_tensors(value) for value in content.values())


def bare(state: StateDict) -> StateDict:
    """The weights less the usual prefixes, where nearly all names have them: for who does not know the network."""
    while True:
        found = next((prefix for prefix in _PREFIXES if _most(state, prefix)), None)
        if found is None:
            return state
        state = below(state, found)


def below(state: StateDict, prefix: str) -> StateDict:
    """What is under a prefix, less the prefix."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _most(state: StateDict, prefix: str) -> bool:
    """Whether all names have a prefix, or all but a few that are of no layer: those of losses and metrics."""
    inside = sum(name.startswith(prefix) for name in state)
    return inside > 0 and len(state) - inside <= len(state) // 10


def fitted(state: StateDict, wanted: Collection[str], *, file: str) -> StateDict:
    """The weights under the names that a network has, where they are there below some prefix.

    Everything outside the prefix, such as the weights of a loss or a metric, is left out; nothing inside is. Averaged
    weights come first. Where no prefix fits, the weights below the one that fits best, for the message.

    Args:
        state: Weights by name.
        wanted: The network's names.
        file: For the message.

    Raises:
        WeightsError: If several prefixes fit; the text lists them.
    """
    names = {name for name in wanted if not name.endswith(COUNTERS)}
    mine = {name for name in state if not name.endswith(COUNTERS)}
    if not names or mine == names:
        return state
    ends: Counter[str] = Counter()  # how many of the wanted names are found below each prefix
    for name in mine:
        place = 0
        while place >= 0:
            ends[name[:place]] += name[place:] in names
            place = name.find(".", place) + 1 or -1
    sizes = {prefix: sum(name.startswith(prefix) for name in mine) for prefix, count in ends.items() if count}
    exact = [prefix for prefix, size in sizes.items() if prefix and size == ends[prefix] == len(names)]
    averaged = [prefix for prefix in exact if "ema" in prefix.split(".")[0].casefold()]
    if len(averaged or exact) > 1:
        listed = ", ".join(sorted(averaged or exact))
        raise WeightsError(f"{file} holds several networks that fit ({listed}); save the state_dict of one alone")
    if exact:
        return below(state, (averaged or exact)[0])
    best = max(sizes, key=lambda prefix: (ends[prefix], -len(prefix)), default="")
    return below(state, best) if ends[best] * 2 >= len(names) else bare(state)
