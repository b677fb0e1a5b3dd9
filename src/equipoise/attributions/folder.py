"""The folder of a run, on a disk or behind any address that fsspec knows (``s3://``, ``gs://``, ``memory://``)."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from equipoise.errors import OptionError
from equipoise.images import one_line


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
        place = self.path(below) if below else self.root
        try:
            found = self.files.ls(place, detail=True, refresh=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        names = [one["name"].rstrip("/").rpartition("/")[2] for one in found if one["type"] == "file"]
        return sorted(name for name in names if not name.startswith("."))

    def folders(self) -> list[str]:
        """The folders in it, sorted."""
        try:
            found = self.files.ls(self.root, detail=True, refresh=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(one["name"].rstrip("/").rpartition("/")[2] for one in found if one["type"] == "directory")

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return bool(self.files.exists(self.path(name)))

    def read(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
            FileNotFoundError: If it is not there.
        """
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
    def writing(self, name: str) -> Iterator[Any]:
        """A file to be written, which appears when it is closed without an error.

        Raises:
            OptionError: If it cannot be written; the text says why.
        """
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
                if hasattr(file, "discard"):
                    with contextlib.suppress(Exception):
                        file.discard()
                else:
                    file.close()
                with contextlib.suppress(OSError):
                    Path(temporary).unlink() if self.local is not None else None
                raise
            file.close()
            if self.local is not None:
                os.replace(temporary, path)  # noqa: PTH105  # paths as texts

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self.files.rm_file(self.path(name))

    def locked(self) -> Any:
        """What holds the folder for this run alone, to be closed; where nothing does, ``None``.

        Raises:
            OptionError: If another run holds it.
        """
        if self.local is None:
            return None
        with told(self):
            file = (self.local / ".lock").open("w", encoding="utf-8")
        with contextlib.suppress(ImportError):
            import fcntl  # noqa: PLC0415  # not on Windows

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.close()
                raise OptionError(f"another run is writing to {self.address}") from error
        return file


@contextlib.contextmanager
def told(folder: Folder) -> Iterator[None]:
    """What goes wrong with files, in one sentence.

    Raises:
        OptionError: In place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, OptionError):
            raise
        where = one_line(folder.address)
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise OptionError(
                f"{where}: the disk is full; what was written before is kept, and --resume goes on from there"
            ) from error
        raise OptionError(f"{where} cannot be written ({one_line(error.strerror or error)})") from error
