"""Packages whose names are imported when they are first asked for, so that one name does not load its neighbors.

Such a package says once what it shows: in its imports under ``if TYPE_CHECKING``, which type checkers follow and
Python does not. They are read from its source, as SPEC 1 of scientific Python reads a stub file.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Any


def lazily(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The ``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: Its name; it is being imported.

    Raises:
        ImportError: If it comes without its source.
    """
    homes = dict(_shown(package))

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if homes[name] == package:  # a module of its own
            return importlib.import_module(f"{package}.{name}")
        return getattr(importlib.import_module(homes[name]), name)

    def public() -> list[str]:
        return sorted(homes)

    return get, public


def _shown(package: str) -> Iterator[tuple[str, str]]:
    """What a package shows: the name, and the module that it is imported from."""
    spec = sys.modules[package].__spec__
    source = getattr(spec and spec.loader, "get_source", lambda _: None)(package)
    if source is None:
        raise ImportError(f"{package} is imported by the names in its source, which is not there")
    for block in ast.parse(source).body:
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING":
            for line in block.body:
                if isinstance(line, ast.ImportFrom) and line.module is not None:
                    yield from ((alias.name, line.module) for alias in line.names)
