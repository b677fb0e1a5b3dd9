"""What lies between a photo and its explanation: the network's look at it, its targets, the bound method."""

from __future__ import annotations

import functools
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from equipoise import models, records, viz
from equipoise.engine.entrance import aside, check_model, python_module, run
from equipoise.errors import ImageError, ShapeError, TargetError
from equipoise.images import as_rgb, decode_image, from_array, one_line, read_file
from equipoise.methods import METHODS, make_method
from equipoise.methods.registering import layer_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from equipoise.engine import Output
    from equipoise.methods import Attributor
    from equipoise.models import ModelSpec

Photo: TypeAlias = "str | os.PathLike[str] | Image.Image | np.ndarray[Any, Any]"
Wanted: TypeAlias = "int | str | Top | Sequence[int | str | Top] | None"

Model: TypeAlias = "str | tuple[nn.Module, ModelSpec]"

MAX_ASPECT: Final = 200
"""The longest photo explained, long side to short: resizing a longer one would fill memory."""

_TOP: Final = re.compile(r"top\s*(\d*)")


@dataclass(frozen=True)
class ClassScore:
    """What the network says of one class.

    Attributes:
        index: Of the class, from 0.
        name: Of the class.
        logit: The explained score.
        probability: Softmax of the logits, 0 to 1.
    """

    index: int
    name: str
    logit: float
    probability: float


@dataclass(frozen=True)
class Top:
    """The target "the ``count`` highest classes", known once the network has seen the photo.

    Attributes:
        count: How many.
        among: The classes to choose from; ``None``: all.
    """

    count: int = 1
    among: tuple[int, ...] | None = None


