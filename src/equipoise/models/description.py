"""A network described in a file, ``mynet.toml``: one description that every command and call takes.

.. code-block:: toml

    architecture = "resnet18"        # a registered name, or package.module:build; or net.pt2, net.onnx, hf:folder,
                                     # which have their own weights
    weights = "mine.pth"             # beside the description; left out: those of the name
    num_classes = 2                  # left out: what the weights or the classes say
    in_chans = 1                     # channels of the input; left out: what the weights say
    classes = ["cat", "dog"]         # or a file: a name a line, a JSON list or dict, or one with id2label
    output = "logits"                # which part of the network's result holds the scores; may be left out
    task = "classification"          # or multi-label, binary, regression, embedding, segmentation, detection
    activation = "softmax"           # or sigmoid, none: what makes probabilities of the outputs
    threshold = 0.5                  # of multi-label: from which probability on a class is there
    unit = "years"                   # of a regression
    examples = "photos"              # a folder that the page offers

    [arguments]                      # others that build the architecture
    drop_rate = 0.1

    [preprocessing]                  # what is left out is the architecture's own
    from = "preprocessor_config.json" # of Hugging Face; or "timm": the architecture's pretrained_cfg
    size = 96                        # or [height, width], in pixels: what the network sees; [length] of a signal,
                                     # [depth, height, width] of a volume
    resize = 110                     # to which the photo is resized first; left out: size
    crop_mode = "center"             # "center", "squash" or "border"
    interpolation = "bilinear"
    mean = [0.5, 0.5, 0.5]           # of each channel, for pixels in value_range
    std = [0.25, 0.25, 0.25]
    value_range = [0, 1]             # what black and white are before the mean; the values of an array
    color_order = "RGB"              # or "BGR"

    [inputs.depth]                   # in place of [preprocessing], a table for each input of a network of several,
    size = 64                        # by the names of its forward: size, mean, std, and others as above
    mean = [0.5]
    std = [0.25]

Paths are relative to the description. It is checked before anything is loaded; what is wrong is one sentence with the
file, the key, and the nearest right key.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, TypeAlias, get_args

from equipoise._registry import nearest
from equipoise.errors import DescriptionError
from equipoise.models.preprocessing import CROP_MODES, ColorOrder
from equipoise.models.spec import ACTIVATIONS, Activation

_KEYS: Final = (
    "architecture", "weights", "num_classes", "in_chans", "classes", "output", "task", "activation", "threshold",
    "unit", "examples", "arguments", "preprocessing", "inputs",
)  # fmt: skip
_PREPROCESSING: Final = (
    "from", "size", "resize", "crop_mode", "interpolation", "mean", "std", "value_range", "color_order",
)  # fmt: skip
_FILES: Final = (".pt2", ".onnx")
_FOLDER: Final = "hf:"

Output: TypeAlias = int | str | Callable[[Any], Any] | None
"""Which part of a network's result; see `equipoise.attribute`."""

_INTERPOLATIONS: Final = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos")


@dataclass(frozen=True)
class Said:
    """What is said of a network in place of what is known; ``None`` and what is empty: nothing.

    Attributes:
        classes: Names, one per class.
        output: Which part of its result is the scores.
        task: What its outputs are.
        activation: What makes probabilities of them.
        threshold: Of ``"multi-label"``.
        unit: Of a regression.
        examples: Photos to offer: a folder.
        arguments: Keyword arguments that build the architecture: ``num_classes``, ``in_chans`` and others.
        preprocess: From a photo to the network's input: `Preprocessing`, or any function.
        changes: Fields of `Preprocessing`.
    """

    classes: Any = None  # as a user gave them: `retold` refuses what cannot be
    output: Output = None
    task: str | None = None
    activation: str | None = None
    threshold: float | None = None
    unit: str | None = None
    examples: Path | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    preprocess: Any = None
    changes: Mapping[str, Any] = field(default_factory=dict)

    def over(self, other: Said) -> Said:
        """Both, where this one counts for what both say."""
        mine = {one.name: getattr(self, one.name) for one in fields(self)}
        mine["changes"] = {**other.changes, **self.changes}
        mine["arguments"] = {**other.arguments, **self.arguments}
        return Said(**{name: getattr(other, name) if value is None else value for name, value in mine.items()})


