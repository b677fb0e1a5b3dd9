"""Where an operation was called: which module, which line of whose code."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType

import torch

_TORCH = str(Path(torch.__file__).parent) + os.sep
_HERE = str(Path(__file__).parent) + os.sep
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_TYPE_CHECKER = f"{os.sep}jaxtyping{os.sep}"  # wraps the engine's functions where shapes are checked
_FOREIGN: dict[CodeType, bool] = {}
_OURS: dict[CodeType, bool] = {}


@dataclass(frozen=True, slots=True)
class Site:
    """The place of a call.

    Attributes:
        module: Dotted name of the innermost module that was running, ``""`` for the model itself.
        file: Source file of the innermost code that belongs neither to torch nor to the engine.
        line: Line number in that file.
    """

    module: str
    file: str
    line: int

    def __str__(self) -> str:
        """Of an installed package's file the part from the package on, which says as much and is no machine's."""
        file = self.file
        for installed in _INSTALLED:
            file = file.rpartition(installed)[2]
        return f"{self.module or 'the model itself'} ({file}:{self.line})"


def call_site(names: Mapping[int, str]) -> Site:
    """The `Site` of the torch call being intercepted.

    Args:
        names: ``id(module)`` to dotted name, for every module of the model.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # the only way to walk a stack cheaply
    module: str | None = None
    place: tuple[str, int] | None = None
    while frame is not None and (module is None or place is None):
        code = frame.f_code
        # The engine's own frames are no module's, and to ask a frame for its variables copies them.
        if module is None and code.co_argcount and code.co_varnames[0] == "self" and not _is_ours(code):
            module = names.get(id(frame.f_locals.get("self")))
        if place is None and _is_foreign(code):
            place = (code.co_filename, frame.f_lineno)
        frame = frame.f_back
    file, line = place or ("<unknown>", 0)
    return Site(module or "", file, line)


def _is_ours(code: CodeType) -> bool:
    known = _OURS.get(code)
    if known is None:
        known = _OURS[code] = code.co_filename.startswith(_HERE)
    return known


def _is_foreign(code: CodeType) -> bool:
    known = _FOREIGN.get(code)
    if known is None:
        known = not code.co_filename.startswith((_TORCH, _HERE, "<")) and _TYPE_CHECKER not in code.co_filename
        _FOREIGN[code] = known
    return known
