"""Packages whose names are imported when they are first asked for, so that one name does not load its neighbors."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazily(package: str, names: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The ``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: Its name.
        names: Public name to the module that has it; a module itself is named by an empty string.
    """

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if not names[name]:
            return importlib.import_module(f"{package}.{name}")
        return getattr(importlib.import_module(names[name]), name)

    def public() -> list[str]:
        return sorted(names)

    return get, public


def places(package: str, modules: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """From the names of each module of a package to the module of each name."""
    return {name: f"{package}.{module}" for module, names in modules.items() for name in names}
