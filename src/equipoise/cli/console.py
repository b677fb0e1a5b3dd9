"""What a run of ``equipoise explain`` shows: results on stdout, trouble and progress on stderr."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from types import TracebackType


class RunConsole:
    """Prints photo after photo; shows a progress bar if there are several and stderr is a terminal.

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
        self.troubles = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, name: str) -> None:
        """A photo is being explained."""
        self._progress.update(self._task, description=name)

    def done(self) -> None:
        """A photo is explained, or given up."""
        self._progress.advance(self._task)

    def trouble(self, line: str) -> None:
        """Report what could not be done; it is counted."""
        self.troubles += 1
        line = f"equipoise: {line}"
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
