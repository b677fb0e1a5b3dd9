"""Gives tasks to a crew, replaces who dies, does lost tasks again, and finds what kills."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, runtime_checkable

from equipoise.errors import EquipoiseError
from equipoise.executors.base import Crew, Died, Done, Raised, Ready

PATIENCE: Final = 2
"""A task of one item that killed so many workers is left out."""

STARTS: Final = 3
"""A crew of which so many workers in a row died before they did anything is given up."""


class WorkersDiedError(EquipoiseError, RuntimeError):
    """Worker after worker dies before it has done anything."""


@runtime_checkable
class Divisible(Protocol):
    """A task."""

    def alone(self) -> list[Any]:
        """The same work as tasks of one item each."""
        ...


@dataclass
class Dispatch:
    """One run of a crew.

    Args:
        crew: Who works.
        tasks: What is to be done, in order; asked for as it is needed, so its length may follow from what was seen.
        done: Told each answer.
        lost: Told each task of one item that killed its workers, and why.
        tick: Called between events, with this.
        stopped: Whether to end early.
        pause: Seconds between two ticks at most.
    """

    crew: Crew
    tasks: Iterator[Any]
    done: Callable[[Any], None]
    lost: Callable[[Any, str], None]
    tick: Callable[[Dispatch], None] = lambda _dispatch: None
    stopped: Callable[[], bool] = lambda: False
    pause: float = 0.5
    deaths: int = 0
    begun: bool = False
    _again: deque[Any] = field(default_factory=deque)
    _reserved: dict[int, Any] = field(default_factory=dict)
    _working: dict[int, Any] = field(default_factory=dict)
    _idle: set[int] = field(default_factory=set)
    _kills: Counter[Hashable] = field(default_factory=Counter)
    _starting: set[int] = field(default_factory=set)
    _in_a_row: int = 0

    def run(self) -> None:
        """Until all is done, or it is stopped.

        Raises:
            WorkersDiedError: If no worker lives long enough to do anything.
            BaseException: What a worker raised.
        """
        asked = False
        self.crew.asked = self.stopped
        try:
            for member in range(self.crew.size):
                self._start(member)
            while self._starting or self._working or self._assign():
                for event in self.crew.wait(self.pause):
                    self._on(event)
                self.tick(self)
                if self.stopped():
                    if not asked:
                        self.crew.stop()
                        asked = True
                    if not self._working:
                        return
                else:
                    self._assign()
        finally:
            self.crew.close()

    def _start(self, member: int) -> None:
        self._starting.add(member)
        self.crew.start(member)

    def _assign(self) -> bool:
        """Give tasks to who has none; whether anybody works."""
        if self.stopped():
            return bool(self._working)
        for member in sorted(self._idle):
            task = self._reserved.pop(member, None)
            if task is None:
                task = self._next()
            if task is None:
                task = self._taken_over()
            if task is None:
                break
            self._idle.discard(member)
            self._working[member] = task
            if not self.begun:
                self.begun = True
                self.tick(self)  # the clock of a run starts before its first task
            following = self._next()
            if following is not None:
                self._reserved[member] = following
            self.crew.give(member, task, following)
        return bool(self._working)

    def _next(self) -> Any:
        return self._again.popleft() if self._again else next(self.tasks, None)

    def _taken_over(self) -> Any:
        """What was reserved for a worker that has not come to it yet."""
        for member in sorted(self._reserved, reverse=True):
            return self._reserved.pop(member)
        return None

    def _on(self, event: Ready | Done | Raised | Died) -> None:
        if isinstance(event, Ready):
            self._starting.discard(event.member)
            self._idle.add(event.member)
        elif isinstance(event, Done):
            self._in_a_row = 0
            self._working.pop(event.member)
            self._idle.add(event.member)
            self.done(event.answer)
        elif isinstance(event, Raised):
            raise event.error
        else:
            self._died(event)

    def _died(self, event: Died) -> None:
        self.deaths += 1
        self._idle.discard(event.member)
        task = self._working.pop(event.member, None)
        if event.member in self._reserved:
            self._again.append(self._reserved.pop(event.member))
        if task is not None:
            self._redo(task, event.reason)
        elif event.member in self._starting:
            self._starting.discard(event.member)
            self._in_a_row += 1
            if self._in_a_row >= STARTS:
                raise WorkersDiedError(
                    f"{self._in_a_row} workers in a row died before they did anything: {event.reason}"
                )
        if not self.stopped():
            self._start(event.member)

    def _redo(self, task: Divisible, reason: str) -> None:
        parts = task.alone()
        if len(parts) > 1:
            self._again.extend(parts)  # whichever it was, it does not take others with it again
            return
        self._kills[parts[0]] += 1
        if self._kills[parts[0]] >= PATIENCE:
            self.lost(parts[0], reason)
        else:
            self._again.append(parts[0])
