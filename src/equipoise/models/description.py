"""A network described in a file, ``mynet.toml``: one description that every command and call takes.

.. code-block:: toml

    architecture = "resnet18"        # a registered name, or package.module:build
    weights = "mine.pth"             # beside the description; left out: those of the name
    classes = ["cat", "dog"]         # or a file: a name a line, a JSON list or dict, or one with id2label
    output = "logits"                # which part of the network's result holds the scores; may be left out

    [preprocessing]                  # what is left out is the architecture's own
    size = 96                        # or [height, width], in pixels: what the network sees
    resize = 110                     # to which the photo is resized first; left out: size
    crop_mode = "center"             # "center", "squash" or "border"
    interpolation = "bilinear"
    mean = [0.5, 0.5, 0.5]           # for pixels between 0 and 1
    std = [0.25, 0.25, 0.25]

Paths are relative to the description. It is checked before anything is loaded; what is wrong is one sentence with the
file, the key, and the nearest right key.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from equipoise._registry import nearest
from equipoise.errors import DescriptionError
from equipoise.models.preprocessing import CROP_MODES

_KEYS: Final = ("architecture", "weights", "classes", "output", "preprocessing")
_PREPROCESSING: Final = ("size", "resize", "crop_mode", "interpolation", "mean", "std")
_INTERPOLATIONS: Final = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos")


@dataclass(frozen=True)
class Description:
    """What a file says of a network.

    Attributes:
        architecture: A registered name, or ``package.module:build``.
        weights: A file; ``None``: those of the name.
        classes: Names; ``None``: not said.
        output: Which part of the result is the logits.
        changes: Fields of `Preprocessing` that the file sets.
    """

    architecture: str
    weights: Path | None = None
    classes: tuple[str, ...] | None = None
    output: int | str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)


def read_description(path: Path) -> Description:
    """Read and check a description; nothing is loaded.

    Raises:
        DescriptionError: If it is absent, no TOML, or says something that cannot be; the text names file and key.
    """
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DescriptionError(f"{path}: {error.strerror or 'cannot be read'}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DescriptionError(f"{path} is not TOML: {error}") from error
    check = _Check(path)
    check.known(said, _KEYS)
    table = said.get("preprocessing", {})
    if not isinstance(table, dict):
        check.wrong("preprocessing", table, "a table")
    check.known(table, _PREPROCESSING, "preprocessing.")
    architecture = said.get("architecture")
    if not isinstance(architecture, str) or not architecture or architecture.endswith(".toml"):
        check.wrong("architecture", architecture, "a registered name or package.module:build")
    output = said.get("output")
    if isinstance(output, bool) or not isinstance(output, int | str | None):
        check.wrong("output", output, "an index or a key")
    return Description(
        str(architecture), _weights(said.get("weights"), check), _classes(said.get("classes"), check), output,
        _changes(table, check),
    )  # fmt: skip


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

    def beside(self, key: str, name: str) -> Path:
        found = self.path.parent / name
        if not found.is_file():
            raise DescriptionError(f"{self.path}: {key} is {name!r}, and there is no file {found}")
        return found


def _weights(said: Any, check: _Check) -> Path | None:
    if said is None:
        return None
    if not isinstance(said, str):
        check.wrong("weights", said, "a file")
    return check.beside("weights", said)


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
        changes["crop"] = changes["resize"] = _size("preprocessing.size", table["size"], check)
    if "resize" in table:
        changes["resize"] = _size("preprocessing.resize", table["resize"], check)
    for key, choices in (("crop_mode", CROP_MODES.names()), ("interpolation", _INTERPOLATIONS)):
        if key in table:
            if table[key] not in choices:
                check.wrong(f"preprocessing.{key}", table[key], f"one of {', '.join(choices)}")
            changes[key] = table[key]
    for key in ("mean", "std"):
        if key in table:
            values = table[key]
            numbers = isinstance(values, list) and all(type(value) in {int, float} for value in values)
            if not numbers or len(values) != 3 or (key == "std" and min(values) <= 0):
                check.wrong(f"preprocessing.{key}", values, f"three {'positive ' * (key == 'std')}numbers")
            changes[key] = tuple(float(value) for value in values)
    return changes


def _size(key: str, said: Any, check: _Check) -> tuple[int, int]:
    pair = [said, said] if type(said) is int else said
    if not isinstance(pair, list) or len(pair) != 2 or not all(type(side) is int and side > 0 for side in pair):
        check.wrong(key, said, "a number of pixels, or [height, width]")
    return pair[0], pair[1]
