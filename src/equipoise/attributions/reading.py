"""What a run left behind, read lazily: entries, maps, a table."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, overload

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from equipoise.attributions.folder import Folder
from equipoise.attributions.joining import ordered
from equipoise.attributions.parts import ROWS, MapFile, Part, opened, parts
from equipoise.errors import DataError, OptionError
from equipoise.images import one_line
from equipoise.methods import heatmap

_OPEN: Final = 8  # files of maps that are kept open


@dataclass(frozen=True, eq=False)
class Entry:
    """One photo, method and target.

    Attributes:
        index: Of the photo in its source.
        key: What the photo is called.
        label: What was known of it; ``None``: nothing.
        method: The method's name.
        target: The explained class; ``None``: no single class.
        name: Of what is explained.
        score: The explained score.
        probability: 0 to 1; ``None`` where there is none.
        row: The whole row of the table.
    """

    index: int
    key: str
    label: str | None
    method: str
    target: int | None
    name: str
    score: float
    probability: float | None
    row: dict[str, Any] = field(repr=False)
    _owner: Attributions = field(repr=False)

    @property
    def attribution(self) -> Tensor:
        """The attribution, float32, ``(c, h, w)``; read when it is asked for.

        Raises:
            DataError: If the run kept no maps.
        """
        return self._owner.map(self.row)

    @property
    def heatmap(self) -> Tensor:
        """The attribution summed over its channels, ``(h, w)``.

        Raises:
            DataError: If the run kept no maps.
        """
        found = self.attribution
        return heatmap(found, dims=found.dim() - 1)


class Attributions(Sequence[Entry]):
    """The attributions of a data set, in the order of its photos; methods, then targets, within a photo.

    Args:
        address: The folder of `equipoise.attribute_dataset`, or anything that fsspec knows.

    Raises:
        OptionError: If there is no such run.
    """

    def __init__(self, address: str | os.PathLike[str]) -> None:
        self.folder = Folder.at(address)
        if not self.folder.has("run.json"):
            shards = [name for name in self.folder.folders() if self.folder.sub(name).has("run.json")]
            hint = f"; it holds {len(shards)} shards, which equipoise merge joins" if shards else ""
            raise OptionError(f"{one_line(self.folder.address)} holds no attributions{hint}")
        self.record: dict[str, Any] = json.loads(self.folder.read("run.json"))
        self._table: pa.Table | None = None
        self._files: OrderedDict[str, MapFile] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {"address": self.folder.address}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["address"])  # type: ignore[misc]  # opened again in the other process

    def __len__(self) -> int:
        return len(self.table())

    @overload
    def __getitem__(self, index: int) -> Entry: ...

    @overload
    def __getitem__(self, index: slice) -> list[Entry]: ...

    def __getitem__(self, index: int | slice) -> Entry | list[Entry]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"there is no entry {index}; {self.folder.address} has {len(self)}")
        row = self.table().slice(index % len(self), 1).to_pylist()[0]
        own = {
            name: row[name] for name in ("index", "key", "label", "method", "target", "name", "score", "probability")
        }
        return Entry(**own, row=row, _owner=self)

    def __iter__(self) -> Iterator[Entry]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return f"Attributions({self.folder.address!r}, {len(self)} entries)"

    def table(self) -> pa.Table:
        """All rows; of a run that is not finished, those so far.

        Columns: ``index``, ``key``, ``label``, ``method``, ``target``, ``name``, ``score``, ``probability``, sums,
        ``positive_ratio``, and ``file`` and ``row``, which say where the map lies.
        """
        if self._table is None:
            if self.folder.has("rows.parquet"):
                with opened(self.folder, "rows.parquet") as file:
                    self._table = pq.read_table(file)
            else:
                tables = list(ordered(self.folder, self.parts()))
                self._table = pa.concat_tables(tables) if tables else ROWS.empty_table()
        return self._table

    def parts(self) -> list[Part]:
        """The parts of the run."""
        return parts(self.folder)

    @property
    def failures(self) -> list[dict[str, Any]]:
        """What could not be done: ``index``, ``key``, ``method`` (empty: none could) and ``reason``."""
        found: list[dict[str, Any]] = self.record.get("failures", [])
        return found

    def map(self, row: dict[str, Any]) -> Tensor:
        """The attribution of a row, float32, ``(c, *space)``.

        Raises:
            DataError: If the run kept no maps, or the file is gone.
        """
        if row["file"] is None:
            raise DataError(f"{one_line(self.folder.address)} holds no maps; they are kept with keep='maps'")
        shape, scale, values = self._opened(row["file"]).read(row["row"])
        return torch.from_numpy(values.astype("float32")).mul_(scale).reshape(shape)

    def _opened(self, name: str) -> MapFile:
        if name in self._files:
            self._files.move_to_end(name)
            return self._files[name]
        path = self.folder.path(f"maps/{name}")
        try:
            self._files[name] = MapFile(opened(self.folder, f"maps/{name}"))
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{one_line(path)} cannot be read ({one_line(error)})") from error
        if len(self._files) > _OPEN:
            self._files.popitem(last=False)
        return self._files[name]


def open_attributions(address: str | os.PathLike[str]) -> Attributions:
    """The attributions that a run left in a folder; nothing is read before it is asked for.

    Raises:
        OptionError: If there is no such run.

    Example:
        >>> found = equipoise.open_attributions("maps/")  # doctest: +SKIP
        >>> found[0].key, found[0].target, found[0].attribution.shape  # doctest: +SKIP
    """
    return Attributions(address)
