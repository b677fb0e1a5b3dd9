"""A photo that a network has looked at: what it took, what it said, and which scores are to be explained."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from equipoise.errors import ImageError, ShapeError, TargetError
from equipoise.images import as_rgb, decode_image, from_array, one_line, read_file
from equipoise.methods import ClassGroup

if TYPE_CHECKING:
    from equipoise.models import ModelSpec
    from equipoise.network import Network, ScoreOf

PhotoSource: TypeAlias = "str | os.PathLike[str] | Image.Image | NDArray[Any]"
"""A path, a Pillow image, or a ``uint8`` array ``(h, w)`` or ``(h, w, 3)``."""

Wanted: TypeAlias = "int | str | Top | ClassGroup | Callable[[Tensor], Tensor] | None"
"""One target as a person names it: an index, a name, ``"top3"``, a group, a function of the logits ``(n, C)``."""

PhotoTarget: TypeAlias = "int | Top | ClassGroup | Callable[[Tensor], Tensor]"
"""One target that is read: a class, the highest classes of each photo, a group, a function."""

MAX_ASPECT: Final = 200
"""The longest photo explained, long side to short: resizing a longer one would fill memory."""

_TOP: Final = re.compile(r"top\s*(\d*)")


@dataclass(frozen=True)
class ClassScore:
    """What the network says of one class.

    Attributes:
        index: Of the class, from 0; ``None`` for a group of classes or a function of the logits.
        name: Of the class.
        logit: The explained score.
        probability: Softmax of the logits, 0 to 1; ``None`` for a function of the logits.
    """

    index: int | None
    name: str
    logit: float
    probability: float | None


@dataclass(frozen=True)
class Top:
    """The target "the ``count`` highest classes", known once the network has seen the photo.

    Attributes:
        count: How many.
        among: The classes to choose from; ``None``: all.
    """

    count: int = 1
    among: tuple[int, ...] | None = None


def parse_target(wanted: Wanted, spec: ModelSpec) -> PhotoTarget:
    """Read one target: ``None`` or ``"top"``, ``"top3"``, an index, a class name or a group such as ``"dog"``.

    A named group stands for its highest class in each photo; a `ClassGroup` and a function for themselves.

    Raises:
        TargetError: If it is no class of the network, or more classes are asked for than there are.
        UnknownNameError: If no class has that name; the text lists the nearest ones.
    """
    if wanted is None:
        return Top()
    if isinstance(wanted, str) and (match := _TOP.fullmatch(wanted.strip().casefold())):
        wanted = Top(int(match[1] or 1))
    if isinstance(wanted, Top):
        if not 1 <= wanted.count <= len(spec.classes):
            raise TargetError(f"top{wanted.count} asks for {wanted.count} classes; {spec.name} has {len(spec.classes)}")
        return wanted
    if isinstance(wanted, str):
        members = spec.group(wanted)
        return Top(1, members) if members else spec.class_index(wanted)
    if callable(wanted):
        return wanted
    if isinstance(wanted, bool) or not hasattr(wanted, "__index__"):
        raise TargetError(f'a target is a class index, a class name or "top", not {type(wanted).__name__}')
    return spec.class_index(wanted.__index__())


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


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo as a person sees it, and where it came from.

    Attributes:
        image: Mode ``RGB``.
        path: Of its file; ``None`` if there was none.
        sha256: Of the file, or of the pixels if there was none.
    """

    image: Image.Image
    path: str | None
    sha256: str

    @classmethod
    def read(cls, source: PhotoSource) -> Photo:
        """Read a photo.

        Raises:
            ImageError: If it cannot be read, or is more than `MAX_ASPECT` times as long as wide.
        """
        if isinstance(source, str | os.PathLike):
            data = read_file(source)
            photo = cls(decode_image(data, source), str(Path(source)), hashlib.sha256(data).hexdigest())
        elif isinstance(source, Image.Image | np.ndarray):
            image = as_rgb(source) if isinstance(source, Image.Image) else from_array(source)
            photo = cls(image, None, hashlib.sha256(image.tobytes()).hexdigest())
        else:
            raise ImageError(f"a photo is a path, a Pillow image or a uint8 array, not {type(source).__name__}")
        width, height = photo.image.size
        if max(width, height) > MAX_ASPECT * min(width, height):
            name = f"{one_line(photo.path)}: " if photo.path else ""
            raise ImageError(f"{name}is {width} x {height} pixels; at most {MAX_ASPECT} to 1 is explained")
        return photo


