"""What visitors send is read in processes of their own: whatever a file does to its decoder, the page goes on."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import torch
from PIL import Image

from equipoise.errors import ImageError
from equipoise.images import one_line
from equipoise.view import Photo, is_array

if TYPE_CHECKING:
    from equipoise.inputs import Prepares

TIME_LIMIT: Final = 30.0
"""Seconds that reading a file may take."""

READERS: Final = 2
"""So many files are read at a time; more wait."""

Read = Callable[[str, "Prepares"], Photo]
"""From a path, and how a network prepares what it is shown, to what is read."""


class Reader:
    """Reads files in processes, which are started when they are first needed and end with `close`.

    Args:
        limit: Seconds that a file may take; then its process is ended.
        count: How many processes.
        module: What they run.
    """

    def __init__(self, limit: float = TIME_LIMIT, count: int = READERS, module: str = "equipoise.app.decoder") -> None:
        self._limit, self._module = limit, module
        self._free: queue.LifoQueue[_Process | None] = queue.LifoQueue()
        self._all: set[_Process] = set()
        for _ in range(count):
            self._free.put(None)

    def photo(self, path: str, takes: Prepares) -> Photo:
        """As `Photo.read`, from a file.

        Raises:
            ImageError: As there, or if the file takes too long, too much memory, or breaks its decoder.
            ShapeError: As there.
        """
        if takes is not None and is_array(path, takes):
            head, data = self._ask("array", path)
            dtype = getattr(torch, head["dtype"])
            values = torch.frombuffer(bytearray(data), dtype=dtype).reshape(head["shape"])
            return Photo.of_values(values, takes, path)
        head, data = self._ask("photo", path)
        return Photo(Image.frombytes("RGB", tuple(head["size"]), data), path, head["sha256"]).checked()

    def names(self, path: str) -> list[str]:
        """As `equipoise.arrays.array_names`.

        Raises:
            ImageError: As `photo`.
        """
        head, _ = self._ask("names", path)
        return [str(one) for one in head["names"]]

    def close(self) -> None:
        """End the processes."""
        for one in list(self._all):
            self._end(one)

    def _ask(self, kind: str, path: str) -> tuple[dict[str, Any], bytes]:
        process = self._free.get()
        try:
            if process is None or not process.lives:
                process = self._start()
            head, data = process.ask({"kind": kind, "path": os.fspath(path)}, self._limit)
        except _Gone as gone:
            if process is not None:
                self._end(process)
            process = None
            raise ImageError(f"{one_line(path)}: {gone}") from None
        finally:
            self._free.put(process)
        if "error" in head:
            raise ImageError(head["error"])
        return head, data

    def _start(self) -> _Process:
        command = [sys.executable, "-m", self._module]
        environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(one for one in sys.path if one),
        }
        started = _Process(
            subprocess.Popen(  # noqa: S603  # ourselves
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
            )
        )
        self._all.add(started)
        return started

    def _end(self, process: _Process) -> None:
        self._all.discard(process)
        process.end()


class _Gone(Exception):  # noqa: N818  # never seen outside
    """Why a process gave no answer."""


@dataclass(eq=False)
class _Process:
    """One process; by one thread at a time."""

    popen: subprocess.Popen[bytes]
    _begun: bool = field(default=False, init=False)

    @property
    def lives(self) -> bool:
        return self.popen.poll() is None

    def ask(self, question: dict[str, Any], limit: float) -> tuple[dict[str, Any], bytes]:
        """An answer within so many seconds, not counting its start."""
        if not self._begun:
            self._answer()
            self._begun = True
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self.popen.kill()

        timer = threading.Timer(limit, give_up)
        timer.start()
        try:
            assert self.popen.stdin is not None  # noqa: S101  # a pipe
            self.popen.stdin.write(json.dumps(question).encode() + b"\n")
            self.popen.stdin.flush()
            return self._answer()
        except (_Gone, OSError):
            if late.is_set():
                raise _Gone(f"takes more than {limit:g} seconds to read") from None
            raise _Gone("breaks what reads it, or takes too much memory") from None
        finally:
            timer.cancel()

    def _answer(self) -> tuple[dict[str, Any], bytes]:
        assert self.popen.stdout is not None  # noqa: S101  # a pipe
        line = self.popen.stdout.readline()
        if not line.endswith(b"\n"):
            raise _Gone("what reads it does not start")
        head: dict[str, Any] = json.loads(line)
        data = self.popen.stdout.read(head["bytes"])
        if len(data) < head["bytes"]:
            raise _Gone("breaks what reads it")
        return head, data

    def end(self) -> None:
        self.popen.kill()
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # what was not written yet goes nowhere
                    continue
        self.popen.wait()


def in_this_process(path: str, takes: Prepares) -> Photo:
    """Reads a file without a process; for files that one knows."""
    return Photo.read(path, takes)
