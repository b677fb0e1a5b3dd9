"""``equipoise reproduce``: check everything, measure what is missing, print the table."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from equipoise._references import is_reference, resolve
from equipoise._registry import nearest
from equipoise.attributions.crews import Workers, shard_of
from equipoise.attributions.memory import memory_of, read_batch
from equipoise.cli import MENDABLE
from equipoise.cli.request import (
    NetworkRequest,
    check_device,
    check_output,
    find_own_modules,
    names_of,
    one_network,
    read_value,
)
from equipoise.errors import OptionError, UnknownOptionError
from equipoise.experiments import RECIPES, MethodRun, Observer, Plan, Recipe, run
from equipoise.experiments.presenting import tables
from equipoise.experiments.presenting.writing import write
from equipoise.experiments.running.by_workers import run_by

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from equipoise.experiments.presenting.summary import TableRow
    from equipoise.experiments.protocols.base import Protocol


@dataclass(frozen=True)
class ReproduceRequest:
    """The command line of ``equipoise reproduce``, as typed."""

    recipe: str
    data: str | None
    datasets: tuple[str, ...]
    models: tuple[str, ...]
    methods: tuple[str, ...]
    options: tuple[str, ...]
    limit: int | None
    resume: bool
    strict: bool
    photos: bool
    device: str | None
    output: str | None
    said: NetworkRequest = field(default_factory=NetworkRequest)
    keep_maps: int | None = None
    batch: str = "auto"
    memory: str | None = None
    workers: int | None = None
    ray: str | None = None
    shard: str | None = None
    threads: int | None = None


def reproduce(request: ReproduceRequest) -> int:
    """Run a recipe.

    Returns:
        0, or `MENDABLE` if a file could not be read or a method could not explain a network; the rest is done.

    Raises:
        EquipoiseError: If an argument is wrong; nothing is done then.
    """
    find_own_modules()
    recipe = narrowed(_recipe(request.recipe), request)
    if request.limit is not None and request.limit < 1:
        raise OptionError(f"--limit is {request.limit}; it has to be at least 1")
    if request.keep_maps is not None:
        if request.keep_maps < 0:
            raise OptionError(f"--keep-maps is {request.keep_maps}; it has to be at least 0")
        recipe = replace(recipe, keep_maps=request.keep_maps)
    one_network(request.said, list(dict.fromkeys(model for _, model in recipe.pairs)))
    output = check_output(request.output or f"equipoise-out/{recipe.name}")
    plan = Plan(
        recipe=recipe,
        output=output,
        data=None if request.data is None else Path(request.data),
        limit=request.limit,
        resume=request.resume,
        strict=request.strict,
        device=check_device(request.device),
        weights=request.said.weights,
        said=request.said.said(),
        batch=read_batch(request.batch),
        memory=memory_of(request.memory),
        shard=shard_of(request.shard),
    )
    workers = Workers(request.workers, request.ray, plan.device, request.threads, str(Path.cwd()))
    if plan.shard is not None and not workers.here:
        raise OptionError("--shard is one part by one process; --workers and --ray share out the whole")
    if recipe.figure is not None:
        from equipoise.experiments.presenting.figures import FIGURES  # noqa: PLC0415  # matplotlib takes time to load

        FIGURES.canonical(recipe.figure)  # a wrong name ends the run before any work
    with _Progress() as progress:
        finished = (
            run(plan, progress) if workers.here else run_by(plan, workers.crew(), progress, folder=str(Path.cwd()))
        )
    if plan.shard is not None:
        units = sum(len(block.units) for block in finished.blocks)
        sys.stdout.write(
            f"{units} images of part {request.shard} are measured; the table: the same with --resume alone\n"
        )
        return MENDABLE if finished.problems else 0
    lines, files = write(finished, photos=request.photos)
    _print(recipe, lines)
    for note in finished.notes:
        sys.stdout.write(f"note: {note}\n")
    figures = sum(path.suffix == ".png" for path in files)
    sys.stdout.write(f"{len(finished.rows)} rows, the table and {figures} figures are in {output}\n")
    return MENDABLE if finished.problems else 0


def _recipe(name: str) -> Recipe:
    """A recipe by its name, or one of your own as ``"package.module:NAME"``.

    Raises:
        UnknownNameError: If there is none of that name; the text lists the nearest ones.
        OptionError: If there is no such module or name, or something else is behind it.
    """
    if not is_reference(name):
        return RECIPES[name]
    found = resolve(name)
    if not isinstance(found, Recipe):
        raise OptionError(f"{name!r} is of type {type(found).__name__}, not an equipoise.experiments.Recipe")
    return found


def narrowed(recipe: Recipe, request: ReproduceRequest) -> Recipe:
    """The recipe with the data sets, networks, methods and options of the command line.

    Raises:
        UnknownNameError: If a data set is unknown; the text lists the nearest ones.
        UnknownOptionError: If the protocol has no such option.
        OptionError: If an option is outside its range.
    """
    from equipoise.datasets import DATASETS  # noqa: PLC0415  # takes time

    datasets = [DATASETS.canonical(name) for name in names_of(request.datasets)]
    models = names_of(request.models)
    pairs = recipe.pairs
    if datasets or models:
        names = datasets or list(dict.fromkeys(name for name, _ in pairs))
        of_recipe = {name: [model for other, model in pairs if other == name] for name in names}
        every = list(dict.fromkeys(model for _, model in pairs))
        pairs = tuple((name, model) for name in names for model in models or of_recipe[name] or every)
    protocol = _with_options(recipe.protocol, request.options)
    methods = _methods(recipe, names_of(request.methods))
    return replace(recipe.measured_by(protocol), pairs=pairs, methods=methods, more=())


EVERY: Final = "every"
"""In place of a method's name: all that a recipe has set."""


