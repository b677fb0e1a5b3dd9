"""``equipoise explain``: check everything, load the network, then photo after photo."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Final

import torch
from PIL import Image

from equipoise import records, viz
from equipoise.cli import MENDABLE
from equipoise.cli.console import RunConsole
from equipoise.cli.photos import PhotoFile, collect
from equipoise.cli.reporting import ReportWriter, check_report
from equipoise.cli.request import (
    ExplainRequest,
    check_device,
    check_layer,
    check_output,
    load_network,
    read_methods,
    read_options,
    read_output,
    read_targets,
)
from equipoise.errors import EquipoiseError, ImageError, MissingPackageError, OptionError
from equipoise.explanation import CELL, Explanation, label, named, stem, sureness
from equipoise.images import one_line
from equipoise.view import Top, View

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from equipoise.network import BoundMethod
    from equipoise.view import PhotoTarget


def explain_photos(request: ExplainRequest) -> int:
    """Explain the photos of a command line.

    Returns:
        0, or `MENDABLE` if any photo or method could not be done; the others are.

    Raises:
        EquipoiseError: If an argument is wrong; nothing is done then.
    """
    methods = read_methods(request.methods)
    options = read_options(request, methods)
    output = read_output(request.output_of, request.options)
    device = check_device(request.device)
    folder = check_output(request.output)
    page = check_report(request.report) if request.report is not None else None
    photos, problems = collect(request.images, recursive=request.recursive)
    with RunConsole(len(photos), as_json=request.as_json) as console:
        for problem in problems:
            console.trouble(problem)
        if photos:
            network = load_network(request.model, request.weights, device, output)
            check_layer(request.layer, network.module, request.model)
            targets = read_targets(request.targets, network.spec)
            bound = _bind_all(methods, lambda method: network.bind(method, **options[method]), console)
            for note in network.notes:
                console.note(f"note: {note}")
            _make(folder)
            count = len(photos) * len(methods) * sum(one.count if isinstance(one, Top) else 1 for one in targets)
            report = ReportWriter(page, count) if page is not None else None
            run = _Run(bound, targets, folder, console, report)
            for photo in photos:
                console.begin(one_line(photo.path.name))
                try:
                    run.photo(photo, View.of(photo.path, network))
                except ImageError as error:
                    console.trouble(str(error))
                except (MemoryError, RuntimeError) as error:
                    if not _out_of_memory(error):
                        raise
                    console.trouble(f"{one_line(photo.path)}: there is not enough memory to explain it")
                console.done()
            if report is not None:
                report.write()
            console.summary(run.summary())
    return MENDABLE if console.troubles else 0


def _bind_all(methods: list[str], make: Callable[[str], BoundMethod], console: RunConsole) -> dict[str, BoundMethod]:
    """Every method that has its packages; the others are left out.

    Raises:
        MissingPackageError: If none is left.
    """
    bound: dict[str, BoundMethod] = {}
    missing: list[tuple[str, MissingPackageError]] = []
    for method in methods:
        try:
            bound[method] = make(method)
        except MissingPackageError as error:
            missing.append((method, error))
    if not bound:
        raise missing[0][1]
    for method, reason in missing:
        console.trouble(f"{method} is left out: {one_line(reason)}")
    return bound


class _Run:
    """The same methods and targets for photo after photo."""

    def __init__(
        self,
        bound: dict[str, BoundMethod],
        targets: list[PhotoTarget],
        output: Path,
        console: RunConsole,
        report: ReportWriter | None,
    ) -> None:
        self._bound, self._targets, self._output, self._console = bound, targets, output, console
        self._report = report
        self._count, self._start = 0, time.monotonic()

    def photo(self, photo: PhotoFile, view: View) -> None:
        """Explain one photo by every method, write its files and show the result.

        Raises:
            OptionError: If the files cannot be written.
            EquipoiseError: If no method is left that can explain this network.
        """
        targets = view.targets(self._targets)
        explanations = {}
        for name in list(self._bound):
            try:
                explanations[name] = Explanation.of(view, self._bound[name], targets)
            except EquipoiseError as error:  # what a method cannot do with one photo, it can do with none
                del self._bound[name]
                if not self._bound:
                    raise
                self._console.trouble(f"{name} is left out: {one_line(error)}")
        entries = [
            self._entry(photo, name, explanation.select(index))
            for name, explanation in explanations.items()
            for index in range(len(targets))
        ]
        montage = None
        if len(entries) > 1:
            montage = str(self._write(f"{photo.stem}.montage.png", records.encoded(_montage(explanations))))
        first = next(iter(explanations.values()))
        document = {key: first.record[key] for key in ("image", "model", "scores", "versions")}
        document |= {"explanations": entries, "montage": montage}
        self._console.result(document, _lines(photo, explanations, entries, montage, view.network.notes))
        if self._report is not None:
            self._report.add(one_line(photo.path.name), explanations)
        self._count += 1

    def summary(self) -> str:
        """How many photos were explained, in what time, and where the files are."""
        photos = "1 photo" if self._count == 1 else f"{self._count} photos"
        seconds = time.monotonic() - self._start
        page = "" if self._report is None else f", the report is {self._report.path}"
        return f"{photos} explained in {seconds:.1f} s; pictures, numbers and records are in {self._output}{page}"

    def _entry(self, photo: PhotoFile, method: str, explanation: Explanation) -> dict[str, Any]:
        """Write the four files of one photo, method and target; what is said of them."""
        target = explanation.targets[0]
        name_of_all = f"{photo.stem}.{method}.{stem(target)}"
        contents = explanation.contents()
        files = {ending: f"{name_of_all}{ending}" for ending in contents}
        record = explanation.record | {"files": {_KINDS[ending]: name for ending, name in files.items()}}
        contents[".json"] = (records.to_json(record) + "\n").encode()
        paths = {_KINDS[ending]: str(self._write(files[ending], data)) for ending, data in contents.items()}
        kept = {key: explanation.record[key] for key in ("method", "target", "attribution", "notes")}
        return kept | {"files": paths}

    def _write(self, name: str, data: bytes) -> Path:
        try:
            return records.write_atomically(self._output / name, data)
        except OSError as error:
            raise OptionError(f"{self._output / name} cannot be written ({error.strerror})") from error


_KINDS = {
    ".overlay.png": "overlay",
    ".heatmap.png": "heatmap",
    ".safetensors": "attribution",
    ".json": "record",
}


ACROSS: Final = 8  # methods side by side, as in Fig. 4 of the paper; more go on below
SMALLER: Final = 320  # pixels: pictures of a montage that goes on below


def _montage(explanations: dict[str, Explanation]) -> Image.Image:
    """Rows are targets; columns are the photo and the methods, `ACROSS` of them before the next block."""
    names = list(explanations)
    blocks = math.ceil(len(names) / ACROSS)
    across = math.ceil(len(names) / blocks)
    cell = CELL if blocks == 1 else SMALLER
    parts = [
        _block({name: explanations[name].thumbnail(cell) for name in names[start : start + across]}, cell)
        for start in range(0, len(names), across)
    ]
    if len(parts) == 1:
        return parts[0]
    whole = Image.new("RGB", (parts[0].width, sum(part.height for part in parts)), "white")
    top = 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height
    return whole


def _block(small: dict[str, Explanation], cell: int) -> Image.Image:
    first = next(iter(small.values()))
    rows = [[first.image, *(one.overlay(index) for one in small.values())] for index in range(len(first.targets))]
    return viz.montage(rows, [label(target) for target in first.targets], ["photo", *small], cell=cell)


def _lines(
    photo: PhotoFile,
    explanations: Mapping[str, Explanation],
    entries: Sequence[Mapping[str, Any]],
    montage: str | None,
    known: Sequence[str],
) -> list[str]:
    """What a person reads of a photo; notes that are ``known`` were said before."""
    first = next(iter(explanations.values()))
    lines = [f"{one_line(photo.path)}  ({first.image.width} x {first.image.height})"]
    lines += [f"  {sureness(one).rjust(7)}  {named(one)}" for one in first.scores]
    explained = [(name, target) for name, one in explanations.items() for target in one.targets]
    for (name, target), entry in zip(explained, entries, strict=True):
        lines.append(f"  {name}, {named(target)}: {entry['files']['overlay']}")
        lines += [f"    note: {note}" for note in entry["notes"] if note not in known]
    return lines + ([f"  side by side: {montage}"] if montage else [])


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"--output {folder} cannot be made ({error.strerror})") from error


def _out_of_memory(error: BaseException) -> bool:
    # on the CPU torch raises a plain RuntimeError, known by its words alone
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)
