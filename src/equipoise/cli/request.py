"""What a command line asks for, and its reading: methods, options, targets, device, folder.

Everything here is checked before any photo is opened; whatever is wrong raises an `EquipoiseError` whose text
is one sentence.
"""

from __future__ import annotations

import ast
import os
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from equipoise._registry import nearest
from equipoise.errors import LayerError, OptionError, UnknownOptionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from equipoise.cli.inputs import FilesOfInputs
    from equipoise.cli.photos import PhotoFile
    from equipoise.explanation import Explanation
    from equipoise.inputs import SeveralInputs
    from equipoise.models.description import Said
    from equipoise.network import Network
    from equipoise.plot import Drawing
    from equipoise.wanted import PhotoTarget

_WORDS = {"true": True, "false": False, "none": None}


@dataclass(frozen=True)
class NetworkRequest:
    """What a command line says of a network, as typed; ``None`` and nothing: not said."""

    model: str = "efficientnet_lite0"
    weights: str | None = None
    output_of: str | None = None
    classes: str | None = None
    size: str | None = None
    mean: str | None = None
    std: str | None = None
    in_chans: int | None = None
    activation: str | None = None
    task: str | None = None

    @property
    def options(self) -> list[str]:
        """The options that were given, ``--model`` aside, as typed."""
        told = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "model"}
        return [f"--{name.replace('_', '-')}" for name, value in told.items() if value is not None]

    def said(self, option: str | None = None) -> Said:
        """What is said, read and checked.

        Args:
            option: What the option ``output`` of the methods says; ``--output-of`` counts first.

        Raises:
            OptionError: If a list holds no numbers, or there is no such activation or task.
            DescriptionError: If the file of classes is absent, or a value cannot be.
        """
        from equipoise.models.description import Said, read_changes, read_classes  # noqa: PLC0415  # loads torch
        from equipoise.models.spec import check_activation, check_task  # noqa: PLC0415  # as above

        if self.in_chans is not None and self.in_chans < 1:
            raise OptionError(f"--in-chans is {self.in_chans}; a network takes at least one channel")
        table = {
            key: _numbers(key, text)
            for key, text in (("size", self.size), ("mean", self.mean), ("std", self.std))
            if text is not None
        }
        return Said(
            classes=None if self.classes is None else read_classes(Path(self.classes)),
            output=read_output(self.output_of, option),
            task=None if self.task is None else check_task(self.task),
            activation=check_activation(self.activation),
            arguments={} if self.in_chans is None else {"in_chans": self.in_chans},
            changes=read_changes(table, Path("the command line")) if table else {},
        )

    def load(self, device: str | None = None, option: str | None = None) -> Network:
        """The network; modules of the user's own are looked for where the command was typed.

        Raises:
            EquipoiseError: As `said` and `equipoise.loading.load`.
        """
        from equipoise.loading import load  # noqa: PLC0415  # loads torch

        find_own_modules()
        return load(self.model, weights=self.weights, device=device, said=self.said(option))

    def load_either(self) -> Network | SeveralInputs:
        """As `load`, also of several inputs.

        Raises:
            EquipoiseError: As `said` and `equipoise.inputs.load_either`.
        """
        from equipoise.inputs import load_either  # noqa: PLC0415  # loads torch

        find_own_modules()
        return load_either(self.model, weights=self.weights, said=self.said())


def _numbers(key: str, text: str) -> Any:
    """The numbers of an option; of ``--size`` one alone as it is, and ``"500,"`` is the length of a signal."""
    values = [read_value(part, None) for part in text.removesuffix(",").split(",")]
    if not all(type(value) in {int, float} for value in values):
        raise OptionError(f"--{key} is {text!r}; give numbers, separated by commas")
    return values[0] if key == "size" and "," not in text else values


@dataclass(frozen=True)
class ExplainRequest:
    """The command line of ``equipoise explain``, as typed."""

    images: tuple[str, ...]
    network: NetworkRequest
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
    wrt: str | None = None
    formats: tuple[str, ...] = ()
    dpi: float = 300.0
    cmap: str = "red_blue"
    width: str = "page"
    scale: str = "map"


@dataclass(frozen=True)
class Looks:
    """What a command line says of pictures.

    Attributes:
        formats: Names in `equipoise.plot.FORMATS`.
        dpi: Pixels per inch of figures.
        cmap: A name in `equipoise.palettes.PALETTES`.
        width: A name in `equipoise.plot.WIDTHS`.
        scale: A name in `equipoise.plot.SCALES`.
    """

    formats: tuple[str, ...] = ()
    dpi: float = 300.0
    cmap: str = "red_blue"
    width: str = "page"
    scale: str = "map"

    def checked(self) -> Looks:
        """The same, with names as they are registered.

        Raises:
            UnknownNameError: If nothing has one of the names.
            OptionError: If ``dpi`` is outside its range.
        """
        from equipoise import plot  # noqa: PLC0415  # loads matplotlib
        from equipoise.palettes import PALETTES  # noqa: PLC0415  # as above

        low, high = plot.DPIS
        if not low <= self.dpi <= high:
            raise OptionError(f"--dpi is {self.dpi:g}; it has to be between {low} and {high}")
        formats = tuple(dict.fromkeys(plot.FORMATS.canonical(one) for one in self.formats))
        cmap, width = PALETTES.canonical(self.cmap), plot.WIDTHS.canonical(self.width)
        return Looks(formats, self.dpi, cmap, width, plot.SCALES.canonical(self.scale))

    def figure(self, explanations: Sequence[Explanation]) -> Drawing:
        """The explanations of one photo, side by side."""
        from equipoise import plot  # noqa: PLC0415  # as in `checked`

        return plot.compare(explanations, width=self.width, cmap=self.cmap, scale=self.scale)


