"""The lowest and highest value of a pixel: the option ``input_bounds``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from equipoise.errors import OptionError

GivenBounds: TypeAlias = Sequence[Any] | None
"""As a user gives them: lowest and highest, as numbers or tensors of shape ``(c,)`` or ``(n, c, *space)``."""

PixelBounds: TypeAlias = tuple[Tensor, Tensor] | None
"""As a rule reads them: ``(c,)``, or what broadcasts over ``(n, c, *space)``; ``None``: the image's own extremes."""


def parse_bounds(given: GivenBounds) -> PixelBounds:
    """Lowest and highest pixel value as tensors ``()``, ``(c,)``, or such as broadcast over ``(n, c, *space)``.

    How many dimensions the images have is known to the rule alone; see `equipoise.rules.zbox.ZBox`.

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
    return low, high


def _to_cpu(bound: Any) -> Any:
    """Not every device has float64."""
    return bound.cpu() if isinstance(bound, Tensor) else bound
