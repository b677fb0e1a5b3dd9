"""Workers as actors of Ray, on this machine or on a cluster.

Ray Core rather than Ray Data: a worker writes what it finds itself, so nothing flows between workers, and `dispatch`
gives tasks out and redoes lost ones for every crew alike; what is left for Ray is to place actors, to run them and to
say when one is lost, which is this file.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import pickle
import re
import socket
from typing import TYPE_CHECKING, Any, Final

from equipoise.errors import EquipoiseError, MissingPackageError, OptionError
from equipoise.executors.base import Blueprint, Crew, Died, Done, Event, Place, Raised, Ready, Worker
from equipoise.executors.processes import sendable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LOCAL: Final = "local"
"""The address that starts Ray on this machine."""

_PATIENCE: Final = 5.0  # seconds that a cluster has to answer


class Actors(Crew):
    """One actor per worker; Ray decides where each runs.

    Args:
        blueprint: Makes the workers.
        place: Threads and device of each.
        size: How many; ``None``: one for each accelerator of the cluster, else one for every ``cores`` cores.
        address: Of a cluster, ``"host:port"`` or ``"auto"``; `LOCAL`: Ray is started on this machine.
        cores: Of each worker.
        environment: Variables that workers see.
        folder: The folder of a user's own modules, which workers on this machine import from.

    Raises:
        MissingPackageError: If Ray is not installed.
        OptionError: If no cluster answers at the address, or the blueprint cannot be sent.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        place: Place,
        *,
        size: int | None = None,
        address: str = LOCAL,
        cores: int = 1,
        environment: Mapping[str, str] | None = None,
        folder: str | None = None,
    ) -> None:
        sent = sendable(blueprint)
        self._ray = ray = joined(address, dict(environment or {}), folder)
        accelerators = int(ray.cluster_resources().get("GPU", 0))
        available = int(ray.cluster_resources().get("CPU", 1))
        if cores > available:
            raise OptionError(f"a worker takes {cores} cores, and the cluster has {available}")
        super().__init__(size or accelerators or max(1, available // cores))
        self._sent, self._place = sent, place
        self._class = ray.remote(_Actor).options(
            num_cpus=cores if size is None or size * cores <= available else 0.01,
            num_gpus=min(1.0, accelerators / self.size) if accelerators else 0,
            max_concurrency=2,  # a second call, `halt`, has to get through while the first works
        )
        self._actors: dict[int, Any] = {}
        self._waiting: dict[Any, tuple[int, bool]] = {}
        self._ours = address == LOCAL

    def start(self, member: int) -> None:
        """See `Crew`."""
        place = Place(member, self.size, self._place.device, self._place.threads)
        if (old := self._actors.pop(member, None)) is not None:
            with contextlib.suppress(Exception):
                self._ray.kill(old)
        self._actors[member] = actor = self._class.remote(self._sent, place)
        self._waiting[actor.build.remote()] = member, True

    def give(self, member: int, task: Any, upcoming: Any) -> None:
        """See `Crew`."""
        self._waiting[self._actors[member].do.remote(task, upcoming)] = member, False

    def wait(self, seconds: float) -> list[Event]:
        """See `Crew`."""
        if not self._waiting:
            return []
        found, _ = self._ray.wait(list(self._waiting), num_returns=1, timeout=seconds)
        return [self._read(one) for one in found]

    def _read(self, reference: Any) -> Event:
        member, made = self._waiting.pop(reference)
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayActorError as error:
            return Died(member, str(error).strip().splitlines()[0])
        except self._ray.exceptions.RayError as error:
            return Died(member, str(error).strip().splitlines()[-1])
        kind, value = pickle.loads(answer)  # noqa: S301  # from our own actor
        if kind == "raised":
            return Raised(member, value)
        return Ready(member) if made else Done(member, value)

    def stop(self) -> None:
        """See `Crew`."""
        for actor in self._actors.values():
            actor.halt.remote()

    def close(self) -> None:
        """See `Crew`."""
        for actor in self._actors.values():
            with contextlib.suppress(Exception):
                self._ray.kill(actor)
        self._actors.clear()
        self._waiting.clear()
        if self._ours:
            self._ray.shutdown()

    def pid(self, member: int) -> int:
        """The process of a worker, on its machine."""
        found: int = self._ray.get(self._actors[member].pid.remote())
        return found


class _Actor:
    """What Ray runs; answers travel pickled, so that errors arrive as they are."""

    def __init__(self, sent: bytes, place: Place) -> None:
        self._sent, self._place, self._halted = sent, place, False
        self._worker: Worker | None = None

    def build(self) -> bytes:
        try:
            blueprint: Blueprint = pickle.loads(self._sent)  # noqa: S301  # from the driver
            self._worker = blueprint.build(self._place)
        except Exception as error:  # noqa: BLE001  # told to the driver
            return _answer("raised", error)
        return _answer("ready", None)

    def do(self, task: Any, upcoming: Any) -> bytes:
        try:
            assert self._worker is not None  # noqa: S101  # `build` was called first
            return _answer("done", self._worker.do(task, upcoming, lambda: self._halted))
        except Exception as error:  # noqa: BLE001  # told to the driver
            return _answer("raised", error)

    def halt(self) -> None:
        self._halted = True

    def pid(self) -> int:
        return os.getpid()


def _answer(kind: str, value: Any) -> bytes:
    try:
        return pickle.dumps((kind, value))
    except Exception:  # noqa: BLE001  # an error that cannot be pickled is told by its words
        return pickle.dumps((kind, RuntimeError(f"{type(value).__name__}: {value}")))


def _check_answers(address: str) -> None:
    """Refuse an address at which nothing listens; Ray itself would wait for it for minutes.

    Raises:
        OptionError: If nothing does.
    """
    match = re.fullmatch(r"(?:ray://)?(.+):(\d+)", address)
    if match is None:
        return
    try:
        socket.create_connection((match[1].strip("[]"), int(match[2])), timeout=_PATIENCE).close()
    except OSError as error:
        raise OptionError(f"no Ray cluster can be joined at {address} ({error.strerror or error})") from error


@contextlib.contextmanager
def _as_important_as_this() -> Iterator[None]:
    """Ray that is started here gives its workers the priority of other processes of this run, unless the user said."""
    name = "RAY_worker_niceness"
    known = name in os.environ
    os.environ.setdefault(name, "0")
    try:
        yield
    finally:
        if not known:
            os.environ.pop(name, None)


def joined(address: str, environment: Mapping[str, str], folder: str | None) -> Any:
    """Ray, started here or joined.

    Raises:
        MissingPackageError: If it is not installed.
        OptionError: If nothing answers at the address.
    """
    if importlib.util.find_spec("ray") is None:
        raise MissingPackageError("--ray needs Ray; pip install 'equipoise[ray]'")
    import ray  # noqa: PLC0415  # an extra, and a large one

    _check_answers(address)
    variables = dict(environment)
    if folder is not None:
        variables["PYTHONPATH"] = folder
    if ray.is_initialized():
        if address != LOCAL:
            return ray
        ray.shutdown()
    try:
        with _as_important_as_this():
            ray.init(
                address=None if address == LOCAL else address,
                runtime_env={"env_vars": variables},
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
            )
    except EquipoiseError:
        raise
    except Exception as error:  # whatever a network may do
        said = str(error).strip().splitlines()
        raise OptionError(f"no Ray cluster can be joined at {address} ({said[0] if said else error})") from error
    return ray
