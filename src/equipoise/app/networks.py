"""The networks of a server: each is loaded once, and does one quick and one slow work at a time."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from equipoise.app.lanes import Lane, Stop
from equipoise.errors import UnknownNameError
from equipoise.inputs import Prepares, SeveralInputs, load_either
from equipoise.network import Network

if TYPE_CHECKING:
    from pathlib import Path

    from equipoise.inputs import Sources
    from equipoise.view import View

Loader = Callable[[str], "Network | SeveralInputs"]


@dataclass(frozen=True, eq=False)
class SharedNetwork(Network):
    """A network that several visitors use, one after another.

    Attributes:
        lane: Whose turn it is.
        deeply: Whether work can be stopped before every module's forward pass, not only before the network's; of many
            photos at a time that takes seconds.
    """

    lane: Lane = field(default_factory=Lane, repr=False)
    deeply: bool = False
    _slow: list[SharedNetwork] = field(default_factory=list, repr=False)

    @classmethod
    def of(cls, network: Network, **more: Any) -> SharedNetwork:
        """The same network, to be shared."""
        return cls(**{one.name: getattr(network, one.name) for one in fields(network)}, **more)

    @property
    def prepares(self) -> dict[str, Prepares]:
        """How its one input, which has no name, is prepared."""
        return {"": self.spec.preprocessing}

    @contextmanager
    def work(self, stop: Stop) -> Iterator[None]:
        """Work with the network alone; raises `CancelledError` at the next forward pass once ``stop`` is requested."""
        with self.lane.turn(stop):
            asked = self.module.modules() if self.deeply else (self.module,)
            handles = [one.register_forward_pre_hook(stop.check) for one in asked]
            try:
                stop.check()
                yield
            finally:
                for handle in handles:
                    handle.remove()

    def slow(self, stop: Stop) -> SharedNetwork:
        """The same network for slow work, which quick work need not wait for: other modules, the same weights.

        A network that cannot be copied is its own.

        Raises:
            CancelledError: If ``stop`` is requested.
        """
        with self.lane.turn(stop):  # while no method has a hook on it
            if not self._slow:
                shared = {id(one): one for one in (*self.module.parameters(), *self.module.buffers())}
                try:
                    module = copy.deepcopy(self.module, shared)
                except Exception:  # noqa: BLE001  # a network of one's own may refuse by any error
                    return self
                self._slow.append(replace(self, module=module, lane=self.lane.slow, deeply=True, _slow=[]))
            return self._slow[0]


class SharedInputs:
    """A network of several inputs that several visitors use, one after another.

    Args:
        network: The network. It is run once, as far as that can be done without what a visitor gives.

    Raises:
        EquipoiseError: If no method can explain it.
    """

    def __init__(self, network: SeveralInputs) -> None:
        self.network = network
        self.prepares: dict[str, Prepares] = {str(key): how for key, how in network.prepares.items()}
        known = network.networks().values()
        self.notes = tuple(dict.fromkeys(note for one in known for note in one.notes))
        self.assumed = {key: note for one in known for key, note in one.assumed.items()}
        self.lane = Lane()

    @property
    def name(self) -> str:
        """As it was asked for."""
        return self.network.name

    @property
    def examples(self) -> Path | None:
        """A folder with a folder for each input."""
        return self.network.said.examples

    def views(self, sources: Sources, stop: Stop) -> dict[str, tuple[View, SharedNetwork]]:
        """Each input before the network, the others held, as a view and as a network of that input.

        Raises:
            EquipoiseError: As `SeveralInputs.views`.
            CancelledError: If the visitor stopped it.
        """
        with self.lane.turn(stop):
            found = self.network.views(sources)
        shared = {key: SharedNetwork.of(view.network, lane=self.lane) for key, view in found.items()}
        return {str(key): (replace(view, network=shared[key]), shared[key]) for key, view in found.items()}


Offered: TypeAlias = SharedNetwork | SharedInputs
"""A network of the page."""


class Networks:
    """The networks that a page offers.

    Args:
        names: As `equipoise.load_model` takes them; nothing else is ever loaded.
        loader: Loads one.
    """

    def __init__(self, names: Sequence[str], loader: Loader = load_either) -> None:
        self.names = list(dict.fromkeys(names))
        self._load = loader
        self._lock = threading.Lock()
        self._loaded: dict[str, Offered] = {}

    def is_loaded(self, name: str) -> bool:
        """Whether a network need not be waited for."""
        return name in self._loaded

    def __getitem__(self, name: str) -> Offered:
        """The network of that name, loaded now if it is not yet.

        Raises:
            UnknownNameError: If the page does not offer it.
            EquipoiseError: As `equipoise.load_model`.
        """
        if name not in self.names:
            raise UnknownNameError(f"this page has no network {name!r}; it has {', '.join(self.names)}")
        with self._lock:
            if name not in self._loaded:
                found = self._load(name)
                self._loaded[name] = (
                    SharedInputs(found) if isinstance(found, SeveralInputs) else SharedNetwork.of(found)
                )
            return self._loaded[name]
