"""One worker, in this process."""

from __future__ import annotations

from typing import Any

from equipoise.executors.base import Blueprint, Crew, Done, Event, Place, Raised, Ready, Worker


class Here(Crew):
    """Does each task when it is waited for.

    Args:
        blueprint: Makes the worker; it need not be one that can be pickled.
        place: Its device and threads.
    """

    def __init__(self, blueprint: Blueprint, place: Place | None = None) -> None:
        super().__init__(1)
        self._blueprint, self._place = blueprint, place or Place()
        self._worker: Worker | None = None
        self._given: tuple[Any, Any] | None = None
        self._stopped = False

    def start(self, member: int) -> None:  # noqa: ARG002  # there is one
        """See `Crew`."""
        self._worker = None

    def give(self, member: int, task: Any, upcoming: Any) -> None:  # noqa: ARG002  # as above
        """See `Crew`."""
        self._given = task, upcoming

    def wait(self, seconds: float) -> list[Event]:  # noqa: ARG002  # the work itself is the wait
        """See `Crew`."""
        try:
            if self._worker is None:
                self._worker = self._blueprint.build(self._place)
                return [Ready(0)]
            if self._given is None:
                return []
            (task, upcoming), self._given = self._given, None
            return [Done(0, self._worker.do(task, upcoming, lambda: self._stopped or self.asked()))]
        except Exception as error:  # noqa: BLE001  # told to whoever waits, as of every other crew
            return [Raised(0, error)]

    def stop(self) -> None:
        """See `Crew`."""
        self._stopped = True

    def close(self) -> None:
        """See `Crew`."""
        close = getattr(self._worker, "close", None)
        if close is not None:
            close()
        self._worker = None
