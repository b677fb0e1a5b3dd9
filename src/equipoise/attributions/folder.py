"""The folder of a run, on a disk or behind any address that fsspec knows (``s3://``, ``gs://``, ``memory://``)."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import fsspec
from fsspec.implementations.local import LocalFileSystem

from equipoise.errors import EquipoiseError, OptionError
from equipoise.images import one_line

_TEMPORARY: Final = re.compile(r"\..+\.[0-9a-f]{32}")


@dataclass(frozen=True)
class Folder:
    """Files that are whole or absent.

    Attributes:
        address: As it was given.
        files: The file system.
        root: The folder's path there.
    """

    address: str
    files: Any = field(repr=False)
    root: str

    @classmethod
    def at(cls, address: str | os.PathLike[str]) -> Folder:
        """The folder of an address; it is not made.

        Raises:
            OptionError: If nothing knows such addresses.
        """
        text = os.fspath(address)
        try:
            files, root = fsspec.core.url_to_fs(text)
        except (ValueError, ImportError, OSError) as error:
            raise OptionError(f"{one_line(text)} cannot be opened ({one_line(error)})") from error
        return cls(text, files, root.rstrip("/"))

    @property
    def local(self) -> Path | None:
        """Its path on a disk; ``None`` if it is elsewhere."""
        return Path(self.root) if isinstance(self.files, LocalFileSystem) else None

    def path(self, name: str) -> str:
        """Of a file in it."""
        return f"{self.root}/{name}"

    def sub(self, name: str) -> Folder:
        """A folder in it."""
        return Folder(f"{self.address.rstrip('/')}/{name}", self.files, self.path(name))

    def make(self) -> None:
        """Make it, if it is not there.

        Raises:
            OptionError: If it cannot be made.
        """
        with told(self):
            self.files.makedirs(self.root, exist_ok=True)

    def names(self, below: str = "") -> list[str]:
        """The files of a folder in it, sorted; none if there is no such folder."""
        found = self._listed(self.path(below) if below else self.root)
        names = [one["name"].rstrip("/").rpartition("/")[2] for one in found if one["type"] == "file"]
        return sorted(name for name in names if not name.startswith("."))

    def folders(self) -> list[str]:
        """The folders in it, sorted."""
        found = self._listed(self.root)
        return sorted(one["name"].rstrip("/").rpartition("/")[2] for one in found if one["type"] == "directory")

    def _listed(self, place: str) -> list[Any]:
        with told(self, "read"):
            try:
                found: list[Any] = self.files.ls(place, detail=True, refresh=True)
            except (FileNotFoundError, NotADirectoryError):
                return []
        return found

    def has(self, name: str) -> bool:
        """Whether there is such a file.

        Raises:
            OptionError: If that cannot be found out.
        """
        with told(self, "read"):
            return bool(self.files.exists(self.path(name)))

    def read(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
            FileNotFoundError: If it is not there.
            OptionError: If it cannot be read.
        """
        with told(self, "read", FileNotFoundError):
            data: bytes = self.files.cat_file(self.path(name))
        return data

    def write(self, name: str, data: bytes) -> None:
        """Write a file, whole or not at all.

        Raises:
            OptionError: If it cannot be written; the text says why.
        """
        with self.writing(name) as file:
            file.write(data)

    @contextlib.contextmanager
    def writing(self, name: str, *, large: bool = False) -> Iterator[Any]:
        """A file to be written, which appears when it is closed without an error.

        Args:
            name: Of the file.
            large: Whether it is sent on as it grows; else it is held until it is whole. On a disk neither matters.

        Raises:
            OptionError: If it cannot be written; the text says why.
        """
        if self.local is None and not large:
            whole = io.BytesIO()
            yield whole
            with told(self):
                self.files.pipe_file(self.path(name), whole.getvalue())
            return
        if self.local is None:  # object stores show what is whole alone
            temporary = path = self.path(name)
        else:
            path = self.path(name)
            temporary = self.path(f"{os.path.dirname(name)}/.{os.path.basename(name)}.{uuid.uuid4().hex}".lstrip("/"))  # noqa: PTH119, PTH120  # a name in any file system
        with told(self):
            if "/" in name and self.local is not None:
                Path(temporary).parent.mkdir(parents=True, exist_ok=True)
            file = open(temporary, "wb") if self.local is not None else self.files.open(path, "wb")  # noqa: PTH123, SIM115  # closed below
            try:
                yield file
            except BaseException:
                _dropped(file)
                with contextlib.suppress(OSError):
                    Path(temporary).unlink() if self.local is not None else None
                raise
            file.close()
            if self.local is not None:
                os.replace(temporary, path)  # noqa: PTH105  # paths as texts

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with told(self), contextlib.suppress(FileNotFoundError):
            self.files.rm_file(self.path(name))

    def tidy(self, below: Iterable[str]) -> None:
        """Remove what a kill has left of files that were being written, in this folder and in some below it."""
        if self.local is None:
            return
        for place in (self.local, *(self.local / name for name in below)):
            for path in place.glob(".*") if place.is_dir() else ():
                if _TEMPORARY.fullmatch(path.name):
                    path.unlink(missing_ok=True)


def _dropped(file: Any) -> None:
    """Let go of a file that is not to appear."""
    if hasattr(file, "discard"):
        with contextlib.suppress(Exception):
            file.discard()
        with contextlib.suppress(AttributeError):
            file.closed = True  # else it would be closed, and so appear, when nobody refers to it
        return
    with contextlib.suppress(OSError):  # a full disk is full for the rest of it, too
        file.close()


@contextlib.contextmanager
def told(folder: Folder, what: str = "written", *passed: type[Exception]) -> Iterator[None]:
    """What goes wrong with files, in one sentence.

    Args:
        folder: Of the files.
        what: Is done to them.
        passed: Errors that are left as they are.

    Raises:
        OptionError: In place of an `OSError`, or of an error of the library that an address is reached by.
    """
    known: tuple[type[Exception], ...] = (EquipoiseError, *passed)
    try:
        yield
    except known:
        raise
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        foreign = folder.local is None and type(error).__module__.split(".")[0] not in {"builtins", "pyarrow"}
        if not (isinstance(error, OSError) or foreign):
            raise
        where = one_line(folder.address)
        if number in {errno.ENOSPC, errno.EDQUOT}:
            raise OptionError(
                f"{where}: the disk is full; what was written before is kept, and --resume goes on from there"
            ) from error
        why = (isinstance(error, OSError) and error.strerror) or error
        raise OptionError(f"{where} cannot be {what} ({one_line(why) or type(error).__name__})") from error
