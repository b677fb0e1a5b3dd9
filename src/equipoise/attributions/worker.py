"""Holds the network and the methods, and does one task after the other: reads, explains, measures, writes."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from equipoise import records
from equipoise.attributions.folder import Folder
from equipoise.attributions.leases import Share
from equipoise.attributions.memory import Memory, bounded, kept_for_later
from equipoise.attributions.parts import Failure, PartWriter, Span, halved
from equipoise.attributions.plan import LABEL, Answer, Plan, Task
from equipoise.attributions.reader import Items, Read, Reader, reader_for
from equipoise.attributions.sizing import SHARE, Sizing
from equipoise.attributions.sources import Source
from equipoise.batches import Batch, Maps
from equipoise.engine.entrance import out_of_memory
from equipoise.engine.precision import Prepared, precision
from equipoise.errors import EquipoiseError, OptionError, UnknownNameError, UnknownOptionError
from equipoise.executors.base import Place
from equipoise.images import one_line
from equipoise.loading import load
from equipoise.methods import heatmap
from equipoise.network import like_weights
from equipoise.wanted import PhotoTarget, parse_target

if TYPE_CHECKING:
    from equipoise.network import BoundMethod, Network

MOST_CHUNK: Final = 64
"""The most images that a method of many passes runs at once."""

BEHIND: Final = 2
"""Batches that wait to be written while the next one is explained."""

SUMS: Final = ("sum", "positive_sum", "negative_sum", "positive_ratio", "lowest", "highest")
"""What is measured of a map, in the order of `sums`."""


@dataclass(frozen=True)
class Attributing:
    """Makes workers: everything that one needs, to be sent to where it works.

    Attributes:
        plan: What is run.
        source: The photos.
        folder: The address of the folder of results.
        first: Of the items of the run, the place of the first in the source.
        token: Of the run that has the folder; empty: nobody has.
    """

    plan: Plan
    source: Source
    folder: str
    first: int = 0
    token: str = ""

    def build(self, place: Place) -> Explainer:
        """A worker.

        Raises:
            EquipoiseError: If the network, the data or every method cannot be had where it works.
        """
        if place.threads is not None:
            torch.set_num_threads(place.threads)
        if self.plan.folder is not None and self.plan.folder not in sys.path:
            sys.path.insert(0, self.plan.folder)
        self.source.check()
        return Explainer(self, place)


class Explainer:
    """A worker.

    Args:
        job: What it works on.
        place: Where it works.

    Raises:
        EquipoiseError: As `Attributing.build`.
    """

    def __init__(self, job: Attributing, place: Place) -> None:
        self._job, self._plan = job, job.plan
        plan = job.plan
        network = load(plan.model, weights=plan.weights, device=place.device or plan.device, said=plan.said)
        network.check()
        self._wanted: list[PhotoTarget] = [parse_target(one, network.spec) for one in plan.targets if one != LABEL]
        self._by_label = LABEL in plan.targets
        self._folder = Folder.at(job.folder)
        self._memory = Memory(network.device, plan.memory)
        self.left_out: dict[str, str] = {}
        with precision(plan.precision, network.module) as fast:
            self.network: Network = replace(network, module=fast.model)
            self.bound = self._bound()
        self._sizing = Sizing(self._memory, plan.batch)
        self._settings = contextlib.ExitStack()
        self._settings.enter_context(kept_for_later(network.device))
        self._settings.enter_context(bounded(network.device, plan.memory))
        self._share = Share(self._folder, job.token) if job.token else None
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="equipoise-writer")
        self._reader = self._read_by(place)
        self._expected: Task | None = None

    def close(self) -> None:
        """Let go of what reads ahead and writes behind."""
        self._reader.close()
        self.pool.shutdown()
        self._settings.close()
        if self._share is not None:
            self._share.close()

    def do(self, task: Task, upcoming: Task | None, stopped: Callable[[], bool]) -> Answer:
        """See `equipoise.executors.base.Worker`."""
        started = time.perf_counter()
        self._expect(task, upcoming)
        writer = PartWriter(self._folder, Span(task.start, task.stop), self._plan.kept)
        try:
            with precision(self._plan.precision, self.network.module) as fast:  # another thread may do another task
                work = _Work(self, writer, task, fast)
                stop = work.run(stopped)
            if self._share is not None:
                self._share.check()
            span = writer.close(stop, self.left_out)
        except BaseException:
            self.pool.submit(writer.abandon).result()  # after what waits to be written
            raise
        return Answer(
            Task(span.start, span.stop), work.rows, tuple(work.failed), work.notes, self._sizing.next(),
            time.perf_counter() - started, dict(self.left_out),
        )  # fmt: skip

    def indices(self, task: Task) -> range:
        """The places in the source of a task's items."""
        return range(self._job.first + task.start, self._job.first + task.stop)

    def _expect(self, task: Task, upcoming: Task | None) -> None:
        if self._expected != task:
            self._reader.forget()
            self._reader.expect(self.indices(task))
        self._expected = upcoming
        if upcoming is not None:
            self._reader.expect(self.indices(upcoming))

    def _read_by(self, place: Place) -> Reader:
        device, processes = self.network.device, self._plan.readers
        if processes is None:
            cores = (os.cpu_count() or 1) // place.of
            processes = min(8, max(0, cores - 1)) if device.type == "cuda" else 0
        return reader_for(Items(self._job.source, self.network.spec.preprocessing), processes, device)

    def _bound(self) -> dict[str, BoundMethod]:
        """The methods that can explain this network, by name.

        Raises:
            EquipoiseError: If none can.
        """
        bound: dict[str, BoundMethod] = {}
        why: list[EquipoiseError] = []
        for method, options in self._plan.methods:
            try:
                one = self.network.bind(method, **options)
                self._tried(one)
            except (OptionError, UnknownOptionError, UnknownNameError):
                raise
            except EquipoiseError as error:
                why.append(error)
                name = method if isinstance(method, str) else records.method_record(method, {})["name"]
                self.left_out[str(name)] = one_line(error)
                continue
            bound[str(one.record["name"])] = one
        if not bound or (why and self._plan.strict):
            raise why[0]
        return bound

    def _tried(self, bound: BoundMethod) -> None:
        """Explain a black photo, which shows what a method cannot do with any; those that take long are not tried."""
        method = bound.attributor
        if getattr(method, "costly", False) or not Batch(self.network, self.network.black(), [[]]).together:
            self._chunk(bound)
            return
        try:
            method.attribute(self.network.black(), 0)
        except EquipoiseError:
            raise
        except Exception as error:  # a method of a user's own may well do other photos
            if out_of_memory(error):
                raise

    def _chunk(self, bound: BoundMethod) -> None:
        """Let a method of many passes run as many at once as memory holds, unless it was told how many."""
        method: Any = bound.attributor
        if not isinstance(getattr(method, "chunk", None), int) or "chunk" in self._options(bound):
            return
        free, before = self._memory.free(), self._memory.begin()
        try:
            self.network.bind("gradient").attributor.attribute(self.network.black(), 0)
        except EquipoiseError:
            return
        need = self._memory.peak() - before
        if free is not None and need > 0:
            method.chunk = max(1, min(method.chunk, int(SHARE * free / need)))

    def _options(self, bound: BoundMethod) -> dict[str, Any]:
        return next((dict(own) for method, own in self._plan.methods if method == bound.record["name"]), {})


