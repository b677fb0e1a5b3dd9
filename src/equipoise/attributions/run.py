"""Runs a plan: what is done already, tasks of a few seconds, workers, failures, signals, the table at the end."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Final

from equipoise import records
from equipoise.attributions.folder import Folder
from equipoise.attributions.joining import failures, write_rows
from equipoise.attributions.leases import Owner
from equipoise.attributions.parts import Failure, Part, PartWriter, Span, part_of, parts, tidy
from equipoise.attributions.plan import FORMAT, LABEL, Answer, Plan, Task, digest
from equipoise.attributions.reading import Attributions
from equipoise.attributions.sources import Source
from equipoise.attributions.status import Silent, Status, Watcher
from equipoise.attributions.worker import Attributing
from equipoise.errors import EquipoiseError, OptionError
from equipoise.executors import Blueprint, Crew, Dispatch
from equipoise.loading import load
from equipoise.models.checkpoints import state_checksum
from equipoise.wanted import parse_target

SECONDS: Final = 8.0
"""How long a task should take: what a kill loses at most, of each worker."""

FIRST: Final = 32
"""Items of a task before anything is known of how long one takes."""

LONGEST: Final = 8192
"""Items of a task at most."""


@dataclass(frozen=True)
class Where:
    """Which items are done, and where the results go.

    Attributes:
        folder: Of the results.
        resume: Whether to go on with what is there.
        limit: At most so many items, the first; ``None``: all.
        shard: Which part of how many, ``(0, 4)``; ``None``: all of it.
    """

    folder: Folder
    resume: bool = False
    limit: int | None = None
    shard: tuple[int, int] | None = None

    def items(self, source: Source) -> range:
        """The items of this run, as places in the source."""
        count = len(source) if self.limit is None else min(self.limit, len(source))
        if self.shard is None:
            return range(count)
        part, of = self.shard
        return range(part * count // of, (part + 1) * count // of)


@dataclass
class _Run:
    plan: Plan
    source: Source
    where: Where
    watcher: Watcher
    todo: list[Span] = field(default_factory=list)
    seconds_each: float | None = None
    batch: int = 1
    failures: dict[tuple[int, str], Failure] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    stopping: bool = False


def run(
    plan: Plan,
    source: Source,
    where: Where,
    crew: Callable[[Blueprint], Crew],
    watcher: Watcher | None = None,
) -> Attributions:
    """Attribute the items that are not done yet.

    Args:
        plan: What is run.
        source: The photos.
        where: Which of them, and where results go.
        crew: From the blueprint of workers to who works.
        watcher: Told how it goes.

    Raises:
        OptionError: If the folder holds another run, another run writes there, or it cannot be written.
        EquipoiseError: If the network or every method cannot be had.
    """
    state = _Run(plan, source, where, watcher or Silent())
    folder = where.folder
    folder.make()
    with contextlib.closing(Owner(folder)) as owner:
        return _owned(state, crew, owner.token)


def _owned(state: _Run, crew: Callable[[Blueprint], Crew], token: str) -> Attributions:
    where, folder, source = state.where, state.where.folder, state.source
    items = where.items(source)
    record = _record(state, items)
    begun = _check_same(folder, record, resume=where.resume)
    tidy(folder)
    before = parts(folder) if begun else []
    covered = _note_before(state, before)
    state.todo = list(_missing(covered, len(items)))
    done = len(items) - sum(span.stop - span.start for span in state.todo)
    status = Status(len(items), done, done)
    for text in source.problems:
        state.watcher.line(text)
    if state.todo:
        made = crew(Attributing(state.plan, source, folder.address, items.start, token))
        with contextlib.closing(made):
            if not begun:
                folder.write("run.json", _json(record))
            _work(state, made, status)
    tidy(folder)
    if state.stopping and status.done < status.total:
        status.state = "stopped"
        status.write(folder, now=True)
        state.watcher.progress(status)
        raise StoppedError(
            f"stopped after {status.done} of {status.total} photos, which are kept; --resume goes on from there"
        )
    return _finish(state, record, status)


class StoppedError(EquipoiseError, RuntimeError):
    """A signal ended the run before all was done; what was done is kept."""


def _work(state: _Run, crew: Crew, status: Status) -> None:
    folder = state.where.folder
    status.workers = crew.size

    def done(answer: Answer) -> None:
        items = answer.task.stop - answer.task.start
        for one in answer.failed:
            state.failures[one.index, one.method] = one
            state.watcher.line(_told(one))
        for name, why in answer.left_out.items():
            if name not in state.left_out:
                state.left_out[name] = why
                state.watcher.line(f"{name} is left out: {why}")
        _add(state.notes, answer.notes)
        status.done += items
        status.failed = len({one.index for one in state.failures.values()})
        each = answer.seconds / max(1, items)
        state.seconds_each = each if state.seconds_each is None else 0.5 * (each + state.seconds_each)
        state.batch = max(1, answer.batch)
        status.batch = state.batch
        if status.done == status.total:
            status.ended()

    def lost(task: Task, reason: str) -> None:
        key = state.source.key(state.where.items(state.source).start + task.start)
        failure = Failure(task.start, key, "", f"its worker died of it twice ({reason})")
        if state.plan.strict:
            raise OptionError(_told(failure))
        span = Span(task.start, task.stop)
        before = part_of(folder, span)
        if before is not None and not before.failed:  # it died when it had done it, before it could say so
            done(Answer(task, 0, batch=state.batch))
            return
        writer = PartWriter(folder, span, None)
        writer.fail(failure)
        writer.close(task.stop)
        done(Answer(task, 0, (failure,), batch=state.batch))

    def tick(dispatch: Dispatch) -> None:
        if dispatch.begun:
            status.begun()
        status.deaths = dispatch.deaths
        status.write(folder)
        state.watcher.progress(status)

    dispatch = Dispatch(crew, _tasks(state, crew.size), done, lost, tick, lambda: state.stopping)
    with _signals(state):
        try:
            dispatch.run()
        except BaseException:
            status.state = "failed"
            status.write(folder, now=True)
            raise


def _told(one: Failure) -> str:
    what = f"{one.key}: {one.method}: " if one.method else f"{one.key}: "
    return one.reason if one.reason.startswith(one.key) else what + one.reason


def _tasks(state: _Run, workers: int) -> Iterator[Task]:
    """Tasks of a few seconds each, in whole batches."""
    for span in state.todo:
        start = span.start
        while start < span.stop:
            length = FIRST
            if state.seconds_each:
                length = int(min(LONGEST, max(1, SECONDS / state.seconds_each)))
            left = sum(one.stop - one.start for one in state.todo if one.start > span.start) + span.stop - start
            length = min(length, max(1, -(-left // (2 * workers))) if workers > 1 else length)  # all end together
            length = -(-length // state.batch) * state.batch
            stop = min(span.stop, start + length)
            yield Task(start, stop)
            start = stop


def _note_before(state: _Run, before: Sequence[Part]) -> list[Span]:
    """What earlier parts cover: all of their items but those that could not be done, which are tried again."""
    covered = []
    for part in before:
        _add(state.notes, part.notes)
        failed = sorted({one.index for one in part.failed})
        start = part.span.start
        for index in failed:
            if index > start:
                covered.append(Span(start, index))
            start = index + 1
        if part.span.stop > start:
            covered.append(Span(start, part.span.stop))
    return covered


def _missing(covered: Sequence[Span], total: int) -> Iterator[Span]:
    """The items that no part covers."""
    start = 0
    for span in sorted(covered, key=lambda one: one.start):
        if span.start > start:
            yield Span(start, span.start)
        start = max(start, span.stop)
    if start < total:
        yield Span(start, total)


def _record(state: _Run, items: range) -> dict[str, Any]:
    """What makes the run what it is; a part of it is its identity."""
    plan = state.plan
    network = load(
        plan.model, weights=plan.weights, device="cpu" if isinstance(plan.model, str) else None, said=plan.said
    )
    spec = network.spec
    for one in plan.targets:
        if one != LABEL:
            parse_target(one, spec)
    methods = [records.method_record(method, options) for method, options in plan.methods]
    identity = {
        "format": FORMAT,
        "model": {
            "name": network.name or spec.name, "weights": state_checksum(network.module), "task": spec.task,
            "preprocessing": spec.preprocessing.describe(),
        },
        "methods": methods,
        "target": [records.plain(one) for one in plan.targets],
        "precision": plan.precision,
        "keep": plan.keep,
        "values": plan.values,
        "photos": {
            "name": state.source.name, "keys": state.source.identity(), "first": items.start, "count": len(items),
        },
    }  # fmt: skip
    for note in network.notes:
        state.watcher.line(f"note: {note}")
    record: dict[str, Any] = records.plain(
        {
            **identity,
            "identity": digest(identity),
            "shard": state.where.shard,
            "classes": len(spec.classes),
            "assumed": network.notes,
            "versions": records.versions(),
        }
    )
    return record


_WORDS: Final = {
    "model": "--model", "methods": "--method", "target": "--target", "precision": "--precision", "keep": "--keep",
    "values": "--values", "photos": "the photos", "format": "the format",
}  # fmt: skip


def _check_same(folder: Folder, record: dict[str, Any], *, resume: bool) -> bool:
    """Refuse a folder that holds something else; say whether it holds this run already.

    Raises:
        OptionError: If it holds another run, or this one and it is not to be resumed.
    """
    if not folder.has("run.json"):
        return False
    try:
        other = json.loads(folder.read("run.json"))
    except ValueError:
        other = {}
    if other.get("format") == FORMAT and "rows" not in other and not folder.names("rows"):
        return False  # it ended before it had done anything
    if other.get("identity") != record["identity"]:
        differs = [word for key, word in _WORDS.items() if other.get(key) != record[key]]
        raise OptionError(
            f"{folder.address} holds another run ({', '.join(differs) or 'it'} differs); --output names another folder"
        )
    if not resume:
        raise OptionError(
            f"{folder.address} holds results of this run; --resume goes on with them, --output names another folder"
        )
    return True


def _finish(state: _Run, record: dict[str, Any], status: Status) -> Attributions:
    folder = state.where.folder
    found = parts(folder)
    failed = failures(found)
    rows = write_rows(folder, found)
    status.state, status.failed = "done", len({one.index for one in failed})
    whole = record | {
        "rows": rows,
        "failures": [vars(one) for one in failed],
        "left_out": {name: why for part in found for name, why in part.left_out.items()} | state.left_out,
        "notes": state.notes,
        "host": socket.gethostname(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    folder.write("run.json", _json(whole))
    status.write(folder, now=True)
    state.watcher.progress(status)
    return Attributions(folder.address)


def _add(notes: dict[str, int], more: Any) -> None:
    for text, count in more.items():
        notes[text] = notes.get(text, 0) + count


def _json(record: Any) -> bytes:
    return (records.to_json(record) + "\n").encode()


@contextlib.contextmanager
def _signals(state: _Run) -> Iterator[None]:
    """SIGTERM, SIGUSR1 (what SLURM sends before it kills) and Ctrl-C end the run when what is under way is written."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # Python's signature
        if state.stopping and number == signal.SIGINT:
            raise KeyboardInterrupt  # asked twice
        state.stopping = True

    numbers = [signal.SIGTERM, signal.SIGINT, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else [])]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
