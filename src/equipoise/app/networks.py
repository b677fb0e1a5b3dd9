"""The networks of a server: each is loaded once, by whoever asks first, and works for one visitor at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from equipoise import models
from equipoise.errors import EquipoiseError, UnknownNameError

if TYPE_CHECKING:
    from torch import nn

    from equipoise.models import ModelSpec

Loader = Callable[[str], "tuple[nn.Module, ModelSpec]"]


class CancelledError(EquipoiseError):
    """The visitor stopped the work."""


class Stop:
    """Whether a visitor has had enough; asked before every forward pass of the network."""

    def __init__(self) -> None:
        self._wanted = False

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Copies of a network that hold this as a hook are stopped with it."""
        return self

    def request(self) -> None:
        """Stop the work in progress."""
        self._wanted = True

    def reset(self) -> None:
        """New work begins."""
        self._wanted = False

    def check(self, *_: object) -> None:
        """Go on, or not.

        Raises:
            CancelledError: If `request` was called since the last `reset`.
        """
        if self._wanted:
            raise CancelledError("stopped")


@dataclass(frozen=True, eq=False)
class Network:
    """A loaded network.

    Attributes:
        name: As it was asked for.
        module: The network, in eval mode.
        spec: What is known about it.
    """

    name: str
    module: nn.Module
    spec: ModelSpec
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @contextmanager
    def work(self, stop: Stop) -> Iterator[None]:
        """Work with the network alone; raises `CancelledError` at the next forward pass once ``stop`` is requested."""
        with self._lock:
            handle = self.module.register_forward_pre_hook(stop.check)
            try:
                stop.check()
                yield
            finally:
                handle.remove()


class Networks:
    """The networks that a page offers.

    Args:
        names: As `equipoise.load_model` takes them; nothing else is ever loaded.
        load: Loads one; default `equipoise.load_model`.
    """

    def __init__(self, names: Sequence[str], load: Loader | None = None) -> None:
        self.names = list(dict.fromkeys(names))
        self._load: Loader = load or models.load_model
        self._lock = threading.Lock()
        self._loaded: dict[str, Network] = {}

    def __getitem__(self, name: str) -> Network:
        """The network of that name, loaded now if it is not yet.

        Raises:
            UnknownNameError: If the page does not offer it.
            EquipoiseError: As `equipoise.load_model`.
        """
        if name not in self.names:
            raise UnknownNameError(f"this page has no network {name!r}; it has {', '.join(self.names)}")
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = Network(name, *self._load(name))
            return self._loaded[name]
