"""What only Python's garbage collector would find, and methods that leave it something."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from equipoise.engine.trace import OpCall, Trace, Value


def left_to_the_collector(run: Callable[[], Any]) -> list[str]:
    """What of the engine, or of data, only the garbage collector would find after ``run``, by type.

    Python looks for rings of objects when there are many of them; one of a forward pass may hold gigabytes.
    """
    run()  # what is made once, and stays
    gc.collect()
    gc.freeze()  # what was there before is not looked through again
    gc.disable()
    try:
        run()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        return sorted({type(one).__name__ for one in gc.garbage if isinstance(one, OpCall | Value | Trace | Tensor)})
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
        gc.unfreeze()


class Hoarding:
    """A method that finds no memory while what it left the last time is there, which only the collector finds."""

    def __init__(self) -> None:
        self.left: weakref.WeakSet[Hoarding] = weakref.WeakSet()
        self.ring: Any = None

    def __call__(self, _model: nn.Module, inputs: Tensor, _target: Any) -> Tensor:
        if len(self.left):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        ring = Hoarding()
        ring.ring = ring
        self.left.add(ring)
        return torch.ones_like(inputs[:, :1])


@contextmanager
def no_collector() -> Iterator[None]:
    """Let Python look for no rings of objects but where it is told to."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
