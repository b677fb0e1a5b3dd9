"""The command ``equipoise``: what can go wrong for a user ends in one line on stderr and exit status 2.

The command line is read first (`equipoise.cli.app`, which imports nothing heavy); then what it asks for runs.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

MENDABLE: Final = 2
"""Exit status of a mistake that the user can mend."""

INTERRUPTED: Final = 130
"""Exit status after Ctrl-C."""

_CLI: Final = (
    "typer", "rich", "PIL", "numpy", "matplotlib", "safetensors", "torchvision", "timm", "huggingface_hub",
)  # fmt: skip
EXTRAS: Final = dict.fromkeys(_CLI, "cli") | {
    "skimage": "evaluate",
    "scipy": "evaluate",
    "torchmetrics": "evaluate",
    "jinja2": "evaluate",
    "pyarrow": "evaluate",
    "fsspec": "dataset",
    "gradio": "app",
}
"""Packages that commands import, and the extra that brings them."""

_OF_COMMANDS: Final = {("pyarrow", command): "dataset" for command in ("attribute", "merge")}
_CLOSED: Final = 1  # exit status when nobody reads stdout any more


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Without the program's name; default: the process's own.

    Returns:
        The exit status: 0, `MENDABLE`, `INTERRUPTED`, or 1 if stdout was closed.
    """
    # torch's threads wait by spinning, which on a machine that does other work too is 20 times slower
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # a library's warnings are for those who program with it
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # a replaced stream may have no encoding at all
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # file names may be odd
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the last flush must not fail too
        return _CLOSED
    return status


def _run(arguments: Sequence[str] | None) -> int:
    from equipoise.errors import EquipoiseError  # noqa: PLC0415  # Ctrl-C is caught from here on

    try:
        from equipoise.cli.app import parse  # noqa: PLC0415  # as above

        job = parse(arguments)
        return job() if callable(job) else job
    except EquipoiseError as error:
        line = str(error)
    except ModuleNotFoundError as error:
        if (lacking := _lacking(error.name or "", sys.argv[1:] if arguments is None else arguments)) is None:
            raise
        line = lacking
    sys.stderr.write(f"equipoise: {' '.join(line.split())}\n")
    return MENDABLE


def _lacking(module: str, arguments: Sequence[str]) -> str | None:
    """How a module that is not there can be had; ``None`` for those that no extra brings."""
    package = module.partition(".")[0]
    if package not in EXTRAS:
        return None
    command = arguments[0] if arguments else ""
    extra = _OF_COMMANDS.get((package, command), EXTRAS[package])
    return f"this command needs {package}: pip install 'equipoise[{extra}]'"
