"""Files outside ``docs`` that pages lead to: in the site each has a page of its own, so that it opens from a folder.

``docs/x.md`` links to ``../examples/resnet18.py`` as it should in a checkout; the site makes of it
``repository/examples/resnet18.py.md``, a page with that text. A folder becomes a list of its files.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
LINK = re.compile(r"(\]\()([^)#:\s]+)((?:#[^)\s]*)?\))")
LANGUAGES = {".py": "python", ".toml": "toml", ".json": "json", ".yml": "yaml", ".cff": "yaml", "": "text"}
FENCE = re.compile(r"(^ *```.*?^ *```)", re.DOTALL | re.MULTILINE)


def place(file: Path) -> str:
    """Where the site has a file, folder or page of the repository, from the site's own folder of pages."""
    if file.is_relative_to(DOCS):
        inside = file.relative_to(DOCS).as_posix()
        return f"{inside}/README.md" if file.is_dir() else inside
    inside = file.relative_to(ROOT).as_posix()
    if file.is_dir():
        return f"repository/{inside}/index.md"
    return f"repository/{inside}" if file.suffix == ".md" else f"repository/{inside}.md"


def linked(text: str, folder: Path) -> set[Path]:
    """The files and folders of the repository outside ``docs`` that a text in a folder leads to."""
    found = {(folder / link).resolve() for _, link, _ in LINK.findall(FENCE.sub("", text))}
    return {file for file in found if file.exists() and file.is_relative_to(ROOT) and not file.is_relative_to(DOCS)}


def relinked(text: str, folder: Path, here: str) -> str:
    """A text of ``folder`` with its links as they have to be on the page ``here`` of the site."""

    def moved(found: re.Match[str]) -> str:
        file = (folder / found[2]).resolve()
        if not file.exists() or not file.is_relative_to(ROOT):
            return found[0]
        return found[1] + os.path.relpath(place(file), Path(here).parent).replace(os.sep, "/") + found[3]

    parts = FENCE.split(text)
    return "".join(part if number % 2 else LINK.sub(moved, part) for number, part in enumerate(parts))


def page(file: Path) -> str:
    """The site's page of a file or folder outside ``docs``."""
    inside = file.relative_to(ROOT).as_posix()
    if file.is_dir():
        names = sorted(one.name for one in file.iterdir() if one.suffix == ".py")
        return f"# {inside}\n\n" + "\n".join(f"- [`{name}`]({name}.md)" for name in names) + "\n"
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".md":
        return relinked(text, file.parent, place(file))
    return f"# {inside}\n\n````{LANGUAGES.get(file.suffix, 'text')}\n{text.rstrip()}\n````\n"


def pages(first: set[Path]) -> dict[str, str]:
    """The pages of some files, and of all that those lead to, by their place in the site."""
    found: dict[str, str] = {}
    todo = set(first)
    while todo:
        file = todo.pop()
        if place(file) in found:
            continue
        found[place(file)] = page(file)
        if file.is_dir():
            todo |= {one for one in file.iterdir() if one.suffix == ".py"}
        elif file.suffix == ".md":
            todo |= linked(file.read_text(encoding="utf-8"), file.parent)
    return found


def all_linked() -> set[Path]:
    """Every file outside ``docs`` that a page of ``docs`` leads to."""
    texts = {page: page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md")}
    return set().union(*(linked(text, page.parent) for page, text in texts.items()))
