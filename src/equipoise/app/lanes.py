"""Whose turn it is: works that use one network wait for one another, first come, first served, and can be stopped."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Self

from equipoise.errors import EquipoiseError

_LOOK: Final = 0.2  # seconds between two looks at whether a work that waits was stopped


class CancelledError(EquipoiseError):
    """The visitor stopped the work."""


class Stop:
    """Whether a visitor has had enough; asked while work waits, and before every forward pass of the network."""

    def __init__(self) -> None:
        self._wanted = False

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Copies of a network that hold this as a hook are stopped with it."""
        return self

    def request(self) -> None:
        """Stop the work in progress."""
        self._wanted = True

    def reset(self) -> None:
        """New work begins."""
        self._wanted = False

    @property
    def wanted(self) -> bool:
        """Whether `request` was called since the last `reset`."""
        return self._wanted

    def check(self, *_: object) -> None:
        """Go on, or not.

        Raises:
            CancelledError: If `request` was called since the last `reset`.
        """
        if self._wanted:
            raise CancelledError("stopped")


class Lane:
    """What one work has at a time; a thread that has it may take it again.

    Attributes:
        slow: The lane beside it, of works that take long.
    """

    def __init__(self, *, beside: bool = True) -> None:
        self.slow: Lane = Lane(beside=False) if beside else self
        self._changed = threading.Condition()
        self._line: list[object] = []  # the first has it
        self._owner: int | None = None

    @property
    def length(self) -> int:
        """How many have it or wait for it."""
        return len(self._line)

    @contextmanager
    def turn(self, stop: Stop) -> Iterator[None]:
        """Wait for one's turn, and have it.

        Raises:
            CancelledError: If ``stop`` is requested while it is waited for.
        """
        stop.check()
        if self._owner == threading.get_ident():
            yield
            return
        ticket = object()
        with self._changed:
            self._line.append(ticket)
        try:
            with self._changed:
                while self._line[0] is not ticket:
                    self._changed.wait(_LOOK)
                    stop.check()
                self._owner = threading.get_ident()
            yield
        finally:
            with self._changed:
                if self._line[0] is ticket:
                    self._owner = None
                self._line.remove(ticket)
                self._changed.notify_all()


def waiting(lane: Lane, *, own: bool = False) -> str:
    """What a visitor is told whose work has to wait; nothing where it need not.

    Args:
        lane: What is waited for.
        own: Whether the visitor's own work is in the line, last.
    """
    before = lane.length - own
    if before < 1:
        return ""
    return f"Another visitor's work is running{f'; {before} are before you' if before > 1 else ', then comes yours'}."
