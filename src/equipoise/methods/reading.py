"""Scores of networks that give more than class scores ``(n, C)``: a class for each pixel, boxes, anything.

Every method explains columns of ``(n, C)``. `Reading` makes them: for classes, of a class for each pixel the sum of
each class's scores over the pixels where it is the highest, and of a detector's boxes their scores; for functions of
the raw output what they give, a column each. As the option ``output`` of a method it is a part of the network, so
that all targets come from one forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from equipoise._typing import Float
from equipoise.engine.outputs import Output, raw_output
from equipoise.errors import ShapeError, TargetError
from equipoise.methods.scores import detections, is_detections

Functions: TypeAlias = tuple[Callable[[Any], Tensor], ...]


@dataclass(frozen=True)
class Reading:
    """What is read off a network's raw result: columns ``(n, C)``, one for each class or function.

    Attributes:
        output: Which part of the result is the raw output.
        functions: Of it; none: the classes.
    """

    output: Output = None
    functions: Functions = ()
    dense: ClassVar[bool] = True  # the tape tells methods

    def __call__(self, result: Any) -> Float[Tensor, "n C"]:
        """The columns.

        Raises:
            ShapeError: If the raw output is neither scores for each pixel nor a detector's boxes, or a function gives
                another shape.
        """
        raw = raw_output(result, self.output)
        if not self.functions:
            return class_scores(raw)
        return torch.stack([_checked(function, function(raw)) for function in self.functions], 1)


def class_scores(raw: Any) -> Float[Tensor, "n C"]:
    """One score for each class, of scores for each pixel ``(n, C, *space)``; or for each box of one image.

    Raises:
        ShapeError: If it is neither.
    """
    if isinstance(raw, Tensor) and raw.dim() > 2 and raw.is_floating_point():
        return (raw * winning(raw)).flatten(2).sum(2)
    if is_detections(raw) and len(raw) == 1:
        return detections(raw)[0]["scores"][None]
    if is_detections(raw):
        raise ShapeError(f"each of {len(raw)} images has boxes of its own; explain a detector's images one by one")
    found = tuple(raw.shape) if isinstance(raw, Tensor) else type(raw).__name__
    raise ShapeError(
        f"the model returned {found}: no class scores (n, C) or (n, C, h, w), and no detector's boxes; choose with "
        "output= (an index, a key, or a function of the model's result), or give a function of it as the target"
    )


def winning(raw: Float[Tensor, "n C *space"]) -> Float[Tensor, "n C *space"]:
    """1 where a class has the highest score of all at a pixel, else 0."""
    classes = torch.arange(raw.shape[1], device=raw.device).view(-1, *[1] * (raw.dim() - 2))
    return (raw.detach().argmax(1, keepdim=True) == classes).to(raw.dtype)


def areas(raw: Float[Tensor, "n C *space"]) -> Float[Tensor, "n C"]:
    """The share of the pixels where each class has the highest score, 0 to 1."""
    return winning(raw).flatten(2).mean(2)


@dataclass(frozen=True)
class Largest:
    """As the option ``output``: what the top class is the highest of, ``(n, C)``.

    Attributes:
        output: Which part of the result is the raw output.
    """

    output: Output = None

    def __call__(self, result: Any) -> Float[Tensor, "n C"]:
        """Of a class for each pixel its share of the pixels, of a detector's boxes their scores."""
        raw = raw_output(result, self.output)
        return areas(raw) if isinstance(raw, Tensor) and raw.dim() > 2 else class_scores(raw)


@dataclass(frozen=True)
class Column:
    """The target "this column of a `Reading` of functions".

    Attributes:
        index: Which.
    """

    index: int

    def __call__(self, columns: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
        """The column."""
        return columns[:, self.index]


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
