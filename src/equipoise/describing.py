"""Write a description of a network from what can be found out: its weights' shapes, names and hyper-parameters.

Whatever is a guess says so in a comment; what cannot be known stands there commented out, with how to fill it in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from equipoise._references import is_reference
from equipoise.errors import OptionError, WeightsError
from equipoise.loading import load
from equipoise.models.checkpoints import FORMATS, read_content, read_tensors
from equipoise.models.description import read_description
from equipoise.models.hyperparameters import Told, told_by
from equipoise.models.own import is_numbered
from equipoise.models.preprocessing import Preprocessing
from equipoise.models.programs import is_program
from equipoise.network import Network

_FILL: Final = "package.module:build"
_HF: Final = "hf:"
_HYPER: Final = "a hyper-parameter of the checkpoint"
_LEFT: Final = "left out"


@dataclass(frozen=True)
class Entry:
    """One line of a description.

    Attributes:
        key: Of the description.
        value: As JSON types; ``None``: to be filled in.
        comment: After it.
        guessed: Whether somebody should look at it.
        table: The table it is in; empty: the outermost.
        stated: Whether the network says so itself, so that the line stands there to be read, commented out.
    """

    key: str
    value: Any
    comment: str = ""
    guessed: bool = False
    table: str = ""
    stated: bool = False

    def line(self) -> str:
        """As TOML."""
        open_ = self.value is None or self.stated
        text = f"{'# ' if open_ else ''}{self.key} = {'...' if self.value is None else _toml(self.value)}"
        words = f"guessed: {self.comment}" if self.guessed else self.comment
        return f"{text}  # {words}" if words else text


@dataclass(frozen=True)
class Draft:
    """A description that is to be looked at.

    Attributes:
        entries: In the order of the file.
    """

    entries: tuple[Entry, ...] = field(repr=False)

    @property
    def guessed(self) -> tuple[Entry, ...]:
        """The entries that are guesses."""
        return tuple(entry for entry in self.entries if entry.guessed)

    @property
    def unknown(self) -> tuple[Entry, ...]:
        """The entries that somebody has to fill in."""
        empty = [entry for entry in self.entries if entry.value is None or entry.value == _FILL]
        return tuple(entry for entry in empty if not entry.comment.startswith(_LEFT))

    def saying(self, told: Sequence[Entry]) -> Draft:
        """The same with what somebody said in place of what was found, which needs no second look."""
        places = {(entry.table, entry.key): entry for entry in told}
        kept = [places.pop((entry.table, entry.key), entry) for entry in self.entries]
        return Draft((*kept, *places.values()))

    def text(self) -> str:
        """The file."""
        lines = ["# A network described for equipoise: every command takes this file as --model.", ""]
        lines += [entry.line() for entry in self.entries if not entry.table]
        for table in dict.fromkeys(entry.table for entry in self.entries if entry.table):
            inner = [entry for entry in self.entries if entry.table == table]
            shown = all(entry.value is None or entry.stated for entry in inner)
            lines += ["", f"{'# ' if shown else ''}[{table}]", *(entry.line() for entry in inner)]
        return "\n".join(lines) + "\n"


def describe(what: str, weights: str | None = None, *, beside: Path | None = None) -> Draft:
    """Find out what a description would say.

    Args:
        what: A file of weights, a program of `torch.export` or ONNX, a folder of Hugging Face or with one such file, or
            whatever `equipoise.loading.load` takes as a name.
        weights: A file of weights for it.
        beside: The folder of the description, to which its paths are relative; ``None``: the current one.

    Raises:
        EquipoiseError: If there is no such file, or it cannot be read or loaded.
    """
    folder = beside or Path()
    what, weights = _located(what, weights)
    if weights is not None and what == weights:
        return _of_weights(Path(weights), folder)
    if what.endswith(".toml"):
        raise OptionError(f"{what} is a description already")
    named = weights is None and not is_reference(what) and not is_program(what)
    network = load(what, weights="random" if named else weights)  # of a name all is known without its weights
    told = Told() if weights is None else told_by(read_content(Path(weights)))
    first = Entry("architecture", _written_name(what, folder))
    return Draft((first, *_rest(network, weights, told, folder, own=what.startswith(_HF))))


def check_place(path: Path, *, force: bool) -> None:
    """Refuse a place where no description can be written, before any long work.

    Raises:
        OptionError: If it is no .toml file, its folder is absent, or it is there already and ``force`` is not said.
    """
    if path.suffix != ".toml":
        raise OptionError(f"a description is a .toml file, not {path}")
    if path.exists() and not force:
        raise OptionError(f"{path} is there already; --force overwrites it, --output FILE writes another")
    if not path.parent.is_dir():
        raise OptionError(f"--output {path}: there is no folder {path.parent}")


def write(draft: Draft, path: Path, *, force: bool = False) -> None:
    """Write a description, and read it as every command will.

    Raises:
        OptionError: If the file is there already and ``force`` is not said, or cannot be written.
        DescriptionError: If it cannot be read back.
    """
    check_place(path, force=force)
    try:
        path.write_text(draft.text(), encoding="utf-8")
    except OSError as error:
        raise OptionError(f"{path} cannot be written: {error.strerror}") from error
    read_description(path)


def _located(what: str, weights: str | None) -> tuple[str, str | None]:
    """What is meant, as `load` takes it; twice the same file if weights are all that is known."""
    path = Path(what)
    if path.is_dir() and (path / "config.json").is_file():
        return f"{_HF}{what}", weights
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in FORMATS or is_program(file.name))
        if len(files) != 1:
            names = ", ".join(file.name for file in files) or "none"
            raise WeightsError(f"{path} has no config.json of Hugging Face, and not one file of weights ({names})")
        path = files[0]
    if path.suffix in FORMATS and (path.is_file() or "/" not in what):
        if weights is not None:
            raise OptionError(f"{path} holds weights already, so --weights {weights} says too much")
        return str(path), str(path)
    return str(path) if path.is_file() else what, weights


def _of_weights(path: Path, folder: Path) -> Draft:
    """From a file of weights alone: the architecture is looked for."""
    from equipoise.models.candidates import candidates  # noqa: PLC0415  # loads torchvision and timm

    state, told = read_tensors(path), told_by(read_content(path))
    found = candidates(state, [path.stem, *told.texts])
    if not found:
        return Draft((
            Entry("architecture", _FILL, "to be filled in: the function that makes the network, or a registered name "
                  "(equipoise list models); no architecture of torchvision or timm has these names and shapes"),
            Entry("weights", _relative(path, folder)),
            _classes(told, None),
            *(Entry(key, value, _HYPER, True, "preprocessing") for key, value in told.preprocessing.items()),
        ))  # fmt: skip
    others = [one.name for one in found[1:]]
    words = "its tensors have the names and shapes of these weights" + (
        f"; so have those of {', '.join(others)}" if others else ""
    )
    network = load(found[0].name, weights=str(path))
    first = Entry("architecture", found[0].name, words, guessed=True)
    return Draft((first, *_rest(network, str(path), told, folder, own=False)))


def _rest(network: Network, weights: str | None, told: Told, folder: Path, *, own: bool) -> Iterator[Entry]:
    """Everything but the architecture.

    Args:
        network: Loaded.
        weights: Its file.
        told: What the file says beside the weights.
        folder: To which paths are relative.
        own: Whether the network's folder says the classes and the preprocessing itself.
    """
    spec = network.spec
    if weights is not None:
        yield Entry("weights", _relative(Path(weights), folder))
    preprocessing = spec.preprocessing
    if weights is not None and not own and spec.source != "own":
        yield Entry("num_classes", spec.outputs, "as the weights say")
        yield Entry("in_chans", getattr(preprocessing, "channels", 3), "as the weights say")
    task = spec.task
    if task != "classification":
        yield Entry("task", task, network.assumed.get("activation", ""), "activation" in network.assumed, stated=own)
    if spec.activation is not None:
        yield Entry("activation", spec.activation, network.assumed.get("activation", ""), guessed=True)
    if task not in {"regression", "embedding"}:
        named = not is_numbered(spec.classes) and "classes" not in network.assumed
        known = tuple(spec.classes) if named else None
        yield _classes(told, len(spec.classes), known, stated=own, guessed=weights is not None)
    if isinstance(preprocessing, Preprocessing):
        yield from _preprocessing(preprocessing, network, told, own=own)


def _classes(
    told: Told, count: int | None, known: tuple[str, ...] | None = None, *, stated: bool = False, guessed: bool = False
) -> Entry:
    names = told.names(count)
    if names is not None:
        return Entry("classes", list(names), "as the checkpoint's hyper-parameters say")
    if known is not None and (stated or len(known) <= _MANY):
        return Entry("classes", list(known), "as the network says itself", stated=stated)
    if known is not None:
        return Entry("classes", None, f"{_LEFT}: the {len(known)} names of the usual set, such as {known[0]}", guessed)
    many = f"{count} names" if count else "names"
    return Entry("classes", None, f'{many}, ["first", "second"], or a file: one a line, a JSON list or id2label')


_MANY: Final = 100  # names that a person reads


def _preprocessing(preprocessing: Preprocessing, network: Network, told: Told, *, own: bool) -> Iterator[Entry]:
    guessed = "preprocessing" in network.assumed
    usual = (
        "as is usual for ImageNet" if network.spec.source == "own" else "as for the architecture's pretrained weights"
    )
    words = usual if guessed else "as the network says itself"
    fields = {
        "size": _side(preprocessing.crop), "resize": _side(preprocessing.resize), "crop_mode": preprocessing.crop_mode,
        "interpolation": preprocessing.interpolation, "mean": list(preprocessing.mean), "std": list(preprocessing.std),
        "value_range": list(preprocessing.value_range), "color_order": preprocessing.color_order,
    }  # fmt: skip
    if "size" in told.preprocessing:
        fields["resize"] = told.preprocessing["size"]
    for key, value in fields.items():
        if key in {"size", "resize"} and is_program(network.name):
            yield Entry(key, value, "as the file says", table="preprocessing")
        elif key in told.preprocessing:
            yield Entry(key, told.preprocessing[key], _HYPER, True, "preprocessing")
        else:
            yield Entry(key, value, words, guessed, "preprocessing", stated=own and not guessed)


def _side(size: tuple[int, int]) -> int | list[int]:
    return size[0] if size[0] == size[1] else list(size)


def _written_name(what: str, folder: Path) -> str:
    if what.startswith(_HF) and Path(what.removeprefix(_HF)).is_dir():
        return f"{_HF}{_relative(Path(what.removeprefix(_HF)), folder)}"
    return _relative(Path(what), folder) if is_program(what) else what


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def _toml(value: Any) -> str:
    """A value of JSON types as TOML writes it, on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(inner)}" for key, inner in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
