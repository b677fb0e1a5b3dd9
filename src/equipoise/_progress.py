"""How long work shows itself on a terminal: whoever draws is told here, so that methods know no drawing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, runtime_checkable


@runtime_checkable
class Bar(Protocol):
    """Something on a terminal that fills."""

    def update(self, done: int) -> None:
        """So much of the total is done."""

    def stop(self) -> None:
        """Take it away."""


Draw = Callable[[str, int], Bar]
"""From a text and a total to a bar that is shown."""


class ProgressLine:
    """The bar of a terminal for which nothing better is to be had: the text, once.

    Args:
        text: What is done.
        total: Of what is to be done, which a line does not show.
    """

    def __init__(self, text: str, total: int) -> None:
        del total
        sys.stderr.write(text + "\n")

    def update(self, done: int) -> None:
        """See `Bar`."""

    def stop(self) -> None:
        """See `Bar`."""


_draws: list[Draw] = [ProgressLine]


def draw_with(draw: Draw) -> None:
    """Let bars be drawn by this from now on."""
    _draws[:] = [draw]


def shown(text: str, total: int) -> Bar:
    """A bar on the terminal."""
    return _draws[0](text, total)


Watch = Callable[[int, int], None]
"""Told how much is done and of how much; what it raises ends the work."""

_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watched_by(watch: Watch) -> Iterator[None]:
    """Let the work that this thread does within be watched."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


def tell(done: int, total: int) -> None:
    """Say to whoever watches how far work is."""
    if (watch := _watch.get()) is not None:
        watch(done, total)