def parse_target(wanted: int | str | Top | None, spec: ModelSpec) -> int | Top:
    """Read one target: ``None`` or ``"top"``, ``"top3"``, an index, a class name or a group such as ``"dog"``.

    A group stands for its highest class in each photo.

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
    if isinstance(wanted, bool) or not hasattr(wanted, "__index__"):
        raise TargetError(f'a target is a class index, a class name or "top", not {type(wanted).__name__}')
    return spec.class_index(wanted.__index__())


@dataclass(frozen=True, eq=False)
class Look:
    """A photo that a network has looked at, ready to be explained by any method.

    Attributes:
        image: As a person sees it, mode ``RGB``.
        inputs: What the network took, ``(1, 3, h, w)``.
        logits: What it gave, ``(C,)``, float32 on the CPU.
        box: The part of the photo that it saw, in the photo's pixels.
        path: Of the photo; ``None`` if it was none.
        sha256: Of the file, or of the pixels if there was none.
        spec: Of the network.
    """

    image: Image.Image
    inputs: Tensor
    logits: Tensor
    box: tuple[float, float, float, float]
    path: str | None
    sha256: str
    spec: ModelSpec

    def score(self, index: int) -> ClassScore:
        """The scores of one class."""
        classes = self.spec.classes
        name = classes[index] if index < len(classes) else str(index)
        return ClassScore(index, name, self.logits[index].item(), self.logits.softmax(0)[index].item())

    def top(self, count: int) -> tuple[ClassScore, ...]:
        """The highest classes, best first; fewer if the network has fewer."""
        best = self.logits.topk(min(count, len(self.logits))).indices.tolist()
        return tuple(self.score(index) for index in best)

    def _highest(self, target: Top) -> list[int]:
        """The classes that ``target`` means in this photo."""
        if target.among is None:
            return [score.index for score in self.top(target.count)]
        best = self.logits[list(target.among)].topk(target.count).indices.tolist()
        return [target.among[place] for place in best]

    def classes(self, targets: Sequence[int | Top]) -> list[int]:
        """The indices of the targets, each once, in the order asked for.

        Raises:
            TargetError: If the network has no such output.
        """
        chosen: dict[int, None] = {}
        for target in targets:
            found = self._highest(target) if isinstance(target, Top) else [target]
            chosen.update(dict.fromkeys(found))
        outputs = len(self.logits)
        if wrong := [index for index in chosen if not 0 <= index < outputs]:
            raise TargetError(f"class {wrong[0]} does not exist: this network has classes 0 to {outputs - 1}")
        return list(chosen)


def look(photo: Photo, module: nn.Module, spec: ModelSpec, output: Output = None) -> Look:
    """Read a photo and show it to the network.

    Args:
        photo: What is shown.
        module: The network.
        spec: What it needs to know of photos.
        output: Which part of its result is the logits, as of every method.

    Raises:
        ImageError: If the photo cannot be read, or is more than `MAX_ASPECT` times as long as wide.
        ModelModeError: If the network is in train mode, or random.
        ShapeError: If the network's output is not ``(1, C)``.
        EquipoiseError: If no method can explain the network: it is quantized, say, or a weight is NaN.
    """
    image, path, sha256 = _open(photo)
    if max(image.size) > MAX_ASPECT * min(image.size):
        name = f"{one_line(path)}: " if path else ""
        raise ImageError(f"{name}is {image.width} x {image.height} pixels; at most {MAX_ASPECT} to 1 is explained")
    module = python_module(module)
    check_model(module)
    like = next((parameter for parameter in module.parameters() if parameter.is_floating_point()), torch.empty(0))
    inputs = spec.preprocess(image).unsqueeze(0).to(like.device, like.dtype)
    with aside(inputs.device):
        logits = run(module, inputs.clone(), output)
    box = spec.preprocessing.box(*image.size)
    return Look(image, inputs, logits[0].float().cpu(), box, path, sha256, spec)


def _open(photo: Photo) -> tuple[Image.Image, str | None, str]:
    if isinstance(photo, str | os.PathLike):
        data = read_file(photo)
        return decode_image(data, photo), str(Path(photo)), hashlib.sha256(data).hexdigest()
    if isinstance(photo, Image.Image):
        image = as_rgb(photo)
    elif isinstance(photo, np.ndarray):
        image = from_array(photo)
    else:
        raise ImageError(f"a photo is a path, a Pillow image or a uint8 array, not {type(photo).__name__}")
    return image, None, hashlib.sha256(image.tobytes()).hexdigest()


@dataclass(frozen=True, eq=False)
class BoundMethod:
    """A method bound to a network, with what a record says of it.

    Attributes:
        attributor: Computes the attribution.
        record: Name, level, sign and every option.
        smoothing: How much `viz.overlay` should smooth its maps: 0 for those that are coarse already.
        together: Whether it takes several targets at once.
    """

    attributor: Attributor
    record: dict[str, Any]
    smoothing: float
    together: bool

    def attribute(self, inputs: Tensor, targets: Sequence[int]) -> Tensor:
        """Explain several classes of one image.

        Args:
            inputs: ``(1, 3, h, w)``.
            targets: ``k`` class indices.

        Returns:
            ``(k, c, h, w)``.

        Raises:
            ShapeError: If the method returned another shape.
        """
        indices = torch.tensor(targets, device=inputs.device)
        if self.together:
            result = self.attributor.attribute(inputs, indices[None])[0]
        else:
            each = [self.attributor.attribute(inputs, index[None])[0] for index in indices]
            result = torch.stack(each)
        if result.dim() != 4 or len(result) != len(targets):
            raise ShapeError(f"the method returned {tuple(result.shape[1:])} for one photo; expected (c, h, w)")
        return result.detach()

    def notes(self) -> tuple[str, ...]:
        """What the method had to say of its last result."""
        return tuple(str(note) for note in getattr(self.attributor, "notes", ()))


def bind(method: Any, module: nn.Module, spec: ModelSpec, options: Mapping[str, Any]) -> BoundMethod:
    """Bind a method, by name or any callable ``(model, inputs, target) -> Tensor``, to a network.

    A method that has an option ``input_bounds`` gets those of the network's preprocessing, unless the
    options name others or its profile is ``"reference"``, which knows only the image's own extremes.

    Raises:
        UnknownNameError: If no method has that name.
        UnknownOptionError: If the method does not take one of the options.
        OptionError: If an option is outside its range.
    """
    options = dict(options)
    named = isinstance(method, str)
    if named:
        known = records.method_options(method)
        if "input_bounds" in known and options.get("profile", known.get("profile")) != "reference":
            device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
            low, high = spec.input_bounds
            options.setdefault("input_bounds", (low.to(device), high.to(device)))
        if options.get("layer") is not None:  # by name, so that the record can say which
            several = getattr(METHODS[method], "several_layers", False)
            options["layer"] = layer_name(python_module(module), options["layer"], several=several)
    attributor = make_method(method, module, **options)
    coarse = named and getattr(METHODS[method], "level", "pixel") == "map"
    record = records.method_record(method, options)
    return BoundMethod(attributor, record, 0.0 if coarse else viz.SMOOTHING, together=named)


@functools.lru_cache(maxsize=2)
def _cached(name: str) -> tuple[nn.Module, ModelSpec]:
    return models.load_model(name)


def load(model: Model) -> tuple[nn.Module, ModelSpec]:
    """The network and its spec; the two last loaded by name are kept.

    Raises:
        EquipoiseError: As `equipoise.load_model`.
    """
    if isinstance(model, str):
        return _cached(model)
    module, spec = model
    return module, spec