@dataclass(frozen=True, eq=False)
class View:
    """A photo before a network, ready to be explained by any method.

    Attributes:
        network: Who looked at it.
        photo: The photo.
        inputs: What the network took, ``(1, c, h, w)``.
        logits: What it said, ``(C,)``, float32 on the CPU.
        box: The part of the photo that it saw, in the photo's pixels.
    """

    network: Network
    photo: Photo
    inputs: Tensor
    logits: Tensor
    box: tuple[float, float, float, float]

    @classmethod
    def of(cls, source: PhotoSource, network: Network) -> View:
        """Read a photo and show it to a network.

        Raises:
            ImageError: If the photo cannot be read.
            EquipoiseError: As `Network.logits`.
        """
        photo = Photo.read(source)
        inputs = network.prepare(photo.image)
        box = network.spec.preprocessing.box(*photo.image.size)
        return cls(network, photo, inputs, network.logits(inputs)[0], box)

    def score(self, of: ScoreOf) -> ClassScore:
        """What the network says of a class, a group of classes, or by a function of its logits.

        Raises:
            TargetError: If the network has no such class.
            ShapeError: If a function does not give one number for each image.
        """
        classes, probabilities = self.network.spec.classes, self.logits.softmax(0)
        if isinstance(of, int):
            name = classes[of] if of < len(classes) else str(of)
            return ClassScore(of, name, self.logits[of].item(), probabilities[of].item())
        value = self._value(of)
        if isinstance(of, ClassGroup):
            names = ", ".join(classes[index] for index in of.members[:3])
            more = f" and {len(of.members) - 3} more" if len(of.members) > 3 else ""
            return ClassScore(None, names + more, value.item(), probabilities[list(of.members)].sum().item())
        return ClassScore(None, getattr(of, "__name__", type(of).__name__), value.item(), None)

    def top(self, count: int) -> tuple[ClassScore, ...]:
        """The highest classes, best first; fewer if the network has fewer."""
        return tuple(self.score(index) for index in self._highest(Top(min(count, len(self.logits)))))

    def targets(self, wanted: Sequence[PhotoTarget]) -> list[ScoreOf]:
        """What the targets mean in this photo, each once, in the order asked for.

        Raises:
            TargetError: If the network has no such output.
            ShapeError: If a function does not give one number for each image.
        """
        chosen: dict[ScoreOf, None] = {}
        for target in wanted:
            if isinstance(target, Top):
                chosen.update(dict.fromkeys(self._highest(target)))
            elif isinstance(target, int) or self._value(target).is_floating_point():
                chosen[target] = None
            else:  # a function that names the class
                chosen[int(self._value(target))] = None
        outputs = len(self.logits)
        for index in chosen:
            if isinstance(index, int) and not 0 <= index < outputs:
                raise TargetError(f"class {index} does not exist: this network has classes 0 to {outputs - 1}")
        return list(chosen)

    def _highest(self, target: Top) -> list[int]:
        """The classes that ``target`` means in this photo."""
        among = range(len(self.logits)) if target.among is None else target.among
        best = self.logits[list(among)].topk(target.count).indices.tolist()
        return [among[place] for place in best]

    def _value(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        found: object = function(self.logits[None])
        if not isinstance(found, Tensor) or found.shape != (1,):
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ShapeError(f"the target function must map logits (1, {len(self.logits)}) to (1,), not {shape}")
        return found[0]
