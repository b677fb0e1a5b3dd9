"""The docstring of a method as its page shows it: what comes before the sections, and the sources' addresses."""

from __future__ import annotations

import inspect
import re
import textwrap

INLINE = re.compile(r":math:`([^`]+)`", re.DOTALL)
BLOCK = re.compile(r"^([ ]*)\.\. math::[ ]*([^\n]*)\n((?:\1[ ]+\S[^\n]*\n?|[ ]*\n(?=\1[ ]+\S))*)", re.MULTILINE)
SECTION = re.compile(r"^(Args|Attributes|Raises|References|Returns):$", re.MULTILINE)


def markdown(text: str) -> str:
    """A docstring with ``:math:`` and ``.. math::`` as ``$`` and a fence."""

    def fenced(found: re.Match[str]) -> str:
        indent, first, rest = found.groups()
        lines = "\n".join([first.strip(), textwrap.dedent(rest).strip()]).strip()
        return textwrap.indent(f"\n```math\n{lines}\n```\n\n", indent, lambda line: bool(line.strip()))

    return INLINE.sub(lambda found: f"${' '.join(found[1].split())}$", BLOCK.sub(fenced, text + "\n"))


def description(thing: object) -> str:
    """What a docstring says before its sections, as Markdown: the idea and the equation."""
    text = inspect.getdoc(thing) or ""
    section = SECTION.search(text)
    head = text[: section.start()] if section else text
    return re.sub(r"(?<!`)``(?!`)", "`", re.sub(r"\n{3,}", "\n\n", markdown(head)).strip())


def sources(thing: object) -> list[str]:
    """The addresses of the papers that a docstring names under References."""
    return re.findall(r"^\s*(https://\S+)$", (inspect.getdoc(thing) or "").partition("References:")[2], re.MULTILINE)
