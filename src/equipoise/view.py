"""A photo that a network has looked at: what it took, what it said, and which scores are to be explained."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from equipoise.answers import Answers, Boxes, ClassScore, ScoreOf
from equipoise.array_pictures import picture_of
from equipoise.arrays import as_channels, as_tensor, is_array_file, read_array
from equipoise.errors import ImageError, TargetError, UnsupportedModelError
from equipoise.images import EXTENSIONS, as_rgb, decode_image, from_array, one_line, read_file
from equipoise.models.own_preprocessing import OwnPreprocessing
from equipoise.wanted import BestOf, InPhoto, Looked, PhotoTarget, Top, on_device

if TYPE_CHECKING:
    from equipoise.arrays import Takes
    from equipoise.network import Network

PhotoSource: TypeAlias = "str | os.PathLike[str] | Image.Image | NDArray[Any] | Tensor | Photo"
"""A path of a photo or an array, a Pillow image, a ``uint8`` array ``(h, w)`` or ``(h, w, 3)``; or any other array, of
as many dimensions and channels as the network takes; or a `Photo` that was read before."""

MAX_ASPECT: Final = 200
"""The longest photo explained, long side to short: resizing a longer one would fill memory."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo as a person sees it, or a picture of an array, and where it came from.

    Attributes:
        image: Mode ``RGB``.
        path: Of its file; ``None`` if there was none.
        sha256: Of the file, or of the values if there was none.
        array: What it is a picture of, ``(c, *space)``, its values as its source has them; ``None``: it is a photo.
    """

    image: Image.Image
    path: str | None
    sha256: str
    array: Tensor | None = None

    @classmethod
    def read(cls, source: PhotoSource, takes: Takes | OwnPreprocessing | None = None) -> Photo:
        """Read a photo, or an array that a network takes.

        Args:
            source: Where it is.
            takes: How the network prepares what it is shown; ``None``: photos alone are read.

        Raises:
            ImageError: If it cannot be read, or is more than `MAX_ASPECT` times as long as wide.
            ShapeError: If an array has not the dimensions or channels that the network takes.
        """
        if isinstance(source, Photo):
            return source
        if takes is not None and is_array(source, takes):
            if isinstance(source, str | os.PathLike):
                return cls.of_values(read_array(source), takes, str(Path(source)))
            return cls.of_values(as_tensor(source), takes)
        if isinstance(source, str | os.PathLike):
            data = read_file(source)
            photo = cls(decode_image(data, source), str(Path(source)), hashlib.sha256(data).hexdigest())
        elif isinstance(source, Image.Image | np.ndarray):
            image = as_rgb(source) if isinstance(source, Image.Image) else from_array(source)
            photo = cls(image, None, hashlib.sha256(image.tobytes()).hexdigest())
        else:
            raise ImageError(f"a photo is a path, a Pillow image or an array, not {type(source).__name__}")
        return photo.checked()

    def checked(self) -> Photo:
        """The photo itself.

        Raises:
            ImageError: If it is more than `MAX_ASPECT` times as long as wide.
        """
        width, height = self.image.size
        if max(width, height) > MAX_ASPECT * min(width, height):
            name = f"{one_line(self.path)}: " if self.path else ""
            raise ImageError(f"{name}is {width} x {height} pixels; at most {MAX_ASPECT} to 1 is explained")
        return self

    @classmethod
    def of_values(cls, values: Tensor, takes: Takes | OwnPreprocessing, path: str | None = None) -> Photo:
        """An array, and what a person is shown of it.

        Args:
            values: Of any shape in which a network may be given it.
            takes: How the network prepares what it is shown.
            path: Of its file.

        Raises:
            EquipoiseError: As `equipoise.arrays.as_channels`.
        """
        if isinstance(takes, OwnPreprocessing):
            raise UnsupportedModelError("the preprocessing is a function of a photo, and this is an array; describe it")
        array = as_channels(values, takes)
        digest = hashlib.sha256(array.contiguous().numpy().tobytes()).hexdigest()
        return cls(picture_of(array.numpy(), takes.value_range), path, digest, array)


def is_array(source: object, takes: Takes | OwnPreprocessing) -> bool:
    """Whether a source is an array rather than a photo, for a network that takes this."""
    if isinstance(source, str | os.PathLike):
        return Path(source).suffix.lower() not in EXTENSIONS and is_array_file(source)
    if isinstance(source, np.ndarray):  # 8 bits in one or three channels are a photo, where photos are taken
        photo = isinstance(takes, OwnPreprocessing) or (len(takes.space) == 2 and takes.channels in {1, 3})
        return not (photo and source.dtype == np.uint8)
    return isinstance(source, Tensor)


@dataclass(frozen=True, eq=False)
class View:
    """A photo before a network, ready to be explained by any method.

    Attributes:
        network: Who looked at it.
        photo: The photo.
        inputs: What the network took, ``(1, c, h, w)``.
        answers: What it said.
        box: The part of the photo that it saw, in the photo's pixels.
    """

    network: Network
    photo: Photo
    inputs: Tensor
    answers: Answers
    box: tuple[float, float, float, float]

    @classmethod
    def of(cls, source: PhotoSource, network: Network) -> View:
        """Read a photo and show it to a network.

        Raises:
            ImageError: If the photo cannot be read.
            EquipoiseError: As `Network.logits`.
        """
        photo = Photo.read(source, network.spec.preprocessing)
        inputs = network.prepare(photo.image if photo.array is None else photo.array)
        box = network.spec.preprocessing.box(*photo.image.size)
        return cls(network, photo, inputs, network.answers(inputs), box)

    @property
    def logits(self) -> Tensor:
        """What the network said, ``(C,)``, float32 on the CPU."""
        return self.answers.scores

    @property
    def pixels(self) -> Tensor:
        """What the network took, before normalization: ``(1, c, h, w)``, 0 to 1; of an array its values likewise.

        Raises:
            UnsupportedModelError: If its preprocessing is a function that normalizes each photo by itself.
        """
        preprocessing = self.network.spec.preprocessing
        if self.photo.array is None or isinstance(preprocessing, OwnPreprocessing):
            return self.network.pictures.pixels(self.photo.image)[None]
        low, high = (bound.view(-1, *[1] * (self.inputs.dim() - 2)).to(self.inputs) for bound in preprocessing.bounds())
        return ((self.inputs - low) / (high - low)).float().cpu()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the photo, in pixels."""
        return self.photo.image.size

    def beside(self, source: PhotoSource) -> View:
        """Another photo before the same network.

        Raises:
            EquipoiseError: As `of`.
        """
        return View.of(source, self.network)

    def score(self, of: ScoreOf) -> ClassScore:
        """What the network says of a score; see `Answers.score`."""
        return self.answers.score(of)

    def top(self, count: int) -> tuple[ClassScore, ...]:
        """The first classes, best first; fewer if the network has fewer."""
        return tuple(self.answers.one(index) for index in self.answers.order()[:count])

    def targets(self, wanted: Sequence[PhotoTarget]) -> list[ScoreOf]:
        """What the targets mean in this photo; see `meant`."""
        return meant(self, wanted)

    def share_of(self, across: float, down: float) -> tuple[float, float]:
        """A place of the photo, in its pixels, as shares of what the network saw, 0 to 1 each."""
        return share_of(self.box, across, down)


