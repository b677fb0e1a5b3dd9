"""Keyword arguments that build a registered network: checked before anything is read or fetched."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from equipoise._registry import nearest
from equipoise.errors import OptionError, WeightsError
from equipoise.models.construction import skeleton

if TYPE_CHECKING:
    from equipoise.models.sources import ModelEntry

_COUNTS: Final = ("num_classes", "in_chans")
_LOADING: Final = frozenset({"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "weights"})


def with_arguments(entry: ModelEntry, arguments: Mapping[str, Any]) -> ModelEntry:
    """The entry whose network is built with keyword arguments.

    Args:
        entry: As its source hands it out.
        arguments: ``num_classes``, ``in_chans``, and those of the library's constructor.

    Raises:
        OptionError: If the constructor takes no such argument, or fails with it; the text names the nearest.
    """
    if not arguments:
        return entry
    for key in _COUNTS:
        if key in arguments and (type(arguments[key]) is not int or arguments[key] < 1):
            raise OptionError(f"{key} is {arguments[key]!r}; it has to be a positive whole number")
    others = {key: value for key, value in arguments.items() if key != "num_classes"}
    _check_known(entry, others)
    construct = partial(entry.construct, **others)
    try:
        skeleton(construct, arguments.get("num_classes", entry.classes))
    except Exception as error:  # a constructor may fail in any way
        said = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise OptionError(f"{entry.base} cannot be built with {said}: {reason}") from error
    return replace(entry, construct=construct, pretrained=partial(entry.pretrained, **arguments))


def _check_known(entry: ModelEntry, arguments: Mapping[str, Any]) -> None:
    unknown = set(arguments) - {"in_chans"}
    if not unknown:
        return
    takes = inspect.signature(type(skeleton(entry.construct, entry.classes)).__init__).parameters.values()
    known = [one.name for one in takes if one.name != "self" and one.kind is not one.VAR_KEYWORD]
    # a constructor of timm that takes anything puts it into a configuration, which refuses what it has no place for
    open_ended = entry.source == "timm" and any(one.kind is one.VAR_KEYWORD for one in takes)
    for key in arguments:
        if key in unknown and key not in known and (not open_ended or key in _LOADING):
            usable = [*dict.fromkeys([*_COUNTS, *known])]
            near = nearest(key, usable, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(usable)}"
            raise OptionError(f"{entry.base} takes no argument {key!r}; {hint}")


def agreed(key: str, said: int | None, found: int, *, file: str) -> None:
    """Pass where weights have as many classes or channels as was said, or nothing was.

    Raises:
        WeightsError: If another number was said.
    """
    if said is not None and said != found:
        words = {"num_classes": "classes", "in_chans": "input channels"}[key]
        raise WeightsError(f"{file} has {found} {words}, and {key} = {said} was said; leave it out, or say {found}")
