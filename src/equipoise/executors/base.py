"""What carries out tasks: one small interface for this process, several processes, and machines joined by Ray."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable


@dataclass(frozen=True)
class Place:
    """Where a worker works.

    Attributes:
        index: Of the worker, from 0.
        of: How many there are.
        device: As torch names it; ``None``: what the blueprint says.
        threads: How many threads torch may use; ``None``: as many as it likes.
    """

    index: int = 0
    of: int = 1
    device: str | None = None
    threads: int | None = None


@runtime_checkable
class Worker(Protocol):
    """Holds what costs time to make, such as a network, and does one task after the other."""

    def do(self, task: Any, upcoming: Any, stopped: Callable[[], bool]) -> Any:
        """Do a task.

        Args:
            task: What is to be done.
            upcoming: What is likely to be asked next, to be read ahead; ``None``: unknown.
            stopped: Asked between parts of a task: whether to end it early; the answer says how far it came.
        """
        ...


@runtime_checkable
class Blueprint(Protocol):
    """Makes workers; it is sent to where they work, so it is pickled."""

    def build(self, place: Place) -> Worker:
        """A worker for a place.

        Raises:
            EquipoiseError: If what it needs is not there; the run ends.
        """
        ...


@dataclass(frozen=True)
class Ready:
    """A worker has been made, and waits for its first task."""

    member: int


@dataclass(frozen=True)
class Done:
    """A task is done."""

    member: int
    answer: Any


@dataclass(frozen=True)
class Raised:
    """A task, or the making of a worker, ended in an exception that ends the run."""

    member: int
    error: BaseException


@dataclass(frozen=True)
class Died:
    """A worker is gone: killed, out of memory, its machine lost."""

    member: int
    reason: str


Event: TypeAlias = Ready | Done | Raised | Died


class Crew(ABC):
    """Workers that tasks can be given to. Each has at most one at a time; who dies is replaced when asked."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.asked: Callable[[], bool] = lambda: False
        """Whether tasks are to end early, for who works where it is known at once."""

    @abstractmethod
    def start(self, member: int) -> None:
        """Make a worker; `Ready` follows. In place of one that died, too."""

    @abstractmethod
    def give(self, member: int, task: Any, upcoming: Any) -> None:
        """Give a task to a worker that has none; `Done`, `Raised` or `Died` follows."""

    @abstractmethod
    def wait(self, seconds: float) -> list[Event]:
        """What happened since the last call; waits for the first event, at most so long."""

    @abstractmethod
    def stop(self) -> None:
        """Ask all to end their tasks early."""

    @abstractmethod
    def close(self) -> None:
        """Let all workers go; what they were doing is lost."""
