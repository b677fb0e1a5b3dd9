"""The description of a network that came without one; whatever is assumed is said in a note."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from equipoise.errors import OptionError
from equipoise.models.preprocessing import Preprocessing
from equipoise.models.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from equipoise.models.own_preprocessing import OwnPreprocessing


def found_preprocessing(module: nn.Module) -> tuple[Preprocessing, str]:
    """What can be found out about a network's preprocessing, and a note that says so.

    A network of timm carries that of its pretrained weights; for any other ImageNet's is assumed.
    """
    config = getattr(module, "pretrained_cfg", None)
    if isinstance(config, Mapping) and config.get("input_size"):
        import timm  # noqa: PLC0415  # takes time

        known = Preprocessing.from_timm(timm.data.resolve_data_config({}, pretrained_cfg=dict(config)))
        return known, f"no preprocessing was given, so photos are {known.words}, as the network's pretrained_cfg says"
    usual = Preprocessing()
    return usual, f"no preprocessing was given, so photos are {usual.words}, as is usual for ImageNet"


def spec_of(
    module: nn.Module,
    outputs: int,
    preprocessing: Preprocessing | OwnPreprocessing,
    *,
    name: str,
    classes: Sequence[str] | None = None,
) -> tuple[ModelSpec, tuple[str, ...]]:
    """The description of a network that came without, and notes on what was assumed.

    Args:
        module: The network.
        outputs: How many class scores it has.
        preprocessing: Of photos.
        name: For people.
        classes: Their names; ``None``: ImageNet's for 1000 outputs, else numbers.

    Raises:
        OptionError: If there are more or fewer names than outputs.
    """
    from equipoise.models.checkpoints import state_checksum  # noqa: PLC0415  # loads safetensors
    from equipoise.models.labels import class_names  # noqa: PLC0415  # loads torchvision and timm

    names, synonyms = class_names(outputs)
    spec = ModelSpec(name, "own", type(module).__name__, names, preprocessing, "own", state_checksum(module),
                     synonyms=synonyms)  # fmt: skip
    if classes is not None:
        return with_classes(spec, classes), ()
    return spec, (unnamed(spec) or f"no class names were given, so the {outputs} classes have those of a usual set",)


def unnamed(spec: ModelSpec) -> str | None:
    """A note on classes that have numbers for names; ``None`` if they have names."""
    if spec.classes != tuple(f"class {index}" for index in range(len(spec.classes))):
        return None
    last = len(spec.classes) - 1
    return (
        f"no class names were given, so they are called class 0 to class {last}"
        if last
        else ("no class name was given, so the one score is called class 0")
    )


def with_classes(spec: ModelSpec, classes: Sequence[str]) -> ModelSpec:
    """The same with other names for its classes.

    Raises:
        OptionError: If they are no names, or more or fewer than the network has classes.
    """
    if isinstance(classes, str) or not all(isinstance(name, str) for name in classes):
        raise OptionError(f"classes are a list of names, one per output, not {classes!r}")
    if len(classes) != len(spec.classes):
        raise OptionError(f"{len(classes)} class names for {spec.name}, which has {len(spec.classes)} outputs")
    return replace(spec, classes=tuple(classes), synonyms=())
