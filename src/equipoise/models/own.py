"""The description of a network that came without one; whatever is assumed is said in a note."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from torch import Tensor, nn
from torch.fx import GraphModule

from equipoise.errors import OptionError, UnsupportedModelError
from equipoise.models.array_preprocessing import ArrayPreprocessing
from equipoise.models.preprocessing import Preprocessing
from equipoise.models.spec import ModelSpec, check_activation, check_task

if TYPE_CHECKING:
    from equipoise.models.description import Said
    from equipoise.models.own_preprocessing import OwnPreprocessing
    from equipoise.models.spec import Task

_OF_ARRAYS: Final = ("size", "mean", "std", "value_range")
_CONVOLUTIONS: Final = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def found_preprocessing(module: nn.Module) -> tuple[Preprocessing, str]:
    """What can be found out about a network's preprocessing, and a note that says so.

    A network of timm carries that of its pretrained weights; for any other ImageNet's is assumed.
    """
    config = getattr(module, "pretrained_cfg", None) or getattr(getattr(module, "config", None), "pretrained_cfg", None)
    if isinstance(config, Mapping) and config.get("input_size"):
        import timm  # noqa: PLC0415  # takes time

        known = Preprocessing.from_timm(timm.data.resolve_data_config({}, pretrained_cfg=dict(config)))
        return known, f"no preprocessing was given, so photos are {known.words}, as the network's pretrained_cfg says"
    usual = Preprocessing().with_channels(channels_of(module) or 3)
    return usual, f"no preprocessing was given, so photos are {usual.words}, as is usual for ImageNet"


def spec_of(
    module: nn.Module, outputs: int, preprocessing: Preprocessing | OwnPreprocessing | ArrayPreprocessing, *, name: str
) -> tuple[ModelSpec, str | None]:
    """The description of a network that came without, and a note on its classes.

    Args:
        module: The network.
        outputs: How many class scores it has; 1000 are ImageNet's.
        preprocessing: Of photos.
        name: For people.
    """
    from equipoise.models.checkpoints import state_checksum  # noqa: PLC0415  # loads safetensors
    from equipoise.models.labels import class_names  # noqa: PLC0415  # loads torchvision and timm

    names, synonyms = class_names(outputs)
    told = labels_of(module, outputs)
    spec = ModelSpec(name, "own", type(module).__name__, told or names, preprocessing, "own", state_checksum(module),
                     synonyms=() if told else synonyms, task=task_of(module, outputs) or "classification")  # fmt: skip
    if told:
        return spec, "no class names were given, so the classes have those of the network's id2label"
    return spec, unnamed(spec) or f"no class names were given, so the {outputs} classes have those of a usual set"


def labels_of(module: nn.Module, outputs: int) -> tuple[str, ...] | None:
    """The names of its classes that a network of `transformers` carries; ``None`` if it has none."""
    labels = getattr(getattr(module, "config", None), "id2label", None)
    if not isinstance(labels, Mapping) or len(labels) != outputs:
        return None
    names = tuple(str(labels.get(index, labels.get(str(index)))) for index in range(outputs))
    return None if names == tuple(f"LABEL_{index}" for index in range(outputs)) else names


def task_of(module: nn.Module, outputs: int) -> Task | None:
    """What a network of `transformers` says that its outputs are; ``None`` if it says nothing.

    One output is a value, as for the loss of `transformers`, unless it says otherwise.
    """
    config = getattr(module, "config", None)
    if config is None or not hasattr(config, "problem_type"):
        return None
    kind = "regression" if config.problem_type is None and outputs == 1 else config.problem_type
    known: dict[str | None, Task] = {"regression": "regression", "multi_label_classification": "multi-label"}
    return known.get(kind)


def unknown(name: str, preprocessing: Preprocessing | OwnPreprocessing | ArrayPreprocessing) -> ModelSpec:
    """A description that knows nothing but how photos are prepared."""
    return ModelSpec(name, "own", "", (), preprocessing, "own", "")


def unnamed(spec: ModelSpec) -> str | None:
    """A note on classes that have numbers for names; ``None`` if they have names."""
    if not spec.classes:
        return "no class names were given, so a box's class is called by its label"
    if not is_numbered(spec.classes):
        return None
    last = len(spec.classes) - 1
    return (
        f"no class names were given, so they are called class 0 to class {last}"
        if last
        else ("no class name was given, so the one score is called class 0")
    )


def is_numbered(classes: Sequence[str]) -> bool:
    """Whether classes have numbers for names."""
    return tuple(classes) == tuple(f"class {index}" for index in range(len(classes)))


def as_binary(spec: ModelSpec) -> tuple[ModelSpec, str]:
    """A network of one output, taken for the logit of the second of two classes, and a note that says so."""
    note = (
        "the one output is taken for a logit: class 1 where it is positive, class 0 where it is negative "
        '(task = "regression" says that it is a value)'
    )
    return replace(spec, task="binary", classes=("class 0", "class 1"), synonyms=()), note


def retold(spec: ModelSpec, said: Said) -> tuple[ModelSpec, bool]:
    """A network's description with other classes, task and activation.

    Args:
        spec: What is known.
        said: What is said.

    Returns:
        The description, and whether its classes have nobody's names.

    Raises:
        OptionError: If there are more or fewer names than classes, or task and activation do not fit the outputs.
    """
    outputs = spec.outputs
    task = _task(spec, said, outputs)
    activation = check_activation(said.activation)
    if activation is None and (task == spec.task or spec.activation == "none"):  # none: it was found out
        activation = spec.activation
    if activation == "softmax" and outputs == 1:
        raise OptionError(f"the softmax of the one output of {spec.name} is always 1; say sigmoid, or none")
    names: Sequence[str] = spec.classes
    if task != spec.task and (is_numbered(names) or "binary" in {task, spec.task}):
        names = _numbered(task, outputs)
    if said.classes is not None:
        names = _checked(said.classes, spec, 2 if task == "binary" else outputs)
    plain = replace(
        spec, task=task, activation=activation, classes=tuple(names),
        synonyms=spec.synonyms if tuple(names) == spec.classes else (),
        unit=spec.unit if said.unit is None else said.unit,
        threshold=spec.threshold if said.threshold is None else said.threshold,
    )  # fmt: skip
    return plain, said.classes is None and is_numbered(names)


def _task(spec: ModelSpec, said: Said, outputs: int) -> Task:
    if said.task == "binary" and outputs != 1:
        raise OptionError(f"a binary network has one output, and {spec.name} has {outputs}; say classification")
    if said.task is not None:
        return check_task(said.task)
    if outputs == 1 and said.activation == "none":
        return "regression"
    if outputs == 1 and (said.activation == "sigmoid" or (said.classes is not None and len(said.classes) == 2)):
        return "binary"
    if said.activation == "sigmoid" and spec.task == "classification":
        return "multi-label"
    return spec.task


def _numbered(task: Task, outputs: int) -> list[str]:
    if task == "binary":
        return ["class 0", "class 1"]
    word = {"regression": "value", "embedding": "dimension"}.get(task, "class")
    return [word] if outputs == 1 and word == "value" else [f"{word} {index}" for index in range(outputs)]


def _checked(classes: Any, spec: ModelSpec, count: int) -> Sequence[str]:
    if isinstance(classes, str) or not all(isinstance(name, str) for name in classes):
        raise OptionError(f"classes are a list of names, one per output, not {classes!r}")
    if len(classes) != count and spec.task != "detection":  # whose boxes have labels of any number
        has = "has one output of two classes" if count != spec.outputs else f"has {count} outputs"
        raise OptionError(f"{len(classes)} class names for {spec.name}, which {has}")
    return tuple(classes)


def changed(spec: ModelSpec, changes: Mapping[str, Any]) -> Preprocessing | ArrayPreprocessing:
    """A network's preprocessing with other fields.

    Raises:
        OptionError: If the fields do not fit one another.
        UnsupportedModelError: If its preprocessing is a function, which has no fields.
    """
    known = spec.preprocessing
    if "size" in changes:  # of a signal or a volume
        return ArrayPreprocessing(**{key: value for key, value in changes.items() if key in _OF_ARRAYS})
    if isinstance(known, ArrayPreprocessing):
        wrong = [key for key in changes if key not in _OF_ARRAYS]
        if wrong:
            raise OptionError(f"{', '.join(wrong)} cannot be said of arrays that are no pictures")
        return replace(known, **changes)
    if not isinstance(known, Preprocessing):
        raise UnsupportedModelError(f"the preprocessing of {spec.name} is a function, so its size is its own")
    said = [len(changes[key]) for key in ("mean", "std") if key in changes]
    return replace(known.with_channels(said[0]) if said else known, **changes)


def preprocessing_from(source: Path | str, architecture: str) -> Preprocessing:
    """Preprocessing as a preprocessor's file of Hugging Face says, or ``"timm"``'s configuration of an architecture.

    Raises:
        DescriptionError: If the file says nothing of the kind.
        UnknownNameError: If timm has no such architecture.
    """
    if isinstance(source, Path):
        from equipoise.models.hf_preprocessing import read_preprocessor  # noqa: PLC0415  # only this needs it

        return read_preprocessor(source)
    from equipoise.models.zoo import find  # noqa: PLC0415  # loads torchvision and timm

    return find(f"timm/{architecture.removeprefix('timm/')}").preprocessing


def positions_of(module: nn.Module) -> int | None:
    """How many dimensions of positions a network's first convolution sees; ``None`` if there is none."""
    for layer in module.modules():
        if isinstance(layer, _CONVOLUTIONS):
            return next(dims for dims, kind in enumerate(_CONVOLUTIONS, start=1) if isinstance(layer, kind))
    return None


def channels_of(module: nn.Module) -> int | None:
    """How many channels a network takes, as its first layer of weights says; ``None`` if that cannot be told."""
    for layer in module.modules():
        if isinstance(layer, _CONVOLUTIONS):
            return layer.in_channels
    for node in module.graph.nodes if isinstance(module, GraphModule) else ():  # an exported program has no layers
        if node.op == "placeholder" and isinstance(node.meta.get("val"), Tensor):
            side = node.meta["val"].shape[1:2]
            return int(side[0]) if side and isinstance(side[0], int) else None
    return None
