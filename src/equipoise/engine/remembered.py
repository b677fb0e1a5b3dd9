"""What was found out about weights once, until they change."""

from __future__ import annotations

import weakref

import torch
from torch import Tensor


class Remembered:
    """Tensors of which something holds; each is asked again when it has changed.

    A dictionary by ``id`` beside weak references: torch's own weak dictionaries cost more than what is looked up.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Tensor], int, int]] = {}

    def __contains__(self, tensor: Tensor) -> bool:
        known = self._known.get(id(tensor))
        if known is None:
            return False
        reference, version, address = known  # only what has both was ever added
        return reference() is tensor and tensor._version == version and tensor.data_ptr() == address

    def add(self, tensor: Tensor) -> None:
        """Note a tensor as it is now, if a change of it can be seen."""
        if tensor.is_inference() or tensor.layout != torch.strided or tensor.is_meta:
            return
        key, known = id(tensor), self._known

        def forget(reference: weakref.ref[Tensor]) -> None:
            if key in known and known[key][0] is reference:
                del known[key]

        known[key] = (weakref.ref(tensor, forget), tensor._version, tensor.data_ptr())


_ORDINARY = Remembered()


def ordinary(weight: Tensor) -> bool:
    """Whether the first row of a weight has several entries, none of them zero and some negative.

    Then it is no choice of channels, no average and no kernel with a rim: as good as always.
    """
    if weight in _ORDINARY:
        return True
    row = weight.detach()[:1]
    found = row.numel() > 1 and row.layout == torch.strided and bool(row.all()) and bool((row < 0).any())
    if found:
        _ORDINARY.add(weight)
    return found


_WITHOUT_ZEROS = Remembered()


def without_zeros(weight: Tensor) -> bool:
    """Whether no entry of a weight is zero."""
    if weight in _WITHOUT_ZEROS:
        return True
    found = bool(weight.detach().all())
    if found:
        _WITHOUT_ZEROS.add(weight)
    return found
