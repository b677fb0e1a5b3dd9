"""What a map explains, by name: ``target=equipoise.targets.contrast("tabby", "Egyptian cat")``.

Each is a target wherever one is asked for: `equipoise.attribute`, `equipoise.explain`, every method. A class is an
index, and in `equipoise.explain` also a name. Any function of a network's output is a target, too: it is given the
class scores ``(n, C)``, or, of a network that returns anything else, all that it returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise.methods.scores import Box, Contrast, Negative, OneClass, Pixel, Region, Similarity
from equipoise.methods.targets import ClassGroup

if TYPE_CHECKING:
    from torch import Tensor

    from equipoise.methods.scores import Class

__all__ = ["box", "class_", "contrast", "group", "negative", "pixel", "region", "similarity"]


def class_(index: Class) -> OneClass:
    """The score of a class.

    Example:
        >>> import torch
        >>> class_(1)(torch.tensor([[0.5, 2.0]]))
        tensor([2.])
    """
    return OneClass(index)


def group(*members: int) -> ClassGroup:
    """Several classes that stand for one: the log-sum-exp of their scores.

    Raises:
        TargetError: If there is no member, or one is named twice.
    """
    return ClassGroup(tuple(members))


def negative(index: Class) -> Negative:
    """What speaks against a class: less its score.

    Example:
        >>> import torch
        >>> negative(1)(torch.tensor([[0.5, 2.0]]))
        tensor([-2.])
    """
    return Negative(index)


def contrast(index: Class, against: Class) -> Contrast:
    """Why this class rather than that one: the difference of their scores.

    Raises:
        TargetError: If both are the same.

    Example:
        >>> import torch
        >>> contrast(1, 0)(torch.tensor([[0.5, 2.0]]))
        tensor([1.5000])
    """
    return Contrast(index, against)


def pixel(index: Class, *position: int) -> Pixel:
    """Of a segmenting network: the score of a class at one pixel.

    Args:
        index: The class.
        *position: Row and column, in pixels of the network's output.
    """
    return Pixel(index, position)


def region(index: Class, mask: Tensor | None = None, name: str = "a region") -> Region:
    """Of a segmenting network: the sum of a class's scores over a region.

    Args:
        index: The class.
        mask: ``(h, w)``, bool; ``None``: the pixels where the class has the highest score.
        name: Of the region, for people.
    """
    return Region(index, mask, name)


def box(left: float, top: float, right: float, bottom: float, label: Class | None = None) -> Box:
    """Of a detector: the score of the detected box that overlaps this one most.

    Args:
        left: In pixels of the network's input, as the others.
        top: Likewise.
        right: Likewise.
        bottom: Likewise.
        label: Its class; ``None``: any.
    """
    return Box((left, top, right, bottom), label)


def similarity(reference: Tensor, name: str = "the reference") -> Similarity:
    """Of a network of embeddings: how like the embedding of another image, as the cosine of their angle.

    Args:
        reference: The network's output for the other image, ``(d,)``.
        name: Of the other image, for people.

    Raises:
        ShapeError: If the reference is no vector.

    Example:
        >>> import torch
        >>> similarity(torch.tensor([1.0, 0.0]))(torch.tensor([[3.0, 4.0]]))
        tensor([0.6000])
    """
    return Similarity(reference, name)
