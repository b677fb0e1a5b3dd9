"""The networks of a server: each is loaded once, by whoever asks first, and works for one visitor at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, Self

from equipoise.errors import EquipoiseError, UnknownNameError
from equipoise.loading import load
from equipoise.network import Network

Loader = Callable[[str], Network]


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
class SharedNetwork(Network):
    """A network that several visitors use, one after another."""

    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @classmethod
    def of(cls, network: Network) -> SharedNetwork:
        """The same network, to be shared."""
        return cls(**{one.name: getattr(network, one.name) for one in fields(network)})

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
        loader: Loads one.
    """

    def __init__(self, names: Sequence[str], loader: Loader = load) -> None:
        self.names = list(dict.fromkeys(names))
        self._load = loader
        self._lock = threading.Lock()
        self._loaded: dict[str, SharedNetwork] = {}

    def __getitem__(self, name: str) -> SharedNetwork:
        """The network of that name, loaded now if it is not yet.

        Raises:
            UnknownNameError: If the page does not offer it.
            EquipoiseError: As `equipoise.load_model`.
        """
        if name not in self.names:
            raise UnknownNameError(f"this page has no network {name!r}; it has {', '.join(self.names)}")
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = SharedNetwork.of(self._load(name))
            return self._loaded[name]
