"""The one loader: a name, a function of a user's own, a module alone, one with its description, or a `Network`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from torch import Tensor, nn

from equipoise import models
from equipoise._references import is_reference, resolve
from equipoise._registry import Registry
from equipoise.answers import dense_task
from equipoise.engine.outputs import raw_output
from equipoise.errors import (
    EquipoiseError,
    NetworkError,
    NoScoresError,
    OptionError,
    UnknownNameError,
    UnsupportedModelError,
    WeightsError,
)
from equipoise.models.description import Description, Said, read_description
from equipoise.models.own import (
    as_binary,
    changed,
    channels_of,
    found_preprocessing,
    positions_of,
    preprocessing_from,
    retold,
    spec_of,
    unknown,
    unnamed,
)
from equipoise.models.own_preprocessing import as_preprocessing
from equipoise.models.spec import ModelSpec
from equipoise.network import Network, tried

if TYPE_CHECKING:
    import torch

    from equipoise.models.array_preprocessing import ArrayPreprocessing
    from equipoise.models.own_preprocessing import OwnPreprocessing
    from equipoise.models.preprocessing import Preprocessing

Model: TypeAlias = "str | nn.Module | tuple[nn.Module, ModelSpec] | Network"
"""Whatever a network is given as."""

_SIDES: Final = frozenset({"crop", "size"})  # of a photo, of an array

Weights: TypeAlias = "str | PathLike[str] | None"


def load(
    model: Model,
    *,
    weights: Weights = None,
    device: str | torch.device | None = None,
    said: Said | None = None,
    **more: Any,
) -> Network:
    """The network behind whatever it is given as.

    Args:
        model: A name of `equipoise.models.load_model`; ``"package.module:build"``, a function that returns a module,
            or one and its `ModelSpec`; a description ``"mynet.toml"`` (see `equipoise.models.description`); a program
            of `torch.export` or ONNX, ``"net.pt2"`` or ``"net.onnx"``; ``"hf:folder"`` or ``"hf:owner/name"``, a
            classifier of ``transformers``; a module; such a pair; or a `Network`.
        weights: For a name as of `equipoise.models.load_model`; for a function of your own a file of weights.
        device: Where a network loaded by name goes, ``None``: the CPU. One that is given stays where it is.
        said: What is said of it in place of what is known.
        **more: Fields of `Said`, likewise.

    Raises:
        UnsupportedModelError: If it is no network, or its preprocessing is a function, which has no fields.
        OptionError: If there is no such function, or what is said does not fit.
        EquipoiseError: As `equipoise.models.load_model`, and as the network's first forward pass.
    """
    said = replace(said or Said(), **more)
    if isinstance(model, str):
        kind = next(kind for kind in _KINDS.values() if kind.takes(model))
        found, said = kind.load(model, weights, device, said)
    else:
        _refuse_arguments(said, "a network that is built already")
        found = model
    if isinstance(found, nn.Module):
        return alone(found, model if isinstance(model, str) else type(found).__name__, said)
    return described(_as_network(found), said)


def described(network: Network, said: Said | None = None, **more: Any) -> Network:
    """A network with what is said of it in place of what was known; see `load`."""
    said = replace(said or Said(), **more)
    if said == Said():
        return network
    spec, assumed = network.spec, dict(network.assumed)
    if said.preprocess is not None:
        spec = replace(spec, preprocessing=as_preprocessing(said.preprocess))
        assumed.pop("preprocessing", None)
    if said.changes:
        spec = replace(spec, preprocessing=changed(spec, said.changes))
        # who says size, mean and deviation has said how photos are prepared
        if assumed.pop("preprocessing", None) and not (
            {"mean", "std"} <= set(said.changes) and _SIDES & set(said.changes)
        ):
            words = getattr(spec.preprocessing, "words", "")
            assumed["preprocessing"] = f"what was not said of preprocessing is assumed: photos are {words}"
    spec, still = retold(spec, said)
    if not still:
        assumed.pop("classes", None)
    if said.task is not None or said.activation is not None:
        assumed.pop("activation", None)
    return replace(
        network, spec=spec, assumed=assumed, output=network.output if said.output is None else said.output,
        examples=said.examples or network.examples,
    )  # fmt: skip


def load_bare(
    reference: str, weights: Weights, device: str | torch.device | None, said: Said
) -> tuple[nn.Module, Said]:
    """The network of a function of a user's own, as it is: not tried, since what it takes is known to others.

    Returns:
        The network, and what is left to say of it.

    Raises:
        OptionError: If ``reference`` is no ``package.module:build``.
        EquipoiseError: As `load`.
    """
    if not is_reference(reference):
        raise OptionError(f"a network of several inputs is made by package.module:build, not {reference!r}")
    found, said = _of_own(reference, weights, device, said)
    return (found.module if isinstance(found, Network) else found), said


def fetch(name: str) -> None:
    """Have what a network needs at hand, without building it.

    Raises:
        EquipoiseError: If there is no such network or function, or its weights cannot be had.
    """
    next(kind for kind in _KINDS.values() if kind.takes(name)).fetch(name)


def load_kept(name: str) -> Network:
    """As `load`, by name alone; the two last used are kept until one of their files changes."""
    return kept(name, next(kind for kind in _KINDS.values() if kind.takes(name)).stamp(name))


@functools.lru_cache(maxsize=2)
def kept(name: str, stamp: Hashable) -> Network:
    """The network of a name, and of the files that it had when it was loaded."""
    del stamp
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


@dataclass(frozen=True)
class _Kind:
    """One way in which a text names a network; the first that takes it loads it.

    Attributes:
        takes: Whether a text is of this kind.
        load: From the text, weights, device and what is said, the network, and what is left to say of it.
        fetch: Has its weights at hand.
        stamp: Another value when a file that it is read from is another, or has changed.
    """

    takes: Callable[[str], bool]
    load: Callable[[str, Weights, str | torch.device | None, Said], tuple[Any, Said]]
    fetch: Callable[[str], object]
    stamp: Callable[[str], Hashable] = lambda _: None


def _of_description(file: str, weights: Weights, device: str | torch.device | None, said: Said) -> tuple[Network, Said]:
    """The network that a file describes; ``weights`` and what is said in place of what it says."""
    told = _of_one_input(file)
    whole = said.over(told.said)
    if told.preprocessing_from is not None and whole.preprocess is None:
        found = preprocessing_from(told.preprocessing_from, told.architecture)
        whole = replace(whole, preprocess=found)
    network = load(told.architecture, weights=weights or told.weights, device=device, said=whole)
    return replace(network, name=file), Said()


def _of_one_input(file: str) -> Description:
    """What a file says of a network of one input.

    Raises:
        OptionError: If it is of several.
        DescriptionError: As `read_description`.
    """
    told = read_description(Path(file))
    if told.inputs:
        raise OptionError(
            f"{file} describes a network of the inputs {', '.join(told.inputs)}, and one input is needed here; "
            "equipoise.explain, equipoise serve, equipoise list layers and equipoise explain "
            f"{' '.join(f'{name}=FILE_OR_FOLDER' for name in told.inputs)} take it"
        )
    return told


def _fetch_description(file: str) -> None:
    told = _of_one_input(file)
    if told.weights is None:
        fetch(told.architecture)


def _fetch_registered(name: str) -> None:
    models.fetch(name)  # found when it is asked for: it loads torchvision and timm


def _of_huggingface(name: str, weights: Weights, device: str | torch.device | None, said: Said) -> tuple[Network, Said]:
    from equipoise.models.from_huggingface import load_huggingface  # noqa: PLC0415  # loads torchvision

    _refuse_arguments(said, name)
    module, spec, assumed = load_huggingface(name, weights)
    return Network(module.to(device or "cpu"), spec, name, "logits", assumed), said


def _fetch_huggingface(name: str) -> None:
    from equipoise.models.from_huggingface import fetch_huggingface  # noqa: PLC0415  # as above

    fetch_huggingface(name)


def _of_program(
    file: str, weights: Weights, device: str | torch.device | None, said: Said
) -> tuple[nn.Module | Network, Said]:
    """The network of a file that holds architecture and weights; the size of its input is what the file says."""
    from equipoise.models.programs import load_program  # noqa: PLC0415  # reads files of other libraries

    _refuse_arguments(said, file)
    if weights is not None:
        raise OptionError(f"{file} holds its own weights, so no others can be said of it")
    program = load_program(Path(file))
    changes = program.changes if said.preprocess is None else {}
    return program.module.to(device or "cpu"), replace(said, changes={**changes, **said.changes})


def _fetch_program(file: str) -> None:
    if not Path(file).is_file():
        raise WeightsError(f"there is no file {file}")


def _registered(name: str, weights: Weights, device: str | torch.device | None, said: Said) -> tuple[Network, Said]:
    module, spec = models.load_model(name, weights=weights, device=device, **said.arguments)
    assumed = {} if weights is None and not said.arguments else _assumed(weights, spec)
    if len(spec.classes) == 1 and said.task is None and said.activation != "none":
        spec, assumed["activation"] = as_binary(spec)
    return Network(module, spec, name, assumed=assumed), replace(said, arguments={})


def _assumed(weights: Weights, spec: ModelSpec) -> dict[str, str]:
    """What is assumed of a registered architecture of other classes or channels than the name's own."""
    from equipoise.models.zoo import find  # noqa: PLC0415  # loads torchvision and timm

    try:
        entry = find(f"{spec.source}/{spec.architecture}")
    except UnknownNameError:
        return {}  # of a source that is not registered, which says all that there is to say
    others, channels = len(spec.classes) != entry.classes, getattr(spec.preprocessing, "channels", 3)
    assumed: dict[str, str] = {}
    if weights is None and others:
        assumed["weights"] = f"only the classifier of the {len(spec.classes)} classes is not pretrained: it is random"
    own = weights not in {None, "random"}
    if (own and (others or unnamed(spec))) or channels != entry.preprocessing.channels:
        words = getattr(spec.preprocessing, "words", "prepared")
        how = "--size, --mean and --std, or a description, set it"
        assumed["preprocessing"] = f"photos are {words}, as for the pretrained weights of {spec.architecture} ({how})"
    if (own or others) and (note := unnamed(spec)):
        assumed["classes"] = f"{note} (--classes, or a description, sets them)"
    return assumed


