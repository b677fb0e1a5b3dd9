"""The lowest and highest value of a pixel: the option ``input_bounds``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from equipoise.errors import OptionError

GivenBounds: TypeAlias = Sequence[Any] | None
"""As a user gives them: lowest and highest, as numbers or tensors of shape ``(c,)`` or ``(n, c, h, w)``."""

PixelBounds: TypeAlias = tuple[Tensor, Tensor] | None
"""As a rule reads them: tensors that broadcast over ``(n, c, h, w)``; ``None``: the image's own extremes."""


def parse_bounds(given: GivenBounds) -> PixelBounds:
    """Lowest and highest pixel value as tensors that broadcast over ``(n, c, h, w)``.

    Raises:
        OptionError: If ``given`` is no pair, or not in order.
    """
    if given is None:
        return None
    if not isinstance(given, Sequence) or len(given) != 2:
        raise OptionError(f"input_bounds are (lowest, highest), not {given!r}")
    low, high = (torch.as_tensor(_to_cpu(bound), dtype=torch.float64) for bound in given)
    if not bool((low < high).all()):
        raise OptionError(f"input_bounds are (lowest, highest), not {given!r}")
    low, high = (bound.reshape(-1, 1, 1) if bound.dim() == 1 else bound for bound in (low, high))
    return low, high


def _to_cpu(bound: Any) -> Any:
    """Not every device has float64."""
    return bound.cpu() if isinstance(bound, Tensor) else bound
