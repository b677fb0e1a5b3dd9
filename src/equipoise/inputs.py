"""A network of several inputs: how each is prepared, and each in turn as the one input of a network.

While one input is explained the others are held as they are, so that views, methods, targets and pictures are those of
any other network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import torch
from torch import Tensor, nn

from equipoise._registry import nearest
from equipoise.engine.entrance import python_module
from equipoise.errors import ImageError, NotFiniteError, OptionError, ShapeError, UnsupportedModelError
from equipoise.loading import alone, load, load_bare
from equipoise.methods.layers import LayerRow, list_layers
from equipoise.methods.several import OneInput, Which, inside, outside
from equipoise.models.description import Said, read_description
from equipoise.models.own import changed, unknown
from equipoise.models.own_preprocessing import OwnPreprocessing, as_preprocessing
from equipoise.models.preprocessing import Preprocessing
from equipoise.network import black_of, like_weights
from equipoise.view import Photo, View

if TYPE_CHECKING:
    from equipoise.models.array_preprocessing import ArrayPreprocessing
    from equipoise.network import Network

Sources: TypeAlias = "tuple[Any, ...] | Mapping[str, Any]"
"""A photo or array for each input, by place or by name."""

Prepares: TypeAlias = "Preprocessing | OwnPreprocessing | ArrayPreprocessing | None"
"""How an input is prepared; ``None``: it is a tensor that is passed on as it is."""

_PLAIN: Final = Preprocessing((224, 224), (224, 224), "center", mean=(0.0,) * 3, std=(1.0,) * 3)


@dataclass(frozen=True, eq=False)
class SeveralInputs:
    """A network of several inputs, and what is known about it.

    Attributes:
        module: The network; it is never changed.
        prepares: How each input is prepared, by its place in a tuple or its name.
        said: What is said of the network, as of one of a single input.
        name: As it was asked for.
    """

    module: nn.Module = field(repr=False)
    prepares: Mapping[Which, Prepares]
    said: Said = field(default_factory=Said)
    name: str = ""

    @classmethod
    def of(cls, module: Any, said: Said) -> SeveralInputs:
        """A module with the preprocessing of each input, which ``said`` has in a tuple or a dict.

        Raises:
            UnsupportedModelError: If it is no module.
            OptionError: If there is no preprocessing for each.
        """
        preprocess = said.preprocess
        if not isinstance(module, nn.Module):
            kind = type(module).__name__
            raise UnsupportedModelError(
                f"a network of several inputs is a torch.nn.Module or a description with [inputs], not {kind}"
            )
        if not isinstance(preprocess, Mapping | tuple | list):
            raise OptionError(
                "a network of several inputs needs preprocess= of each: a tuple or a dict like the inputs, of "
                "functions, equipoise.models.Preprocessing or ArrayPreprocessing, or None for what is passed as it is"
            )
        pairs = preprocess.items() if isinstance(preprocess, Mapping) else enumerate(preprocess)
        prepares = {key: None if one is None else as_preprocessing(one) for key, one in pairs}
        return cls(module, prepares, replace(said, preprocess=None), type(module).__name__)

    @classmethod
    def described(
        cls,
        file: str,
        said: Said | None = None,
        *,
        weights: str | None = None,
        device: str | torch.device | None = None,
    ) -> SeveralInputs:
        """The network of a description with ``[inputs]``.

        Args:
            file: The description.
            said: What is said in place of what it says.
            weights: A file in place of its own.
            device: Where the network goes; ``None``: the CPU.

        Raises:
            OptionError: If the file describes a network of one input, or preprocessing is said of all inputs.
            EquipoiseError: As `equipoise.loading.load_bare`.
        """
        told = read_description(Path(file))
        if not told.inputs:
            raise OptionError(f"{file} describes a network of one input: it has no [inputs.NAME]")
        said = said or Said()
        if said.changes or said.preprocess is not None:
            raise OptionError(f"{file} says how each of its inputs is prepared; it cannot be said of all at once")
        module, whole = load_bare(told.architecture, weights or told.weights, device, said.over(told.said))
        return cls(module, described_inputs(file), whole, file)

    def networks(self) -> dict[Which, Network]:
        """Each input's network before black photos and the lowest values of arrays; without those passed as they are.

        Raises:
            OptionError: If an input is passed as it is: nothing is known of it.
            EquipoiseError: As `equipoise.loading.alone`.
        """
        inputs: dict[Which, Tensor] = {}
        for key, how in self.prepares.items():
            if how is None:
                raise OptionError(f"nothing is known of the input {key!r}, which is passed on as it is")
            inputs[key] = like_weights(black_of(how), self.module)
        whole: Any = inputs if all(isinstance(key, str) for key in inputs) else tuple(inputs.values())
        return {key: self._network(whole, key) for key in inputs}

    def views(self, sources: Sources) -> dict[Which, View]:
        """Each input before the network, the others held; without those that are passed as they are.

        Args:
            sources: A photo or an array for each input.

        Raises:
            OptionError: If there is no such input, or an input has no source or no preprocessing.
            ImageError: If one cannot be read.
            EquipoiseError: As `equipoise.loading.alone`.
        """
        given = _pairs(sources)
        self.check(sources)
        photos: dict[Which, Photo] = {}
        inputs: dict[Which, Any] = {}
        for key, one in given.items():
            how = self.prepares[key]
            with _about(key):
                if how is not None:
                    photos[key] = Photo.read(one, how)
                inputs[key] = self._tensor(key, photos.get(key), one)
        whole: Any = inputs if isinstance(sources, Mapping) else tuple(inputs.values())
        return {key: self._view(photo, inputs[key], self._network(whole, key)) for key, photo in photos.items()}

    def layers(self) -> list[tuple[LayerRow, tuple[Which, ...]]]:
        """Where a method can start, under the network's own names, and for which inputs it starts there by default.

        Raises:
            EquipoiseError: As `networks`.
        """
        rows: dict[str, LayerRow] = {}
        default: dict[str, list[Which]] = {}
        for key, network in self.networks().items():
            for row in list_layers(network.module, network.black(), network.reads):
                name = outside(row.name)
                rows.setdefault(name, replace(row, name=name))
                default.setdefault(name, []).extend([key] if row.is_default else [])
        order = {name: place for place, (name, _) in enumerate(python_module(self.module).named_modules())}
        return [(rows[name], tuple(default[name])) for name in sorted(rows, key=lambda name: order.get(name, 0))]

    def options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """A method's options; the name of a layer is that of the network's own."""
        layer = options.get("layer")
        return dict(options) if layer is None else {**options, "layer": inside(layer, self.module)}

    def _tensor(self, key: Which, photo: Photo | None, source: Any) -> Any:
        """What the network takes of an input."""
        how = self.prepares[key]
        if photo is None or how is None:
            return source
        if photo.array is None:
            prepared = how(photo.image)
        elif isinstance(how, OwnPreprocessing):  # `Photo.read` refuses it
            raise UnsupportedModelError(f"the preprocessing of {key!r} is a function of a photo")
        else:
            prepared = how.of_array(photo.array)
        return like_weights(prepared.unsqueeze(0), self.module)

    def _network(self, inputs: Any, key: Which) -> Network:
        """The network of one input."""
        opened = OneInput(python_module(self.module), inputs, key)
        return alone(opened, self.name, replace(self.said, preprocess=self.prepares[key]))

    def _view(self, photo: Photo, inputs: Tensor, network: Network) -> View:
        return View(network, photo, inputs, network.answers(inputs), network.spec.preprocessing.box(*photo.image.size))

    def check(self, sources: Sources, wrt: Which | None = None) -> None:
        """Refuse sources that do not fit the inputs, and an input that cannot be explained.

        Raises:
            OptionError: If they do not.
        """
        check_given(list(_pairs(sources)), list(self.prepares))
        if wrt is not None and self.prepares.get(wrt) is None:
            explained = ", ".join(repr(key) for key, how in self.prepares.items() if how is not None)
            raise OptionError(f"wrt is {wrt!r}, and the inputs that can be explained are {explained}")


def _pairs(sources: Sources) -> dict[Which, Any]:
    return dict(sources.items() if isinstance(sources, Mapping) else enumerate(sources))


@contextmanager
def _about(key: Which) -> Iterator[None]:
    """Say of which input a sentence is."""
    try:
        yield
    except (ImageError, ShapeError, NotFiniteError) as error:
        raise type(error)(f"input {key!r}: {error}") from error


def check_given(given: Sequence[Which], inputs: Sequence[Which]) -> None:
    """Refuse what is given under other names than those of a network's inputs.

    Raises:
        OptionError: If one is no input, or one lacks.
    """
    known = ", ".join(map(str, inputs))
    for key in given:
        if key not in inputs:
            near = nearest(str(key), [str(one) for one in inputs], 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise OptionError(f"no input is called {key!r}; {hint}the network takes {known}")
    lacking = [key for key in inputs if key not in given]
    if lacking:
        raise OptionError(f"nothing is given for the input {lacking[0]!r}; the network takes {known}")


def is_several(model: object) -> bool:
    """Whether a name is that of a description with ``[inputs]``."""
    return isinstance(model, str) and bool(described_inputs(model))


def described_inputs(model: str) -> dict[Which, Prepares]:
    """How each input is prepared, by a description with ``[inputs]``; nothing for any other name.

    Raises:
        DescriptionError: If a description says something that cannot be.
    """
    if not model.endswith(".toml"):
        return {}
    told = read_description(Path(model)).inputs
    return {name: changed(unknown(name, _PLAIN), changes) for name, changes in told.items()}


def load_either(name: str, *, weights: str | None = None, said: Said | None = None) -> Network | SeveralInputs:
    """The network of a name, as `equipoise.loading.load`, or as `SeveralInputs.described` where it is of several.

    Raises:
        EquipoiseError: As these.
    """
    if is_several(name):
        return SeveralInputs.described(name, said, weights=weights)
    return load(name, weights=weights, said=said)
