"""The folder of a run: rows and maps that are whole or absent, found again by the content of what made them."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from equipoise import records
from equipoise.errors import MissingPackageError, OptionError
from equipoise.experiments.model.rows import FIELDS, Goal, KeptMap

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

COLUMNS: Final = (*FIELDS, "key")
"""Of ``rows.parquet``: the fields of a row, and the digest of everything that it depends on."""

_KEYS: Final = b"equipoise.keys"
_LABELS: Final = "equipoise.maps"  # of a file of maps: what each one is, in order
_PARTS, _MAPS, _MEMO, _LOCK = "parts", "maps", "memo.json", ".lock"


def digest(*parts: str) -> str:
    """SHA-256 of several texts, 64 hex digits."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Part:
    """What one method gave on one unit.

    Attributes:
        key: `digest` of everything that the result depends on.
        rows: Values of `COLUMNS` without the key, which may be none.
        maps: Heat maps to keep.
    """

    key: str
    rows: list[dict[str, Any]]
    maps: list[KeptMap]


class Store:
    """Results in a folder, safe against a kill at any moment; one run at a time writes to it.

    Args:
        folder: Made if absent.
        resume: Go on with what an earlier run left there.

    Raises:
        OptionError: If there are results and ``resume`` is not set, another run is writing, or the folder
            cannot be made.
        MissingPackageError: If pyarrow is not installed.
    """

    def __init__(self, folder: Path, *, resume: bool) -> None:
        _arrow()
        self.folder = folder
        self._parts, self._maps = folder / _PARTS, folder / _MAPS
        if not resume and self._parts.is_dir() and any(self._parts.glob("*.parquet")):
            raise OptionError(
                f"{folder} holds results of an earlier run; --resume goes on with them, --output names another folder"
            )
        try:
            for place in (folder, self._parts, self._maps):
                place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OptionError(f"--output {folder} cannot be made ({error.strerror})") from error
        self._lock = _locked(folder / _LOCK)
        self._done: dict[str, Path] = {}
        for path in sorted(self._parts.glob("*.parquet")):
            for key in _keys(path):
                self._done[key] = path

    def close(self) -> None:
        """Let another run write."""
        self._lock.close()

    def __contains__(self, key: str) -> bool:
        return key in self._done

    def add(self, parts: Sequence[Part]) -> None:
        """Keep the results of one unit: the maps first, then all rows in one file, which makes them count."""
        for part in parts:
            if part.maps:
                self._write_maps(part)
        keys = [part.key for part in parts]
        path = self._parts / f"{digest(*keys)[:32]}.parquet"
        rows = [row | {"key": part.key} for part in parts for row in part.rows]
        _write(path, rows, {_KEYS: json.dumps(keys).encode()})
        self._done.update(dict.fromkeys(keys, path))

    def rows(self, keys: Iterable[str]) -> list[dict[str, Any]]:
        """The rows of these keys, in the order of the keys; those without results are passed over."""
        import pyarrow.parquet as pq  # noqa: PLC0415  # the evaluation extra

        wanted = [key for key in keys if key in self._done]
        found: dict[str, list[dict[str, Any]]] = {key: [] for key in wanted}
        for path in dict.fromkeys(self._done[key] for key in wanted):
            for row in pq.read_table(path).to_pylist():
                if row["key"] in found and self._done[row["key"]] == path:
                    found[row["key"]].append(row)
        return [row for key in wanted for row in found[key]]

    def merge(self, keys: Iterable[str]) -> list[dict[str, Any]]:
        """Write ``rows.parquet``, the rows of these keys in their order; and return them."""
        rows = self.rows(keys)
        _write(self.folder / "rows.parquet", rows, {})
        return rows

    def maps(self, key: str) -> list[KeptMap]:
        """The maps kept under a key, float32, in the order in which they were kept; none if none were."""
        from safetensors import safe_open  # noqa: PLC0415  # a large import

        path = self._maps / f"{key[:32]}.safetensors"
        if not path.is_file():
            return []
        with safe_open(path, framework="pt") as file:
            labels = json.loads(file.metadata()[_LABELS])
            return [
                KeptMap(Goal(**label["goal"]), file.get_tensor(str(place)).float(), label["step"], label["detail"])
                for place, label in enumerate(labels)
            ]

    def memo(self) -> dict[str, Any]:
        """What `remember` kept, or nothing."""
        path = self.folder / _MEMO
        with contextlib.suppress(OSError, ValueError):
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return found
        return {}

    def remember(self, memo: dict[str, Any]) -> None:
        """Keep JSON values for a later run."""
        records.write_atomically(self.folder / _MEMO, json.dumps(memo, sort_keys=True).encode())

    def _write_maps(self, part: Part) -> None:
        import torch  # noqa: PLC0415  # takes time
        from safetensors.torch import save  # noqa: PLC0415

        tensors = {str(place): _half(one.heatmap, torch.float16).contiguous() for place, one in enumerate(part.maps)}
        labels = [{"goal": asdict(one.goal), "step": one.step, "detail": one.detail} for one in part.maps]
        data = save(tensors, {_LABELS: json.dumps(labels)})
        records.write_atomically(self._maps / f"{part.key[:32]}.safetensors", data)


def _half(one: Tensor, dtype: Any) -> Tensor:
    """In 16 bits, scaled so that the largest value fits: pictures need the shape, rows hold the numbers."""
    largest = one.abs().max().item()
    return (one / largest if largest > 0 else one).to(dtype)


def _write(path: Path, rows: list[dict[str, Any]], metadata: dict[bytes, bytes]) -> None:
    import pyarrow as pa  # noqa: PLC0415  # the evaluation extra
    import pyarrow.parquet as pq  # noqa: PLC0415

    table = pa.Table.from_pylist(rows, schema=schema().with_metadata(metadata))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    records.write_atomically(path, sink.getvalue().to_pybytes())


def schema() -> pa.Schema:
    """Types of `COLUMNS`."""
    import pyarrow as pa  # noqa: PLC0415  # the evaluation extra

    kinds = {int: pa.int32(), bool: pa.bool_(), float: pa.float64(), str: pa.string()}
    return pa.schema([(name, kinds[FIELDS.get(name, str)]) for name in COLUMNS])


def _keys(path: Path) -> list[str]:
    import pyarrow.parquet as pq  # noqa: PLC0415  # the evaluation extra

    found: list[str] = json.loads(pq.read_schema(path).metadata[_KEYS])
    return found


def _arrow() -> None:
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingPackageError("experiments need pyarrow; pip install 'equipoise[evaluate]'")


def _locked(path: Path) -> Any:
    """An open file that this process alone holds, where the system knows such locks."""
    file = path.open("w", encoding="utf-8")
    with contextlib.suppress(ImportError):
        import fcntl  # noqa: PLC0415  # not on Windows

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise OptionError(f"another run is writing to {path.parent}") from error
    return file
