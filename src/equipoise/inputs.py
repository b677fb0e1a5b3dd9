"""A network of several inputs: how each is prepared, and each in turn as the one input of a network.

While one input is explained the others are held as they are, so that views, methods, targets and pictures are those of
any other network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import torch
from torch import Tensor, nn

from equipoise._registry import nearest
from equipoise.engine.entrance import python_module
from equipoise.errors import OptionError, UnsupportedModelError
from equipoise.loading import alone, load_bare
from equipoise.methods.several import OneInput, Which, inside
from equipoise.models.description import Said, read_description
from equipoise.models.own import changed, unknown
from equipoise.models.own_preprocessing import OwnPreprocessing, as_preprocessing
from equipoise.models.preprocessing import Preprocessing
from equipoise.network import like_weights
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
        prepares: dict[Which, Prepares] = {
            name: changed(unknown(name, _PLAIN), changes) for name, changes in told.inputs.items()
        }
        return cls(module, prepares, whole, file)

    def views(self, sources: Sources, wrt: Which | None = None) -> dict[Which, View]:
        """Each input before the network, the others held; without those that are passed as they are.

        Args:
            sources: A photo or an array for each input.
            wrt: The one that is wanted; ``None``: each.

        Raises:
            OptionError: If there is no such input, or an input has no source or no preprocessing.
            ImageError: If one cannot be read.
            EquipoiseError: As `equipoise.loading.alone`.
        """
        given: dict[Which, Any] = dict(sources.items() if isinstance(sources, Mapping) else enumerate(sources))
        self._check(given, wrt)
        photos = {key: Photo.read(one, how) for key, one in given.items() if (how := self.prepares[key]) is not None}
        inputs = {key: self._tensor(key, photos.get(key), one) for key, one in given.items()}
        whole: Any = inputs if isinstance(sources, Mapping) else tuple(inputs.values())
        opened = photos if wrt is None else {wrt: photos[wrt]}
        return {key: self._view(photo, inputs[key], self._network(whole, key)) for key, photo in opened.items()}

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

    def _check(self, given: Mapping[Which, Any], wrt: Which | None) -> None:
        """Refuse sources that do not fit the inputs.

        Raises:
            OptionError: If they do not.
        """
        check_given(list(given), list(self.prepares))
        if wrt is not None and self.prepares.get(wrt) is None:
            explained = ", ".join(repr(key) for key, how in self.prepares.items() if how is not None)
            raise OptionError(f"wrt is {wrt!r}, and the inputs that can be explained are {explained}")


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
    return isinstance(model, str) and model.endswith(".toml") and bool(read_description(Path(model)).inputs)
