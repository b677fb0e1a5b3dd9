"""Load networks by name."""

from __future__ import annotations

import fnmatch
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise._registry import nearest
from equipoise.errors import UnknownNameError, WeightsError
from equipoise.models.arguments import agreed, with_arguments
from equipoise.models.checkpoints import (
    count_channels,
    count_classes,
    file_checksum,
    load_strictly,
    read_tensors,
    state_checksum,
)
from equipoise.models.construction import seeded, skeleton
from equipoise.models.every_source import SOURCES
from equipoise.models.labels import class_names
from equipoise.models.sources import ModelEntry
from equipoise.models.spec import ModelSpec
from equipoise.models.wrappings import StateDict, fitted

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import nn

RANDOM = "random"
_NEARLY = 0.9  # of the tensors


def find(name: str) -> ModelEntry:
    """The entry behind a name, nothing built or fetched.

    Args:
        name: As `load_model` takes it.

    Raises:
        UnknownNameError: If no source has such a network or such weights; the text lists the nearest names.
        UnsupportedModelError: If it is no convolutional network.
    """
    prefix, slash, rest = name.partition("/")
    sources = [SOURCES[prefix]] if slash else list(SOURCES.values())
    wanted = rest if slash else name
    for source in sources:
        if (entry := source.find(wanted)) is not None:
            return entry
    architecture, dot, _ = wanted.partition(".")
    siblings = [entry for source in sources if dot and (entry := source.find(architecture)) is not None]
    if siblings:
        tags = [
            known
            for source in sources
            for known in source.names()
            if known.casefold().startswith(f"{architecture.casefold()}.")
        ]
        shown = ", ".join(tags[:12]) + (", ..." if len(tags) > 12 else "")
        raise UnknownNameError(f"{architecture} has no weights called {name!r}; there are {shown or 'none'}")
    known = [name for source in sources for name in source.architectures()]
    near = nearest(wanted, known) if wanted else []
    hint = f"did you mean {' or '.join(near)}?" if near else "see `equipoise list models`"
    raise UnknownNameError(f"no model is called {name!r}; {hint}")


def load_model(
    name: str,
    weights: str | PathLike[str] | None = None,
    device: torch.device | str | None = None,
    **arguments: Any,
) -> tuple[nn.Module, ModelSpec]:
    """A convolutional network in eval mode, and what is known about it.

    Args:
        name: An architecture of torchvision or timm (``"vgg16"``, ``"convnext_tiny"``), with its weights if
            not the default ones are meant (``"resnet50.IMAGENET1K_V1"``, ``"resnet50.tv_in1k"``), with its
            source if not the first that has it is meant (``"timm/resnet50"``); or ``"efficientnet_lite0"``,
            whose weights need no network; or ``"torchray/vgg16_voc"``, ``"torchray/resnet50_coco"`` and their
            like. Case of letters does not matter. Sources in order: the bundled network, torchvision, timm,
            torchray.
        weights: ``None`` for the pretrained weights of that name; ``"random"`` for the library's own random
            start from a fixed seed, the same in every process and without any download; or a file:
            safetensors or a state dict saved by torch, read without running code from it. A file must hold
            exactly the network's tensors; its shapes decide the numbers of classes and channels.
        device: Where the network goes; ``None`` for the CPU.
        **arguments: Keyword arguments that build the network: ``num_classes``, ``in_chans`` and those of the
            library's constructor.

    Returns:
        The network, and its `ModelSpec`.

    Raises:
        UnknownNameError: If no network has that name; the text lists the nearest names.
        UnsupportedModelError: If the network is no convolutional network, or has no classifier.
        WeightsError: If weights are missing, cannot be fetched, are damaged, or do not fit.
        OptionError: If the network takes no such argument.
    """
    entry = with_arguments(find(name), arguments)
    said = {key: value for key, value in arguments.items() if key in {"num_classes", "in_chans"}}
    classes, channels = said.get("num_classes", entry.classes), said.get("in_chans", entry.preprocessing.channels)
    if weights is None:
        network, checksum = entry.pretrained()
        label, full = entry.tag or "pretrained", entry.name
    elif weights == RANDOM:
        network = seeded(entry.construct, classes)
        checksum, label, full = state_checksum(network), RANDOM, entry.base
    else:
        network, checksum, classes, channels = _from_file(entry, Path(weights), said)
        label, full = fspath(weights), entry.base
    names, synonyms = class_names(classes, entry.labels)
    spec = ModelSpec(
        name=full,
        source=entry.source,
        architecture=entry.architecture,
        classes=names,
        preprocessing=entry.preprocessing.with_channels(channels),
        weights=label,
        weights_checksum=checksum,
        license=entry.license if weights is None else None,
        citation=entry.citation if weights is None else None,
        synonyms=synonyms,
    )
    return network.to(device or "cpu").eval(), spec


