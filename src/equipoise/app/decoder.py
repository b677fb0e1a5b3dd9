"""A process that reads what visitors send: ``python -m equipoise.app.decoder``; `equipoise.app.reading` starts it.

A file that makes a decoder crash, hang or fill the memory ends this process, and not the page. Questions come as lines
of JSON, answers go back as a line of JSON and the bytes that it announces.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from equipoise._registry import Registry
from equipoise.errors import EquipoiseError, ImageError
from equipoise.images import decode_image, one_line, read_file

if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST_PHOTO: Final = 50_000_000
"""Pixels of a photo."""

LARGEST_ARRAY: Final = 100_000_000
"""Values of an array."""

MEMORY: Final = 3 << 30
"""Bytes that this process may take, where the system knows such a limit."""

WRITTEN: Final = 1 << 20
"""Bytes of a file that it may write, which it does not; torch tries where it could."""

Answer = tuple[dict[str, Any], bytes]

KINDS: Registry[Callable[[str], Answer]] = Registry("kind of file")
"""What can be asked of a file."""


@KINDS.register("photo")
def _photo(path: str) -> Answer:
    data = read_file(path)
    image = decode_image(data, path, most=LARGEST_PHOTO)
    return {"size": image.size, "sha256": hashlib.sha256(data).hexdigest()}, image.tobytes()


@KINDS.register("array")
def _array(path: str) -> Answer:
    from equipoise.arrays import read_array  # noqa: PLC0415  # loads torch, which photos do without

    found = read_array(path)
    if found.numel() > LARGEST_ARRAY:
        raise ImageError(
            f"{one_line(path)}: the array is {tuple(found.shape)}; at most {LARGEST_ARRAY} values are read"
        )
    values = found.contiguous()
    return {"shape": list(values.shape), "dtype": str(values.dtype).partition(".")[2]}, values.numpy().tobytes()


@KINDS.register("names")
def _names(path: str) -> Answer:
    from equipoise.arrays import array_names  # noqa: PLC0415  # as above

    return {"names": array_names(path)}, b""


def reply(question: dict[str, Any]) -> Answer:
    """What is in a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return KINDS[question["kind"]](question["path"])


def answer(question: dict[str, Any]) -> Answer:
    """What is in a file, or the line that says what is wrong with it."""
    try:
        return reply(question)
    except EquipoiseError as error:
        return {"error": str(error)}, b""
    except MemoryError:
        return {"error": f"{one_line(question['path'])}: not enough memory to read this file"}, b""
    except Exception as error:  # noqa: BLE001  # a decoder may raise anything when a file is damaged
        reason = one_line(error) or type(error).__name__
        return {"error": f"{one_line(question['path'])}: is damaged or of another kind ({reason})"}, b""


def main() -> int:
    """Answer until there are no more questions."""
    _limit()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a decoder prints is no answer
    _send(answers, {"ready": True}, b"")
    for line in sys.stdin.buffer:
        _send(answers, *answer(json.loads(line)))
    return 0


def _send(answers: BinaryIO, head: dict[str, Any], data: bytes) -> None:
    answers.write(json.dumps(head | {"bytes": len(data)}).encode() + b"\n")
    answers.write(data)
    answers.flush()


def _limit() -> None:
    """No more memory than `MEMORY`, no files beyond `WRITTEN`, no core left."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415  # not on every system

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (WRITTEN, WRITTEN))
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    os.chdir(Path(Path.cwd().anchor or "/"))


if __name__ == "__main__":
    sys.exit(main())
