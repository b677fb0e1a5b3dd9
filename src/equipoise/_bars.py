"""Progress bars by rich, where it is installed; `equipoise` lets `equipoise._progress` draw with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise._progress import Bar, ProgressLine

if TYPE_CHECKING:
    from rich.progress import Progress


def rich_bar(text: str, total: int) -> Bar:
    """A bar by rich that vanishes at its end, or a line without rich."""
    try:
        from rich.console import Console  # noqa: PLC0415  # takes time, and may be absent
        from rich.progress import Progress as RichProgress  # noqa: PLC0415  # as above
    except ImportError:
        return ProgressLine(text, total)
    return _RichBar(RichProgress(console=Console(stderr=True), transient=True), text, total)


class _RichBar:
    def __init__(self, progress: Progress, text: str, total: int) -> None:
        self._progress, self._task = progress, progress.add_task(text, total=total)
        progress.start()

    def update(self, done: int) -> None:
        self._progress.update(self._task, completed=done)

    def stop(self) -> None:
        self._progress.stop()