@dataclass(frozen=True)
class Asked:
    """What a command line asks for, checked as far as that can be done without the network.

    Attributes:
        request: As typed.
        options: Of each method, by its name.
        output: What the option ``output`` says, as typed.
        folder: Where the files go; it is not made yet.
        page: Where the report goes.
        photos: What is explained.
        looks: How pictures are drawn.
        passes: Of a network of several inputs what is explained; there are no ``photos`` then.
        problems: Why something that was named is not; one line each.
    """

    request: ExplainRequest
    options: Mapping[str, Mapping[str, Any]]
    output: str | None
    folder: Path
    page: Path | None
    photos: Sequence[PhotoFile]
    problems: Sequence[str]
    looks: Looks
    passes: Sequence[FilesOfInputs] = ()

    def load(self) -> tuple[Network, list[PhotoTarget]]:
        """The network, and which of its scores are to be explained.

        Raises:
            LayerError: If it has no such layer.
            EquipoiseError: If a target is no class of it; and as `equipoise.loading.load`.
        """
        request = self.request
        network = request.network.load(request.device, self.output)
        check_layer(request.layer, network.module, request.network.model)
        from equipoise.wanted import read_targets  # noqa: PLC0415  # loads torch

        return network, read_targets(request.targets, network.spec)


def load_several(asked: Asked) -> SeveralInputs:
    """The network of several inputs of a command line.

    Raises:
        LayerError: If it has no such layer.
        EquipoiseError: As `SeveralInputs.described`.
    """
    from equipoise.inputs import SeveralInputs  # noqa: PLC0415  # loads torch

    find_own_modules()
    said, request = asked.request.network, asked.request
    network = SeveralInputs.described(said.model, said.said(asked.output), weights=said.weights, device=request.device)
    check_layer(request.layer, network.module, said.model)
    return network


def check(request: ExplainRequest) -> Asked:
    """Read a command line.

    Raises:
        EquipoiseError: If an argument is wrong; the text is one sentence.
    """
    from equipoise.cli.inputs import check_wrt, collect_inputs, inputs_of  # noqa: PLC0415  # as below
    from equipoise.cli.photos import collect  # noqa: PLC0415  # loads Pillow
    from equipoise.cli.reporting import check_report  # noqa: PLC0415  # as above

    options, output = method_options_of(request, read_methods(request.methods))
    request.network.said(output)  # whatever is wrong is said before anything is loaded
    check_device(request.device)
    looks = Looks(tuple(names_of(request.formats)), request.dpi, request.cmap, request.width, request.scale).checked()
    folder = check_output(request.output)
    page = check_report(request.report) if request.report is not None else None
    model = request.network.model
    inputs = inputs_of(model) if model.endswith(".toml") else ()
    if request.wrt is not None:
        check_wrt(request.wrt, inputs, model)
    if inputs:
        passes, problems = collect_inputs(request.images, inputs, model, recursive=request.recursive)
        return Asked(request, options, output, folder, page, (), problems, looks, passes)
    photos, problems = collect(request.images, recursive=request.recursive)
    return Asked(request, options, output, folder, page, photos, problems, looks)


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


@runtime_checkable
class MethodRequest(Protocol):
    """What a command line says of methods."""

    @property
    def options(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def gamma(self) -> float | None: ...  # noqa: D102
    @property
    def layer(self) -> str | None: ...  # noqa: D102


def method_options_of(request: MethodRequest, methods: Sequence[str]) -> tuple[dict[str, dict[str, Any]], str | None]:
    """The options of each method, and what the option ``output`` says of the network.

    Raises:
        EquipoiseError: As `read_options`.
    """
    return read_options(request, methods), _pairs(request.options).get("output")


def read_options(request: MethodRequest, methods: Sequence[str]) -> dict[str, dict[str, Any]]:
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


def names_of(texts: Sequence[str]) -> list[str]:
    """Names that are separated by commas, or given one by one."""
    return [part.strip() for text in texts for part in text.split(",") if part.strip()]


def one_network(said: NetworkRequest, names: Sequence[str]) -> None:
    """Refuse options that say something of one network where there are several.

    Raises:
        OptionError: If there are.
    """
    if said.options and len(names) != 1:
        count = f"{len(names)} are named" if names else "none is named"
        raise OptionError(
            f"{', '.join(said.options)} say something of one --model, and {count}; a description, mynet.toml, says it "
            "of each"
        )


def find_own_modules() -> None:
    """Let Python find modules in the folder where the command was typed, as ``python -m`` does."""
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)


def read_output(output_of: str | None, option: str | None = None) -> int | str | None:
    """The index or the key that ``--output-of``, or else the option ``output``, names.

    Raises:
        OptionError: If it is empty.
    """
    text = option if output_of is None else output_of
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
