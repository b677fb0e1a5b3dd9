"""Runs a recipe: networks one by one, data set by data set, unit by unit, all methods on each."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from equipoise import datasets, records
from equipoise.attributions.memory import Memory, bounded, kept_for_later
from equipoise.attributions.sizing import Sizing
from equipoise.engine.precision import tf32
from equipoise.errors import (
    DataError,
    EquipoiseError,
    ImageError,
    OptionError,
    UnknownOptionError,
    WeightsError,
)
from equipoise.experiments.model.rows import Result
from equipoise.experiments.model.table import Rows
from equipoise.experiments.protocols.base import Bench, Confidence, Unit
from equipoise.experiments.recipes.recipe import Recipe, describe_protocol
from equipoise.experiments.running.keys import Keys
from equipoise.experiments.running.measuring import Measuring, Waiting
from equipoise.experiments.running.reading import Reader
from equipoise.experiments.running.store import Part, Store, digest
from equipoise.experiments.subject import READOUTS, Lab, Subject, source_of
from equipoise.images import one_line
from equipoise.metrics.catalog import CATALOG
from equipoise.models.description import Said
from equipoise.models.own import is_numbered

if TYPE_CHECKING:
    from torch import Tensor

    from equipoise.datasets import DataSet, Sample
    from equipoise.models.spec import ModelSpec

FORMAT: Final = "rows and maps with their fields"
"""Part of every key: results of a folder that was written otherwise are measured again, not mixed in."""


TOGETHER: Final = 16
"""Photos that a network is asked about at once before a run."""


class Observer:
    """Told what a run does; this one says nothing."""

    def line(self, text: str) -> None:
        """Something that a person should read."""

    def begin(self, what: str, units: int) -> None:
        """A block of that many units begins."""

    def done(self, units: int = 1) -> None:
        """So many units of the block are done."""


@dataclass(frozen=True)
class Plan:
    """What is run of a recipe, and where.

    Args:
        recipe: With the methods, pairs and options as wanted.
        output: The folder.
        data: The folder of the data sets; ``None``: ``EQUIPOISE_DATA``, or ``data``.
        limit: At most so many units of each data set, drawn the same way every time; ``None``: all.
        resume: Go on with what is in ``output``.
        strict: End at the first missing or broken file.
        device: Where the networks run.
        weights: A file for the network, if there is one alone; ``None``: its own.
        said: What is said of it in place of what is known.
        batch: Photos of one shape that are explained at once; ``None``: as many as make it faster.
        memory: The most bytes that it may take; ``None``: what is free.
        shard: Which part of the units, of how many, ``(0, 4)``: its results go to the folder, where a run of the whole
            with ``resume`` finds them. ``None``: all of them.
    """

    recipe: Recipe
    output: Path
    data: Path | None = None
    limit: int | None = None
    resume: bool = False
    strict: bool = False
    device: str | None = None
    weights: str | None = None
    said: Said = field(default_factory=Said)
    batch: int | None = None
    memory: int | None = None
    shard: tuple[int, int] | None = None

    @property
    def writer(self) -> str:
        """Who writes; see `Store`."""
        return "" if self.shard is None else f"shard-{self.shard[0]}-of-{self.shard[1]}"


@dataclass(frozen=True)
class Block:
    """A network before a data set, and what was measured there.

    Attributes:
        dataset: Its name.
        model: The network's name.
        spec: Its classes and preprocessing.
        keys: Per unit and method label the key of the results.
        units: What was measured, in order.
        left_out: Label to reason, of the methods that could not explain the network.
        whole: Whether the network saw whole photos, not the part that its preprocessing cuts out.
    """

    dataset: str
    model: str
    spec: ModelSpec
    units: tuple[Unit, ...] = field(repr=False)
    keys: Keys = field(default_factory=Keys, repr=False)
    left_out: dict[str, str] = field(default_factory=dict)
    whole: bool = False


@dataclass
class Run:
    """A finished run.

    Attributes:
        plan: What was asked for.
        blocks: What was measured.
        rows: All rows of it, as in ``rows.parquet``.
        notes: What a reader has to know.
        problems: Files that could not be read, and methods left out.
        store: The folder.
    """

    plan: Plan
    blocks: list[Block]
    rows: Rows = field(repr=False)
    notes: list[str]
    problems: list[str]
    store: Store


def run(plan: Plan, observer: Observer | None = None) -> Run:
    """Measure what is not in the folder yet.

    Raises:
        EquipoiseError: If a name or option is wrong, no data set or no network can be had, or, with
            ``strict``, a file is missing or broken.
    """
    observer = observer or Observer()
    return Runner(plan, observer).run()


class Runner:
    """One run, in this process.

    Args:
        plan: What is run.
        observer: Told how it goes.
        lab: Holds the network last used; ``None``: a new one.
    """

    def __init__(self, plan: Plan, observer: Observer, lab: Lab | None = None) -> None:
        self.plan, self.recipe, self.observer = plan, plan.recipe, observer
        self.lab = lab or Lab(plan.device, plan.weights, plan.said)
        self.notes: list[str] = list(plan.recipe.notes)
        self.problems: list[str] = []

    def run(self) -> Run:
        """See `run`; products are float32's own on every device, so that a GPU's rows are the CPU's."""
        with tf32(allowed=False):
            return self._run()

    def _run(self) -> Run:
        recipe = self.recipe
        for one in recipe.methods:  # a wrong name ends the run before any work
            source_of(one.method)
            READOUTS[one.readout]
        found, wanted = self._datasets()
        pairs = self._pairs(wanted)
        store = Store(self.plan.output, resume=self.plan.resume, writer=self.plan.writer)
        try:
            confidence = _Remembered(store, self.observer)
            started = time.monotonic()
            units = {}
            for dataset in dict.fromkeys(dataset for dataset, _ in pairs):
                models = [model for name, model in pairs if name == dataset]
                units[dataset] = self._units(found[dataset], models, confidence)
            blocks = {
                (dataset, model): self._block(model, found[dataset], units[dataset], store)
                for model in self._loadable(model for _, model in pairs)
                for dataset in [name for name, other in pairs if other == model]
            }
            pairs = [pair for pair in pairs if pair in blocks]
            ordered = [blocks[pair] for pair in pairs]
            if self.plan.shard is not None:  # the table is of the whole
                return Run(self.plan, ordered, Rows.of(()), self.notes, self.problems, store)
            rows = store.merge(
                block.keys[unit.key, one.label]
                for block in ordered
                for unit in block.units
                for one in recipe.methods
                if (unit.key, one.label) in block.keys
            )
            self._record(store, found, pairs, time.monotonic() - started)
        finally:
            store.close()
        return Run(self.plan, ordered, rows, self.notes, self.problems, store)

    def _datasets(self) -> tuple[dict[str, DataSet], list[tuple[str, str]]]:
        """The data sets that are here, and the recipe's pairs with those; a missing one may have a stand-in."""
        opened: dict[str, DataSet] = {}
        missing: dict[str, str] = {}
        for name in dict.fromkeys(name for name, _ in self.recipe.pairs):
            try:
                opened[name] = self._opened(name)
            except DataError as error:
                instead = self.recipe.offline_datasets.get(name)
                if self.plan.strict:
                    raise
                if instead is None:
                    missing[name] = str(error)
                    continue
                opened[name] = self._opened(instead)
                self._note(
                    f"{name} is not here, so this was measured on {instead} instead: the images are not the paper's."
                )
        if not opened:
            raise DataError(next(iter(missing.values()), "the recipe names no data set"))
        for text in missing.values():
            self._problem(text)
        pairs = [(opened[name].name, model) for name, model in self.recipe.pairs if name in opened]
        return {data.name: data for data in opened.values()}, list(dict.fromkeys(pairs))

    def _opened(self, name: str) -> DataSet:
        data = datasets.open_dataset(name, self.plan.data, strict=self.plan.strict)
        for problem in data.problems:
            self._problem(f"{data.name}: {problem}")
        return data

    def _pairs(self, wanted: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """The pairs whose weights can be had; where there are none, those of the offline networks."""
        absent: dict[str, str] = {}
        for name in dict.fromkeys(model for _, model in wanted):
            try:
                self.lab.fetch(name)
            except WeightsError as error:
                absent[name] = one_line(error)
        pairs = [pair for pair in wanted if pair[1] not in absent]
        if pairs:
            for name, why in absent.items():
                self._problem(f"{name} is left out: {why}")
            return pairs
        offline = self.recipe.offline_models
        if self.plan.strict or not offline:
            raise WeightsError(next(iter(absent.values()), "the recipe names no network"))
        self._note(
            f"None of {', '.join(absent)} could be had, so this was measured with {', '.join(offline)} instead: "
            "the numbers are not those of the paper's networks."
        )
        names = dict.fromkeys(dataset for dataset, _ in wanted)
        return [(dataset, model) for dataset in names for model in offline]

    def _loadable(self, names: Iterable[str]) -> Iterator[str]:
        """The networks, each once, without those whose weights turn out to be damaged; notes what is assumed of them.

        Raises:
            WeightsError: If none is left, or with ``strict`` at the first.
        """
        damaged: dict[str, WeightsError] = {}
        wanted = list(dict.fromkeys(names))
        for name in wanted:
            try:
                assumed = self.lab.subject(name).network.notes
            except WeightsError as error:
                damaged[name] = error
                if self.plan.strict or len(damaged) == len(wanted):
                    raise
                self._problem(f"{name} is left out: {one_line(error)}")
                continue
            for note in assumed:
                self._note(f"{name}: {note}")
            yield name

    def _units(self, data: DataSet, models: Sequence[str], confidence: Confidence) -> tuple[Unit, ...]:
        units = self.recipe.protocol.units(data, self.lab, models, confidence)
        limit = self.plan.limit if self.plan.limit is not None else self.recipe.limit
        if limit is not None and len(units) > limit:
            # a draw by the keys' digests: the same every time, and a smaller one is part of a larger
            drawn = {unit.key for unit in sorted(units, key=lambda unit: digest(unit.key))[:limit]}
            units = [unit for unit in units if unit.key in drawn]
        if not units:
            self._problem(f"{data.name}: no image has what {self.recipe.name} needs")
        if self.plan.shard is not None:
            part, of = self.plan.shard
            units = units[part::of]
        return tuple(units)

    def _block(self, model: str, data: DataSet, units: tuple[Unit, ...], store: Store) -> Block:
        subject = self.lab.subject(model)
        base = Bench(subject, data, subject.classes(data))
        self._note_classes(base)
        bench = replace(base, subject=self.recipe.protocol.subject(subject))
        common = (FORMAT, describe_protocol(self.recipe.protocol), self.recipe.name, data.name, subject.identity)
        methods = {
            one.label: digest(one.label, records.to_json(one.describe()), source_of(one.method))
            for one in self.recipe.methods
        }
        keys = Keys(common, methods)
        block = Block(data.name, model, subject.spec, units, keys, whole=self.recipe.protocol.whole)
        bound = {}
        for one in self.recipe.methods:
            try:
                bound[one.label] = bench.subject.bind(one)
            except (OptionError, UnknownOptionError):
                raise
            except EquipoiseError as error:
                self._leave_out(block, one.label, error)
        self.observer.begin(f"{data.name}, {model}", len(units))

        def leave_out(label: str, error: EquipoiseError) -> None:
            self._leave_out(block, label, error)

        def keep(unit: Unit, label: str, key: str, result: Result, place: int) -> Part:
            part, of = self.plan.shard or (0, 1)
            kept = self.recipe.keep_maps is None or place * of + part < self.recipe.keep_maps
            return Part(key, self._rows(block, unit, label, result), result.maps if kept else [])

        def too_large(unit: Unit) -> None:
            self._problem(f"{unit.key}: there is not enough memory to explain it")

        sizing = Sizing(Memory(subject.device, self.plan.memory), self.plan.batch)
        measuring = Measuring(self.recipe.protocol, bench, store, bound, leave_out, keep, sizing, too_large)
        with (
            ThreadPoolExecutor(1) as pool,
            kept_for_later(subject.device),
            bounded(subject.device, self.plan.memory),
        ):
            reader = Reader(self.recipe, bench, store, block.keys, pool)
            for place, (unit, made, prepared) in enumerate(reader.read(units)):
                if isinstance(prepared, ImageError):
                    if self.plan.strict:
                        raise DataError(str(prepared)) from prepared
                    self._problem(str(prepared))
                elif prepared is not None:
                    self.observer.done(measuring.take(Waiting(place, unit, made, prepared)))
                    continue
                self.observer.done()
            self.observer.done(measuring.rest())
        return block

    def _note_classes(self, bench: Bench) -> None:
        """Say which categories the network has no class for, and beside what its numbers are set."""
        data, model = bench.data, bench.subject.name
        unknown = [name for index, name in enumerate(data.classes) if bench.classes.target(index) is None]
        every = len(unknown) == len(data.classes) and is_numbered(bench.subject.spec.classes)
        if every and self.recipe.protocol.by_labels:
            own = ", ".join(bench.subject.spec.classes[:3])
            self._problem(
                f"{model} has a class for none of {data.name}'s {len(unknown)} ({', '.join(unknown[:3])}, ...): its "
                f"own are called {own}, ...; give their names: --classes FILE, or a description"
            )
        elif unknown and self.recipe.protocol.by_labels:
            left = "which is" if len(unknown) == 1 else "which are"
            of = f"{len(unknown)} of the {len(data.classes)} classes of {data.name}"
            self._note(f"{model} has no class for {of}, {left} left out: {', '.join(unknown)}.")
        recipe = self.recipe
        place, alike = recipe.beside(data.name, model)
        if place is not None and recipe.published and not recipe.has(data.name, model):
            why = "the same architecture with other weights" if alike else "for orientation"
            self._note(f"{model} on {data.name} is set beside the paper's {place[1]} on {place[0]}, {why}.")

    def _rows(self, block: Block, unit: Unit, label: str, result: Result) -> list[dict[str, Any]]:
        protocol = self.recipe.protocol
        if undeclared := {one.metric for one in result.rows} - {*protocol.metrics, *protocol.curves}:
            raise OptionError(f"the protocol {protocol.name} measures {min(undeclared)}, which it does not declare")
        return [
            {
                "recipe": self.recipe.name,
                "dataset": block.dataset,
                "model": block.model,
                "method": label,
                "unit": unit.key,
                "category": one.goal.category,
                "class": one.goal.name,
                "cell": one.goal.cell,
                "predicted": one.goal.predicted,
                "hard": one.goal.hard,
                "metric": CATALOG[one.metric].label,
                "step": one.step,
                "detail": one.detail,
                "value": one.value,
            }
            for one in result.rows
        ]

    def _leave_out(self, block: Block, label: str, error: EquipoiseError) -> None:
        block.left_out[label] = one_line(error)
        self._problem(f"{label} is left out for {block.model}: {one_line(error)}")

    def _problem(self, text: str) -> None:
        self.problems.append(text)
        self.observer.line(text)

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self.observer.line(text)

    def _record(self, store: Store, found: dict[str, DataSet], pairs: list[tuple[str, str]], seconds: float) -> None:
        recipe = self.recipe
        record = {
            "recipe": recipe.name,
            "title": recipe.title,
            "protocol": describe_protocol(recipe.protocol),
            "methods": [{"label": one.label} | one.describe() for one in recipe.methods],
            "pairs": pairs,
            "models": {name: self.lab.checksums[name] for _, name in pairs},
            "datasets": {name: {"images": len(data), "classes": len(data.classes)} for name, data in found.items()},
            "limit": self.plan.limit,
            "notes": self.notes,
            "problems": self.problems,
            "seconds": round(seconds, 1),
            "threads": torch.get_num_threads(),
            "device": records.device_name(self.plan.device),
            "versions": records.versions(),
        }
        records.write_atomically(store.folder / "run.json", (records.to_json(record) + "\n").encode())


class _Remembered(Confidence):
    """Keeps every answer in the store, so that a resumed run chooses at once."""

    def __init__(self, store: Store, observer: Observer) -> None:
        self._store, self._observer = store, observer
        self._memo = store.memo()

    def of(self, subject: Subject, samples: Sequence[Sample]) -> list[tuple[int, float]]:
        keys: list[str | None] = []
        waiting: list[tuple[str, Tensor]] = []
        self._observer.begin(f"what {subject.name} is sure of", len(samples))
        for sample in samples:
            try:
                key = digest("confidence", subject.identity, sample.sha256())
                if key not in self._memo:
                    waiting.append((key, subject.spec.preprocess(sample.image())))
                keys.append(key)
            except (ImageError, OSError) as error:
                self._observer.line(one_line(error))
                keys.append(None)
            if len(waiting) >= TOGETHER:
                self._ask(subject, waiting)
            if len(keys) % 128 == 0:
                self._store.remember(self._memo)
            self._observer.done()
        self._ask(subject, waiting)
        self._store.remember(self._memo)
        answers = [[-1, 0.0] if key is None else self._memo[key] for key in keys]
        return [(int(top), float(sure)) for top, sure in answers]

    def _ask(self, subject: Subject, waiting: list[tuple[str, Tensor]]) -> None:
        """Let the network answer for photos that wait, those of one shape together."""
        shapes = dict.fromkeys(tuple(inputs.shape) for _, inputs in waiting)
        for shape in shapes:
            these = [(key, inputs) for key, inputs in waiting if tuple(inputs.shape) == shape]
            sure, top = subject.forward(torch.stack([inputs for _, inputs in these])).softmax(1).max(1)
            self._memo.update(
                {key: [int(index), float(one)] for (key, _), index, one in zip(these, top, sure, strict=True)}
            )
        waiting.clear()