def _maker(reference: str, arguments: Mapping[str, Any]) -> Any:
    """A network of a user's own, or the function that makes it from ``arguments``.

    Raises:
        OptionError: If there is neither.
        UnsupportedModelError: If what is there takes other arguments, or is no function.
    """
    made = resolve(reference)
    if not isinstance(made, nn.Module | tuple | Network):
        try:
            inspect.signature(made).bind(**arguments)
        except (TypeError, ValueError) as error:
            said = f"with the arguments {', '.join(arguments)}" if arguments else "without arguments"
            raise UnsupportedModelError(f"{reference} is no function that makes a network {said}") from error
    return made


def _of_own(
    reference: str, weights: Weights, device: str | torch.device | None, said: Said
) -> tuple[nn.Module | Network, Said]:
    """What a function of a user's own returns, in eval mode."""
    made = _maker(reference, said.arguments)
    if not isinstance(made, nn.Module | tuple | Network):
        made = made(**said.arguments)
    else:
        _refuse_arguments(said, reference)
    if isinstance(made, Network):
        made = (made.module, made.spec)
    module, spec = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(module, nn.Module) or not isinstance(spec, ModelSpec | None):
        raise UnsupportedModelError(f"{reference} must return a torch.nn.Module, or one and its ModelSpec")
    if weights is not None:
        from equipoise.models.checkpoints import read_tensors  # noqa: PLC0415  # loads safetensors
        from equipoise.models.wrappings import fitted  # noqa: PLC0415  # as above
        from equipoise.models.zoo import load_or_suggest  # noqa: PLC0415  # loads torchvision and timm

        state = fitted(read_tensors(Path(weights)), module.state_dict().keys(), file=fspath(weights))
        load_or_suggest(module, state, name=reference, file=fspath(weights))
    module = module.eval().to(device or "cpu")
    return module if spec is None else Network(module, spec, reference), replace(said, arguments={})


