"""Who may write to the folder of a run: one run at a time, and the workers that it has started.

A run holds ``.lock`` for itself, and every worker holds a share of ``.workers``, in which the run has written its own
token while nobody held any: a worker of a run that was killed is waited for, or finds another token and ends. Where
the system knows no such locks, as behind an address, the token alone is compared, before every part that is written.
"""

from __future__ import annotations

import contextlib
import time
import uuid
import weakref
from typing import IO, Any, Final

from equipoise.attributions.folder import Folder, told
from equipoise.errors import OptionError

PATIENCE: Final = 30.0
"""Seconds that a run waits for workers of a killed one to end."""

_LOCK, _WORKERS = ".lock", ".workers"
_OPEN: weakref.WeakSet[Hold] = weakref.WeakSet()


class Hold:
    """A file that is held until it is closed."""

    def __init__(self, file: IO[bytes] | None) -> None:
        self._file = file
        if file is not None:
            _OPEN.add(self)

    def close(self) -> None:
        """Let it go."""
        if self._file is not None:
            self._file.close()
        self._file = None


def let_go() -> None:
    """Close, in a process that was forked, what the process that forked it holds; which holds it still."""
    for one in list(_OPEN):
        one.close()


class Owner(Hold):
    """A run, which has the folder to itself.

    Args:
        folder: It is there.
        patience: Seconds that workers of a killed run have to end.

    Attributes:
        token: Known to the workers of this run.

    Raises:
        OptionError: If another run writes there, or a worker of a killed one does not end.
    """

    def __init__(self, folder: Folder, patience: float = PATIENCE) -> None:
        self.token = uuid.uuid4().hex
        if folder.local is None:
            super().__init__(None)
            folder.write(_WORKERS, self.token.encode())
            return
        with told(folder):
            file = (folder.local / _LOCK).open("ab")
        super().__init__(file)
        if not _flock(file, shared=False):
            self.close()
            raise OptionError(f"another run is writing to {folder.address}")
        try:
            self._take_over(folder, patience)
        except BaseException:
            self.close()
            raise

    def _take_over(self, folder: Folder, patience: float) -> None:
        assert folder.local is not None  # noqa: S101  # only then there is a lock
        with told(folder), (folder.local / _WORKERS).open("ab") as file:
            until = time.monotonic() + patience
            while not _flock(file, shared=False):
                if time.monotonic() > until:
                    raise OptionError(f"a worker of an earlier run is still writing to {folder.address}")
                time.sleep(0.05)
            file.truncate(0)
            file.write(self.token.encode())


class Share(Hold):
    """A worker's share of the folder.

    Args:
        folder: Of the run.
        token: Of the run that started the worker.

    Raises:
        OptionError: If another run has the folder by now.
    """

    def __init__(self, folder: Folder, token: str) -> None:
        self._folder, self._token = folder, token
        file = None
        if folder.local is not None:
            with told(folder):
                file = (folder.local / _WORKERS).open("rb")
            _flock(file, shared=True)
        super().__init__(file)
        try:
            self.check()
        except BaseException:
            self.close()
            raise

    def check(self) -> None:
        """Refuse to write if another run has the folder.

        Raises:
            OptionError: If it has.
        """
        try:
            found = self._folder.read(_WORKERS).decode()
        except FileNotFoundError:
            found = ""
        if found != self._token:
            raise OptionError(f"another run has taken over {self._folder.address}")


def _flock(file: Any, *, shared: bool) -> bool:
    """Hold a file; whether that was possible. A share is waited for, the whole is not."""
    with contextlib.suppress(ImportError):
        import fcntl  # noqa: PLC0415  # not on Windows

        try:
            fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system that knows no locks
            return True
    return True
