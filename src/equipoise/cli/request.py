"""What a command line asks for, and its reading: methods, options, targets, device, folder.

Everything here is checked before any photo is opened; whatever is wrong raises an `EquipoiseError` whose text
is one sentence.
"""

from __future__ import annotations

import ast
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise._registry import nearest
from equipoise.errors import LayerError, OptionError, UnknownOptionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from equipoise.cli.photos import PhotoFile
    from equipoise.network import Network
    from equipoise.wanted import PhotoTarget

_WORDS = {"true": True, "false": False, "none": None}


@dataclass(frozen=True)
class ExplainRequest:
    """The command line of ``equipoise explain``, as typed."""

    images: tuple[str, ...]
    model: str
    weights: str | None
    methods: tuple[str, ...]
    targets: tuple[str, ...]
    gamma: float | None
    layer: str | None
    options: tuple[str, ...]
    device: str | None
    output: str
    report: str | None
    recursive: bool
    as_json: bool
    output_of: str | None = None
    classes: str | None = None
    size: str | None = None
    mean: str | None = None
    std: str | None = None


@dataclass(frozen=True)
class Asked:
    """What a command line asks for, checked as far as that can be done without the network.

    Attributes:
        request: As typed.
        options: Of each method, by its name.
        output: Which part of the network's result is the logits.
        said: Of the network: ``classes``, and ``changes`` of its preprocessing.
        folder: Where the files go; it is not made yet.
        page: Where the report goes.
        photos: What is explained.
        problems: Why something that was named is not; one line each.
    """

    request: ExplainRequest
    options: Mapping[str, Mapping[str, Any]]
    output: int | str | None
    said: Mapping[str, Any]
    folder: Path
    page: Path | None
    photos: Sequence[PhotoFile]
    problems: Sequence[str]

    def load(self) -> tuple[Network, list[PhotoTarget]]:
        """The network, and which of its scores are to be explained.

        Raises:
            LayerError: If it has no such layer.
            EquipoiseError: If a target is no class of it; and as `equipoise.loading.load`.
        """
        request = self.request
        network = load_network(request.model, request.weights, request.device, self.output, **self.said)
        check_layer(request.layer, network.module, request.model)
        from equipoise.wanted import read_targets  # noqa: PLC0415  # loads torch

        return network, read_targets(request.targets, network.spec)


def check(request: ExplainRequest) -> Asked:
    """Read a command line.

    Raises:
        EquipoiseError: If an argument is wrong; the text is one sentence.
    """
    from equipoise.cli.photos import collect  # noqa: PLC0415  # loads Pillow
    from equipoise.cli.reporting import check_report  # noqa: PLC0415  # as above

    options = read_options(request, read_methods(request.methods))
    output = read_output(request.output_of, request.options)
    check_device(request.device)
    folder = check_output(request.output)
    page = check_report(request.report) if request.report is not None else None
    photos, problems = collect(request.images, recursive=request.recursive)
    return Asked(request, options, output, read_said(request), folder, page, photos, problems)


def read_methods(texts: Sequence[str]) -> list[str]:
    """Registered names, each once: ``"ae,rap"``, or the groups ``"all"``, ``"fast"`` and ``"paper"``.

    Raises:
        UnknownNameError: If no method has that name; the text lists the nearest ones.
        OptionError: If none is named.
    """
    from equipoise.methods.groups import expand  # noqa: PLC0415  # loads torch

    names = [part.strip() for text in texts for part in text.split(",") if part.strip()]
    found = dict.fromkeys(name for part in names for name in expand(part))
    if not found:
        raise OptionError("--method names no method")
    return list(found)


