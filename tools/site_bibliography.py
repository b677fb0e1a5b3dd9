"""The bibliography: ``docs/references.bib``, as a list on its page and as BibTeX below a page's citations."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from pybtex.backends.markdown import Backend
from pybtex.database import BibliographyData, Entry, parse_file
from pybtex.style.formatting.plain import Style

FILE = Path(__file__).parents[1] / "docs" / "references.bib"
LIST = "<!-- bibliography -->"


@cache
def entries() -> BibliographyData:
    """Everything that is cited anywhere."""
    return parse_file(str(FILE))


@cache
def by_link() -> dict[str, str]:
    """The key of each entry by the address that pages cite it by."""
    return {entry.fields["url"]: key for key, entry in entries().entries.items()}


def cited(link: str) -> str:
    """The paper at an address, as pages cite it."""
    return written(entries().entries[by_link()[link]])


def bibtex(*keys: str) -> str:
    """Entries as a reader pastes them."""
    return BibliographyData({key: entries().entries[key] for key in keys}).to_string("bibtex").strip()


def written(entry: Entry) -> str:
    """An entry as a line of Markdown that ends with a link."""
    bare = Entry(entry.type, {key: value for key, value in entry.fields.items() if key != "url"}, entry.persons)
    (formatted,) = Style().format_entries([_keyed(bare)])
    line = re.sub(r"\\([^\\`*_{}\[\]])", r"\1", formatted.text.render(Backend()))
    return f"{line} [{entry.fields['url'].removeprefix('https://')}]({entry.fields['url']})"


def first_author(entry: Entry) -> tuple[list[str], str]:
    """By what the list is ordered: the first author's name, then the year."""
    return entry.persons["author"][0].last_names, entry.fields["year"]


def _keyed(entry: Entry) -> Entry:
    entry.key = "one"
    return entry


def filled(text: str) -> str:
    """A page with the list where it asks for it, and with the BibTeX of what its section on citation names."""
    if LIST in text:
        ordered = sorted(entries().entries.values(), key=first_author)
        text = text.replace(LIST, "\n".join(f"- {written(entry)}" for entry in ordered))
    head, found, tail = text.partition("\n## Citation\n")
    keys = [by_link()[link] for link in re.findall(r"\]\((https:[^)\s]+)\)", tail) if link in by_link()]
    if not keys:
        return text
    block = "\n".join(f"    {line}".rstrip() for line in bibtex(*dict.fromkeys(keys)).splitlines())
    lines = tail.rstrip().split("\n\n")
    lines.insert(lines.index("<!-- end -->") + 1, f'??? quote "BibTeX"\n\n    ```bibtex\n{block}\n    ```')
    return head + found + "\n\n".join(lines) + "\n"
