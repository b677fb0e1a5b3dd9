"""A network under test: loaded once, its view of a data set's classes, its methods."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from equipoise._references import is_reference, resolve
from equipoise._registry import Registry
from equipoise.errors import OptionError, UnsupportedModelError
from equipoise.loading import fetch, load
from equipoise.methods import METHODS, ClassGroup, heatmap
from equipoise.methods.layers import list_layers
from equipoise.metrics import smooth
from equipoise.models import Preprocessing
from equipoise.models.categories import category_groups
from equipoise.models.checkpoints import state_checksum
from equipoise.records import to_json

if TYPE_CHECKING:
    from PIL import Image

    from equipoise.answers import Answers, ScoreOf
    from equipoise.datasets import DataSet
    from equipoise.experiments.model.method_run import MethodRun
    from equipoise.models import ModelSpec
    from equipoise.models.description import Said
    from equipoise.network import BoundMethod, Network

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
    if not is_reference(method):
        return METHODS.canonical(method)
    function = resolve(method)
    function = inspect.unwrap(function) if callable(function) else None
    if function is not None and not (inspect.isroutine(function) or inspect.isclass(function)):
        function = type(function)  # an object that is called: what it does stands in its class
    try:
        file = None if function is None else inspect.getsourcefile(function)
    except TypeError:  # one of Python's own
        file = None
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
    """A network under test: what an experiment asks of a `Network`.

    Attributes:
        network: The network.
        checksum: SHA-256 of its weights.
    """

    network: Network
    checksum: str

    @property
    def identity(self) -> str:
        """What results depend on: its weights, what it is shown, what its outputs are."""
        spec = self.spec
        told = [spec.preprocessing.describe(), spec.task, spec.activation, spec.threshold, spec.classes]
        picked = self.network.output
        output = getattr(picked, "__qualname__", picked) if callable(picked) else picked
        return to_json([self.checksum, told, output], indent=None)

    @property
    def name(self) -> str:
        """As it was asked for."""
        return self.network.name

    @property
    def module(self) -> nn.Module:
        """The network itself, in eval mode."""
        return self.network.module

    @property
    def spec(self) -> ModelSpec:
        """Its classes and preprocessing."""
        return self.network.spec

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.network.device

    def classes(self, data: DataSet) -> Classes:
        """Its view of a data set's categories."""
        own = data.vocabulary in {"voc", "coco"} and tuple(self.spec.classes) == tuple(data.classes)
        return Classes(category_groups(data.vocabulary, data.classes, self.spec), own)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits ``(n, C)``, float32 on the CPU."""
        return self.network.logits(inputs)

    def answers(self, inputs: Tensor) -> Answers:
        """What it says of one photo, ``(1, c, h, w)``."""
        return self.network.answers(inputs)

    def whole(self, image: Image.Image) -> Tensor:
        """The whole photo, uncropped, its shorter side as the network's: ``(3, h, w)``."""
        preprocessing = self._resizable()
        side = min(preprocessing.crop)
        scale = side / min(image.size)
        size = (max(side, round(image.height * scale)), max(side, round(image.width * scale)))
        return self.sized(image, size)

    def sized(self, image: Image.Image, size: tuple[int, int]) -> Tensor:
        """The whole photo squeezed to ``size``, height and width: ``(3, *size)``."""
        return replace(self._resizable(), resize=size, crop=size, crop_mode="squash")(image)

    def _resizable(self) -> Preprocessing:
        """Its preprocessing, if photos of another size can be had from it.

        Raises:
            UnsupportedModelError: If it is a function of a user's own.
        """
        preprocessing = self.spec.preprocessing
        if isinstance(preprocessing, Preprocessing):
            return preprocessing
        raise UnsupportedModelError(
            f"{self.name} comes with preprocessing as a function, whose size cannot be changed; give its ModelSpec a "
            "Preprocessing"
        )

    def replaced(self, module: nn.Module) -> Subject:
        """The same network with other weights, or another head."""
        return replace(self, network=replace(self.network, module=module))

    def bind(self, run: MethodRun) -> BoundRun:
        """A method of a recipe, bound to this network.

        Raises:
            EquipoiseError: If the method, an option or a layer does not exist.
        """
        options = dict(run.options)
        if run.layer == "middle":
            options["layer"] = self._middle()
        method = resolve(run.method) if is_reference(run.method) else run.method
        return BoundRun(run, self.network.bind(method, **options))

    def heatmaps(self, run: BoundRun, inputs: Tensor, targets: Sequence[Sequence[int | ClassGroup]]) -> list[Tensor]:
        """Heat maps of several images of one shape, ``(k, h, w)`` each, float32 on the CPU.

        Args:
            run: A method bound to this network.
            inputs: ``(n, c, h, w)``.
            targets: Of each image.

        Raises:
            EquipoiseError: If the method cannot explain one of them.
        """
        from equipoise.batches import Batch  # noqa: PLC0415  # it loads Pillow, which a list of recipes does not need

        def wished(place: int, _answers: Answers) -> list[ScoreOf]:
            return list(targets[place])

        batch = Batch(self.network, inputs, [partial(wished, place) for place in range(len(inputs))])
        maps = batch.explain(run.bound)
        for error in maps.failed.values():
            raise error
        return list(torch.split_with_sizes(run.read(torch.cat(maps.each)), [len(one) for one in maps.each]))

    def _middle(self) -> str:
        """The place half-way between the pixels and the last feature map."""
        with torch.no_grad():
            rows = list_layers(self.module, self.network.black(), self.network.reads)
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
        return self.read(self.bound.attribute(inputs, targets))

    def read(self, attribution: Tensor) -> Tensor:
        """The heat maps ``(k, h, w)`` of an attribution ``(k, c, h, w)``, float32 on the CPU."""
        maps = READOUTS[self.run.readout](attribution).float().cpu()
        return smooth(maps, self.run.smooth) if self.run.smooth else maps