def _refuse_arguments(said: Said, what: str) -> None:
    if said.arguments:
        raise OptionError(f"{', '.join(said.arguments)} cannot be said of {what}: it takes no arguments")


def alone(module: nn.Module, name: str, said: Said) -> Network:
    """A network that came without a description, described as far as that can be found out; see `load`."""
    assumed: dict[str, str] = {}
    preprocessing: Preprocessing | OwnPreprocessing | ArrayPreprocessing
    if said.preprocess is None:
        preprocessing, note = found_preprocessing(module)
        assumed["preprocessing"] = f"{note} (preprocess=, or --size, --mean and --std, or a description, sets it)"
    else:
        preprocessing = as_preprocessing(said.preprocess)
    network = Network(module, unknown(name, preprocessing), name, said.output, assumed)
    if said.changes:  # before the network is tried, since it may take nothing else
        count = channels_of(module) or 1
        values = {"mean": (0.0,) * count, "std": (1.0,) * count} if "size" in said.changes else {}  # of an array
        network = described(network, changes={**values, **said.changes})
    preprocessing = network.spec.preprocessing
    assumed = dict(network.assumed)
    try:
        scores, squashing = tried(module, network.black(), said.output)
    except NetworkError as error:
        raise _other_channels(network, error) from error
    except NoScoresError as error:
        spec, unsaid, assumed["task"] = _dense(network, said, error)
    else:
        spec, unsaid = spec_of(module, scores.shape[1], preprocessing, name=name)
        if said.activation is None:
            spec, assumed["activation"] = _found_out(spec, squashing, said)
    assumed["classes"] = f"{unsaid} (classes=, or --classes, or a description, sets them)"
    known = {key: note for key, note in assumed.items() if note}
    return described(replace(network, spec=spec, assumed=known), replace(said, preprocess=None, changes={}))


