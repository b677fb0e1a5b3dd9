"""Reads the units of a run ahead, in a thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from equipoise._signals import shielded
from equipoise.errors import DataError, ImageError
from equipoise.experiments.protocols.base import Bench, Unit
from equipoise.experiments.recipes.recipe import Recipe
from equipoise.experiments.running.keys import Keys
from equipoise.experiments.running.store import Store
from equipoise.images import one_line

AHEAD: Final = 8
"""How many units are read and resized while the network works."""


@dataclass(frozen=True, eq=False)
class Reader:
    """Reads units ahead in a thread: keys from the files' checksums, then, if anything is missing, the images."""

    recipe: Recipe
    bench: Bench
    store: Store
    keys: Keys
    pool: ThreadPoolExecutor

    def read(self, units: Sequence[Unit]) -> Iterator[tuple[Unit, dict[str, str], Any]]:
        """Unit, key per method, and the preparation: ``None`` if all is done, an `ImageError` if it cannot be."""
        waiting: list[tuple[Unit, Future[tuple[dict[str, str], Any]]]] = []
        for unit in units:
            with shielded():
                waiting.append((unit, self.pool.submit(self._one, unit)))
            if len(waiting) > AHEAD:
                yield self._read(*waiting.pop(0))
        for first, future in waiting:
            yield self._read(first, future)

    @staticmethod
    def _read(unit: Unit, future: Future[tuple[dict[str, str], Any]]) -> tuple[Unit, dict[str, str], Any]:
        with shielded():
            return unit, *future.result()

    def _one(self, unit: Unit) -> tuple[dict[str, str], Any]:
        try:
            checksum = unit.checksum()
            keys = self.keys.made(unit.key, checksum)
            done = all(key in self.store for key in keys.values())
            prepared = None if done else self.recipe.protocol.prepare(unit, self.bench)
            self.keys.add(unit.key, checksum)
        except (ImageError, DataError, OSError) as error:
            return {}, error if isinstance(error, ImageError) else ImageError(f"{unit.key}: {one_line(error)}")
        return keys, prepared
