"""What results are found by: digests of everything that they depend on, and a small index of millions of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

Short: TypeAlias = "NDArray[Any]"
"""Keys, 16 bytes each."""

SHORT: Final = np.dtype("S16")
_PENDING: Final = 50_000  # keys that are looked up one by one before they are sorted in


def digest(*parts: str) -> str:
    """SHA-256 of several texts, 64 hex digits."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def short(key: str) -> bytes:
    """A key as 16 bytes."""
    return hashlib.blake2b(key.encode(), digest_size=SHORT.itemsize).digest()


def shorts(keys: Iterable[str]) -> Short:
    """The same of many."""
    return np.frombuffer(b"".join(map(short, keys)), SHORT)


class Keys(Mapping[tuple[str, str], str]):
    """Unit and method label to the key of their results, made when asked for: only checksums are kept.

    Args:
        common: What all results of a block depend on.
        methods: Label to the digest of the method.
    """

    def __init__(self, common: Sequence[str] = (), methods: Mapping[str, str] | None = None) -> None:
        self._common, self._methods = tuple(common), dict(methods or {})
        self._checksums: dict[str, str] = {}

    def add(self, unit: str, checksum: str) -> None:
        """Note that a unit could be read."""
        self._checksums[unit] = checksum

    def made(self, unit: str, checksum: str) -> dict[str, str]:
        """Label to key, of one unit."""
        return {label: digest(*self._common, unit, checksum, method) for label, method in self._methods.items()}

    def __getitem__(self, place: tuple[str, str]) -> str:
        unit, label = place
        return digest(*self._common, unit, self._checksums[unit], self._methods[label])

    def __contains__(self, place: object) -> bool:
        return (
            isinstance(place, tuple) and len(place) == 2 and place[0] in self._checksums and place[1] in self._methods
        )

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((unit, label) for unit in self._checksums for label in self._methods)

    def __len__(self) -> int:
        return len(self._checksums) * len(self._methods)


class Index:
    """In which file the results of a key are: 20 bytes a key, for millions of keys.

    Sorted arrays hold most of it, and a dictionary the latest; the first file that a key is said to be in counts.
    """

    def __init__(self) -> None:
        self._sorted: tuple[Short, NDArray[np.int32]] = np.empty(0, SHORT), np.empty(0, np.int32)
        self._latest: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._sorted[0]) + len(self._latest)

    def add(self, keys: Iterable[str], file: int) -> None:
        """Say in which file keys are."""
        found = shorts(keys)
        for key in found[looked_up(found, *self._sorted) < 0].tolist():
            self._latest.setdefault(key.ljust(SHORT.itemsize, b"\0"), file)  # numpy takes zeros at the end away
        if len(self._latest) > max(_PENDING, len(self._sorted[0]) // 16):
            self._settle()

    def find(self, key: bytes) -> int:
        """The file of a key made by `short`, or -1."""
        latest = self._latest.get(key)  # first: what is settled meanwhile is in both for a moment
        if latest is not None:
            return latest
        keys, files = self._sorted
        wanted = np.array([key], SHORT)
        place = int(np.searchsorted(keys, wanted)[0])
        return int(files[place]) if place < len(keys) and keys[place : place + 1] == wanted else -1

    def files(self, keys: Short) -> NDArray[np.int32]:
        """The files of many keys, -1 for those that are not there."""
        self._settle()
        return looked_up(keys, *self._sorted)

    def _settle(self) -> None:
        if self._latest:
            latest = dict(sorted(self._latest.items()))
            keys = np.frombuffer(b"".join(latest), SHORT)
            files = np.fromiter(latest.values(), np.int32, len(latest))
            places = np.searchsorted(self._sorted[0], keys)
            self._sorted = np.insert(self._sorted[0], places, keys), np.insert(self._sorted[1], places, files)
            self._latest = {}


def looked_up(keys: Short, known: Short, values: NDArray[np.int32]) -> NDArray[np.int32]:
    """For each key the value that belongs to it among the known ones, which are sorted; -1 for others."""
    if not len(known):
        return np.full(len(keys), -1, np.int32)
    order = np.argsort(keys)  # looked up in order, neighbors are near in memory
    places = np.empty(len(keys), np.int64)
    places[order] = np.minimum(np.searchsorted(known, keys[order]), len(known) - 1)
    found: NDArray[np.int32] = np.where(known[places] == keys, values[places], np.int32(-1)).astype(np.int32)
    return found