def _dense(network: Network, said: Said, error: NoScoresError) -> tuple[ModelSpec, str | None, str]:
    """The description of a network that gives a class for each pixel, or boxes, and notes on its classes and task.

    Raises:
        NoScoresError: If it gives neither.
    """
    raw = raw_output(error.result) if said.output is None else error.result
    task = dense_task(raw)
    if task is None:
        raise error
    count = raw.shape[1] if isinstance(raw, Tensor) else 0
    spec, unsaid = spec_of(network.module, count, network.spec.preprocessing, name=network.name)
    note = {
        "segmentation": "the network gives a class for each pixel; a class is explained where it is the highest",
        "detection": "the network gives boxes; a box is explained by its score, and a class by its best box",
    }[task]
    return replace(spec, task=task), unsaid, note if said.task is None else ""


def _other_channels(network: Network, error: NetworkError) -> EquipoiseError:
    """Why a network failed on what its preprocessing makes, where the number of channels tells it."""
    count, told = channels_of(network.module), getattr(network.spec.preprocessing, "channels", None)
    dims, space = positions_of(network.module), network.spec.preprocessing.space
    if dims in {1, 3} and len(space) == 2:
        kind, size = {1: ("signals", "[LENGTH]"), 3: ("volumes", "[DEPTH, HEIGHT, WIDTH]")}[dims]
        return OptionError(
            f"{network.name} takes {kind}, whose size nobody said: preprocessing.size = {size} in a description, "
            "--size, or preprocess=equipoise.models.ArrayPreprocessing(size, ...)"
        )
    if told is None or count in {None, told}:
        return error
    return OptionError(f"preprocessing makes {told} channels (a mean each), and {network.name} takes {count}")


def _found_out(spec: ModelSpec, squashing: str | None, said: Said) -> tuple[ModelSpec, str]:
    """What a network's last operation says of its outputs, and a note."""
    note = ""
    if squashing is not None:
        spec = replace(spec, activation="none")
        note = f"the network ends in a {squashing}, so its outputs are taken as they are"
    if said.task is not None:
        return spec, note
    if spec.task != "classification":  # it says so itself
        return spec, f"the outputs are taken for {spec.task}, as the network's config says"
    if squashing == "sigmoid" and spec.outputs > 1:
        return replace(spec, task="multi-label"), f"{note} (multi-label)"
    if spec.outputs == 1 and (said.classes is None or len(said.classes) != 2):
        binary, why = as_binary(spec)
        return binary, f"{note} (binary)" if note else why
    return spec, note


def _stamp(name: str) -> Hashable:
    """Where the files are that a name is read from, how long they are, and when they were written."""
    path = Path(name.removeprefix("hf:"))
    files = [path]
    if path.suffix == ".toml" and path.is_file():
        told = read_description(path)
        files += [Path(told.architecture.removeprefix("hf:")), *([told.weights] if told.weights else [])]
    files += [inner for folder in files if folder.is_dir() for inner in sorted(folder.iterdir())]
    return tuple((str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.exists())


_KINDS: Final[Registry[_Kind]] = Registry("kind of model name")
_KINDS.add("description", _Kind(lambda text: text.endswith(".toml"), _of_description, _fetch_description, _stamp))
_KINDS.add("hugging face", _Kind(lambda text: text.startswith("hf:"), _of_huggingface, _fetch_huggingface, _stamp))
_KINDS.add("program", _Kind(lambda text: text.endswith((".pt2", ".onnx")), _of_program, _fetch_program, _stamp))
_KINDS.add("reference", _Kind(is_reference, _of_own, lambda name: _maker(name, {})))
_KINDS.add("name", _Kind(lambda _: True, _registered, _fetch_registered))
