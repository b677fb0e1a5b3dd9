"""The one loader: a name, a function of a user's own, a module alone, one with its description, or a `Network`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from PIL import Image
from torch import nn

from equipoise import models
from equipoise._references import is_reference, resolve
from equipoise.errors import UnsupportedModelError
from equipoise.models.own import found_preprocessing, spec_of, unnamed, with_classes
from equipoise.models.own_preprocessing import as_preprocessing
from equipoise.models.spec import ModelSpec
from equipoise.network import Network, like_weights, logits_of

if TYPE_CHECKING:
    import torch

    from equipoise.engine import Output
    from equipoise.models import Preprocessing
    from equipoise.models.own_preprocessing import OwnPreprocessing

Model: TypeAlias = "str | nn.Module | tuple[nn.Module, ModelSpec] | Network"
"""Whatever a network is given as."""

Weights: TypeAlias = "str | PathLike[str] | None"


def load(
    model: Model,
    *,
    weights: Weights = None,
    device: str | torch.device | None = None,
    output: Output = None,
    preprocess: Any = None,  # any function of a photo
    classes: Sequence[str] | None = None,
) -> Network:
    """The network behind whatever it is given as.

    Args:
        model: A name of `equipoise.models.load_model`; ``"package.module:build"``, a function without arguments
            that returns a module, or one and its `ModelSpec`; a module; such a pair; or a `Network`.
        weights: For a name as of `equipoise.models.load_model`; for a function of your own a file of weights.
        device: Where a network loaded by name goes, ``None``: the CPU. One that is given stays where it is.
        output: Which part of its result is the logits.
        preprocess: From a Pillow image to a tensor ``(c, h, w)``, in place of what is known.
        classes: Names of the classes, in place of what is known.

    Raises:
        UnsupportedModelError: If it is no network.
        OptionError: If there is no such function, or the class names do not fit.
        EquipoiseError: As `equipoise.models.load_model`, and as the network's first forward pass.
    """
    if isinstance(model, str):
        load_text = _of_own if is_reference(model) else _registered
        found: Any = load_text(model, weights, device)
    else:
        found = model
    if isinstance(found, nn.Module):
        name = model if isinstance(model, str) else type(found).__name__
        return _alone(found, name, output, preprocess, classes)
    return described(_as_network(found), output=output, preprocess=preprocess, classes=classes)


def described(
    network: Network,
    *,
    output: Output = None,
    preprocess: Any = None,  # any function of a photo
    classes: Sequence[str] | None = None,
) -> Network:
    """A network with what is said of it in place of what was known; see `load`."""
    spec, notes = network.spec, list(network.notes)
    if preprocess is not None:
        spec = replace(spec, preprocessing=as_preprocessing(preprocess))
    if classes is not None:
        spec = with_classes(spec, classes)
    return replace(network, spec=spec, notes=tuple(notes), output=network.output if output is None else output)


def fetch(name: str) -> None:
    """Have what a network needs at hand, without building it.

    Raises:
        EquipoiseError: If there is no such network or function, or its weights cannot be had.
    """
    if is_reference(name):
        _maker(name)
    else:
        models.fetch(name)


@functools.lru_cache(maxsize=2)
def load_kept(name: str) -> Network:
    """As `load`, by name alone; the two last used are kept."""
    return load(name)


def load_model(
    name: str, weights: Weights = None, device: torch.device | str | None = None
) -> tuple[nn.Module, ModelSpec]:
    """A convolutional network in eval mode, and what is known about it.

    Args:
        name: As `equipoise.models.load_model` takes it, or ``"package.module:build"``: a function of your own that
            returns a network, or one and its `ModelSpec`.
        weights: ``None`` for the pretrained weights of that name, ``"random"``, or a file.
        device: Where the network goes; ``None`` for the CPU.

    Raises:
        EquipoiseError: As `load`.
    """
    network = load(name, weights=weights, device=device)
    return network.module, network.spec


def _as_network(found: Any) -> Network:
    if isinstance(found, Network):
        return found
    if isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], nn.Module):
        return Network(*found)
    kind = type(found).__name__
    raise UnsupportedModelError(f"a network is a name, a torch.nn.Module or the pair (module, spec), not {kind}")


def _registered(name: str, weights: Weights, device: str | torch.device | None) -> Network:
    module, spec = models.load_model(name, weights=weights, device=device)
    notes: tuple[str, ...] = ()
    if weights not in {None, "random"} and (note := unnamed(spec)):
        words = getattr(spec.preprocessing, "words", "prepared")
        notes = (note, f"photos are {words}, as for the pretrained weights of {spec.architecture}")
    return Network(module, spec, name, notes=notes)


def _maker(reference: str) -> Any:
    """A network of a user's own, or the function that makes it.

    Raises:
        OptionError: If there is neither.
        UnsupportedModelError: If what is there takes arguments, or is no function.
    """
    made = resolve(reference)
    if not isinstance(made, nn.Module | tuple | Network):
        try:
            inspect.signature(made).bind()
        except (TypeError, ValueError) as error:
            raise UnsupportedModelError(f"{reference} is no function that makes a network without arguments") from error
    return made


def _of_own(reference: str, weights: Weights, device: str | torch.device | None) -> nn.Module | Network:
    """What a function of a user's own returns, in eval mode."""
    made = _maker(reference)
    if not isinstance(made, nn.Module | tuple | Network):
        made = made()
    if isinstance(made, Network):
        made = (made.module, made.spec)
    module, spec = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(module, nn.Module) or not isinstance(spec, ModelSpec | None):
        raise UnsupportedModelError(f"{reference} must return a torch.nn.Module, or one and its ModelSpec")
    if weights is not None:
        from equipoise.models.checkpoints import load_strictly, read_state_dict  # noqa: PLC0415  # loads safetensors

        load_strictly(module, read_state_dict(Path(weights)), name=reference, file=fspath(weights))
    module = module.eval().to(device or "cpu")
    return module if spec is None else Network(module, spec, reference)


def _alone(module: nn.Module, name: str, output: Output, preprocess: Any, classes: Sequence[str] | None) -> Network:
    """A network that came without a description, described as far as that can be found out."""
    notes: list[str] = []
    preprocessing: Preprocessing | OwnPreprocessing
    if preprocess is None:
        preprocessing, assumed = found_preprocessing(module)
        notes.append(f"{assumed} (preprocess= sets it)")
    else:
        preprocessing = as_preprocessing(preprocess)
    gray = preprocessing(Image.new("RGB", (256, 256), (128, 128, 128)))
    outputs = logits_of(module, like_weights(gray[None], module), output).shape[1]
    spec, assumed_names = spec_of(module, outputs, preprocessing, name=name, classes=classes)
    notes += [f"{note} (classes= sets them)" for note in assumed_names]
    return Network(module, spec, name, output, tuple(notes))
