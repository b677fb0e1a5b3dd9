"""Measures the units of a block: those of one shape together, all targets and methods from one forward pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from equipoise.attributions.sizing import Needs, Sizing
from equipoise.batches import Batch, Maps
from equipoise.engine.entrance import out_of_memory
from equipoise.errors import EquipoiseError
from equipoise.experiments.model.rows import Result
from equipoise.experiments.protocols.base import Bench, Protocol, Unit
from equipoise.experiments.running.parts import Part
from equipoise.experiments.subject import BoundRun, Explained
from equipoise.network import like_weights

if TYPE_CHECKING:
    from equipoise.answers import Answers, ScoreOf
    from equipoise.experiments.running.store import Store

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Waiting:
    """A unit that is to be measured.

    Attributes:
        place: Among the units of the block.
        unit: The unit.
        keys: Of its results, by method label.
        prepared: Its preparation.
    """

    place: int
    unit: Unit
    keys: dict[str, str]
    prepared: Any


class _LookError(Exception):
    """What a protocol cannot ask of a photo, whatever the method."""

    def __init__(self, reason: EquipoiseError) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass(eq=False)
class Measuring:
    """Takes units one by one, and measures them when there are as many of one shape as go together.

    Args:
        protocol: How.
        bench: The network before the data set.
        store: Where results go; what is there is not measured again.
        bound: The methods by label; one that fails is taken out.
        leave_out: Told of such a method.
        part: From unit, label, key, result and place to what is kept.
        sizing: How many go together.
        too_large: Told of a unit that memory does not hold alone; what fitted of it is kept.
    """

    protocol: Protocol
    bench: Bench
    store: Store
    bound: dict[str, BoundRun]
    leave_out: Callable[[str, EquipoiseError], None]
    part: Callable[[Unit, str, str, Result, int], Part]
    sizing: Sizing
    too_large: Callable[[Unit], None]
    _buckets: dict[tuple[int, ...], list[Waiting]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._needs = Needs(self.sizing.memory)

    def _pieces(self, label: str, pending: Sequence[T], elements: int) -> Iterator[Sequence[T]]:
        """What a method is asked of, as much at once as memory holds; a piece is measured while it is worked on."""
        while pending:
            count = self._needs.fits(label, elements)
            piece, pending = pending[:count], pending[count:]
            with self._needs.noted(label, len(piece), elements):
                yield piece

    def take(self, one: Waiting) -> int:
        """Another unit; how many were measured now."""
        shown = self.protocol.shown(one.prepared, self.bench)
        if shown is None or not self._together(shown):
            self._alone(one)
            return 1
        bucket = self._buckets.setdefault(tuple(shown.shape), [])
        bucket.append(one)
        return self._measured(bucket) if len(bucket) >= self.sizing.next(shown.numel()) else 0

    def rest(self) -> int:
        """Measure what waits still; how many that were."""
        return sum(self._measured(bucket) for bucket in self._buckets.values() if bucket)

    def _together(self, shown: torch.Tensor) -> bool:
        return shown.shape[0] == 1 and Batch(self.bench.subject.network, shown, [[]]).together

    def _measured(self, bucket: list[Waiting]) -> int:
        count = len(bucket)
        self._sized(list(bucket))
        bucket.clear()
        return count

    def _sized(self, units: Sequence[Waiting], *, again: bool = False) -> None:
        shown = self.protocol.shown(units[0].prepared, self.bench)
        elements = 1 if shown is None else shown.numel()
        self.sizing.begin(len(units), elements)
        started = time.perf_counter()
        try:
            self._at_once(units, elements)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            error.__traceback__ = None  # whose frames hold what did not fit
        else:
            self.sizing.note(len(units), time.perf_counter() - started, elements)
            return
        self.sizing.too_large(len(units))
        if len(units) == 1 and not again:  # what held the memory may be gone by now
            self._sized(units, again=True)
            return
        if len(units) == 1:
            self.too_large(units[0].unit)
            return
        half = len(units) // 2
        self._sized(units[:half])
        self._sized(units[half:])

    def _at_once(self, units: Sequence[Waiting], elements: int) -> None:
        """Explain and measure units of one shape; what one method gave is kept before the next begins."""
        if self.protocol.explains_itself:
            self._by_itself(units, elements)
            return
        network = self.bench.subject.network
        shown = [self.protocol.shown(one.prepared, self.bench) for one in units]
        inputs = like_weights(torch.cat([one for one in shown if one is not None]), network.module)
        questions: dict[int, Any] = {}

        def wish(place: int, answers: Answers) -> list[ScoreOf]:
            bench = replace(self.bench, heard=answers)
            try:
                questions[place] = self.protocol.look(units[place].prepared, bench)
            except EquipoiseError as error:
                raise _LookError(error) from error
            return list(questions[place].targets)

        batch = Batch(network, inputs, [partial(wish, place) for place in range(len(units))])
        every = [run.bound for run in self.bound.values()]
        for label in list(self.bound):
            pending = [place for place, one in enumerate(units) if one.keys[label] not in self.store]
            for piece in self._pieces(label, pending, elements):
                if label not in self.bound:
                    break
                run = self.bound[label]
                try:
                    if len(piece) < len(units):
                        batch.look()
                    of = batch if len(piece) == len(units) else batch.part(piece)
                    maps = of.explain(run.bound, every if of is batch else ())
                except EquipoiseError as error:  # what a method cannot do with one photo, it can do with none
                    self._left_out(label, error)
                    break
                except _LookError as error:
                    raise error.reason from None
                parts = self._parts(label, run, maps, [(units[place], questions[place]) for place in piece])
                if parts:
                    self.store.add(parts)

    def _by_itself(self, units: Sequence[Waiting], elements: int) -> None:
        """Let the protocol explain units of one shape."""
        asked = [(one, self.protocol.look(one.prepared, self.bench)) for one in units]
        for label in list(self.bound):
            pending = [pair for pair in asked if pair[0].keys[label] not in self.store]
            for piece in self._pieces(label, pending, elements):
                if label in self.bound:
                    self._asked(label, piece)

    def _asked(self, label: str, asked: Sequence[tuple[Waiting, Any]]) -> None:
        """What one method gives, up to the first unit that it cannot explain."""
        runs = [self.bound[label]] * len(asked)
        try:
            found = self.protocol.measure_all([question for _, question in asked], self.bench, runs)
        except EquipoiseError as error:
            if len(asked) == 1:
                self._left_out(label, error)
                return
            for pair in asked:
                if label in self.bound:
                    self._asked(label, [pair])
            return
        self.store.add(
            [
                self.part(one.unit, label, one.keys[label], result, one.place)
                for (one, _), result in zip(asked, found, strict=True)
            ]
        )

    def _parts(self, label: str, run: BoundRun, maps: Maps, asked: Sequence[tuple[Waiting, Any]]) -> list[Part]:
        """The results of one method, up to the first unit that it cannot explain."""
        good = min(maps.failed, default=len(asked))
        questions = [question for _, question in asked[:good]]
        found: list[Result] = []
        try:
            runs = self._read(run, questions, maps.each[:good])
            found = self.protocol.measure_all(questions, self.bench, runs) if runs else []
        except EquipoiseError as error:
            if good == 1:
                self._left_out(label, error)
                return []
            alone = [
                self._parts(label, run, Maps([one], [note]), [unit])
                for one, note, unit in zip(maps.each[:good], maps.notes[:good], asked, strict=False)
                if label in self.bound
            ]
            return [part for parts in alone for part in parts]
        if good in maps.failed:
            self._left_out(label, maps.failed[good])
        return [
            self.part(one.unit, label, one.keys[label], result, one.place)
            for (one, _), result in zip(asked, found, strict=False)
        ]

    def _read(self, run: BoundRun, questions: Sequence[Any], each: Sequence[torch.Tensor]) -> list[Explained]:
        """The heat maps of each unit, all read at once."""
        counts = [len(one) for one in each]
        if not each:
            return []
        every = torch.cat(list(each))
        read = run.read(every) if len(every) else torch.zeros(0, *every.shape[2:])
        return [
            Explained(run.run, run.bound, question.inputs, question.targets, maps)
            for question, maps in zip(questions, torch.split_with_sizes(read, counts), strict=True)
        ]

    def _left_out(self, label: str, error: EquipoiseError) -> None:
        if self.bound.pop(label, None) is not None:
            self.leave_out(label, error)

    def _alone(self, one: Waiting) -> None:
        """A unit of a protocol that asks the network itself, or of a network that gives no class scores."""
        try:
            self._one_by_one(one)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            self.too_large(one.unit)

    def _one_by_one(self, one: Waiting) -> None:
        pending = [label for label in self.bound if one.keys[label] not in self.store]
        question = self.protocol.look(one.prepared, self.bench)
        for label in pending:
            try:
                result = self.protocol.measure(question, self.bench, self.bound[label])
            except EquipoiseError as error:  # what a method cannot do with one photo, it can do with none
                self._left_out(label, error)
                continue
            self.store.add([self.part(one.unit, label, one.keys[label], result, one.place)])
