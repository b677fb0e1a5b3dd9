"""Memory that a work has freed goes back to the system, where the C library is glibc, which keeps it by itself."""

from __future__ import annotations

import gc
import threading
import time
from typing import Final

from equipoise.attributions.memory import c_function

OFTEN: Final = 1.0
"""Seconds between two times at which memory is given back."""

_M_ARENA_MAX: Final = -8  # as malloc.h of glibc has it
_lock = threading.Lock()
_last = [0.0]


def share_memory() -> None:
    """Let all threads use the same free memory; each would keep what the network's largest work once took of it."""
    if (tune := c_function("mallopt")) is not None:
        tune(_M_ARENA_MAX, 2)


def set_apart() -> None:
    """Let `give_back` look only at what is made from now on, which makes it fast; `take_in` ends that."""
    gc.collect()
    gc.freeze()


def take_in() -> None:
    """Undo `set_apart`."""
    gc.unfreeze()


def give_back() -> None:
    """Give back what is free, if that was not just done; and what nobody can reach any more.

    A network or a library may leave rings of objects, which Python finds only now and then: it counts objects, where
    one may hold many megabytes.
    """
    with _lock:
        if time.monotonic() - _last[0] < OFTEN:
            return
        _last[0] = time.monotonic()
    gc.collect()
    if (trim := c_function("malloc_trim")) is not None:
        trim(0)
