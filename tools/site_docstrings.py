"""Docstrings as the site shows them: their reStructuredText mathematics becomes Markdown's.

A griffe extension; ``mkdocs.yml`` names it.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

import griffe

INLINE = re.compile(r":math:`([^`]+)`", re.DOTALL)
BLOCK = re.compile(r"^([ ]*)\.\. math::[ ]*([^\n]*)\n((?:\1[ ]+\S[^\n]*\n?|[ ]*\n(?=\1[ ]+\S))*)", re.MULTILINE)


def markdown(text: str) -> str:
    """A docstring with ``:math:`` and ``.. math::`` as ``$`` and a fence."""

    def fenced(found: re.Match[str]) -> str:
        indent, first, rest = found.groups()
        lines = "\n".join([first.strip(), textwrap.dedent(rest).strip()]).strip()
        return textwrap.indent(f"\n```math\n{lines}\n```\n\n", indent, lambda line: bool(line.strip()))

    return INLINE.sub(lambda found: f"${' '.join(found[1].split())}$", BLOCK.sub(fenced, text + "\n"))


class MathInDocstrings(griffe.Extension):
    """Rewrites every docstring that has mathematics."""

    def on_instance(self, *, obj: griffe.Object, **_more: Any) -> None:
        if obj.docstring and (":math:" in obj.docstring.value or ".. math::" in obj.docstring.value):
            obj.docstring.value = markdown(obj.docstring.value)
