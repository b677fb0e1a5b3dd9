"""How far a run is: a rate, the time left, what failed; for people by rich, for scripts in ``status.json``."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, runtime_checkable

from equipoise.attributions.folder import Folder
from equipoise.errors import OptionError

EVERY: Final = 2.0
"""Seconds between two writings of ``status.json``."""


@dataclass
class Status:
    """The state of a run.

    Attributes:
        total: Items of the run.
        before: Of them done before it was started.
        done: Of them done by now.
        failed: Of them that could not be done.
        workers: How many work.
        deaths: How many died.
        state: ``"starting"``, ``"running"``, ``"stopped"``, ``"done"`` or ``"failed"``.
        batch: Photos at once.
    """

    total: int
    before: int
    done: int
    failed: int = 0
    workers: int = 1
    deaths: int = 0
    state: str = "starting"
    batch: int = 1
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    _begun: float | None = None
    _written: float = 0.0
    _ended: float | None = None

    def begun(self) -> None:
        """The first task is done or under way: the clock starts."""
        if self._begun is None:
            self._begun, self.state = self.clock(), "running"

    def ended(self) -> None:
        """The last task is done: the clock stops; workers are let go of and tables written after it."""
        self._ended = self.clock()

    @property
    def rate(self) -> float | None:
        """Items per second, of this run; ``None`` before there are any."""
        if self._begun is None or self.done == self.before:
            return None
        seconds = (self._ended or self.clock()) - self._begun
        return (self.done - self.before) / seconds if seconds > 0 else None

    @property
    def left(self) -> float | None:
        """Seconds that are left, at that rate."""
        rate = self.rate
        return None if not rate else (self.total - self.done) / rate

    def describe(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "state": self.state, "total": self.total, "done": self.done, "failed": self.failed,
            "images_per_second": self.rate, "seconds_left": self.left, "workers": self.workers,
            "workers_that_died": self.deaths, "batch": self.batch,
        }  # fmt: skip

    def write(self, folder: Folder, *, now: bool = False) -> None:
        """Write ``status.json``, at most every few seconds unless ``now``."""
        if not now and self.clock() - self._written < EVERY:
            return
        self._written = self.clock()
        with contextlib.suppress(OptionError):  # a full disk is told by what cannot be done without it
            folder.write("status.json", (json.dumps(self.describe(), indent=1) + "\n").encode())


@runtime_checkable
class Watcher(Protocol):
    """Told how a run goes."""

    def line(self, text: str) -> None:
        """Something that a person should read."""

    def progress(self, status: Status) -> None:
        """How far it is."""


class Silent:
    """Says nothing."""

    def line(self, text: str) -> None:
        """See `Watcher`."""

    def progress(self, status: Status) -> None:
        """See `Watcher`."""
