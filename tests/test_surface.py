"""The public surface is a list that is checked in: a name that comes or goes fails until the list says so."""

import ast
import importlib
import json
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SURFACE = json.loads((HERE / "public_surface.json").read_text(encoding="utf-8"))
SOURCE = HERE.parent / "src" / "equipoise"


def source(package):
    """The tree of a package's own module."""
    path = SOURCE.parent.joinpath(*package.split("."), "__init__.py")
    return ast.parse(path.read_text(encoding="utf-8"))


def shown(package):
    """What a package shows: what ``dir`` says of a lazy one, of another what it imports ``as`` itself."""
    module = importlib.import_module(package)
    if "__dir__" in vars(module):
        return [name for name in dir(module) if not name.startswith("_")]
    imports = [node for node in source(package).body if isinstance(node, ast.ImportFrom)]
    return sorted(alias.asname for node in imports for alias in node.names if alias.asname)


@pytest.mark.parametrize("package", SURFACE)
def test_a_package_shows_what_the_list_says(package):
    assert shown(package) == SURFACE[package]
    module = importlib.import_module(package)
    for name in SURFACE[package]:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'atribute'"):
        module.atribute  # noqa: B018  # reading it is the test


LAZY = [
    ".".join(path.parent.relative_to(SOURCE.parent).parts)
    for path in SOURCE.rglob("__init__.py")
    if "lazily(" in path.read_text(encoding="utf-8")
]
"""The packages whose names are imported when they are asked for."""


def test_every_lazy_package_is_in_the_list():
    assert {*LAZY} <= {*SURFACE}


@pytest.mark.parametrize("package", LAZY)
def test_what_a_type_checker_sees_is_what_there_is(package):
    """mypy follows the imports, and checks that each is there; Python gets the same objects by asking."""
    (block,) = [node for node in source(package).body if isinstance(node, ast.If)]
    assert all(alias.asname == alias.name for node in block.body for alias in node.names), "shown under its own name"
    module = importlib.import_module(package)
    for node in block.body:
        home = importlib.import_module(node.module)
        for alias in node.names:
            assert getattr(module, alias.name) is getattr(home, alias.name)


def test_a_package_without_its_source_says_so(monkeypatch):
    from equipoise import metrics
    from equipoise._lazy import lazily

    monkeypatch.setattr(metrics.__spec__, "loader", None)
    with pytest.raises(ImportError, match=r"equipoise\.metrics"):
        lazily("equipoise.metrics")


def test_nothing_of_the_house_is_imported_by_its_name():
    """A contract on imports sees only those that are written as imports."""
    for path in SOURCE.rglob("*.py"):
        assert 'import_module("equipoise' not in path.read_text(encoding="utf-8"), path
