"""timm's image classifiers."""

from __future__ import annotations

import sys
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import timm
from timm.models import PretrainedCfg

from equipoise.errors import UnsupportedModelError, WeightsError
from equipoise.models.checkpoints import file_checksum, matches, read_state_dict
from equipoise.models.construction import own_randomness
from equipoise.models.downloads import fetch_hub, fetch_url
from equipoise.models.families import Kind, require_cnn, timm_architectures, timm_kind
from equipoise.models.preprocessing import Preprocessing
from equipoise.models.sources import ModelEntry
from equipoise.models.wrappings import StateDict

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn


@cache
def _tags() -> dict[str, dict[str, str]]:
    """For each architecture its pretrained tags, from any-case spelling to timm's; the default first."""
    tags: dict[str, dict[str, str]] = {}
    for name in timm.list_pretrained():
        architecture, _, tag = name.partition(".")
        tags.setdefault(architecture, {})[tag.casefold()] = tag
    return tags


def translate(state: StateDict, network: nn.Module) -> StateDict:
    """Pass a file of other names through the filter that timm keeps for the network's original weights."""
    rename = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if rename is None or matches(network, state):
        return state
    try:
        renamed: StateDict = rename(dict(state), network)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
        return state  # not those weights either; the strict check will say what does not fit
    return renamed


def _construct(architecture: str, classes: int, **arguments: Any) -> nn.Module:
    network: nn.Module = timm.create_model(architecture, num_classes=classes, **arguments)
    return network


def _fetch(architecture: str, config: PretrainedCfg) -> Path:
    name = f"timm/{architecture}" + (f".{config.tag}" if config.tag else "")
    if not config.has_weights:
        raise WeightsError(
            f"timm has no pretrained weights for {architecture}: pass a file as weights= (--weights FILE), "
            "or weights='random'"
        )
    if not config.num_classes:
        raise UnsupportedModelError(f"{name} has no classifier, so there is no class score to explain")
    if config.hf_hub_id:
        return fetch_hub(config.hf_hub_id, config.hf_hub_filename, name=name)
    return fetch_url(config.url, name=name)


def _pretrained(architecture: str, config: PretrainedCfg, **arguments: Any) -> tuple[nn.Module, str]:
    name = f"timm/{architecture}" + (f".{config.tag}" if config.tag else "")
    path = _fetch(architecture, config)
    custom = config.custom_load and (not config.hf_hub_id or bool(config.hf_hub_filename))
    if not custom:
        read_state_dict(path)  # refuses code in the file, which timm before 1.0.16 would have run
    overlay = {"file": str(path), "custom_load": custom}
    try:
        with own_randomness():  # a classifier of other classes starts at random
            network: nn.Module = timm.create_model(
                f"{architecture}.{config.tag}" if config.tag else architecture,
                pretrained=True,
                pretrained_cfg_overlay=overlay,
                **arguments,
            )
    except (RuntimeError, KeyError, ValueError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{path} does not fit {name}: {reason}") from error
    return network, file_checksum(path)


class Timm:
    """Networks of `timm.models`; a tag names one of the network's pretrained weights."""

    def names(self) -> list[str]:
        """Each network with each of its weights that end in a classifier."""
        cnns = set(self.architectures())
        return [
            name
            for name in timm.list_pretrained()
            if name.partition(".")[0] in cnns and timm.get_pretrained_cfg(name).num_classes
        ]

    def architectures(self) -> list[str]:
        """All convolutional networks."""
        return [name for name in timm_architectures() if timm_kind(name) is Kind.CNN]

    def find(self, name: str) -> ModelEntry | None:
        """The entry, with timm's default weights where no tag is given."""
        architecture, _, tag = name.casefold().partition(".")
        if architecture not in timm_architectures():
            return None
        require_cnn(architecture, timm_kind(architecture))
        tags = _tags().get(architecture, {})
        if tag and tag not in tags:
            return None
        full = f"{architecture}.{tags[tag]}" if tag else architecture
        config = timm.get_pretrained_cfg(full, allow_unregistered=True)
        known = config.to_dict() if config is not None else {"num_classes": 1000}
        config = config or PretrainedCfg(architecture=architecture)
        return ModelEntry(
            source="timm",
            architecture=architecture,
            tag=config.tag or None if config.has_weights else None,
            classes=config.num_classes or 1000,
            preprocessing=Preprocessing.from_timm(timm.data.resolve_data_config({}, pretrained_cfg=known)),
            construct=partial(_construct, architecture),
            fetch=partial(_fetch, architecture, config),
            pretrained=partial(_pretrained, architecture, config),
            translate=translate,
            labels=tuple(config.label_names) if config.label_names else None,
            license=config.license,
            citation=config.paper_ids or config.origin_url,
        )