@dataclass(frozen=True)
class Description:
    """What a file says of a network.

    Attributes:
        architecture: A registered name, ``package.module:build``, or as `equipoise.loading.load` takes it.
        weights: A file; ``None``: those of the name.
        said: The rest.
        preprocessing_from: A preprocessor's file, or ``"timm"``; ``None``: the architecture's own.
        inputs: Of a network of several inputs the fields of each one's preprocessing, by name.
    """

    architecture: str
    weights: Path | None = None
    said: Said = field(default_factory=Said)
    preprocessing_from: Path | str | None = None
    inputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def read_description(path: Path) -> Description:
    """Read and check a description; nothing is loaded.

    Raises:
        DescriptionError: If it is absent, no TOML, or says something that cannot be; the text names file and key.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DescriptionError(f"{path}: {error.strerror or 'cannot be read'}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DescriptionError(f"{path} is not TOML: {error}") from error
    check = _Check(path)
    check.known(table, _KEYS)
    preprocessing, arguments = (check.table(table, key) for key in ("preprocessing", "arguments"))
    check.known(preprocessing, _PREPROCESSING, "preprocessing.")
    architecture = _architecture(table.get("architecture"), check)
    for key in ("num_classes", "in_chans"):
        if key in table:
            if type(table[key]) is not int or table[key] < 1:
                check.wrong(key, table[key], "a positive whole number")
            arguments = {**arguments, key: table[key]}
    said = Said(
        classes=_classes(table.get("classes"), check),
        output=check.of_type(table, "output", (int, str), "an index or a key"),
        task=check.choice(table, "task", tuple(ACTIVATIONS)),
        activation=check.choice(table, "activation", get_args(Activation)),
        threshold=check.of_type(table, "threshold", (float, int), "a number between 0 and 1"),
        unit=check.of_type(table, "unit", (str,), "a text"),
        examples=_examples(table.get("examples"), check),
        arguments=arguments,
        changes=_changes(preprocessing, check),
    )
    source = check.of_type(preprocessing, "from", (str,), 'a file, or "timm"', "preprocessing.")
    if source is not None and source != "timm":
        source = check.beside("preprocessing.from", source)
    inputs = _inputs(check.table(table, "inputs"), check)
    if inputs and preprocessing:
        raise DescriptionError(f"{path}: preprocessing is said of each input, in [inputs.NAME]")
    return Description(architecture, _weights(table.get("weights"), check), said, source, inputs)


@dataclass(frozen=True)
class _Check:
    """Says what is wrong with which key of which file."""

    path: Path

    def wrong(self, key: str, value: object, expected: str) -> None:
        raise DescriptionError(f"{self.path}: {key} is {value!r}; it has to be {expected}")

    def known(self, table: Mapping[str, Any], keys: Sequence[str], before: str = "") -> None:
        for key in table:
            if key not in keys:
                near = nearest(key, list(keys), 1)
                hint = f"did you mean {before}{near[0]}? " if near else ""
                raise DescriptionError(f"{self.path} has no key {before}{key}; {hint}keys: {', '.join(keys)}")

    def table(self, table: Mapping[str, Any], key: str) -> dict[str, Any]:
        value = table.get(key, {})
        if not isinstance(value, dict):
            self.wrong(key, value, "a table")
        return dict(value)

    def of_type(self, table: Mapping[str, Any], key: str, kinds: tuple[type, ...], words: str, before: str = "") -> Any:
        value = table.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, kinds)):
            self.wrong(f"{before}{key}", value, words)
        return value

    def choice(self, table: Mapping[str, Any], key: str, choices: Sequence[str], before: str = "") -> Any:
        value = table.get(key)
        if value is not None and value not in choices:
            near = nearest(str(value), list(choices), 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            self.wrong(f"{before}{key}", value, f"one of {', '.join(choices)}{hint}")
        return value

    def beside(self, key: str, name: str) -> Path:
        found = self.path.parent / name
        if not found.is_file():
            raise DescriptionError(f"{self.path}: {key} is {name!r}, and there is no file {found}")
        return found


def _architecture(said: Any, check: _Check) -> str:
    """The architecture, its file or folder found beside the description."""
    if not isinstance(said, str) or not said or said.endswith(".toml"):
        check.wrong("architecture", said, "a registered name or package.module:build")
    name = str(said)
    if name.endswith(_FILES):
        return str(check.beside("architecture", name))
    folder = check.path.parent / name.removeprefix(_FOLDER)
    return f"{_FOLDER}{folder}" if name.startswith(_FOLDER) and folder.is_dir() else name


def _inputs(tables: Mapping[str, Any], check: _Check) -> dict[str, dict[str, Any]]:
    """The preprocessing of each of several inputs: nothing of it is guessed."""
    for name in tables:
        table, before = check.table(tables, name), f"inputs.{name}."
        check.known(table, _PREPROCESSING[1:], before)
        for key in ("size", "mean", "std"):
            if key not in table:
                raise DescriptionError(f"{check.path} has no {before}{key}, which nothing else tells")
    if len(tables) == 1:
        raise DescriptionError(f"{check.path}: inputs has one input; say its preprocessing in [preprocessing]")
    return {name: _changes(table, check) for name, table in tables.items()}


def _weights(said: Any, check: _Check) -> Path | None:
    if said is None:
        return None
    if not isinstance(said, str):
        check.wrong("weights", said, "a file")
    return check.beside("weights", said)


def _examples(said: Any, check: _Check) -> Path | None:
    if said is None:
        return None
    if not isinstance(said, str):
        check.wrong("examples", said, "a folder")
    folder: Path = check.path.parent / said
    if not folder.is_dir():
        raise DescriptionError(f"{check.path}: examples is {said!r}, and there is no folder {folder}")
    return folder


def _classes(said: Any, check: _Check) -> tuple[str, ...] | None:
    if said is None:
        return None
    if isinstance(said, str):
        return read_classes(check.beside("classes", said))
    if not isinstance(said, list) or not said or not all(isinstance(name, str) for name in said):
        check.wrong("classes", said, "a list of names or a file")
    return tuple(said)


def read_classes(path: Path) -> tuple[str, ...]:
    """Names of classes from a file: one a line; or a JSON list; a JSON dict from index to name; or ``id2label``.

    Raises:
        DescriptionError: If it is absent or holds none of these.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DescriptionError(f"{path} cannot be read as names of classes") from error
    lines = tuple(line.strip() for line in text.splitlines() if line.strip())
    if lines and not lines[0].startswith(("[", "{")):
        return lines
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise DescriptionError(f"{path} is not JSON: {error}") from error
    if isinstance(found, dict):
        found = found.get("id2label", found)
        numbers = {str(key): name for key, name in found.items()}
        found = [numbers.get(str(index)) for index in range(len(numbers))]
    if not found or not all(isinstance(name, str) for name in found):
        raise DescriptionError(f"{path} holds no names of classes: a list, or a dict from 0, 1, ... to names")
    return tuple(found)