@dataclass(frozen=True, eq=False)
class Explained(BoundRun):
    """A method whose maps of one image are there already, from a batch.

    Attributes:
        inputs: The image, ``(1, c, h, w)``.
        targets: What was explained of it.
        maps: ``(k, h, w)``.
    """

    inputs: Tensor
    targets: Sequence[int | ClassGroup]
    maps: Tensor

    def heatmaps(self, inputs: Tensor, targets: Sequence[int | ClassGroup]) -> Tensor:
        """See `BoundRun.heatmaps`; of any other image or targets they are computed."""
        if list(targets) == list(self.targets) and inputs.shape == self.inputs.shape and inputs.equal(self.inputs):
            return self.maps
        return super().heatmaps(inputs, targets)


class Lab:
    """Loads networks by name, one at a time in memory.

    Args:
        device: Where they go; ``None``: the CPU.
        weights: A file for each; ``None``: their own.
        said: What is said of each in place of what is known.
    """

    def __init__(self, device: str | None = None, weights: str | None = None, said: Said | None = None) -> None:
        self._device, self._weights, self._said = device, weights, said
        self._held: Subject | None = None
        self.checksums: dict[str, str] = {}
        """SHA-256 of the weights of every network loaded so far."""

    def fetch(self, name: str) -> None:
        """Have what a network needs at hand, without building it: a run asks for all of them before it begins.

        Raises:
            EquipoiseError: If there is no such network, or its weights cannot be had.
        """
        if self._weights is None:
            fetch(name)

    def subject(self, name: str) -> Subject:
        """The network behind a name, or behind ``"package.module:build"``; see `equipoise.loading.load`.

        Raises:
            EquipoiseError: If there is none, or it cannot be had.
        """
        if self._held is None or self._held.name != name:
            self._held = None  # the old one goes before the new one comes
            network = load(name, weights=self._weights, device=self._device, said=self._said)
            network.check()
            self._held = Subject(network, state_checksum(network.module))
            self.checksums[name] = self._held.checksum
        return self._held
