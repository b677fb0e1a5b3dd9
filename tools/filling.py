"""Pages that a person writes and a tool fills: ``<!-- fill NAME -->what the tool puts in<!-- end -->``.

What stands between the two marks is the tool's, all else the writer's. Marks on lines of their own hold paragraphs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

BLOCK = re.compile(r"(<!-- fill ([\w-]+) -->)(\n?)(.*?)(<!-- end -->)", re.DOTALL)


def filled(page: str, blocks: Mapping[str, Callable[[], str]]) -> str:
    """A page with every block as its function says.

    Raises:
        KeyError: If the page asks for a block that there is not.
    """

    def put(found: re.Match[str]) -> str:
        text = blocks[found[2]]()
        return f"{found[1]}\n\n{text}\n\n{found[5]}" if found[3] else found[1] + text + found[5]

    return BLOCK.sub(put, page)


def asked(page: str) -> list[str]:
    """The names of the blocks of a page, in order."""
    return [found[2] for found in BLOCK.finditer(page)]
