"""What a run of ``equipoise explain`` shows: results on stdout, trouble and progress on stderr."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from types import TracebackType

_LOG = logging.getLogger("equipoise")


class RunConsole:
    """Prints photo after photo; shows a progress bar if there are several and stderr is a terminal.

    What the library logs meanwhile, such as how many forward passes a method is about to take, goes to stderr.

    Args:
        photos: How many there are.
        as_json: Print one JSON document per photo on stdout, and nothing else there.
    """

    def __init__(self, photos: int, *, as_json: bool) -> None:
        self._as_json = as_json
        self._stderr = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._stderr,
            transient=True,
            disable=photos < 2 or not self._stderr.is_terminal,
            redirect_stdout=sys.stdout.isatty(),  # lines go above the bar, but never off a pipe
            redirect_stderr=False,
        )
        self._task = self._progress.add_task("", total=photos)
        self._handler = _Lines(self)
        self._level = _LOG.level
        self.troubles = 0

    def __enter__(self) -> Self:
        self._level = _LOG.level
        _LOG.setLevel(logging.INFO)
        _LOG.addHandler(self._handler)
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        _LOG.removeHandler(self._handler)
        _LOG.setLevel(self._level)

    def begin(self, name: str) -> None:
        """A photo is being explained."""
        self._progress.update(self._task, description=name)

    def done(self) -> None:
        """A photo is explained, or given up."""
        self._progress.advance(self._task)

    def trouble(self, line: str) -> None:
        """Report what could not be done; it is counted."""
        self.troubles += 1
        self.note(f"equipoise: {line}")

    def note(self, line: str) -> None:
        """Say something on stderr, above the bar if there is one."""
        if self._progress.disable:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
        else:
            self._stderr.print(line)

    def result(self, document: dict[str, Any], lines: list[str]) -> None:
        """Show a photo's results: the document with ``--json``, else the lines."""
        text = json.dumps(document, allow_nan=False) if self._as_json else "\n".join(lines)
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def summary(self, line: str) -> None:
        """The last line, for people."""
        if not self._as_json:
            sys.stdout.write(line + "\n")


class _Lines(logging.Handler):
    """What the library logs, as lines of the console."""

    def __init__(self, console: RunConsole) -> None:
        super().__init__(logging.INFO)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.note(record.getMessage())
