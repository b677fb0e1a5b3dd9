"""Objects of a user's own, named as ``package.module:name``."""

from __future__ import annotations

import importlib
from typing import Any

from equipoise.errors import OptionError


def is_reference(text: str) -> bool:
    """Whether a text names an object of a user's own rather than something registered."""
    return ":" in text


def resolve(reference: str) -> Any:
    """The object behind ``"package.module:name"``.

    Raises:
        OptionError: If there is no such module, or no such name in it.
    """
    module, _, name = reference.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except (ImportError, ValueError) as error:  # ValueError: no module is named
        raise OptionError(f"{reference!r}: cannot import {module or 'a module without a name'} ({error})") from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise OptionError(f"{reference!r}: {module} has no {name}")
        found = getattr(found, part)
    return found
