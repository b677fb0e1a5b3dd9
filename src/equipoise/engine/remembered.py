"""What was found out about weights once, until they change.

A weight on an accelerator is not asked twice: each question makes the host wait for the device.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from equipoise.engine.numerics import is_in_range, working_dtype

Fact = TypeVar("Fact")


@dataclass(frozen=True, slots=True)
class _Known(Generic[Fact]):
    owner: weakref.ref[Tensor]
    version: int
    address: int
    fact: Fact


class Remembered(Generic[Fact]):
    """A fact about each of some tensors; each is asked again when it has changed.

    A view is known by the tensor that it is a view of, so that one made anew is known again.
    A dictionary by ``id`` beside weak references: torch's own weak dictionaries cost more than what is looked up.
    """

    def __init__(self) -> None:
        self._known: dict[int, dict[object, _Known[Fact]]] = {}

    def __contains__(self, tensor: Tensor) -> bool:
        return self._found(tensor) is not None

    def of(self, tensor: Tensor, ask: Callable[[Tensor], Fact]) -> Fact:
        """The fact about a tensor: what ``ask`` says of it, or said while it was as it is."""
        known = self._found(tensor)
        if known is not None:
            return known.fact
        fact = ask(tensor)
        self.note(tensor, fact)
        return fact

    def note(self, tensor: Tensor, fact: Fact) -> None:
        """Note a fact about a tensor as it is now, if a change of it can be seen."""
        if tensor.is_inference() or tensor.layout != torch.strided or tensor.is_meta:
            return
        owner, place = _owner(tensor)
        key, known = id(owner), self._known

        def forget(reference: weakref.ref[Tensor]) -> None:
            if key in known and any(one.owner is reference for one in known[key].values()):
                del known[key]

        here = known.get(key, {})
        first = next(iter(here.values()), None)
        if first is None or first.owner() is not owner:
            here = known[key] = {}
        reference = weakref.ref(owner, forget) if not here else next(iter(here.values())).owner
        here[place] = _Known(reference, tensor._version, tensor.data_ptr(), fact)

    def _found(self, tensor: Tensor) -> _Known[Fact] | None:
        owner, place = _owner(tensor)
        known = self._known.get(id(owner), {}).get(place)
        if known is None or known.owner() is not owner:
            return None
        same = known.version == tensor._version and known.address == tensor.data_ptr()  # only what has both is known
        return known if same else None


def _owner(tensor: Tensor) -> tuple[Tensor, object]:
    """What a tensor is a view of, and which; of one that is none itself."""
    base = tensor._base
    return (tensor, None) if base is None else (base, (tensor.shape, tensor.stride(), tensor.storage_offset()))


_ORDINARY: Remembered[bool] = Remembered()


def ordinary(weight: Tensor) -> bool:
    """Whether the first row of a weight has several entries, none of them zero and some negative.

    Then it is no choice of channels, no average and no kernel with a rim: as good as always.
    """
    return _ORDINARY.of(weight, _is_ordinary)


def _is_ordinary(weight: Tensor) -> bool:
    row = weight.detach()[:1]
    if row.numel() < 2 or row.layout != torch.strided:
        return False
    return bool(row.all() & (row < 0).any())


_WITHOUT_ZEROS: Remembered[bool] = Remembered()


def without_zeros(weight: Tensor) -> bool:
    """Whether no entry of a weight is zero."""
    return _WITHOUT_ZEROS.of(weight, lambda one: bool(one.detach().all()))


_USUAL: Remembered[bool] = Remembered()


def of_usual_size(weight: object) -> bool:
    """Whether a weight's largest magnitude is known to be nothing extreme; ``False`` also of what is made anew."""
    if not isinstance(weight, Tensor) or weight.is_inference() or weight.is_meta:
        return False
    lasts = isinstance(weight, nn.Parameter) or weight._base is not None
    return lasts and _USUAL.of(weight, lambda one: is_in_range(one.detach().to(working_dtype(one.dtype))))
