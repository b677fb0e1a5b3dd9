"""``equipoise attribute``: check everything, then run, with progress on stderr."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from equipoise.cli import MENDABLE
from equipoise.cli.request import NetworkRequest, check_device, find_own_modules, method_options_of, read_methods
from equipoise.errors import MissingPackageError, OptionError

if TYPE_CHECKING:
    from types import TracebackType

    from equipoise.attributions.reading import Attributions
    from equipoise.attributions.status import Status


@dataclass(frozen=True)
class AttributeRequest:
    """The command line of ``equipoise attribute``, as typed."""

    photos: tuple[str, ...]
    network: NetworkRequest
    methods: tuple[str, ...]
    targets: tuple[str, ...]
    gamma: float | None
    layer: str | None
    options: tuple[str, ...]
    output: str
    batch: str
    workers: int | None
    ray: str | None
    shard: str | None
    precision: str
    keep: str
    values: str
    memory: str | None
    readers: int | None
    threads: int | None
    limit: int | None
    resume: bool
    strict: bool
    data: str | None
    device: str | None


def need() -> None:
    """Refuse to begin without what a run needs.

    Raises:
        MissingPackageError: If it is not installed.
    """
    for package in ("pyarrow", "fsspec"):
        if importlib.util.find_spec(package) is None:
            raise MissingPackageError(f"this needs {package}; pip install 'equipoise[dataset]'")


def attribute_photos(request: AttributeRequest) -> int:
    """Explain a data set.

    Returns:
        0, or `MENDABLE` if a photo or a method could not be done; the rest is.

    Raises:
        EquipoiseError: If an argument is wrong; nothing is done then.
    """
    need()
    find_own_modules()
    from equipoise.attributions.api import started  # noqa: PLC0415  # pyarrow is an extra
    from equipoise.attributions.crews import Workers, shard_of  # noqa: PLC0415
    from equipoise.attributions.folder import Folder  # noqa: PLC0415
    from equipoise.attributions.memory import memory_of, read_batch  # noqa: PLC0415
    from equipoise.attributions.plan import Plan  # noqa: PLC0415
    from equipoise.attributions.sources import open_source  # noqa: PLC0415

    options, output = method_options_of(request, read_methods(request.methods))
    said = request.network.said(output)
    workers = Workers(request.workers, request.ray, check_device(request.device), request.threads, str(Path.cwd()))
    plan = Plan(
        model=request.network.model,
        methods=tuple(options.items()),
        targets=tuple(part.strip() for text in request.targets for part in text.split(",") if part.strip()),
        weights=request.network.weights,
        said=said,
        device=request.device,
        batch=read_batch(request.batch),
        memory=memory_of(request.memory),
        precision=request.precision,
        keep=_keep(request.keep),
        values=_values(request.values),
        readers=request.readers,
        strict=request.strict,
        folder=str(Path.cwd()),
    )
    shard = shard_of(request.shard)
    source = open_source(list(request.photos), None if request.data is None else Path(request.data))
    with RunProgress() as progress:
        found = started(
            plan, source, workers, Folder.at(request.output), progress, resume=request.resume, limit=request.limit,
            shard=shard,
        )  # fmt: skip
    return _summed_up(found)


def _keep(text: str) -> Any:
    from equipoise.attributions.plan import KEEPS  # noqa: PLC0415  # loads torch

    if text not in KEEPS:
        raise OptionError(f"--keep is {text!r}; choose from {', '.join(KEEPS)}")
    return text


def _values(text: str) -> Any:
    if text not in {"float16", "float32"}:
        raise OptionError(f"--values is {text!r}; choose from float16, float32")
    return text


def _summed_up(found: Attributions) -> int:
    record = found.record
    for note, count in sorted(record["notes"].items(), key=lambda one: -one[1])[:8]:
        sys.stdout.write(f"note ({count} times): {note}\n")
    failed = len({one["index"] for one in found.failures})
    text = f", {failed} photos could not be done (run.json says why)" if failed else ""
    sys.stdout.write(f"{len(found)} rows of {record['photos']['count']} photos are in {found.folder.address}{text}\n")
    return MENDABLE if failed or record["left_out"] else 0


class RunProgress:
    """A bar with rate, time left and failures where stderr is a terminal; else a line every minute."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[told]}", markup=False),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("photos", total=None, told="")
        self._said = 0.0
        self.lines = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def line(self, text: str) -> None:
        """See `equipoise.attributions.status.Watcher`."""
        if self._bar.disable:
            sys.stderr.write(f"equipoise: {text}\n")
            sys.stderr.flush()
        else:
            self._console.print(f"equipoise: {text}")

    def progress(self, status: Status) -> None:
        """See `equipoise.attributions.status.Watcher`."""
        told = told_of(status)
        self._bar.update(self._task, completed=status.done, total=status.total, told=told)
        now = status.clock()
        if self._bar.disable and status.state == "running" and now - self._said > 60:
            if self._said:
                self.line(f"{status.done} of {status.total} photos, {told}")
            self._said = now


def told_of(status: Status) -> str:
    """Rate, time left and failures, for people."""
    parts = [] if status.rate is None else [f"{status.rate:.3g} photos/s"]
    if status.left is not None and status.done < status.total:
        minutes, seconds = divmod(round(status.left), 60)
        hours, minutes = divmod(minutes, 60)
        parts.append(f"{hours}:{minutes:02}:{seconds:02} left")
    if status.failed:
        parts.append(f"{status.failed} failed")
    if status.deaths:
        parts.append(f"{status.deaths} workers died")
    return ", ".join(parts)