def fetch(name: str) -> Path:
    """Have the pretrained weights of a network at hand, downloaded if need be; nothing is built.

    Args:
        name: As `load_model` takes it.

    Returns:
        Their file.

    Raises:
        UnknownNameError: If no network has that name; the text lists the nearest names.
        UnsupportedModelError: If the network is no convolutional network, or has no classifier.
        WeightsError: If there are none, or they cannot be fetched.
    """
    return find(name).fetch()


def build(name: str, num_classes: int = 1000) -> nn.Module:
    """A network with random weights from a fixed seed, in eval mode, on the CPU; never a download.

    Args:
        name: As `load_model` takes it, and as `equipoise.models.cnn_families` lists it.
        num_classes: Number of outputs.

    Raises:
        UnknownNameError: If no network has that name.
        UnsupportedModelError: If it is no convolutional network.
    """
    return seeded(find(name).construct, num_classes).eval()


def list_models(pattern: str | None = None) -> list[str]:
    """Names of all pretrained convolutional classifiers, each as `load_model` takes it.

    Args:
        pattern: Keep the names that contain it; or, if it has one of ``*?[``, that match it as a shell
            would; in any case of letters. ``None`` keeps all.

    Returns:
        Sources in the order of look-up, within a source as its library orders them.
    """
    names = [f"{source}/{name}" for source, models in SOURCES.items() for name in models.names()]
    if pattern is None:
        return names
    folded = pattern.casefold()
    if not set(folded) & set("*?["):
        folded = f"*{folded}*"
    return [
        name
        for name in names
        if fnmatch.fnmatchcase(name.casefold(), folded)
        or fnmatch.fnmatchcase(name.casefold().partition("/")[2], folded)
    ]


def _from_file(entry: ModelEntry, path: Path, said: Mapping[str, int]) -> tuple[nn.Module, str, int, int]:
    """The network with the weights of a file, the file's checksum, and how many classes and channels it has."""
    file, plain = str(path), skeleton(entry.construct, entry.classes)
    state = fitted(read_tensors(path), plain.state_dict().keys(), file=file)
    state = entry.translate(state, plain)
    classes = count_classes(state, entry.construct, entry.classes)
    agreed("num_classes", said.get("num_classes"), classes, file=file)
    built = said.get("in_chans", entry.preprocessing.channels)
    channels = count_channels(state, entry.construct, classes, built)
    agreed("in_chans", said.get("in_chans"), channels, file=file)
    more = {} if channels == built else {"in_chans": channels}
    network = seeded(entry.construct, classes, **more)
    load_or_suggest(network, state, name=entry.base, file=file)
    return network, file_checksum(path), classes, channels


def load_or_suggest(network: nn.Module, state: StateDict, *, name: str, file: str) -> None:
    """As `load_strictly`; what does not fit is said together with the architecture that does, where one is found.

    Raises:
        WeightsError: As `load_strictly`.
    """
    try:
        load_strictly(network, state, name=name, file=file)
    except WeightsError as error:
        wanted = network.state_dict()
        fitting = sum(key in state and state[key].shape == tensor.shape for key, tensor in wanted.items())
        if fitting > _NEARLY * len(wanted):
            raise  # it is this architecture, and a few tensors are wrong
        from equipoise.models.candidates import suggestion  # noqa: PLC0415  # needs the sources above

        raise WeightsError(f"{error}{suggestion(state, [Path(file).stem], but=name)}") from error
