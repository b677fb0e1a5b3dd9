"""How exactly a network is run while it is explained, and how its tensors lie in memory: what speed hangs on.

Relevance is summed in float32 whatever the network computes in (float64 stays).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from equipoise._registry import Registry
from equipoise.engine import layout


@dataclass(frozen=True)
class Precision:
    """What a network's convolutions compute in.

    Attributes:
        dtype: Of its weights and activations; ``None``: as they are.
        tf32: Whether a CUDA device may round the factors of float32 products to TF32 (10 bits), in the network and
            in relevance; elsewhere there is no such thing.
        summary: What it is, in a line.
    """

    dtype: torch.dtype | None
    tf32: bool
    summary: str


PRECISIONS: Final[Registry[Precision]] = Registry("precision")
"""Every precision by name."""
PRECISIONS.add("float32", Precision(None, tf32=False, summary="products as exact as the weights are"))
PRECISIONS.add("tf32", Precision(None, tf32=True, summary="factors rounded to 10 bits on a CUDA device"))
PRECISIONS.add(
    "bfloat16",
    Precision(torch.bfloat16, tf32=True, summary="the network in bfloat16, relevance in float32 with TF32 products"),
    aliases=("bf16",),
)

_LAST: Final = torch.channels_last

CHANNELS_LAST: Final[frozenset[tuple[str, str]]] = frozenset({("cuda", "tf32"), ("cuda", "bfloat16")})
"""Kinds of device and precisions for which networks and relevance lie with the channels last: where tensor cores
read them so. `benchmarks/gpu.py` measures both ways. On a CPU rules lay out what they work on by themselves."""


@dataclass(frozen=True)
class Prepared:
    """A network that is ready to be explained fast, for as long as the `precision` lasts that made it.

    Attributes:
        model: The network, or a copy of it.
        device: Where it lies.
        channels_last: Whether images are to lie with the channels last.
    """

    model: nn.Module
    device: torch.device
    channels_last: bool = False

    def images(self, images: Tensor) -> Tensor:
        """Images ``(n, c, *space)`` where and as the network reads them fastest, in their own dtype.

        From pinned memory they are copied while Python goes on.
        """
        images = images.to(self.device, non_blocking=images.device.type == "cpu")
        four = self.channels_last and images.dim() == 4
        return images.contiguous(memory_format=_LAST) if four else images


@contextmanager
def precision(
    name: str, model: nn.Module, device: torch.device | str | None = None, *, channels_last: bool | None = None
) -> Iterator[Prepared]:
    """Within it a network is explained in a precision; what it gives is to be explained in place of the network.

    Maps of float32 images are float32 in every precision. The network itself is not touched: where weights have to
    be rounded, moved or laid out anew, a copy is. What is set for the whole process (whether TF32 is allowed) is as
    before afterwards, also after an exception; so two threads share one precision.

    Args:
        name: A name of `PRECISIONS`.
        model: The network, in eval mode.
        device: Where to run it; ``None``: where it is.
        channels_last: Whether tensors lie with the channels last; ``None``: where that is faster (`CHANNELS_LAST`).

    Raises:
        UnknownNameError: If there is no such precision; the text lists the nearest.

    Example:
        >>> with precision("bfloat16", nn.Conv2d(3, 8, 3)) as fast:
        ...     fast.model.weight.dtype
        torch.bfloat16
    """
    name = PRECISIONS.canonical(name)
    chosen = PRECISIONS[name]
    place = torch.device(device) if device is not None else _device_of(model)
    last = (place.type, name) in CHANNELS_LAST if channels_last is None else channels_last
    with ExitStack() as stack:
        stack.enter_context(tf32(allowed=chosen.tf32))
        stack.enter_context(layout.lying_last(place.type if last else None))
        if chosen.dtype is not None:  # float32 images are then cast at the entrance, and maps are float32
            stack.enter_context(torch.autocast(place.type, chosen.dtype))
        yield Prepared(_as_wanted(model, place, chosen.dtype, last=last), place, last)


def _device_of(model: nn.Module) -> torch.device:
    first = next((tensor for held in (model.parameters(), model.buffers()) for tensor in held), None)
    return torch.device("cpu") if first is None else first.device


def _as_wanted(model: nn.Module, device: torch.device, dtype: torch.dtype | None, *, last: bool) -> nn.Module:
    """The network, or a copy where something of it has to change; `nn.Module.to` would change it in place."""
    tensors = [*model.parameters(), *model.buffers()]
    moves = any(tensor.device != _whole(device) for tensor in tensors)
    casts = dtype is not None and any(tensor.is_floating_point() and tensor.dtype != dtype for tensor in tensors)
    lies = last and any(tensor.dim() == 4 and not tensor.is_contiguous(memory_format=_LAST) for tensor in tensors)
    if not (moves or casts or lies):
        return model
    made = copy.deepcopy(model)
    made = made.to(device=device, dtype=dtype) if dtype is not None else made.to(device=device)
    return made.to(memory_format=_LAST) if last else made


def _whole(device: torch.device) -> torch.device:
    """The device with its number, which tensors name and people leave out."""
    return torch.empty(0, device=device).device


@contextmanager
def tf32(*, allowed: bool) -> Iterator[None]:
    """Say within it whether CUDA devices may round the factors of products to TF32; afterwards it is as before."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
