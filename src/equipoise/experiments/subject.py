"""A network under test: loaded once, its view of a data set's classes, its methods."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from equipoise import models
from equipoise._registry import Registry
from equipoise._seen import BoundMethod, bind
from equipoise.engine.entrance import check_mode
from equipoise.errors import OptionError, ShapeError, UnsupportedModelError
from equipoise.experiments.model.references import resolve
from equipoise.methods import METHODS, ClassGroup, heatmap
from equipoise.methods.layers import list_layers
from equipoise.metrics import smooth
from equipoise.models.categories import category_groups
from equipoise.models.checkpoints import state_checksum
from equipoise.models.labels import class_names
from equipoise.models.preprocessing import Preprocessing
from equipoise.models.spec import ModelSpec

if TYPE_CHECKING:
    from PIL import Image

    from equipoise.datasets import DataSet
    from equipoise.experiments.model.method_run import MethodRun

READOUTS: Registry[Callable[[Tensor], Tensor]] = Registry("readout")
"""From an attribution ``(..., c, h, w)`` to a heat map ``(..., h, w)``."""

READOUTS.add("sum", heatmap)
READOUTS.add("absolute_sum", lambda attribution: attribution.abs().sum(-3))
READOUTS.add("largest", lambda attribution: attribution.abs().amax(-3))

MULTI_LABEL: Final = 0.5
"""A network with one sigmoid per class says that a class is there from this probability on."""


def source_of(method: str) -> str:
    """What a method's results depend on besides its options: of your own, the checksum of its file.

    Raises:
        UnknownNameError: If no method has that name; the text lists the nearest ones.
        OptionError: If there is no such module or function.
    """
    if ":" not in method:
        return METHODS.canonical(method)
    function = resolve(method)
    file = inspect.getsourcefile(inspect.unwrap(function)) if callable(function) else None
    if file is None:
        raise OptionError(f"{method!r} is no function that can be found in a file")
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


@dataclass(frozen=True)
class Classes:
    """How a network names the categories of a data set.

    Args:
        groups: Per category the network's classes that mean it; none if no class does.
        own: Whether the network's classes are the data set's: it then has one sigmoid per class.
    """

    groups: tuple[tuple[int, ...], ...]
    own: bool

    def members(self, category: int) -> tuple[int, ...]:
        """The network's classes that mean a category; none if it does not know it."""
        return self.groups[category] if category < len(self.groups) else ()

    def target(self, category: int) -> int | ClassGroup | None:
        """What to explain for a category; ``None`` if the network does not know it."""
        members = self.members(category)
        if not members:
            return None
        return members[0] if len(members) == 1 else ClassGroup(members)

    def predicted(self, logits: Tensor) -> frozenset[int]:
        """The categories that the network says are there.

        With the data set's own classes those of at least `MULTI_LABEL`, or the highest; else the one
        category with the highest log-sum-exp of its classes.

        Args:
            logits: ``(C,)``.
        """
        if self.own:
            found = (logits.sigmoid() >= MULTI_LABEL).nonzero()[:, 0].tolist()
            return frozenset(found or [int(logits.argmax())])
        scores = {
            category: float(logits[list(members)].logsumexp(0))
            for category, members in enumerate(self.groups)
            if members
        }
        return frozenset([max(scores, key=lambda category: scores[category])] if scores else [])


