"""Who is there, and what is kept of them: however many come, the memory has an end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Final

from equipoise.app.lanes import Stop
from equipoise.app.session import Session

BUDGET: Final = 1 << 30
"""Bytes of photos and maps that are kept of all visitors together."""

RECORDED: Final = 2
"""Of so many visitors, those who worked last, the network's forward pass is kept; of others it is made again."""

AWAY: Final = 16
"""Of so many visitors, those whose tabs were closed last, the photo is kept: a tab may have lost its connection."""


class Visitors:
    """The sessions of a page, in the order in which they were last used.

    Args:
        budget: See `BUDGET`.
        recorded: See `RECORDED`.
        away: See `AWAY`.

    Attributes:
        dropped: Told of a visitor of whom nothing is kept any more.
    """

    def __init__(self, budget: int = BUDGET, recorded: int = RECORDED, away: int = AWAY) -> None:
        self.dropped: Callable[[str], object] = lambda _: None
        self._budget, self._recorded, self._most_away = budget, recorded, away
        self._away: dict[str, None] = {}  # who left last is last
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}
        self._stops: dict[str, Stop] = {}
        self._passes = threading.Lock()
        self._recordings: list[Session] = []  # who has forward passes, the last ones last

    def __len__(self) -> int:
        """How many there are."""
        return len(self._sessions)

    def stop(self, key: str) -> Stop:
        """The stop of a visitor who begins with new work."""
        with self._lock:
            found = self._stops.setdefault(key, Stop())
            self._away.pop(key, None)
        found.reset()
        return found

    def came(self, key: str, session: Session) -> None:
        """A visitor has given a photo; what was before is over."""
        with self._lock:
            before = self._sessions.pop(key, None)
            self._sessions[key] = session
            for one in session.inputs:
                one.kept.noted = partial(self._noted, session)
        if before is not None and before is not session:
            before.forget()
        self.works(session)

    def works(self, session: Session) -> None:
        """A visitor works with a photo; others may have to give way."""
        with self._lock:
            key = next((key for key, one in self._sessions.items() if one is session), None)
            if key is not None:
                self._sessions[key] = self._sessions.pop(key)
                self._away.pop(key, None)
            others = [one for one in self._sessions.values() if one is not session]  # those unused for longest first
            over = sum(one.weight for one in self._sessions.values()) - self._budget
            for give in (Session.rest, Session.forget):
                for one in others:
                    if over > 0:
                        held = one.weight
                        give(one)
                        over -= held - one.weight
            for key in [key for key, one in self._sessions.items() if one.forgotten]:
                del self._sessions[key]

    def _noted(self, session: Session) -> None:
        """A forward pass of a visitor's photo was recorded."""
        with self._passes:
            self._recordings = [one for one in self._recordings if one is not session] + [session]
            given, self._recordings = self._recordings[: -self._recorded], self._recordings[-self._recorded :]
        for one in given:
            one.forget_passes()

    def halt(self, key: str) -> None:
        """A visitor has had enough of the work that `stop` was given for."""
        with self._lock:
            stop = self._stops.get(key)
        if stop is not None:
            stop.request()

    def gone(self, key: str) -> None:
        """A visitor's tab was closed, or has lost its connection: the work ends, and what it made is forgotten."""
        with self._lock:
            session, stop = self._sessions.get(key), self._stops.pop(key, None)
            self._away.pop(key, None)
            self._away[key] = None
            over = list(self._away)[: max(0, len(self._away) - self._most_away)]
        if stop is not None:
            stop.request()
        if session is not None:
            session.end()
        for one in over:
            self._drop(one)

    def _drop(self, key: str) -> None:
        """A visitor left long ago."""
        with self._lock:
            if key not in self._away:  # and is back
                return
            self._away.pop(key)
            session = self._sessions.pop(key, None)
        if session is not None:
            session.forget()
        self.dropped(key)

    def clear(self) -> None:
        """All go."""
        for key in {*self._sessions, *self._stops}:
            self.gone(key)
        self._sessions.clear()
