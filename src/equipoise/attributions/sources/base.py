"""Where a stream of photos comes from: one class for each, found by what names it."""

from __future__ import annotations

import hashlib
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from equipoise._registry import Registry
from equipoise.errors import DataError
from equipoise.images import one_line

if TYPE_CHECKING:
    from equipoise.models.spec import ModelSpec
    from equipoise.wanted import PhotoTarget

Label: TypeAlias = int | str
"""A class of the network: its index, or a name that it knows."""


class Source(ABC):
    """Photos or arrays in a fixed order, each with a key, read one by one from any process.

    Attributes:
        name: For people and records.
        problems: One sentence for each thing that was left out.
    """

    name: str
    problems: tuple[str, ...] = ()

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def key(self, index: int) -> str:
        """What an item is called, each by another name."""

    @abstractmethod
    def read(self, index: int) -> Any:
        """A photo or array, as `equipoise.view.Photo.read` takes it.

        Raises:
            ImageError: If it cannot be read.
        """

    def labels(self, index: int) -> tuple[Label, ...]:  # noqa: ARG002  # of a source without
        """What is known of an item: its classes; none if nothing is."""
        return ()

    def label_name(self, label: Label) -> str:
        """A label in words."""
        return str(label)

    def meant(self, label: Label, spec: ModelSpec) -> PhotoTarget | None:
        """What a network is asked for a label; ``None`` if it has no such class.

        Raises:
            EquipoiseError: If the label fits no class, or several.
        """
        return spec.class_index(label)

    def check(self) -> None:  # noqa: B027  # a source in memory is always there
        """Refuse a place that the photos cannot be read from.

        Raises:
            DataError: If they are not there; the text names the machine.
        """

    def identity(self) -> str:
        """64 hex digits: another for other photos."""
        seen = hashlib.sha256(self.name.encode())
        for index in range(len(self)):
            seen.update(self.key(index).encode() + b"\0")
        return seen.hexdigest()


def check_there(path: Path) -> None:
    """Refuse a file or folder that this machine does not have.

    Raises:
        DataError: If it is not there.
    """
    if not path.exists():
        raise DataError(
            f"{one_line(path)} is not on this machine ({socket.gethostname()}), where a worker was to read it"
        )


def check_keys(name: str, keys: Sequence[str]) -> None:
    """Refuse two items of one key.

    Raises:
        DataError: If there are any.
    """
    if len(set(keys)) < len(keys):
        seen: set[str] = set()
        twice = next(key for key in keys if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise DataError(f"{name}: two photos are called {twice!r}")


@dataclass(frozen=True)
class Kind:
    """A way in which a text names a source.

    Attributes:
        takes: Whether a text is of this kind; the first that says so opens it.
        open: From the text and the folder of data sets.
        example: For people.
    """

    takes: Callable[[str], bool]
    open: Callable[[str, Path | None], Source]
    example: str


SOURCES: Registry[Kind] = Registry("kind of source")
"""Ways to name photos on a command line."""
