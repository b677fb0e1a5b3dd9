"""What a GPU would be made to wait for, counted on a CPU.

A tensor that lies on the device is known by its memory: that of the weights and images, what a factory is told to put
there by ``device=``, and whatever an operation makes of such a tensor. All else lies on the host, as it would with a
GPU. Where the host asks for a value of the device, or a tensor goes from one to the other, it has to wait, unless it
is sent with ``non_blocking=True``.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from equipoise.engine import devices

_aten = torch.ops.aten
_ASKS = {
    _aten._local_scalar_dense.default, _aten.is_nonzero.default, _aten.nonzero.default, _aten.equal.default,
    _aten.masked_select.default, _aten._unique2.default, _aten.bincount.default, _aten.unique_dim.default,
    _aten.unique_consecutive.default, _aten.nonzero_numpy.default, _aten.allclose.default,
}  # fmt: skip
_INDEXES = {_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default, _aten._index_put_impl_.default}
_LEAVES = {"cpu", "numpy", "tolist", "__array__"}
_OF_PYTHON = {"tensor", "as_tensor", "asarray", "new_tensor"}


class _Memory:
    """Which memory lies on the device."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._there = {tensor.untyped_storage()._cdata for tensor in tensors}

    def holds(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self._there

    def put(self, made: Any, *, there: bool) -> None:
        for one in tree_leaves(made):
            if isinstance(one, Tensor):
                (self._there.add if there else self._there.discard)(one.untyped_storage()._cdata)


class _Operations(TorchDispatchMode):
    """What torch's operations ask for."""

    def __init__(self, memory: _Memory, places: list[str]) -> None:
        super().__init__()
        self._memory, self._places = memory, places

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        there = [one for one in given if self._memory.holds(one)]
        if there and (func in _ASKS or (func in _INDEXES and self._waits(args[1]))):
            self._places.append(_place(func))
        elif there and func not in _INDEXES and any(one.dim() and not self._memory.holds(one) for one in given):
            self._places.append(f"moved for {_place(func)}")
        made = func(*args, **kwargs)
        if there or not given or not any(one is other for one in tree_leaves(made) for other in given):
            self._memory.put(made, there=bool(there))
        return made

    def _waits(self, indices: Any) -> bool:
        """Whether indices are a mask, or lie on the host."""
        known = [one for one in indices if one is not None]
        return any(one.dtype in (torch.bool, torch.uint8) or not self._memory.holds(one) for one in known)


class _Calls(TorchFunctionMode):
    """What Python asks for, and what is moved: on a CPU no operation shows it."""

    def __init__(self, memory: _Memory, places: list[str]) -> None:
        super().__init__()
        self._memory, self._places = memory, places

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        tensor = args[0] if args and isinstance(args[0], Tensor) else None
        there = tensor is not None and self._memory.holds(tensor)
        leaves = name in _LEAVES or (name == "to" and "cpu" in (*args[1:2], kwargs.get("device")))
        if there and leaves:
            self._places.append(_place(name))
        made = func(*args, **kwargs)
        if leaves:
            return self._moved(made, there=False)
        if name == "to" and kwargs.get("non_blocking"):
            return self._moved(made, there=True)
        on_device = kwargs.get("device") is not None or name == "new_tensor"
        if name in _OF_PYTHON and not there:
            if on_device:
                self._places.append(_place(name))
            self._memory.put(made, there=on_device)
        elif on_device and tensor is None:
            self._memory.put(made, there=True)
        return made

    def _moved(self, made: Any, *, there: bool) -> Any:
        if isinstance(made, Tensor):
            made = made.clone()
            self._memory.put(made, there=there)
        return made


def _place(func: Any) -> str:
    stack = [frame for frame in traceback.extract_stack() if "/equipoise/" in frame.filename]
    own = stack[-1] if stack else traceback.extract_stack()[-3]
    return f"{func} at {own.filename.split('/src/')[-1]}:{own.lineno} {own.line}"


@contextmanager
def watched(*there: Tensor | nn.Module) -> Iterator[list[str]]:
    """Note each place that waits for the device, on which ``there`` lies."""
    places: list[str] = []
    tensors = [
        tensor
        for one in there
        for tensor in ([one] if isinstance(one, Tensor) else [*one.parameters(), *one.buffers()])
    ]
    memory = _Memory(tensors)
    with (
        mock.patch.object(devices, "free_to_ask", lambda tensor: not memory.holds(tensor)),
        _Operations(memory, places),
        _Calls(memory, places),
    ):
        yield places
