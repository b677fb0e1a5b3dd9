"""What a person asks to be explained, in words: an index, a name, ``"top3"``, ``"contrast:tabby|Egyptian cat"``.

Words with a colon name a score of `equipoise.targets`, their parts divided by ``|``: ``class:NAME``, ``negative:NAME``,
``contrast:NAME|NAME``, ``group:NAME|NAME|...``, ``pixel:NAME|X|Y`` and ``box:LEFT|TOP|RIGHT|BOTTOM[|NAME]`` in pixels
of the photo, ``region:NAME|MASK.png`` (white where it is, as large as the photo), ``similarity:OTHER.png``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from equipoise._registry import Registry
from equipoise.arrays import is_array_file
from equipoise.errors import EquipoiseError, OptionError, TargetError
from equipoise.images import read_image
from equipoise.methods.scores import Box, Contrast, Negative, OneClass, Pixel, Region, Score, Similarity
from equipoise.methods.targets import ClassGroup

if TYPE_CHECKING:
    from equipoise.answers import Answers, ScoreOf
    from equipoise.models.spec import ModelSpec
    from equipoise.network import Network

Wanted: TypeAlias = "int | str | Top | ClassGroup | Callable[[Any], Tensor] | None"
"""One target as a person names it."""

PhotoTarget: TypeAlias = "int | Top | BestOf | InPhoto | ClassGroup | Callable[[Any], Tensor]"
"""One target that is read: a class, the first classes of each photo, a place in the photo, a group, a function."""


@runtime_checkable
class Looked(Protocol):
    """What a place in a photo needs to know of its view."""

    @property
    def network(self) -> Network: ...  # noqa: D102
    @property
    def answers(self) -> Answers: ...  # noqa: D102
    @property
    def inputs(self) -> Tensor: ...  # noqa: D102
    @property
    def size(self) -> tuple[int, int]: ...  # noqa: D102
    def share_of(self, across: float, down: float) -> tuple[float, float]: ...  # noqa: D102
    def beside(self, source: str) -> Looked: ...  # noqa: D102


_TOP: Final = re.compile(r"top\s*(\d*)")


@dataclass(frozen=True)
class Top:
    """The target "what the network says", or "the ``count`` highest classes", known once it has seen the photo.

    Attributes:
        count: How many; ``None``: what it says, one class or, of several labels at once, each that is there.
        among: The classes to choose from; ``None``: all.
    """

    count: int | None = None
    among: tuple[int, ...] | None = None


@dataclass(frozen=True)
class BestOf:
    """The target "the best detected box of a class".

    Attributes:
        label: The class.
    """

    label: int


@dataclass(frozen=True, eq=False)
class PhotoSimilarity(Similarity):
    """How like another photo's embedding that of a photo is, so that both photos can be explained.

    Attributes:
        other: The view of the other photo.
    """

    other: Looked | None = None


@dataclass(frozen=True)
class InPhoto:
    """A target that needs the photo: a place in it, another photo.

    Attributes:
        find: From the view of a photo to the score.
    """

    find: Callable[[Looked], ScoreOf]


def parse_target(wanted: Wanted, spec: ModelSpec) -> PhotoTarget:
    """Read one target; a named group such as ``"dog"`` stands for its highest class in each photo.

    Raises:
        TargetError: If it is no class of the network, or more classes are asked for than there are.
        UnknownNameError: If no class has that name; the text lists the nearest ones.
        OptionError: If the parts of a named score do not fit.
    """
    if wanted is None:
        return Top()
    if isinstance(wanted, str):
        return _of_text(wanted.strip(), spec)
    if isinstance(wanted, Top):
        return _checked(wanted, spec)
    if isinstance(wanted, Score):
        return wanted.resolved(spec.class_index)
    if callable(wanted) or isinstance(wanted, BestOf | InPhoto):
        return wanted
    if isinstance(wanted, bool) or not hasattr(wanted, "__index__"):
        raise TargetError(f'a target is a class index, a class name or "top", not {type(wanted).__name__}')
    index = wanted.__index__()
    return index if spec.task == "detection" else spec.class_index(index)


def _of_text(text: str, spec: ModelSpec) -> PhotoTarget:
    if match := _TOP.fullmatch(text.casefold()):
        return _checked(Top(int(match[1]) if match[1] else None), spec)
    kind, colon, rest = text.partition(":")
    if colon and kind in TEXTS and not _is_class(text, spec):
        return TEXTS[kind]([part.strip() for part in rest.split("|")], spec)
    members = spec.group(text)
    if members:
        return Top(1, members)
    if spec.task == "detection":
        return int(text) if text.isdecimal() else BestOf(spec.class_index(text))
    return spec.class_index(text)


def _is_class(text: str, spec: ModelSpec) -> bool:
    return text.casefold() in {name.casefold() for name in spec.classes}


def _checked(top: Top, spec: ModelSpec) -> Top:
    count = top.count
    if count is not None and (count < 1 or (spec.task != "detection" and count > len(spec.classes))):
        raise TargetError(f"top{count} asks for {count} classes; {spec.name} has {len(spec.classes)}")
    return top


def listed(target: Any) -> list[Any] | None:
    """The targets in a list, tuple, tensor or array of them; ``None`` if it is a single one.

    The forms that a batch of one image has at `equipoise.attribute` are understood too: ``(1, k)`` and ``[[...]]``.

    Raises:
        TargetError: If it is empty.
    """
    if isinstance(target, Tensor) or (isinstance(target, np.ndarray) and target.ndim):
        if isinstance(target, Tensor) and (target.is_floating_point() or target.dtype == torch.bool):
            raise TargetError(f"a target tensor holds class indices (torch.long), not {target.dtype}")
        if not target.ndim:
            return None
        target = target.tolist()
    if isinstance(target, str) or not isinstance(target, Sequence):
        return None
    if len(target) == 1 and isinstance(target[0], list | tuple):
        target = target[0]
    if not target:
        raise TargetError("the list of targets is empty")
    return list(target)


TEXTS: Registry[Callable[[Sequence[str], ModelSpec], PhotoTarget]] = Registry("kind of target")
"""How the words after the colon are read, by the kind before it."""


def _parts(kind: str, parts: Sequence[str], form: str, *, least: int, most: int | None = None) -> None:
    if not least <= len(parts) <= (most or least) or not all(parts):
        raise OptionError(f"{kind}:{'|'.join(parts)} is not of the form {kind}:{form}")


def _number(kind: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise OptionError(f"{kind} takes pixels of the photo, not {text!r}") from error


@TEXTS.register("class")
def _class(parts: Sequence[str], spec: ModelSpec) -> PhotoTarget:
    _parts("class", parts, "NAME", least=1)
    return OneClass(spec.class_index(parts[0]))


@TEXTS.register("negative")
def _negative(parts: Sequence[str], spec: ModelSpec) -> PhotoTarget:
    _parts("negative", parts, "NAME", least=1)
    return Negative(spec.class_index(parts[0]))


@TEXTS.register("contrast")
def _contrast(parts: Sequence[str], spec: ModelSpec) -> PhotoTarget:
    _parts("contrast", parts, "NAME|NAME", least=2)
    return Contrast(spec.class_index(parts[0]), spec.class_index(parts[1]))


@TEXTS.register("group")
def _group(parts: Sequence[str], spec: ModelSpec) -> PhotoTarget:
    _parts("group", parts, "NAME|NAME|...", least=1, most=len(spec.classes))
    return ClassGroup(tuple(spec.class_index(part) for part in parts))


@TEXTS.register("pixel")
def _pixel(parts: Sequence[str], spec: ModelSpec) -> PhotoTarget:
    _parts("pixel", parts, "NAME|X|Y", least=3)
    index, across, down = spec.class_index(parts[0]), _number("pixel", parts[1]), _number("pixel", parts[2])

    def find(view: Looked) -> ScoreOf:
        raw = view.answers.raw
        if not isinstance(raw, Tensor):
            raise TargetError(f"{spec.name} gives no class for each pixel, so no pixel of it can be explained")
        x, y = view.share_of(across, down)
        rows, columns = raw.shape[2:]
        if not (0 <= x < 1 and 0 <= y < 1):
            raise TargetError(f"the network does not see the pixel {parts[1]}, {parts[2]} of this photo")
        return Pixel(index, (int(y * rows), int(x * columns)))

    return InPhoto(find)


@TEXTS.register("box")
def _box(parts: Sequence[str], spec: ModelSpec) -> PhotoTarget:
    _parts("box", parts, "LEFT|TOP|RIGHT|BOTTOM[|NAME]", least=4, most=5)
    left, top, right, bottom = (_number("box", part) for part in parts[:4])
    label = spec.class_index(parts[4]) if len(parts) == 5 else None

    def find(view: Looked) -> ScoreOf:
        rows, columns = view.inputs.shape[-2:]
        (x0, y0), (x1, y1) = view.share_of(left, top), view.share_of(right, bottom)
        return Box((x0 * columns, y0 * rows, x1 * columns, y1 * rows), label)

    return InPhoto(find)


@TEXTS.register("region")
def _region(parts: Sequence[str], spec: ModelSpec) -> PhotoTarget:
    _parts("region", parts, "NAME[|MASK.png]", least=1, most=2)
    index = spec.class_index(parts[0])
    if len(parts) == 1:
        return Region(index)
    mask = read_image(parts[1])

    def find(view: Looked) -> ScoreOf:
        if mask.size != view.size:
            sizes = [" x ".join(map(str, size)) for size in (mask.size, view.size)]
            raise TargetError(f"the mask {parts[1]} has {sizes[0]} pixels, and the photo {sizes[1]}")
        seen = view.network.pictures.pixels(mask)[0] > 0.5
        return Region(index, seen, Path(parts[1]).name)

    return InPhoto(find)


@TEXTS.register("similarity")
def _similarity(parts: Sequence[str], spec: ModelSpec) -> PhotoTarget:  # noqa: ARG001  # one signature
    _parts("similarity", parts, "OTHER.png", least=1)
    if not is_array_file(parts[0]):
        read_image(parts[0])  # what is wrong with it is said before any work

    seen: dict[int, Looked] = {}  # by network: many photos are compared with the one

    def find(view: Looked) -> ScoreOf:
        other = seen.get(id(view.network))
        if other is None:
            other = seen[id(view.network)] = view.beside(parts[0])
        return similar_to(other, Path(parts[0]).name)

    return InPhoto(find)


def similar_to(other: Looked, name: str) -> PhotoSimilarity:
    """The score "how like another photo", of which the network gave a vector.

    Raises:
        ShapeError: If it gave no vector.
    """
    return PhotoSimilarity(other.answers.scores, name, other)


def on_device(score: ScoreOf, device: torch.device) -> ScoreOf:
    """A score whose tensors are where the network is."""
    if isinstance(score, Similarity):
        return replace(score, reference=score.reference.to(device))
    if isinstance(score, Region) and score.mask is not None:
        return replace(score, mask=score.mask.to(device))
    return score


def read_targets(texts: Sequence[str], spec: ModelSpec) -> list[PhotoTarget]:
    """Targets as a command line has them, separated by commas; a name may hold commas itself.

    Raises:
        EquipoiseError: If one is no class of the network; an unknown name's text lists the nearest ones.
    """
    targets = [target for text in texts for target in _split(text, spec)]
    if not targets:
        raise OptionError("--target names no class")
    return targets


def _split(text: str, spec: ModelSpec) -> list[PhotoTarget]:
    """The longest run of parts that is a class goes first: "tabby, tabby cat" is one, "tabby,281" two."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    targets: list[PhotoTarget] = []
    while parts:
        for count in range(len(parts), 0, -1):
            try:
                targets.append(parse_target(", ".join(parts[:count]), spec))
            except EquipoiseError:
                if count == 1:
                    raise
            else:
                parts = parts[count:]
                break
    return targets
