"""A recipe by several workers: each measures some of the units, then one run brings all into order."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

import torch

from equipoise.errors import EquipoiseError
from equipoise.executors.base import Place
from equipoise.executors.dispatch import Dispatch
from equipoise.experiments.running.runner import Observer, Plan, Run, Runner, run
from equipoise.experiments.running.store import Store
from equipoise.experiments.subject import Lab

if TYPE_CHECKING:
    from collections.abc import Callable

    from equipoise.executors import Blueprint, Crew
    from equipoise.experiments.recipes.recipe import Recipe

PARTS: Final = 4
"""Parts of each worker, so that all end at about the same time."""


@dataclass(frozen=True)
class Shard:
    """Some of the units of a run.

    Attributes:
        part: Which, from 0.
        of: Of how many.
    """

    part: int
    of: int

    def alone(self) -> list[Shard]:
        """The same: what is done of it is in the folder, so it goes on where it was."""
        return [self]


@dataclass(frozen=True)
class Measurers:
    """Makes workers for a plan.

    Attributes:
        plan: Of the whole.
        folder: Where a user's own modules are looked for.
    """

    plan: Plan
    folder: str

    def build(self, place: Place) -> Measurer:
        """A worker."""
        if place.threads is not None:
            torch.set_num_threads(place.threads)
        if self.folder not in sys.path:
            sys.path.insert(0, self.folder)
        return Measurer(replace(self.plan, device=place.device or self.plan.device))


class Measurer:
    """A worker; the network of its last part is kept."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._lab = Lab(plan.device, plan.weights, plan.said)

    def do(self, task: Shard, upcoming: Any, stopped: Callable[[], bool]) -> tuple[Shard, list[str]]:  # noqa: ARG002
        """See `equipoise.executors.base.Worker`."""
        told = _Quiet()
        Runner(replace(self._plan, shard=(task.part, task.of), resume=True), told, self._lab).run()
        return task, told.lines


class _Quiet(Observer):
    """Keeps what a person should read."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


def _plain(recipe: Recipe) -> Recipe:
    """The same recipe with mappings that can be sent."""
    changes: dict[str, Any] = {
        one.name: dict(getattr(recipe, one.name))
        for one in fields(recipe)
        if isinstance(getattr(recipe, one.name), Mapping)
    }
    return replace(recipe, **changes)


class WorkerLostError(EquipoiseError, RuntimeError):
    """A part of a run killed its workers."""


def run_by(
    plan: Plan, crew: Callable[[Blueprint], Crew], observer: Observer | None = None, *, folder: str = "."
) -> Run:
    """As `run`, by several workers of this machine or of a cluster that sees the same folder.

    Args:
        plan: What is run.
        crew: From the blueprint of workers to who works.
        observer: Told how it goes.
        folder: Where a user's own modules are looked for.

    Raises:
        WorkerLostError: If a part kills its workers twice.
        EquipoiseError: As `run`.
    """
    observer = observer or Observer()
    Store(plan.output, resume=plan.resume).close()  # a folder of another run ends it before any work
    workers = crew(Measurers(replace(plan, recipe=_plain(plan.recipe)), folder))
    count = PARTS * workers.size
    observer.begin("parts of the run", count)
    told: set[str] = set()

    def done(answer: tuple[Shard, list[str]]) -> None:
        observer.done()
        told.update(answer[1])

    def lost(shard: Shard, reason: str) -> None:
        raise WorkerLostError(
            f"part {shard.part} of {shard.of} ended its workers twice ({reason}); what was measured is kept, --resume "
            "goes on from there"
        )

    Dispatch(workers, iter([Shard(part, count) for part in range(count)]), done, lost).run()
    return run(replace(plan, resume=True), observer)
