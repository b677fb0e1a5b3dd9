"""The tables of the pages of docs/results, as texts."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator


def tables(text: str) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """The first table under each heading of the second level: the network, the heads, and the rows' cells."""
    for part in text.split("\n## ")[1:]:
        title = part.partition("\n")[0]
        table = re.search(r"((?:^\|.*\n)+)", part + "\n", re.MULTILINE)
        if table is not None:
            lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].strip().splitlines()]
            yield title.partition(", ")[2], lines[0], lines[2:]


def number(cell: str) -> float:
    """What a cell begins with; NaN if that is no number."""
    found = re.match(r"\**(-?[\d.]+)", cell)
    return float(found[1]) if found else math.nan