@dataclass(frozen=True, eq=False)
class Subject:
    """A network, ready to be explained.

    Attributes:
        name: As it was asked for.
        module: In eval mode.
        spec: Its classes and preprocessing.
        checksum: SHA-256 of its weights.
    """

    name: str
    module: nn.Module
    spec: ModelSpec
    checksum: str

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next((parameter.device for parameter in self.module.parameters()), torch.device("cpu"))

    def classes(self, data: DataSet) -> Classes:
        """Its view of a data set's categories."""
        own = data.vocabulary in {"voc", "coco"} and tuple(self.spec.classes) == tuple(data.classes)
        return Classes(category_groups(data.vocabulary, data.classes, self.spec), own)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits ``(n, C)``, float32 on the CPU."""
        with torch.no_grad():
            logits: Tensor = self.module(inputs.to(self.device))
        return logits.float().cpu()

    def whole(self, image: Image.Image) -> Tensor:
        """The whole photo, uncropped, its shorter side as the network's: ``(3, h, w)``."""
        preprocessing = self.spec.preprocessing
        side = min(preprocessing.crop)
        scale = side / min(image.size)
        size = (max(side, round(image.height * scale)), max(side, round(image.width * scale)))
        return self.sized(image, size)

    def sized(self, image: Image.Image, size: tuple[int, int]) -> Tensor:
        """The whole photo squeezed to ``size``, height and width: ``(3, *size)``."""
        return replace(self.spec.preprocessing, resize=size, crop=size, crop_mode="squash")(image)

    def replaced(self, module: nn.Module) -> Subject:
        """The same network with other weights, or another head."""
        return replace(self, module=module)

    def bind(self, run: MethodRun) -> BoundRun:
        """A method of a recipe, bound to this network.

        Raises:
            EquipoiseError: If the method, an option or a layer does not exist.
        """
        options = dict(run.options)
        if run.layer == "middle":
            options["layer"] = self._middle()
        method = resolve(run.method) if ":" in run.method else run.method
        return BoundRun(run, bind(method, self.module, self.spec, options))

    def _middle(self) -> str:
        """The place half-way between the pixels and the last feature map."""
        with torch.no_grad():
            rows = list_layers(self.module, torch.zeros(1, 3, *self.spec.preprocessing.crop, device=self.device))
        names = [row.name for row in rows]
        return names[len(names) // 2]


@dataclass(frozen=True, eq=False)
class BoundRun:
    """A method of a recipe bound to a network."""

    run: MethodRun
    bound: BoundMethod

    def heatmaps(self, inputs: Tensor, targets: Sequence[int | ClassGroup]) -> Tensor:
        """Heat maps of one image, ``(k, h, w)``, float32 on the CPU.

        Args:
            inputs: ``(1, 3, h, w)``.
            targets: ``k`` classes, or groups of classes, explained from one forward pass where the method can.

        Raises:
            ShapeError: If the method gave another shape.
        """
        attribution = self._attribution(inputs, targets)
        if attribution.dim() != 4 or len(attribution) != len(targets):
            raise ShapeError(f"{self.run.label} returned {tuple(attribution.shape)} for {len(targets)} targets")
        maps = READOUTS[self.run.readout](attribution.detach()).float().cpu()
        return smooth(maps, self.run.smooth) if self.run.smooth else maps

    def _attribution(self, inputs: Tensor, targets: Sequence[int | ClassGroup]) -> Tensor:
        attributor = self.bound.attributor
        if not self.bound.together:
            return torch.cat([_tensor(attributor.attribute(inputs, _one(target))) for target in targets])
        if all(isinstance(target, int) for target in targets):
            return _tensor(attributor.attribute(inputs, torch.tensor([targets], device=inputs.device)))[0]
        groups = [target if isinstance(target, ClassGroup) else ClassGroup((target,)) for target in targets]
        return _tensor(attributor.attribute(inputs, groups))[0]


def _tensor(found: Tensor | list[Tensor]) -> Tensor:
    if not isinstance(found, Tensor):
        raise ShapeError("the method returned a list for one image")
    return found


def _one(target: int | ClassGroup) -> Any:
    return torch.tensor([target]) if isinstance(target, int) else target


class Lab:
    """Loads networks by name, one at a time in memory.

    Args:
        device: Where they go; ``None``: the CPU.
    """

    def __init__(self, device: str | None = None) -> None:
        self._device = device
        self._held: tuple[str, Subject] | None = None
        self.checksums: dict[str, str] = {}
        """SHA-256 of the weights of every network loaded so far."""

    def fetch(self, name: str) -> None:
        """Have what a network needs at hand, without building it: a run asks for all of them before it begins.

        Raises:
            EquipoiseError: If there is no such network, or its weights cannot be had.
        """
        if ":" in name:
            _builder(name)
        else:
            models.fetch(name)

    def subject(self, name: str) -> Subject:
        """The network behind a name of `equipoise.load_model`, or behind ``"package.module:build"``.

        The function of your own returns a network, or the pair of a network and its `ModelSpec`.

        Raises:
            EquipoiseError: If there is none, or it cannot be had.
        """
        if self._held is None or self._held[0] != name:
            self._held = None  # the old one goes before the new one comes
            module, spec = _own(name) if ":" in name else models.load_model(name, device=self._device)
            module = module.to(self._device or "cpu")
            check_mode(module)
            self._held = name, Subject(name, module, spec, state_checksum(module))
            self.checksums[name] = self._held[1].checksum
        return self._held[1]


def _builder(reference: str) -> Callable[[], Any]:
    build: Callable[[], Any] = resolve(reference)
    try:
        inspect.signature(build).bind()
    except (TypeError, ValueError) as error:
        raise UnsupportedModelError(f"{reference} is no function that makes a network without arguments") from error
    return build


def _own(reference: str) -> tuple[nn.Module, ModelSpec]:
    made = _builder(reference)()
    module, spec = made if isinstance(made, tuple) else (made, None)
    if not isinstance(module, nn.Module) or not isinstance(spec, ModelSpec | None):
        raise UnsupportedModelError(f"{reference} must return a torch.nn.Module, or one and its ModelSpec")
    module = module.eval()
    if spec is None:
        with torch.no_grad():
            logits = module(torch.zeros(1, 3, 224, 224))
        names, synonyms = class_names(logits.shape[-1])
        checksum = state_checksum(module)
        kind = type(module).__name__
        spec = ModelSpec(reference, "own", kind, names, Preprocessing(), "own", checksum, synonyms=synonyms)
    return module, spec