def read_changes(table: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Fields of `Preprocessing` from the keys of a description's table.

    Raises:
        DescriptionError: If a value cannot be; the text names ``path`` and the key.
    """
    return _changes(table, _Check(path))


def _changes(table: Mapping[str, Any], check: _Check) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if "size" in table:
        size = _size("preprocessing.size", table["size"], check, dimensions=(1, 2, 3))
        changes |= {"crop": size, "resize": size} if len(size) == 2 else {"size": size}
    if "resize" in table:
        changes["resize"] = _size("preprocessing.resize", table["resize"], check)
    for key, choices in (
        ("crop_mode", CROP_MODES.names()), ("interpolation", _INTERPOLATIONS), ("color_order", get_args(ColorOrder)),
    ):  # fmt: skip
        if (value := check.choice(table, key, choices, "preprocessing.")) is not None:
            changes[key] = value
    for key, words in (("mean", "numbers, one per channel"), ("std", "positive numbers, one per channel")):
        if key in table:
            changes[key] = _numbers(table[key])
            if not changes[key] or (key == "std" and min(changes[key]) <= 0):
                check.wrong(f"preprocessing.{key}", table[key], words)
    if "mean" in changes and "std" in changes and len(changes["mean"]) != len(changes["std"]):
        check.wrong("preprocessing.std", table["std"], f"{len(changes['mean'])} numbers, as many as preprocessing.mean")
    if "value_range" in table:
        changes["value_range"] = _numbers(table["value_range"])
        if len(changes["value_range"]) != 2 or changes["value_range"][0] >= changes["value_range"][1]:
            check.wrong("preprocessing.value_range", table["value_range"], "[black, white], black below white")
    return changes


def _numbers(values: Any) -> tuple[float, ...]:
    """The numbers in a list, or one alone; none if they are no finite numbers."""
    listed = values if isinstance(values, list) else [values]
    if all(type(value) in {int, float} and math.isfinite(value) for value in listed):
        return tuple(float(value) for value in listed)
    return ()


def _size(key: str, said: Any, check: _Check, dimensions: tuple[int, ...] = (2,)) -> tuple[int, ...]:
    sides = [said, said] if type(said) is int else said
    whole = isinstance(sides, list) and all(type(side) is int and side > 0 for side in sides)
    if not whole or len(sides) not in dimensions:
        check.wrong(key, said, "a number of pixels, or [height, width]")
    return tuple(sides)
