"""Work that takes long, followed while it is done: how far it is, how long it takes yet, and whether it is stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from equipoise import _progress
from equipoise.app.lanes import CancelledError, Lane, waiting

if TYPE_CHECKING:
    from equipoise.app.lanes import Stop

LOOK: Final = 0.4
"""Seconds between two looks at how far work is."""

_FIRST: Final = 1.0  # seconds before the time left is guessed

T = TypeVar("T")


@dataclass(frozen=True)
class State:
    """How far work is.

    Attributes:
        words: For the visitor.
        share: 0 to 1; ``None``: not known.
    """

    words: str
    share: float | None = None


class Following(Generic[T]):
    """Work in a thread of its own.

    Args:
        name: What is done, for the visitor.
        work: Does it; what `equipoise._progress` is told in it is followed.
        stop: Of the visitor; requested if nobody follows any more.
        lane: What the work may have to wait for.
    """

    def __init__(self, name: str, work: Callable[[], T], stop: Stop, lane: Lane) -> None:
        self._name, self._work, self._stop, self._lane = name, work, stop, lane
        self._far: tuple[int, int] | None = None
        self._since = 0.0
        self._found: list[T] = []
        self._wrong: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name=name)  # which the end of the server waits for

    def states(self, look: float = LOOK) -> Iterator[State]:
        """How far it is, until it is done; see `result` then."""
        self._thread.start()
        try:
            while True:
                self._thread.join(look)
                if not self._thread.is_alive():
                    return
                yield self._state()
        finally:
            if self._thread.is_alive():  # the tab was closed
                self._stop.request()

    @property
    def result(self) -> T:
        """What was made.

        Raises:
            BaseException: What the work raised.
        """
        if self._wrong:
            raise self._wrong[0]
        if not self._found:
            raise CancelledError("stopped")
        return self._found[0]

    def _run(self) -> None:
        try:
            with _progress.watched_by(self._tell):
                self._found.append(self._work())
        except BaseException as error:  # noqa: BLE001  # raised again by `result`, in the thread that asks
            self._wrong.append(error)

    def _tell(self, done: int, total: int) -> None:
        self._stop.check()
        if self._far is None or done < self._far[0]:
            self._since = time.monotonic()
            self._first = done
        self._far = done, total

    def _state(self) -> State:
        far = self._far
        if far is None:
            return State(waiting(self._lane, own=True) if self._lane.length > 1 else f"{self._name} begins.")
        done, total = far
        words = f"{self._name}: {done:,} of {total:,} passes"
        elapsed = time.monotonic() - self._since
        if done > self._first and elapsed > _FIRST:
            words += f", {lasting(elapsed * (total - done) / (done - self._first))} left"
        return State(words, done / max(total, 1))


def lasting(seconds: float) -> str:
    """A time for a person."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min"
