"""torchvision's image classifiers."""

from __future__ import annotations

import re
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torchvision
from torch import nn

from equipoise.errors import UnsupportedModelError
from equipoise.models.checkpoints import file_checksum, load_strictly, read_state_dict
from equipoise.models.downloads import fetch_url
from equipoise.models.families import Kind, require_cnn, torchvision_architectures, torchvision_kind
from equipoise.models.preprocessing import Preprocessing
from equipoise.models.sources import ModelEntry, refuse_other_shapes, without_shapes
from equipoise.models.wrappings import StateDict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torchvision.models import WeightsEnum

# Both as with their pretrained weights, less the auxiliary classifiers, which run in training alone.
_GOOGLE: Mapping[str, Any] = {"aux_logits": False, "transform_input": True, "init_weights": False}
_OPTIONS: Mapping[str, Mapping[str, Any]] = MappingProxyType({"googlenet": _GOOGLE, "inception_v3": _GOOGLE})
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")

_COLORS = 3

# Weights without a usable classifier.
_FEATURES_ONLY = frozenset({("vgg16", "IMAGENET1K_FEATURES")})

_OLD_DENSE_LAYER = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)")


def translate(state: StateDict, network: nn.Module) -> StateDict:
    """Drop auxiliary classifiers that ``network`` lacks; rename densenet's layers of before 2018."""
    known = network.state_dict()
    renamed = {_OLD_DENSE_LAYER.sub(r"\1\2", name): tensor for name, tensor in state.items()}
    return {name: tensor for name, tensor in renamed.items() if name in known or not name.startswith(_AUXILIARY)}


def _construct(architecture: str, classes: int, in_chans: int = 3, **arguments: Any) -> nn.Module:
    options = {**_OPTIONS.get(architecture, {}), **arguments}
    if in_chans != _COLORS and options.get("transform_input"):
        options["transform_input"] = False  # it changes the mean of three colors
    network: nn.Module = torchvision.models.get_model(architecture, weights=None, num_classes=classes, **options)
    return network if in_chans == _COLORS else _with_channels(network, in_chans)


def _with_channels(network: nn.Module, count: int) -> nn.Module:
    """The network with a first convolution of so many channels, which torchvision's own constructors cannot build."""
    name, first = next((name, part) for name, part in network.named_modules() if isinstance(part, nn.Conv2d))
    same: dict[str, Any] = {key: getattr(first, key) for key in ("kernel_size", "stride", "padding", "dilation")}
    changed = nn.Conv2d(count, first.out_channels, bias=first.bias is not None, padding_mode=first.padding_mode, **same)
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, changed)
    return network


def _fetch(architecture: str, weights: WeightsEnum) -> Path:
    name = f"torchvision/{architecture}.{weights.name}"
    if (architecture, weights.name) in _FEATURES_ONLY:
        raise UnsupportedModelError(f"{name} has no classifier, so there is no class score to explain")
    return fetch_url(weights.url, name=name)


def _pretrained(architecture: str, weights: WeightsEnum, **arguments: Any) -> tuple[nn.Module, str]:
    name, outputs = f"torchvision/{architecture}.{weights.name}", _outputs(weights)
    refuse_other_shapes(name, outputs, arguments)
    path = _fetch(architecture, weights)
    network = _construct(architecture, outputs, **without_shapes(arguments))
    load_strictly(network, translate(read_state_dict(path), network), name=name, file=str(path))
    return network, file_checksum(path)


def _outputs(weights: WeightsEnum) -> int:
    return len(weights.meta["categories"] or ()) or 1000


class Torchvision:
    """Networks of `torchvision.models`; a tag is a member of the network's weights enumeration."""

    def names(self) -> list[str]:
        """Each network with each of its weights."""
        return [
            f"{name}.{weights.name}"
            for name in self.architectures()
            for weights in torchvision.models.get_model_weights(name)
            if (name, weights.name) not in _FEATURES_ONLY
        ]

    def architectures(self) -> list[str]:
        """All convolutional networks."""
        return [name for name in torchvision_architectures() if torchvision_kind(name) is Kind.CNN]

    def find(self, name: str) -> ModelEntry | None:
        """The entry, with torchvision's default weights where no tag is given."""
        architecture, _, tag = name.casefold().partition(".")
        if architecture not in torchvision_architectures():
            return None
        require_cnn(architecture, torchvision_kind(architecture))
        choices = torchvision.models.get_model_weights(architecture)
        tags = {"": choices.DEFAULT, "default": choices.DEFAULT}
        tags |= {weights.name.casefold(): weights for weights in choices}
        if tag not in tags:
            return None
        weights = tags[tag]
        return ModelEntry(
            source="torchvision",
            architecture=architecture,
            tag=weights.name,
            classes=_outputs(weights),
            preprocessing=Preprocessing.from_torchvision(weights.transforms()),
            construct=partial(_construct, architecture),
            fetch=partial(_fetch, architecture, weights),
            pretrained=partial(_pretrained, architecture, weights),
            translate=translate,
            license=weights.meta.get("license"),
            citation=weights.meta.get("recipe"),
        )
