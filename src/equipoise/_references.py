"""What a command line or a recipe names by ``"package.module:name"``: a method, a network, a recipe of your own."""

from __future__ import annotations

import importlib
from typing import Any

from equipoise.errors import EquipoiseError, OptionError


def is_reference(name: str) -> bool:
    """Whether a name means an object of a user's own rather than something registered."""
    return ":" in name


def resolve(reference: str) -> Any:
    """The object behind ``"package.module:name"``.

    Raises:
        OptionError: If there is no such module, it cannot be imported, or it has no such name.
    """
    module, _, name = reference.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except EquipoiseError:
        raise  # says what is wrong by itself
    except Exception as error:  # a module may fail in any way
        raise OptionError(f"{reference!r}: cannot import {module or 'a module without a name'} ({error})") from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise OptionError(f"{reference!r}: {module} has no {name}")
        found = getattr(found, part)
    return found
