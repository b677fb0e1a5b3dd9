"""What a page on a method says that cannot be generated; the texts are in the modules ``texts_*``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Source:
    """Where a method was published.

    Attributes:
        text: Authors, title, venue, year.
        link: A DOI or arXiv page.
    """

    text: str
    link: str


def arxiv(text: str, number: str) -> Source:
    """A source by its arXiv number."""
    return Source(text, f"https://arxiv.org/abs/{number}")


def doi(text: str, number: str) -> Source:
    """A source by its DOI."""
    return Source(text, f"https://doi.org/{number}")


@dataclass(frozen=True)
class Text:
    """One method, described.

    Attributes:
        title: Its name in full.
        idea: What it computes and how to read it, in a few sentences.
        equation: The defining equation, as LaTeX.
        differs: How it differs from its authors' code, or from the code it is compared with.
        sources: Where it was published, the first one first.
        example: Options of the page's example, such as few samples.
    """

    title: str
    idea: str
    equation: str
    differs: str
    sources: tuple[Source, ...]
    example: Mapping[str, Any] = field(default_factory=dict)
