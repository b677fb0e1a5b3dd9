"""``equipoise describe``: write ``mynet.toml``, and say which entries are guesses and which are left to fill in."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from equipoise.cli.request import find_own_modules
from equipoise.describing import Entry, check_place, describe, write

if TYPE_CHECKING:
    from collections.abc import Iterable

    from equipoise.cli.request import NetworkRequest


def write_description(said: NetworkRequest, output: str, *, force: bool) -> int:
    """Write a description of a network and print what is uncertain in it.

    Args:
        said: The network, and what is known of it.
        output: The file.
        force: Whether it may be there already.

    Raises:
        EquipoiseError: If the network cannot be read, or the file is there already.
    """
    path = Path(output)
    check_place(path, force=force)
    find_own_modules()
    told = _told(said, path.parent)  # whatever is wrong is said before anything is loaded
    draft = describe(said.model, said.weights, beside=path.parent).saying(told)
    write(draft, path, force=force)
    lines = [f"{path}: {len(draft.guessed)} guessed, {len(draft.unknown)} to fill in"]
    lines += [f"  guessed     {line}" for line in _grouped(draft.guessed)]
    lines += [f"  to fill in  {line}" for line in _grouped(draft.unknown)]
    lines.append(f"next: equipoise explain PHOTO --model {path}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _told(said: NetworkRequest, folder: Path) -> list[Entry]:
    """What the command line says, as entries."""
    known = said.said()
    classes = None if said.classes is None else Path(os.path.relpath(said.classes, folder)).as_posix()
    outer = {
        "in_chans": said.in_chans, "classes": classes, "output": known.output, "task": known.task,
        "activation": known.activation,
    }  # fmt: skip
    sides = {"crop": "size"}  # a field of the preprocessing, and its key
    inner = {sides.get(key, key): list(value) for key, value in known.changes.items()}
    rows = (("", outer), ("preprocessing", inner))
    return [Entry(key, value, table=table) for table, told in rows for key, value in told.items() if value is not None]


def _grouped(entries: Iterable[Entry]) -> list[str]:
    """One line for all entries that have the same said of them."""
    groups: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        groups.setdefault((entry.table, entry.comment), []).append(entry.key)
    return [f"{f'{table}.' if table else ''}{', '.join(keys)}: {comment}" for (table, comment), keys in groups.items()]
