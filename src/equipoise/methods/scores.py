"""Scores by name: what of a network's output a map explains, each a function of the output.

Those of class scores ``(n, C)``: `OneClass`, `Negative`, `Contrast`, `ClassGroup`, and of embeddings `Similarity`.
Those of a network that says more, and is given to them as it is: `Pixel` and `Region` of a class for each pixel
``(n, C, *space)``, `Box` of a detector's boxes. A class is an index; where a network's names are known, as in
`equipoise.explain`, also a name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor

from equipoise._registry import Registry
from equipoise._typing import Float
from equipoise.errors import ShapeError, TargetError
from equipoise.methods.targets import ClassGroup

Class: TypeAlias = int | str
"""A class: its index, or, where a network's names are known, its name."""

IndexOf: TypeAlias = Callable[[Class], int]
NameOf: TypeAlias = Callable[[int], str]

LEAST_OVERLAP: Final = 1e-6
"""A detected box that overlaps a wanted one by less than this share is another."""


class Score:
    """Base of the named scores: a function of a network's output that knows its own words."""

    def resolved(self, index_of: IndexOf) -> Score:
        """The same with indices for the names of classes."""
        del index_of
        return self

    def words(self, name_of: NameOf) -> str:
        """For a person: what is explained."""
        raise NotImplementedError  # abstract: every score has words

    def __call__(self, output: Any) -> Float[Tensor, " n"]:
        """The score of each image."""
        raise NotImplementedError  # abstract: a score is an equation


def _column(scores: Any, index: Class, what: str) -> Tensor:
    """The scores of one class.

    Raises:
        TargetError: If it is no index, or no class of these scores.
        ShapeError: If these are no class scores.
    """
    if not isinstance(scores, Tensor) or scores.dim() != 2:
        found = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ShapeError(f"{what} is a function of class scores (n, C), not {found}")
    if not isinstance(index, int):
        raise TargetError(f"{what} of {index!r}: names of classes are known to equipoise.explain; give the index")
    if not 0 <= index < scores.shape[1]:
        raise TargetError(f"class {index} does not exist: this network has classes 0 to {scores.shape[1] - 1}")
    return scores[:, index]


@dataclass(frozen=True)
class OneClass(Score):
    """The score of a class; as a target the same as the class.

    Args:
        index: The class.
    """

    index: Class

    def resolved(self, index_of: IndexOf) -> OneClass:
        """See `Score`."""
        return OneClass(index_of(self.index))

    def words(self, name_of: NameOf) -> str:
        """See `Score`."""
        return name_of(int(self.index))

    @property
    def members(self) -> tuple[int, ...]:
        """The class."""
        return (int(self.index),)

    def __call__(self, output: Any) -> Float[Tensor, " n"]:
        """The class's score."""
        return _column(output, self.index, "class_")


@dataclass(frozen=True)
class Negative(Score):
    """Less the score of a class: what speaks against it; for a network of one logit, what speaks for the first class.

    Args:
        index: The class.
    """

    index: Class

    def resolved(self, index_of: IndexOf) -> Negative:
        """See `Score`."""
        return Negative(index_of(self.index))

    def words(self, name_of: NameOf) -> str:
        """See `Score`."""
        return f"not {name_of(int(self.index))}"

    def __call__(self, output: Any) -> Float[Tensor, " n"]:
        """Minus the class's score."""
        return -_column(output, self.index, "negative")


@dataclass(frozen=True)
class Contrast(Score):
    """Why this class rather than that one: the difference of their scores.

    Methods that set a class against all others set it against this one alone.

    Args:
        index: This class.
        against: That class.

    Raises:
        TargetError: If both are the same.
    """

    index: Class
    against: Class

    def __post_init__(self) -> None:
        if self.index == self.against:
            raise TargetError(f"a contrast is between two classes, not {self.index!r} and itself")

    def resolved(self, index_of: IndexOf) -> Contrast:
        """See `Score`."""
        return Contrast(index_of(self.index), index_of(self.against))

    def words(self, name_of: NameOf) -> str:
        """See `Score`."""
        return f"{name_of(int(self.index))} rather than {name_of(int(self.against))}"

    @property
    def members(self) -> tuple[int, ...]:
        """This class."""
        return (int(self.index),)

    @property
    def others(self) -> tuple[int, ...]:
        """That class."""
        return (int(self.against),)

    def __call__(self, output: Any) -> Float[Tensor, " n"]:
        """The class's score less the other's."""
        return _column(output, self.index, "contrast") - _column(output, self.against, "contrast")


