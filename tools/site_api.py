"""The API reference: a page for each package of ``tests/public_surface.json``, with every name that it shows.

A name stands on the page of the first package that shows it; the other packages' tables lead there.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import griffe
from site_docstrings import markdown

ROOT = Path(__file__).parents[1]
SURFACE: dict[str, list[str]] = json.loads((ROOT / "tests" / "public_surface.json").read_text(encoding="utf-8"))
MODULES = {"equipoise.targets": "equipoise"}
"""Public modules that are no package: a page of their own, after the package that shows them."""


@cache
def tree() -> griffe.Module:
    """The sources, read and not run."""
    found = griffe.load("equipoise", search_paths=[ROOT / "src"], resolve_aliases=True, resolve_implicit=False)
    assert isinstance(found, griffe.Module)
    return found


def thing(path: str) -> griffe.Object:
    """The object behind a public name such as ``equipoise.attribute``.

    Raises:
        KeyError: If there is none.
    """
    found = tree()[path.removeprefix("equipoise").removeprefix(".")] if path != "equipoise" else tree()
    return found.final_target if isinstance(found, griffe.Alias) else found


@cache
def homes() -> dict[str, str]:
    """Where each object is documented: its own path, and the public name that its page gives it."""
    found: dict[str, str] = {}
    for package, names in SURFACE.items():
        for name in names:
            path = thing(f"{package}.{name}").path
            if path not in SURFACE and path not in MODULES:
                found.setdefault(path, f"{package}.{name}")
    for module in MODULES:
        for name, member in thing(module).members.items():
            if not name.startswith("_") and not member.is_alias:
                found.setdefault(member.path, member.path)
    return found


def spoken_of(member: griffe.Object | griffe.Alias) -> bool:
    """Whether a member has a docstring of its own: a method or property; of fields the class speaks."""
    return member.is_function or "property" in member.labels


def undocumented() -> list[str]:
    """Public names without a docstring: the packages' own, and of their classes the methods and properties."""
    missing = [package for package in [*SURFACE, *MODULES] if not thing(package).has_docstring]
    for path, name in homes().items():
        found = thing(path)
        if not found.has_docstring:
            missing.append(name)
        if isinstance(found, griffe.Class):
            own = [one for one in found.members.values() if not one.is_alias and not one.name.startswith("_")]
            missing += [f"{name}.{one.name}" for one in own if spoken_of(one) and not one.has_docstring]
    return missing


def first_sentence(path: str) -> str:
    """What a docstring says first, on one line."""
    docstring = thing(path).docstring
    return " ".join(markdown(docstring.value).strip().split("\n\n")[0].split()) if docstring else ""


def page(package: str) -> str:
    """A package's page: its docstring, a table of its names, and each of them in full."""
    module = thing(package)
    names = SURFACE.get(package) or [
        name for name, one in module.members.items() if not name.startswith("_") and not one.is_alias
    ]
    rows, blocks = [], []
    for name in names:
        path = thing(f"{package}.{name}").path
        summary = first_sentence(path).replace("|", "\\|")
        if path in SURFACE or path in MODULES:
            rows.append(f"| [`{name}`]({path}.md) | {summary} |")
            continue
        home = homes()[path]
        rows.append(f"| [`{name}`][{home}] | {summary} |")
        if home == f"{package}.{name}":
            blocks.append(f"::: {home}\n")
    docstring = module.docstring.value if module.docstring else ""
    return "\n".join([f"# {package}", "", docstring, "", "| name | what it is |", "|---|---|", *rows, "", *blocks])


def index() -> str:
    """The first page of the reference."""
    rows = [f"| [`{name}`]({name}.md) | {first_sentence(name)} |" for name in [*SURFACE, *MODULES]]
    lines = ["# API", "", "Every public name. What is not listed here may change without a word.", ""]
    return "\n".join([*lines, "| package | what it is |", "|---|---|", *rows, ""])


def pages() -> dict[str, str]:
    """Every page of the reference by its place in the site."""
    return {"api/index.md": index()} | {f"api/{name}.md": page(name) for name in [*SURFACE, *MODULES]}
