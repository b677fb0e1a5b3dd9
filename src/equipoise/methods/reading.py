"""Scores of networks that give more than class scores ``(n, C)``: a class for each pixel, boxes, anything.

Every method explains columns of ``(n, C)``. `Reading` makes them: for classes, of a class for each pixel the sum of
each class's scores over the pixels where it is the highest, and of a detector's boxes their scores; for a function of
the raw output what it gives. It is the option ``output`` of a method, and so a part of the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from equipoise._typing import Bool, Float
from equipoise.engine.outputs import Output, raw_output
from equipoise.errors import ShapeError, TargetError
from equipoise.methods.scores import Box, detections, is_detections

Functions: TypeAlias = tuple[Callable[[Any], Tensor], ...]


@dataclass(frozen=True)
class Reading:
    """What is read off a network's raw result: columns ``(n, C)``, one for each class, or for a function one.

    Attributes:
        output: Which part of the result is the raw output.
        function: Of it, ``None``: the classes.
    """

    output: Output = None
    function: Callable[[Any], Tensor] | None = None
    dense: ClassVar[bool] = True  # the tape tells methods

    @property
    def constants(self) -> Iterator[Tensor]:
        """The tensors that the function holds: a mask, a reference."""
        return held_by(self.function)

    def __call__(self, result: Any) -> Float[Tensor, "n C"]:
        """The columns.

        Raises:
            ShapeError: If the raw output is neither scores for each pixel nor a detector's boxes, or a function gives
                another shape.
        """
        raw = raw_output(result, self.output)
        return class_scores(raw) if self.function is None else _checked(self.function, self.function(raw))[:, None]


def held_by(function: Any) -> Iterator[Tensor]:
    """The tensors that a function has from where it was made: of its object, its closure, its defaults, its module."""
    owner = getattr(function, "__self__", function)
    found = [*getattr(owner, "__dict__", {}).values(), *(getattr(function, "__defaults__", None) or ())]
    found += [cell.cell_contents for cell in getattr(function, "__closure__", None) or () if _filled(cell)]
    names = getattr(function, "__globals__", {})
    found += [names[name] for name in getattr(getattr(function, "__code__", None), "co_names", ()) if name in names]
    for one in found:
        yield from (part for part in (one if isinstance(one, list | tuple) else (one,)) if isinstance(part, Tensor))


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018  # raises while the variable has no value yet
    except ValueError:
        return False
    return True


def class_scores(raw: Any) -> Float[Tensor, "n C"]:
    """One score for each class, of scores for each pixel ``(n, C, *space)``; or for each box of one image.

    Raises:
        ShapeError: If it is neither.
    """
    if isinstance(raw, Tensor) and raw.dim() > 2 and raw.is_floating_point():
        return torch.where(winning(raw), raw, 0).flatten(2).sum(2)
    if is_detections(raw) and len(raw) == 1:
        return detections(raw)[0]["scores"][None]
    if is_detections(raw):
        raise ShapeError(f"each of {len(raw)} images has boxes of its own; explain a detector's images one by one")
    found = tuple(raw.shape) if isinstance(raw, Tensor) else type(raw).__name__
    raise ShapeError(
        f"the model returned {found}: no class scores (n, C) or (n, C, h, w), and no detector's boxes; choose with "
        "output= (an index, a key, or a function of the model's result), or give a function of it as the target"
    )


def winning(raw: Float[Tensor, "n C *space"]) -> Bool[Tensor, "n C *space"]:
    """Where a class has the highest score of all at a pixel."""
    classes = torch.arange(raw.shape[1], device=raw.device).view(-1, *[1] * (raw.dim() - 2))
    return raw.detach().argmax(1, keepdim=True) == classes


def areas(raw: Float[Tensor, "n C *space"]) -> Float[Tensor, "n C"]:
    """The share of the pixels where each class has the highest score, 0 to 1."""
    return winning(raw).flatten(2).to(raw.dtype).mean(2)


class Look:
    """As the option ``output``: the classes, and what they were read off is kept.

    Attributes:
        raw: What the network gave last.
    """

    def __init__(self, output: Output = None) -> None:
        self.output = output
        self.raw: Any = None

    def __call__(self, result: Any) -> Float[Tensor, "n C"]:
        """The classes."""
        self.raw = raw_output(result, self.output)
        return class_scores(self.raw)


def detected(raw: Any, target: Any) -> tuple[Box, ...]:
    """The detections of one image that a target names by their number, as boxes: so they are found again.

    Args:
        raw: What the detector gave.
        target: A number, several, ``None`` for the detection of the highest score; also ``(1,)``, ``(1, k)``.

    Raises:
        TargetError: If there is no such detection.
    """
    (found,) = detections(raw)
    if not len(found["scores"]):
        raise TargetError("the detector finds nothing in this image")
    numbers = torch.as_tensor(found["scores"].argmax() if target is None else target).flatten().tolist()
    for number in numbers:
        if not 0 <= number < len(found["scores"]):
            raise TargetError(
                f"class {number} does not exist: this image has detections 0 to {len(found['scores']) - 1}"
            )
    corners, labels = found["boxes"].tolist(), found["labels"].tolist()
    return tuple(
        Box((one[0], one[1], one[2], one[3]), labels[number]) for number in numbers for one in (corners[number],)
    )


def only_column(columns: Float[Tensor, "n 1"]) -> Float[Tensor, " n"]:
    """The target "what the function of a `Reading` gives": a function, so that nothing is set against it."""
    return columns[:, 0]


def functions_of(target: Any) -> Functions | None:
    """The functions in a target; ``None`` if it names classes.

    Raises:
        TargetError: If it mixes both.
    """
    if callable(target):
        return (target,)
    if isinstance(target, Sequence) and not isinstance(target, str) and any(callable(one) for one in target):
        if not all(callable(one) for one in target):
            raise TargetError("a list of targets holds classes or functions, not both; equipoise.targets.class_ is one")
        return tuple(target)
    return None


def _checked(function: Callable[[Any], Tensor], found: object) -> Tensor:
    if not isinstance(found, Tensor) or found.dim() != 1 or not found.is_floating_point():
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        name = getattr(function, "__name__", type(function).__name__)
        raise ShapeError(f"the target function {name} gives {shape}; expected one score for each image, (n,)")
    return found
