"""Files that installed packages bring."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from equipoise.errors import ImageError


def packaged(package: str, inside: str) -> Path:
    """Where a file is that an installed package brings; the package is not imported.

    Raises:
        ImageError: If the package is not installed, or has no such file; the text says what to install.
    """
    found = importlib.util.find_spec(package)
    folders = [] if found is None else list(found.submodule_search_locations or [])
    for folder in folders:
        if (path := Path(folder) / inside).is_file():
            return path
    raise ImageError(f"{Path(inside).name} is not on this machine; pip install 'equipoise[demo]' brings it")