def read_options(request: ExplainRequest, methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The options of each method: each goes to the methods that take it.

    Raises:
        OptionError: If an option is not ``key=value``, or gamma is outside 1 to 2.
        UnknownOptionError: If no chosen method takes an option.
    """
    from equipoise.records import method_options  # noqa: PLC0415  # loads torch

    texts = _pairs(request.options)
    texts.pop("output", None)  # of the network, so of all methods: `read_output`
    given: dict[str, Any] = {}
    if request.gamma is not None:
        if not 1.0 <= request.gamma <= 2.0:
            raise OptionError(f"--gamma is {request.gamma}; it has to be between 1 and 2")
        given["gamma"] = request.gamma
    if request.layer is not None:
        given["layer"] = request.layer
    taken = {method: method_options(method) for method in methods}
    for key in [*texts, *given]:
        _check_taken(key, taken)
    return {
        method: {key: read_value(text, known[key]) for key, text in texts.items() if key in known}
        | {key: value for key, value in given.items() if key in known}
        for method, known in taken.items()
    }


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    """``key=value`` texts as a mapping.

    Raises:
        OptionError: If one is of another form.
    """
    found = {}
    for pair in texts:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise OptionError(f"--option {pair!r} is not of the form key=value")
        found[key.strip().replace("-", "_")] = text
    return found


def load_network(
    model: str,
    weights: str | None = None,
    device: str | None = None,
    output: int | str | None = None,
    **said: Any,
) -> Network:
    """The network of a command line; modules of the user's own are looked for where the command was typed.

    Raises:
        EquipoiseError: As `equipoise.loading.load`.
    """
    from equipoise.loading import load  # noqa: PLC0415  # loads torch

    find_own_modules()
    return load(model, weights=weights, device=device, output=output, **said)


def read_said(request: ExplainRequest) -> dict[str, Any]:
    """What a command line says of its network in place of what is known: class names and preprocessing.

    Raises:
        OptionError: If a list holds no numbers.
        DescriptionError: If the file of classes is absent, or a value cannot be.
    """
    if request.classes is request.size is request.mean is request.std is None:
        return {}
    from equipoise.models.description import read_changes, read_classes  # noqa: PLC0415  # loads torch

    table: dict[str, Any] = {}
    for key, text in (("size", request.size), ("mean", request.mean), ("std", request.std)):
        if text is not None:
            values = [read_value(part, None) for part in text.split(",")]
            if not all(type(value) in {int, float} for value in values):
                raise OptionError(f"--{key} is {text!r}; give numbers, separated by commas")
            table[key] = values[0] if key == "size" and len(values) == 1 else values
    classes = None if request.classes is None else read_classes(Path(request.classes))
    return {"classes": classes, "changes": read_changes(table, Path("the command line"))}


def find_own_modules() -> None:
    """Let Python find modules in the folder where the command was typed, as ``python -m`` does."""
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)


def read_output(output_of: str | None, options: Sequence[str] = ()) -> int | str | None:
    """The index or the key that ``--output-of``, or the option ``output``, names.

    Raises:
        OptionError: If it is empty.
    """
    text = _pairs(options).get("output") if output_of is None else output_of
    if text is None:
        return None
    text = text.strip()
    if not text:
        raise OptionError("--output-of names no part of the network's result; give an index or a key")
    return int(text) if text.lstrip("-").isdecimal() else text


def _check_taken(key: str, taken: Mapping[str, Mapping[str, Any]]) -> None:
    if not any(key in known for known in taken.values()):
        every = sorted({name for known in taken.values() for name in known})
        near = nearest(key, every, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        kinds = ", ".join(every) or "none"
        raise UnknownOptionError(f"{' and '.join(taken)} has no option {key!r}; {hint}options: {kinds}")


def read_value(text: str, default: object) -> Any:  # whatever the option takes
    """``text`` as Python writes it (``2``, ``0.5``, ``true``, ``(1, 2)``), else as the words themselves.

    Where the default is a sequence, words are split at commas: ``terms=C,A``.
    """
    text = text.strip()
    if text.casefold() in _WORDS:
        return _WORDS[text.casefold()]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = text
    if isinstance(default, tuple | list | set | frozenset) and isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def check_device(name: str | None) -> str | None:
    """``name``, if a tensor can be put there.

    Raises:
        OptionError: If there is no such device here.
    """
    if name is None:
        return None
    import torch  # noqa: PLC0415  # takes time

    try:
        device = torch.device(name)
    except (RuntimeError, ValueError) as error:
        raise OptionError(f"no device is called {name!r}; devices are cpu, cuda, cuda:0, mps") from error
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise OptionError(f"the device {name!r} is not available on this machine") from error
    return name


def check_output(folder: str) -> Path:
    """``folder``, if files can be written there; it is not made yet.

    Raises:
        OptionError: If it is a file, or it or the folder above it cannot be written.
    """
    path = Path(folder)
    existing = next((parent for parent in (path, *path.absolute().parents) if parent.exists()), path)
    if not existing.is_dir():
        raise OptionError(f"--output {folder}: {existing} is not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise OptionError(f"--output {folder}: {existing} cannot be written")
    return path


def check_layer(layer: str | None, module: nn.Module, model: str) -> None:
    """Refuse a layer that the network does not have.

    Raises:
        LayerError: If it is absent; the text lists the nearest names.
    """
    names = [name for name, _ in module.named_modules() if name]
    if layer is None or layer in names:
        return
    near = nearest(layer, names)
    hint = f"did you mean {' or '.join(near)}?" if near else f"see: equipoise list layers --model {model}"
    raise LayerError(f"{model} has no layer called {layer!r}; {hint}")
