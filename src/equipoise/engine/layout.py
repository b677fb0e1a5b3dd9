"""How tensors lie in memory, and how many rows are worked on at once: what the speed of a rule hangs on.

On a CPU a convolution of 4-dimensional float32 tensors wants the channels last: then nothing has to be
reordered before and after it (`benchmarks/` measures the gradient in both layouts). A network keeps the
layout that it has; rules lay out the copy that they make anyway. On a CUDA device the same holds of the tensor
cores; `equipoise.engine.precision` says when.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from equipoise.engine.numerics import working_dtype

if TYPE_CHECKING:
    from equipoise.engine.trace import Trace

WORKING_SET = 16 * 2**20
"""Bytes of the largest intermediate result, where that is ours to say: below the 32 MiB from which glibc always
asks the system for memory anew, which then has to be cleared page by page."""
STRIPE = 4 * 2**20
"""Bytes of a stripe: of one image's relevance at the first layers, so that its intermediate results stay in cache."""

TARGETS = 512 * 2**20
"""Bytes of the relevance, at the widest operation, of the targets that are carried back together; eight times as much
on an accelerator."""


def targets_at_once(trace: Trace) -> int:
    """How many targets of each image of a forward pass are carried back together, at least 1."""
    values = [value for call in trace.calls for value in call.outputs]
    widest = max((prod(value.shape) * working_dtype(value.dtype).itemsize for value in values), default=1)
    room = TARGETS if trace.logits.device.type == "cpu" else 8 * TARGETS
    return max(1, room // max(1, widest))


_ELSEWHERE: ContextVar[str | None] = ContextVar("_ELSEWHERE", default=None)  # a kind of device beside the CPU


@contextmanager
def lying_last(kind: str | None) -> Iterator[None]:
    """Within it rules lay out what they work on with the channels last on a kind of device, too; ``None``: on none."""
    token = _ELSEWHERE.set(kind)
    try:
        yield
    finally:
        _ELSEWHERE.reset(token)


def channels_last(x: Tensor) -> bool:
    """Whether convolutions of ``x`` ``(m, c, h, w)`` are fastest with the channels last."""
    return x.dim() == 4 and x.dtype == torch.float32 and x.device.type in ("cpu", _ELSEWHERE.get())


def laid_out(x: Tensor) -> Tensor:
    """``x`` ``(m, *shape)`` in the layout that convolutions read fastest; a copy only where it is in another."""
    return settled(x.contiguous(memory_format=torch.channels_last)) if channels_last(x) else x


def settled(x: Tensor) -> Tensor:
    """``x`` with the strides that its layout gives to dimensions of size 1: torch tells the layout by them."""
    if channels_last(x) and x.is_contiguous(memory_format=torch.channels_last):
        return x.as_strided(x.shape, _strides(x))
    return x


def rows_like(x: Tensor, k: int) -> Tensor:
    """Memory for ``(k, *x.shape)``, each of the ``k`` as `laid_out` lays out ``x``; not initialized."""
    strides = _strides(x) if channels_last(x) else torch.empty(x.shape, device="meta").stride()
    return torch.empty_strided((k, *x.shape), (x.numel(), *strides), dtype=x.dtype, device=x.device)


def _strides(x: Tensor) -> tuple[int, ...]:
    _, c, h, w = x.shape
    return (c * h * w, 1, w * c, c)


@dataclass(frozen=True, slots=True)
class Room:
    """How much of a layer is worked on at once.

    Attributes:
        rows: How many rows, one image of one target each, at least 1.
        stripes: How many horizontal stripes a single row is cut into, at least 1.
    """

    rows: int
    stripes: int

    @classmethod
    def of(cls, *rows: Tensor) -> Room:
        """For ``rows``, one of each kind; the widest counts.

        On an accelerator there is no limit: its memory is kept by torch, and it wants large batches.
        """
        if any(row.device.type != "cpu" for row in rows):
            return cls(2**31, 1)
        widest = max(1, *(row.numel() * row.element_size() for row in rows))
        return cls(max(1, WORKING_SET // widest), -(-widest // STRIPE))


def in_turn(count: int, at_once: int) -> Iterator[slice]:
    """Cut ``range(count)`` into slices of ``at_once``, at least 1."""
    for first in range(0, count, max(1, at_once)):
        yield slice(first, min(count, first + max(1, at_once)))
