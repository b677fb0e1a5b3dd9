"""Workers in processes of this machine, each with a device or a share of the cores."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from equipoise.errors import OptionError
from equipoise.executors.base import Blueprint, Crew, Died, Done, Event, Place, Raised, Ready, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.context import SpawnProcess
    from multiprocessing.synchronize import Event as Flag

_GRACE = 5.0  # seconds that a process has to end when it is asked to


class Processes(Crew):
    """Processes of their own, made anew rather than forked: threads and devices do not survive a fork.

    Args:
        blueprint: Makes the workers.
        places: Device and threads of each.

    Raises:
        OptionError: If the blueprint cannot be sent to another process.
    """

    def __init__(self, blueprint: Blueprint, places: Sequence[Place]) -> None:
        super().__init__(len(places))
        self._sent = sendable(blueprint)
        self._places = places
        self._context = multiprocessing.get_context("spawn")
        self._stopped: Flag = self._context.Event()
        self._members: dict[int, tuple[SpawnProcess, Connection]] = {}

    def start(self, member: int) -> None:
        """See `Crew`."""
        self._end(member)
        ours, theirs = self._context.Pipe()
        arguments = theirs, self._sent, self._places[member], self._stopped
        process = self._context.Process(target=_work, args=arguments, name=f"equipoise worker {member}", daemon=False)
        process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        self._members[member] = process, ours

    def give(self, member: int, task: Any, upcoming: Any) -> None:
        """See `Crew`."""
        with contextlib.suppress(OSError):  # it died: `wait` says so
            self._members[member][1].send((task, upcoming))

    def wait(self, seconds: float) -> list[Event]:
        """See `Crew`."""
        pipes = {pipe: member for member, (_, pipe) in self._members.items()}
        return [self._read(pipes[pipe], pipe) for pipe in wait(list(pipes), seconds) if isinstance(pipe, Connection)]

    def stop(self) -> None:
        """See `Crew`."""
        self._stopped.set()

    def close(self) -> None:
        """See `Crew`."""
        for _, pipe in self._members.values():
            pipe.close()
        for member in list(self._members):
            self._end(member, grace=_GRACE)

    def pid(self, member: int) -> int | None:
        """The process of a worker."""
        return self._members[member][0].pid

    def _read(self, member: int, pipe: Connection) -> Event:
        try:
            kind, value = pipe.recv()
        except (EOFError, OSError):
            process, _ = self._members.pop(member)
            pipe.close()
            process.join(_GRACE)
            return Died(member, _why(process.exitcode))
        if kind == "ready":
            return Ready(member)
        return Done(member, value) if kind == "done" else Raised(member, value)

    def _end(self, member: int, grace: float = 0.0) -> None:
        if member not in self._members:
            return
        process, pipe = self._members.pop(member)
        pipe.close()
        process.join(grace)
        if process.is_alive():
            process.kill()
            process.join(_GRACE)


def sendable(blueprint: Blueprint) -> bytes:
    """A blueprint as bytes.

    Raises:
        OptionError: If it holds what cannot be sent to another process.
    """
    try:
        return pickle.dumps(blueprint)
    except Exception as error:  # objects refuse to be pickled in many ways
        raise OptionError(
            f"several workers need what can be sent to another process, and this cannot ({error}); name network and "
            "data instead: a registered name, package.module:build, a description mynet.toml, a folder"
        ) from error


def _why(status: int | None) -> str:
    if status is not None and status < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def _work(pipe: Connection, sent: bytes, place: Place, stopped: Flag) -> None:
    """The life of a worker's process."""
    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGUSR1", None)):
        if number is not None:
            signal.signal(number, signal.SIG_IGN)  # whoever started it decides when to stop
    threading.Thread(target=_end_with_parent, daemon=True).start()
    worker: Worker | None = None
    try:
        blueprint: Blueprint = pickle.loads(sent)  # noqa: S301  # from the process that started this one
        worker = blueprint.build(place)
        said: tuple[str, Any] = "ready", None
    except Exception as error:  # noqa: BLE001  # told to who started it
        said = "raised", _portable(error)
    with contextlib.suppress(EOFError, OSError):  # whoever started it lets it go
        pipe.send(said)
        while worker is not None:
            task, upcoming = pipe.recv()
            pipe.send(_done(worker, task, upcoming, stopped.is_set))


def _done(worker: Worker, task: Any, upcoming: Any, stopped: Callable[[], bool]) -> tuple[str, Any]:
    try:
        return "done", worker.do(task, upcoming, stopped)
    except Exception as error:  # noqa: BLE001  # told to who started it
        return "raised", _portable(error)


def _end_with_parent() -> None:
    """End this process as soon as the one that started it is gone: nobody is left to tell, and another may go on."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _portable(error: Exception) -> Exception:
    """An error that survives a pipe."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # made one line before
    except Exception:  # noqa: BLE001  # it does not
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