@dataclass(frozen=True, eq=False)
class Similarity(Score):
    """How like a reference an embedding is: the cosine of their angle.

    Args:
        reference: ``(d,)``, or ``(1, d)``: the network's output for the other image.
        name: Of the other image, for people.

    Raises:
        ShapeError: If the reference is no vector.
    """

    reference: Tensor
    name: str = "the reference"

    def __post_init__(self) -> None:
        if not isinstance(self.reference, Tensor) or self.reference.squeeze(0).dim() != 1:
            shape = getattr(self.reference, "shape", type(self.reference).__name__)
            raise ShapeError(f"similarity compares with a vector (d,), not {shape}")

    def words(self, name_of: NameOf) -> str:
        """See `Score`."""
        del name_of
        return f"similarity to {self.name}"

    def __call__(self, output: Any) -> Float[Tensor, " n"]:
        """The cosine similarity, -1 to 1."""
        reference = self.reference.detach().squeeze(0)
        if not isinstance(output, Tensor) or output.dim() != 2 or output.shape[1] != len(reference):
            found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ShapeError(f"similarity compares embeddings (n, {len(reference)}), not {found}")
        unit = torch.nn.functional.normalize(reference.to(output), dim=0)
        length = output.square().sum(1).sqrt()
        return (output * unit).sum(1) / length.clamp(min=1e-12)


def _plane(output: Any, index: Class, what: str) -> Tensor:
    """One class's scores ``(n, *space)`` of a class for each pixel.

    Raises:
        ShapeError: If that is not what the network gives.
        TargetError: If there is no such class.
    """
    if not isinstance(output, Tensor) or output.dim() < 3:
        found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ShapeError(f"{what} is a function of scores for each pixel (n, C, h, w), not {found}")
    return _column(output.flatten(2).transpose(1, 2).flatten(0, 1), index, what).view(len(output), *output.shape[2:])


@dataclass(frozen=True)
class Pixel(Score):
    """The score of a class at one pixel of the output.

    Args:
        index: The class.
        position: Row and column, in pixels of the output; of a volume three numbers.
    """

    index: Class
    position: tuple[int, ...]

    def resolved(self, index_of: IndexOf) -> Pixel:
        """See `Score`."""
        return Pixel(index_of(self.index), self.position)

    def words(self, name_of: NameOf) -> str:
        """See `Score`."""
        return f"{name_of(int(self.index))} at {', '.join(map(str, self.position))}"

    def __call__(self, output: Any) -> Float[Tensor, " n"]:
        """The score at the pixel."""
        plane = _plane(output, self.index, "pixel")
        size = plane.shape[1:]
        if len(self.position) != len(size) or any(
            not 0 <= place < side for place, side in zip(self.position, size, strict=True)
        ):
            raise TargetError(f"the output has {' x '.join(map(str, size))} pixels, and none at {self.position}")
        for place in self.position:
            plane = plane[:, place]
        return plane