def _methods(recipe: Recipe, wanted: Sequence[str]) -> tuple[MethodRun, ...]:
    """The recipe's own rows by label or method, and others that it has set; ``+name`` adds to the recipe's.

    ``every`` stands for all that the recipe has set; what it has not becomes a row of its own.
    """
    if not wanted:
        return recipe.methods
    found: dict[str, MethodRun] = {}
    if any(name.startswith("+") for name in wanted):
        found = {one.label: one for one in recipe.methods}
    for name in (name.removeprefix("+") for name in wanted):
        if name.casefold() == EVERY:
            rows = [*recipe.methods, *recipe.more]
        else:
            groups = ([one for one in group if _is(one, name)] for group in (recipe.methods, recipe.more))
            rows = next((group for group in groups if group), [])
        found.update({one.label: one for one in rows or [_own(name, recipe)]})
    return tuple(found.values())


def _is(one: MethodRun, name: str) -> bool:
    return name.casefold() in {one.label.casefold(), one.method.casefold()}


def _own(name: str, recipe: Recipe) -> MethodRun:
    """A row of its own: a registered method, or one of your own by reference."""
    from equipoise.methods import METHODS  # noqa: PLC0415  # loads torch

    if is_reference(name):
        return MethodRun(name.rpartition(":")[2], name)
    known = METHODS.canonical(name, (EVERY, *(one.label for one in (*recipe.methods, *recipe.more))))
    return MethodRun(known, known)


def _with_options(protocol: Protocol, texts: Sequence[str]) -> Protocol:
    known = {one.name: getattr(protocol, one.name) for one in fields(protocol)}
    values: dict[str, Any] = {}
    for pair in texts:
        key, equals, text = pair.partition("=")
        key = key.strip().replace("-", "_")
        if not equals:
            raise OptionError(f"--option {pair!r} is not of the form key=value")
        if key not in known:
            near = nearest(key, list(known))
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UnknownOptionError(f"{protocol.name} has no option {key!r}; {hint}it takes: {', '.join(known)}")
        value = read_value(text, known[key])
        if isinstance(known[key], tuple) and not isinstance(value, tuple):
            value = (value,)
        if type(value) is int and isinstance(known[key], float):
            value = float(value)
        if type(value) is not type(known[key]):
            raise OptionError(f"{key} is {text!r}; it has to be like {known[key]!r}")
        values[key] = value
    return replace(protocol, **values)


def _print(recipe: Recipe, lines: Sequence[TableRow]) -> None:
    """The numbers in tables that fit into the terminal, or into 80 columns where there is none."""
    console = Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else tables.WIDTH)
    shown = None
    for (dataset, model), heads, rows in tables.narrow(lines, console.width):
        if shown != (shown := (dataset, model)):
            console.print(Text(f"{recipe.title}: {dataset}, {model}", style="italic"), soft_wrap=True)
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for head in heads:
            table.add_column(Text(head), no_wrap=True)
        for texts in rows:
            table.add_row(*(Text(text.replace("**", ""), style="bold" if "**" in text else "") for text in texts))
        console.print(table, Text(""))


class _Rate(ProgressColumn):
    """Images per second so far."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.2f} images/s" if task.speed else "")


class _Progress(Observer):
    """Progress bars on stderr: a bar where that is a terminal, else a line per block and every minute."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None, visible=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def line(self, text: str) -> None:
        line = f"equipoise: {text}"
        if self._bar.disable:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
        else:
            self._console.print(line)

    def begin(self, what: str, units: int) -> None:
        if self._bar.disable:
            self.line(f"{what}: {units} images")
        self._bar.reset(self._task, description=what, total=units, visible=True)

    def done(self, units: int = 1) -> None:
        self._bar.advance(self._task, units)