class _Work:
    """One task.

    Attributes:
        rows: How many were written.
        failed: What could not be done.
        notes: What methods said, and how often.
    """

    def __init__(self, owner: Explainer, writer: PartWriter, task: Task, fast: Prepared) -> None:
        self._owner, self._writer, self._task, self._fast = owner, writer, task, fast
        self._plan, self._source = owner._plan, owner._job.source  # noqa: SLF001  # its own part
        self._sizing: Sizing = owner._sizing  # noqa: SLF001
        self._reader: Reader = owner._reader  # noqa: SLF001
        self.rows = 0
        self.failed: list[Failure] = []
        self.notes: dict[str, int] = {}
        self._writing: deque[Future[None]] = deque()

    def run(self, stopped: Callable[[], bool]) -> int:
        """Until the task is done or ended early; one past the last item that was done."""
        buckets: dict[tuple[int, ...], list[Read]] = {}
        done, total = 0, self._task.stop - self._task.start
        while done < total and not (done and stopped()):
            reads = self._reader.take()
            done += len(reads)
            for read in reads:
                if read.inputs is None:
                    self._fail(read, "", read.problem)
                    continue
                bucket = buckets.setdefault(tuple(read.inputs.shape), [])
                bucket.append(read)
                if len(bucket) >= self._sizing.next(read.inputs.numel()):
                    self._explain(bucket)
                    bucket.clear()
        for bucket in buckets.values():
            if bucket:
                self._explain(bucket)
        self._written(0)
        return self._task.start + done

    def _written(self, waiting: int) -> None:
        """Wait until no more batches than these are still to be written."""
        while len(self._writing) > waiting:
            self._writing.popleft().result()

    def _fail(self, read: Read, method: str, reason: str) -> None:
        index = read.index - self._owner._job.first  # noqa: SLF001  # its own part
        failure = Failure(index, self._source.key(read.index), method, reason)
        if self._plan.strict:
            raise OptionError(f"{failure.key}: {reason}")
        self.failed.append(failure)
        self._writer.fail(failure)

    def _explain(self, reads: list[Read], *, again: bool = False) -> None:
        """Photos of one shape, as many at once as memory holds; a single one may be tried twice."""
        elements = sum(read.inputs.numel() for read in reads[:1] if read.inputs is not None)
        self._sizing.begin(len(reads), elements)
        started = time.perf_counter()
        try:
            self._together(reads)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            error.__traceback__ = None  # whose frames hold what did not fit
        else:
            self._sizing.note(len(reads), time.perf_counter() - started, elements)
            return
        self._sizing.too_large(len(reads))
        if len(reads) == 1 and not again:  # what held the memory may be gone by now
            self._explain(reads, again=True)
            return
        if len(reads) == 1:
            self._fail(reads[0], "", "there is not enough memory to explain it")
            return
        half = len(reads) // 2
        self._explain(reads[:half])
        self._explain(reads[half:])

    def _together(self, reads: list[Read]) -> None:
        network = self._owner.network
        inputs = self._fast.images(torch.stack([read.inputs for read in reads if read.inputs is not None]))
        if self._plan.precision == "float32":  # else the network casts what it takes
            inputs = like_weights(inputs, network.module)
        sizes, boxes = [read.size for read in reads], [read.box for read in reads]
        batch = Batch(network, inputs, [self._wishes(read) for read in reads], sizes, boxes)
        found: dict[str, Maps] = {}
        every = list(self._owner.bound.values())
        for name, bound in self._owner.bound.items():
            try:
                found[name] = batch.explain(bound, every)
            except EquipoiseError as error:
                for read in reads:
                    self._fail(read, name, one_line(error))
        if found:
            self._keep(reads, batch, found)

    def _wishes(self, read: Read) -> list[PhotoTarget]:
        wanted = list(self._owner._wanted)  # noqa: SLF001  # its own part
        if not self._owner._by_label:  # noqa: SLF001
            return wanted
        why = "it has no label"
        for label in read.labels:
            name = self._source.label_name(label)
            why = f"the network has no class for its label {name}"
            try:
                meant = self._source.meant(label, self._owner.network.spec)
            except EquipoiseError as error:
                meant, why = None, f"its label {name}: {one_line(error)}"
            wanted += [] if meant is None else [meant]
        if not wanted:
            self._fail(read, "", why)
        return wanted

    def _keep(self, reads: Sequence[Read], batch: Batch, found: dict[str, Maps]) -> None:
        told = [batch.told(photo) for photo in range(len(reads))]
        kept = {name: self._measured(maps) for name, maps in found.items()}
        rows: list[tuple[dict[str, Any], Tensor | None, float]] = []
        for photo, read in enumerate(reads):
            common = {
                "index": read.index - self._owner._job.first,  # noqa: SLF001  # its own part
                "key": self._source.key(read.index),
                "label": "; ".join(self._source.label_name(label) for label in read.labels) or None,
                "sha256": read.sha256,
            }
            for name, maps in found.items():
                if photo in maps.failed:
                    self._fail(read, name, one_line(maps.failed[photo]))
                    continue
                for note in maps.notes[photo]:
                    text = f"{name}: {note.removeprefix('image 0, ').removeprefix('image 0: ')}"
                    self.notes[text] = self.notes.get(text, 0) + 1
                    self._writer.note(text)
                for of, (values, map_, scale) in zip(told[photo], kept[name][photo], strict=True):
                    row = common | {
                        "method": name, "target": of.index, "name": of.name, "score": of.logit,
                        "probability": of.probability,
                    } | values  # fmt: skip
                    rows.append((row, map_, scale))
        self.rows += len(rows)
        self._written(BEHIND)
        self._writing.append(self._owner.pool.submit(self._write, rows))

    def _write(self, rows: Sequence[tuple[dict[str, Any], Tensor | None, float]]) -> None:
        for row, map_, scale in rows:
            self._writer.add(row, map_, scale)

    def _measured(self, maps: Maps) -> list[list[tuple[dict[str, float], Tensor | None, float]]]:
        """Per photo and target the sums, and the map as it is kept."""
        counts = [len(one) for one in maps.each]
        total = sum(counts)
        if not total:
            return [[] for _ in counts]
        every = torch.cat(maps.each)
        values: list[dict[str, float]] = [{}] * total
        if self._plan.keep != "none":
            values = [dict(zip(SUMS, row, strict=True)) for row in sums(heatmap(every, dims=every.dim() - 2)).tolist()]
        kept: list[Tensor | None] = [None] * total
        scales = [1.0] * total
        if self._plan.kept == "float16":
            half, scale = halved(every)
            kept, scales = list(half.cpu()), scale.tolist()
        elif self._plan.kept == "float32":
            kept = list(every.float().cpu())
        found, start = [], 0
        for count in counts:
            rows = range(start, start + count)
            found.append([(values[row], kept[row], scales[row]) for row in rows])
            start += count
        return found


def sums(heatmaps: Tensor) -> Tensor:
    """What `SUMS` names of each heat map ``(m, *space)``: ``(m, 6)``, float64 on the CPU."""
    flat = heatmaps.flatten(1)
    values = flat.double() if flat.device.type != "mps" else flat.cpu().double()  # mps has no float64
    parts = [
        values.sum(1), values.clamp(min=0).sum(1), values.clamp(max=0).sum(1), (values > 0).double().mean(1),
        values.amin(1), values.amax(1),
    ]  # fmt: skip
    return torch.stack(parts, 1).cpu()