@dataclass(frozen=True, eq=False)
class Region(Score):
    """The sum of a class's scores over a region of the output.

    Args:
        index: The class.
        mask: Which pixels, ``(h, w)``, bool or weights; of another size than the output it is resized, by its nearest
            pixels. ``None``: those where the class has the highest score.
        name: Of the region, for people.
    """

    index: Class
    mask: Tensor | None = None
    name: str = "a region"

    def resolved(self, index_of: IndexOf) -> Region:
        """See `Score`."""
        return replace(self, index=index_of(self.index))

    def words(self, name_of: NameOf) -> str:
        """See `Score`."""
        return f"{name_of(int(self.index))} in {self.name}" if self.mask is not None else name_of(int(self.index))

    def __call__(self, output: Any) -> Float[Tensor, " n"]:
        """The sum over the region."""
        plane = _plane(output, self.index, "region")
        if self.mask is None:
            mask = (output.detach().argmax(1) == self.index).to(plane.dtype)
        else:
            mask = self.mask.to(plane.device, plane.dtype)
            if mask.dim() != plane.dim() - 1:
                raise ShapeError(f"the mask of a region is {tuple(mask.shape)}; the output is {tuple(plane.shape[1:])}")
            if mask.shape != plane.shape[1:]:
                mask = torch.nn.functional.interpolate(mask[None, None], plane.shape[1:], mode="nearest-exact")[0, 0]
        total: Tensor = (plane * mask).flatten(1).sum(1)
        return total


@dataclass(frozen=True)
class Box(Score):
    """The score of the detected box that overlaps a box most: of torchvision's detectors.

    Args:
        corners: Left, top, right and bottom of the wanted box, in pixels of the input.
        label: Of which class the detection has to be; ``None``: any.
    """

    corners: tuple[float, float, float, float]
    label: Class | None = None

    def resolved(self, index_of: IndexOf) -> Box:
        """See `Score`."""
        return self if self.label is None else replace(self, label=index_of(self.label))

    def words(self, name_of: NameOf) -> str:
        """See `Score`."""
        place = ", ".join(f"{side:g}" for side in self.corners)
        return f"the {'box' if self.label is None else name_of(int(self.label))} at {place}"

    def __call__(self, output: Any) -> Float[Tensor, " n"]:
        """The score of the detection of each image.

        Raises:
            TargetError: If no detection overlaps the box.
        """
        return torch.stack([self._score(one) for one in detections(output)])

    def _score(self, found: dict[str, Tensor]) -> Tensor:
        boxes = found["boxes"].detach()
        wanted = torch.tensor(self.corners, dtype=boxes.dtype, device=boxes.device)
        shared = (torch.minimum(boxes[:, 2:], wanted[2:]) - torch.maximum(boxes[:, :2], wanted[:2])).clamp(min=0)
        both = shared.prod(1)
        area = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (wanted[2:] - wanted[:2]).prod() - both
        overlap = both / area.clamp(min=LEAST_OVERLAP)
        if self.label is not None:
            overlap = overlap * (found["labels"] == self.label)
        if not len(overlap) or not bool((overlap >= LEAST_OVERLAP).any()):
            raise TargetError(f"none of the {len(boxes)} detected boxes overlaps the box {self.corners}")
        chosen: Tensor = found["scores"].gather(0, overlap.argmax()[None])
        return chosen[0]


def detections(output: Any) -> Sequence[dict[str, Tensor]]:
    """What a detector returned, one dictionary of ``boxes``, ``labels`` and ``scores`` per image.

    Raises:
        ShapeError: If it is no detector's result.
    """
    if not is_detections(output):
        kind = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ShapeError(f"a detector returns a list of boxes, labels and scores, not {kind}")
    found: Sequence[dict[str, Tensor]] = output
    return found


def is_detections(output: Any) -> bool:
    """Whether this is what a detector of torchvision returns."""
    return (
        isinstance(output, list | tuple)
        and bool(output)
        and all(isinstance(one, dict) and {"boxes", "scores", "labels"} <= set(one) for one in output)
    )


SCORES: Registry[Callable[..., Callable[[Tensor], Tensor]]] = Registry("target")
"""Every named score, by what `equipoise.targets` calls it."""

SCORES.add("class", OneClass)
SCORES.add("group", ClassGroup)
SCORES.add("negative", Negative)
SCORES.add("contrast", Contrast)
SCORES.add("pixel", Pixel)
SCORES.add("region", Region)
SCORES.add("box", Box)
SCORES.add("similarity", Similarity)
