"""How much memory there is, and how much a piece of work took."""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import functools
import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import torch

from equipoise.errors import OptionError

_CGROUPS: Final = (  # limit and use, of both versions
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
_KINDS: Final = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def parsed(text: str) -> int:
    """Bytes of ``"8G"``, ``"500M"`` or a number of bytes.

    Raises:
        ValueError: If it is none.
    """
    text = text.strip().lower().removesuffix("b").removesuffix("i")
    unit = _KINDS.get(text[-1:], 1)
    value = float(text.rstrip("kmgt")) * unit
    if not value > 0:
        raise ValueError(text)
    return int(value)


def memory_of(memory: int | str | None) -> int | None:
    """Bytes.

    Raises:
        OptionError: If it is none.
    """
    if memory is None or (isinstance(memory, int) and memory > 0):
        return memory
    try:
        return parsed(str(memory))
    except ValueError as error:
        raise OptionError(f"memory is {memory!r}; give bytes, or such as 8G or 500M") from error


def read_batch(text: str) -> int | None:
    """How many photos at once; ``None``: ``"auto"``.

    Raises:
        OptionError: If it is neither.
    """
    if text.strip().lower() == "auto":
        return None
    if not text.strip().isdecimal() or not int(text):
        raise OptionError(f"--batch is {text!r}; give a number of photos from 1 on, or auto")
    return int(text)


class Memory:
    """The memory of a device, as far as it can be known.

    Args:
        device: Where the network is.
        bound: The most bytes that this process may have on a CPU, or on the device; ``None``: what is free.
    """

    def __init__(self, device: torch.device, bound: int | None = None) -> None:
        self._device, self._bound = device, bound
        self._least = self._most = 0  # in memory when all that was free had been given back, and at most since
        self._highest = 0  # before the part of the work at hand

    def free(self) -> int | None:
        """Bytes that may be taken still; ``None`` if nothing says."""
        if self._device.type == "cuda":
            found = int(torch.cuda.mem_get_info(self._device)[0])
            held = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
            taken = torch.cuda.memory_allocated(self._device)
            return found + held if self._bound is None else min(found + held, self._bound - taken)
        if self._device.type != "cpu":
            return None if self._bound is None else self._bound
        now = resident()
        kept = max(0, min(now, self._most) - self._least)  # and free, between two batches
        left = [found + kept for found in (_available(), _left_in_group()) if found is not None]
        if self._bound is not None:
            left.append(self._bound - now + kept)
        return max(0, min(left)) if left else None

    def begin(self) -> int:
        """Note the peak from here on; and say what is in use.

        On a CPU what is free is given back first, because a peak shows only what is taken anew.
        """
        self._highest = 0
        return self._begin()

    def _begin(self) -> int:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            return int(torch.cuda.memory_allocated(self._device))
        self.give_back()
        self._least = self._most = resident()
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return resident()

    def peak(self) -> int:
        """The most bytes in use since `begin`."""
        return max(self._highest, self._peak())

    @contextlib.contextmanager
    def part(self) -> Iterator[Callable[[], int]]:
        """A part of the work; gives what tells the bytes that it took. The peak of the whole goes on."""
        self._highest = self.peak()
        before = self._begin()
        yield lambda: self._peak() - before

    def spread(self) -> int:
        """Bytes that this process has on a CPU beyond what it had when all that was free had been given back."""
        return max(0, resident() - self._least) if self._device.type == "cpu" else 0

    def _peak(self) -> int:
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._device))
        self._most = _status("VmHWM") or resident()
        return self._most

    def give_back(self) -> None:
        """Let the system have what the allocator keeps for later."""
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        elif sys.platform == "linux" and (trim := c_function("malloc_trim")) is not None:
            trim(0)

    def clear(self) -> None:
        """The same, and what networks and libraries left in rings of objects, which Python finds only now and then."""
        gc.collect()
        self.give_back()


_DEFAULTS: Final = {"blocks": 65536, "block": 32 * 2**20, "top": 64 * 2**20}
"""What glibc comes to by itself in a process that works with large blocks."""

_MMAP_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -4, -3, -1  # of its malloc.h


@contextlib.contextmanager
def kept_for_later(device: torch.device) -> Iterator[None]:
    """Let this process keep the memory that a batch frees for the next one, where the C library is glibc.

    By itself it hands every large block back to the system, which fills each anew with zeros: of one batch after the
    other that is a fifth of the time.
    """
    tune = c_function("mallopt") if device.type == "cpu" else None
    if tune is None:
        yield
        return
    tune(_MMAP_MAX, 0)
    tune(_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        tune(_MMAP_MAX, _DEFAULTS["blocks"])
        tune(_MMAP_THRESHOLD, _DEFAULTS["block"])
        tune(_TRIM_THRESHOLD, _DEFAULTS["top"])
        Memory(device).give_back()


@contextlib.contextmanager
def bounded(device: torch.device, bound: int | None) -> Iterator[None]:
    """Let this process have no more of a GPU's memory than ``bound``, which it may share with others.

    What asks for more runs out of memory, as if there were no more; then batches are made smaller. What the allocator
    keeps for later counts.
    """
    if bound is None or device.type != "cuda":
        yield
        return
    whole = int(torch.cuda.get_device_properties(device).total_memory)
    before: Callable[[torch.device], float] = getattr(
        torch.cuda, "get_per_process_memory_fraction", lambda _device: 1.0
    )  # an older torch cannot say
    share = before(device)
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, bound / whole), device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(share, device)


def resident() -> int:
    """Bytes of this process in memory; 0 where nothing says."""
    return _status("VmRSS") or 0


def _status(name: str) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return None


def _available() -> int | None:
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _left_in_group() -> int | None:
    for limit, used in _CGROUPS:
        with contextlib.suppress(OSError, ValueError):
            most = int(Path(limit).read_text(encoding="ascii"))
            if most < 2**60:
                return most - int(Path(used).read_text(encoding="ascii"))
    return None


@functools.cache
def c_function(name: str) -> Callable[..., int] | None:
    """A function of the C library; ``None`` if it has none of that name, as others than glibc may."""
    library = ctypes.util.find_library("c")
    return getattr(ctypes.CDLL(library), name, None) if library else None
