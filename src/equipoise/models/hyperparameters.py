"""What a checkpoint says of a network beside its weights: Lightning's hyper-parameters, a script's arguments."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

_PLACES: Final = ("hyper_parameters", "hparams", "args", "config", "cfg", "meta")
_NAMES: Final = (
    "class_names", "classes", "labels", "label_names", "categories", "names", "id2label", "idx_to_class",
    "class_to_idx", "label2id",
)  # fmt: skip
_SIZES: Final = ("img_size", "image_size", "input_size", "crop_size", "resolution", "size")
_NUMBERS: Final = {"mean": ("mean", "image_mean", "pixel_mean"), "std": ("std", "image_std", "pixel_std")}


@dataclass(frozen=True)
class Told:
    """What was found.

    Attributes:
        texts: Values in which the architecture's name may stand.
        preprocessing: Keys of a description's table, and their values.
        listed: Lists that may be the names of classes.
    """

    texts: tuple[str, ...] = ()
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    listed: tuple[tuple[str, ...], ...] = ()

    def names(self, count: int | None) -> tuple[str, ...] | None:
        """The names of so many classes; ``None`` if there are no such."""
        return next((names for names in self.listed if count in {None, len(names)}), None)


def told_by(content: object) -> Told:
    """What the content of a weights file says, as plain data."""
    tables = list(_tables(content))
    texts = [value for table in tables for value in table.values() if isinstance(value, str)]
    listed = [found for table in tables for key in _NAMES if (found := _names(table.get(key)))]
    return Told(tuple(texts), _preprocessing(tables), tuple(listed))


def _tables(content: object) -> Iterator[Mapping[str, Any]]:
    """The dictionaries of plain data, innermost ones too, the outermost last."""
    if isinstance(content, argparse.Namespace):
        content = vars(content)
    if not isinstance(content, Mapping):
        return
    for place in _PLACES:
        yield from _tables(content.get(place))
    yield {key: value for key, value in content.items() if isinstance(key, str)}


def _names(value: Any) -> tuple[str, ...] | None:
    if isinstance(value, Mapping) and value:
        turned = value if isinstance(next(iter(value.values())), str) else {at: name for name, at in value.items()}
        numbered = {str(key): name for key, name in turned.items()}
        value = [numbered.get(str(index)) for index in range(len(numbered))]
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) < 2:
        return None
    return tuple(value) if all(isinstance(name, str) for name in value) else None


def _preprocessing(tables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for table in tables:
        for key in _SIZES:
            if "size" not in found and (size := _size(table.get(key))) is not None:
                found["size"] = size
        for key, spellings in _NUMBERS.items():
            for spelling in spellings:
                numbers = _numbers(table.get(spelling))
                if key not in found and numbers and (key == "mean" or min(numbers) > 0):
                    found[key] = numbers
    if "mean" not in found or len(found["mean"]) != len(found.get("std", ())):
        found = {key: value for key, value in found.items() if key == "size"}  # one without the other says nothing
    return found


def _size(value: Any) -> int | list[int] | None:
    if isinstance(value, Sequence) and not isinstance(value, str):
        sides = list(value)[-2:]  # timm's come after the channels
        if len(sides) == 2 and all(type(side) is int and side > 0 for side in sides):
            return sides[0] if sides[0] == sides[1] else sides
        return None
    return value if type(value) is int and value > 0 else None


def _numbers(value: Any) -> list[float]:
    """The numbers of a list; none if it holds anything else."""
    if not isinstance(value, list | tuple):
        return []
    good = all(type(number) in {int, float} and math.isfinite(number) for number in value)
    return [float(number) for number in value] if good else []
