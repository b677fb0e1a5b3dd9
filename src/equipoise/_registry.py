"""The one registry type: names to entries, duplicates refused, near misses suggested."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from equipoise.errors import DuplicateNameError, UnknownNameError

T = TypeVar("T")


def nearest(name: str, names: list[str], count: int = 5) -> list[str]:
    """The ``count`` entries of ``names`` that are spelled most like ``name``, best first."""
    folded = {known.casefold(): known for known in names}
    found = difflib.get_close_matches(name.casefold(), list(folded), n=count, cutoff=0.5)
    inside = [known for key, known in folded.items() if name.casefold() in key and key not in found]
    return ([folded[key] for key in found] + inside)[:count]


class Registry(Mapping[str, T], Generic[T]):
    """A read-only mapping that grows by `register` alone.

    Args:
        kind: What an entry is, in the singular, for error messages ("method").

    Example:
        >>> colors: Registry[int] = Registry("color")
        >>> colors.add("red", 1, aliases=("rouge",))
        1
        >>> colors["rouge"]
        1
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._entries: dict[str, T] = {}
        self._aliases: dict[str, str] = {}

    def add(self, name: str, entry: T, *, aliases: tuple[str, ...] = ()) -> T:
        """Put ``entry`` under ``name`` and its ``aliases``.

        Raises:
            DuplicateNameError: If the name or an alias is taken.
        """
        for key in (name, *aliases):
            if key in self._entries or key in self._aliases:
                raise DuplicateNameError(f"the {self._kind} {key!r} is registered already")
        self._entries[name] = entry
        self._aliases.update(dict.fromkeys(aliases, name))
        return entry

    def register(self, name: str, *, aliases: tuple[str, ...] = ()) -> Callable[[T], T]:
        """As `add`, for use as a decorator."""
        return lambda entry: self.add(name, entry, aliases=aliases)

    def names(self) -> list[str]:
        """The names in the order of registration, without aliases."""
        return list(self._entries)

    def aliases(self, name: str) -> tuple[str, ...]:
        """What else an entry is called.

        Raises:
            UnknownNameError: If nothing has that name; the text lists the nearest ones.
        """
        wanted = self.canonical(name)
        return tuple(alias for alias, target in self._aliases.items() if target == wanted)

    def canonical(self, name: str, also: Iterable[str] = ()) -> str:
        """The registered name behind ``name``, which may be an alias in any case of letters.

        Args:
            name: What somebody wrote.
            also: Other words that are understood in its place, to be suggested beside the names.

        Raises:
            UnknownNameError: If nothing has that name; the text lists the nearest ones.
        """
        if name in self._entries:
            return name
        folded = {key.casefold(): target for key, target in self._aliases.items()}
        folded.update({key.casefold(): key for key in self._entries})
        if (found := folded.get(name.casefold())) is not None:
            return found
        # found by any spelling, shown by its one name
        spelled = nearest(name, [*self._entries, *self._aliases, *also])
        near = list(dict.fromkeys(self._aliases.get(one, one) for one in spelled))
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(self._entries)}"
        raise UnknownNameError(f"no {self._kind} is called {name!r}; {hint}")

    def __getitem__(self, name: str) -> T:
        return self._entries[self.canonical(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        try:
            self.canonical(name)
        except UnknownNameError:
            return False
        return True

    __hash__ = object.__hash__  # a registry is itself, not its contents

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        return f"Registry({self._kind}: {', '.join(self._entries)})"
