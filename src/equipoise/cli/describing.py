"""``equipoise describe``: write ``mynet.toml``, and say which entries are guesses and which are left to fill in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from equipoise.cli.request import find_own_modules
from equipoise.describing import describe, write
from equipoise.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from equipoise.describing import Entry


def write_description(what: str, weights: str | None, output: str, *, force: bool) -> int:
    """Write a description of a network and print what is uncertain in it.

    Raises:
        EquipoiseError: If the network cannot be read, or the file is there already.
    """
    path = Path(output)
    if path.exists() and not force:  # before any long work
        raise OptionError(f"{path} is there already; --force overwrites it, --output FILE writes another")
    if not path.parent.is_dir():
        raise OptionError(f"--output {output}: there is no folder {path.parent}")
    find_own_modules()
    draft = describe(what, weights, beside=path.parent)
    write(draft, path, force=force)
    lines = [f"{path}: {len(draft.guessed)} guessed, {len(draft.unknown)} to fill in"]
    lines += [f"  guessed     {line}" for line in _grouped(draft.guessed)]
    lines += [f"  to fill in  {line}" for line in _grouped(draft.unknown)]
    lines.append(f"next: equipoise explain PHOTO --model {path}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _grouped(entries: Iterable[Entry]) -> list[str]:
    """One line for all entries that have the same said of them."""
    groups: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        groups.setdefault((entry.table, entry.comment), []).append(entry.key)
    return [f"{f'{table}.' if table else ''}{', '.join(keys)}: {comment}" for (table, comment), keys in groups.items()]
