"""What a GPU would be made to wait for, counted on a CPU.

A tensor that lies on the device is known by its memory: that of the weights and images, what a factory is told to put
there by ``device=``, and whatever an operation makes of such a tensor. All else lies on the host, as it would with a
GPU. Where the host asks for a value of the device, or a tensor goes from one to the other, it has to wait.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten
_ASK = {aten._local_scalar_dense.default, aten.is_nonzero.default, aten.nonzero.default, aten.equal.default,
        aten.masked_select.default, aten._unique2.default, aten.bincount.default, aten.unique_dim.default,
        aten.unique_consecutive.default, aten.nonzero_numpy.default, aten.allclose.default}  # fmt: skip
_INDEX = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
_MOVES = {"cpu", "numpy", "tolist", "__array__"}
_UPLOADS = {"tensor", "as_tensor", "asarray", "new_tensor"}


class Places(list[str]):
    """Where the device was waited for: the operation, and the line of the package that asked."""


class _Memory:
    """Which memory lies on the device."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self.device = {tensor.untyped_storage()._cdata for tensor in tensors}

    def holds(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self.device

    def mark(self, tensor: Tensor, *, device: bool) -> None:
        key = tensor.untyped_storage()._cdata
        (self.device.add if device else self.device.discard)(key)


class _Operations(TorchDispatchMode):
    def __init__(self, memory: _Memory, places: Places) -> None:
        super().__init__()
        self.memory, self.places = memory, places

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        there = [one for one in given if self.memory.holds(one)]
        here = [one for one in given if not self.memory.holds(one)]
        if there and func in _ASK:
            self.places.append(_place(func))
        elif there and func in _INDEX and any(
            one is not None and (one.dtype in (torch.bool, torch.uint8) or not self.memory.holds(one)) for one in args[1]
        ):
            self.places.append(_place(func))
        elif there and any(one.dim() for one in here) and func not in _INDEX:
            self.places.append(f"moved for {_place(func)}")
        made = func(*args, **kwargs)
        for one in tree_leaves(made):
            if isinstance(one, Tensor) and not (any(one is g for g in here) and not there):
                self.memory.mark(one, device=bool(there))
        return made


class _Calls(TorchFunctionMode):
    def __init__(self, memory: _Memory, places: Places) -> None:
        super().__init__()
        self.memory, self.places = memory, places

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        first = args[0] if args and isinstance(args[0], Tensor) else None
        if name in _MOVES and first is not None and self.memory.holds(first):
            self.places.append(_place(name))
            made = func(*args, **kwargs)
            return made.clone() if isinstance(made, Tensor) and _unmark(self.memory, made.clone()) else made
        made = func(*args, **kwargs)
        if name == "new_tensor" or (name in _UPLOADS and kwargs.get("device") is not None):
            if not (first is not None and name != "new_tensor" and self.memory.holds(first)):
                self.places.append(_place(name))
            self.memory.mark(made, device=True)
        elif kwargs.get("device") is not None and first is None and isinstance(made, Tensor):
            self.memory.mark(made, device=True)
        return made


def _unmark(memory: _Memory, tensor: Tensor) -> bool:
    memory.mark(tensor, device=False)
    return True


def _place(func: Any) -> str:
    stack = [f for f in traceback.extract_stack() if "/equipoise/" in f.filename or "/captum/" in f.filename]
    own = stack[-1] if stack else traceback.extract_stack()[-3]
    return f"{func} at {own.filename.split('/src/')[-1]}:{own.lineno} {own.line}"


@contextmanager
def watched(*on_device: Tensor | nn.Module) -> Iterator[Places]:
    """Note where the device is waited for; ``on_device`` is what lies there."""
    places = Places()
    tensors: list[Tensor] = []
    for one in on_device:
        tensors += [one] if isinstance(one, Tensor) else [*one.parameters(), *one.buffers()]
    memory = _Memory(tensors)
    with ExitStack() as stack:
        stack.enter_context(_Operations(memory, places))
        stack.enter_context(_Calls(memory, places))
        yield places