def share_of(box: tuple[float, float, float, float], across: float, down: float) -> tuple[float, float]:
    """A place of a photo, in its pixels, as shares of the part that the network saw, 0 to 1 each."""
    left, top, right, bottom = box
    return (across - left) / (right - left), (down - top) / (bottom - top)


def meant(view: Looked, wanted: Sequence[PhotoTarget]) -> list[ScoreOf]:
    """What targets mean in a photo that a network has looked at, each once, in the order asked for.

    Raises:
        TargetError: If the network has no such output.
        ShapeError: If a function does not give one number for each image.
    """
    chosen: dict[ScoreOf, None] = {}
    for target in wanted:
        chosen.update(dict.fromkeys(_meant(view, target)))
    return list(chosen)


def _meant(view: Looked, target: PhotoTarget) -> list[ScoreOf]:
    """The scores that one target means in a photo."""
    answers = view.answers
    if isinstance(target, Top):
        return [answers.target(index) for index in _highest(answers, target)]
    if isinstance(target, int):
        return [answers.target(target)]
    if isinstance(target, BestOf) and isinstance(answers, Boxes):
        return [answers.best_of(target.label)]
    found = target.find(view) if isinstance(target, InPhoto) else target
    if isinstance(found, BestOf):
        raise TargetError(f"{view.network.spec.name} detects no boxes")
    read = found if isinstance(found, int) else answers.read(found)
    return [on_device(read, view.network.device)]


def _highest(answers: Answers, target: Top) -> list[int]:
    """The classes that ``target`` means in a photo."""
    if target.count is None and target.among is None:
        return answers.said()
    among = None if target.among is None else set(target.among)
    return [index for index in answers.order() if among is None or index in among][: target.count or 1]
