"""The arithmetic that rules share; the only home of divisions by what may be zero."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import hardshrink

from equipoise._typing import Float, Shaped
from equipoise.engine import devices
from equipoise.errors import RuleNotApplicableError

_SMALLEST, _LARGEST = 2.0**-40, 2.0**40  # about 1e-12 and 1e12; what is beyond is extreme
_ROUNDED = 1e-6


def safe_divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """``numerator / denominator``, and ``0`` exactly where the denominator is zero; no epsilon."""
    return numerator / no_zeros(denominator)


def no_zeros(denominator: Tensor) -> Tensor:
    """``denominator`` with infinity in place of zeros, so that what is divided by it becomes zero there.

    Three vectorized passes, which `torch.where` and masks are not on a CPU.
    """
    return torch.copysign(no_zeros_(denominator.abs()), denominator)


def no_zeros_(denominator: Tensor) -> Tensor:
    """The same in place for a ``denominator`` that is nowhere negative; what is negative also becomes infinity."""
    return torch.threshold_(denominator, 0.0, torch.inf)


def without_rounding(x: Tensor, n: int) -> Tensor:
    """``x`` ``(m, ...)``, zero where it is a millionth of its image's largest value or less: what rounding left there.

    A smooth activation's tail is zero in one spelling of it and almost zero in another.
    """
    if x.numel() == 0:
        return x
    size = x.abs()
    least = _ROUNDED * per_sample(size.unsqueeze(0), n).amax(-1)
    return x * (size > over_samples(least, size.unsqueeze(0))[0])


def without_residue(C: Tensor, n: int) -> Tensor:
    """``C`` ``(k, m, ...)``, zero where an entry changes nothing when it is added to its sample's largest.

    Where contributions cancel, the order in which they were added decides whether zero is left or almost zero; what
    counts the entries that relevance reached must not depend on that.
    """
    if C.numel() == 0:
        return C
    size = C.abs()
    least = torch.finfo(C.dtype).eps / 2 * per_sample(size, n).amax(-1)
    return C * (size > over_samples(least, size))


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype relevance is kept in: float64 stays, everything narrower becomes float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def per_sample(tensor: Tensor, n: int) -> Shaped[Tensor, "k n size"]:
    """View ``(k, m, ...)`` as ``(k, n, size)``, where ``m`` is ``n`` images times what was folded into the batch.

    Raises:
        RuleNotApplicableError: If ``m`` is no multiple of ``n``.
    """
    rows_per_image(tensor.shape[1], n)
    return tensor.reshape(tensor.shape[0], n, -1)


def rows_per_image(m: int, n: int) -> int:
    """How many of the ``m`` rows of a batch each of ``n`` images has: what a network folded into the batch.

    Raises:
        RuleNotApplicableError: If ``m`` is no multiple of ``n``.
    """
    if m % max(n, 1):
        raise RuleNotApplicableError(f"a tensor with {m} rows does not belong to a batch of {n} images")
    return m // max(n, 1)


def sums(tensor: Tensor, n: int) -> Shaped[Tensor, "k n"]:
    """The sum of each target of each image of ``tensor`` ``(k, m, ...)``, in any memory layout, without a copy."""
    tensor = tensor.reshape(tensor.shape[0], n, rows_per_image(tensor.shape[1], n), *tensor.shape[2:])
    return tensor.sum(tuple(range(2, tensor.dim())))


def over_samples(totals: Float[Tensor, "k n"], like: Tensor) -> Tensor:
    """Shape per-sample numbers ``(k, n)`` so that they broadcast over ``like`` ``(k, m, ...)``."""
    folded = like.shape[1] // max(totals.shape[1], 1)
    totals = totals if folded == 1 else totals.repeat_interleave(folded, dim=1)
    return totals.reshape(*totals.shape, *[1] * (like.dim() - 2))


def in_range(x: Tensor, out: Tensor | None = None) -> Tensor:
    """Scale the rows of ``x`` ``(n, ...)`` whose largest magnitude is extreme to one near 1; leave the others.

    Rules that divide one linear function of ``x`` by another do not see a scale of ``x``; their
    intermediate quotients do, and would overflow in float32 for values such as 1e-38. The factors
    are powers of two and depend on the row alone, so nothing is rounded and no row sees another.

    Args:
        x: Nowhere negative.
        out: Where an accelerator writes the result; ``None``: into ``x``. To ask it whether a row is extreme would be
            to wait for it, so each row is multiplied by its factor, which is mostly 1.
    """
    if x.numel() == 0:
        return x
    peak = x.amax(tuple(range(1, x.dim()))) if x.dim() > 1 else x
    free = devices.free_to_ask(x)
    # Read at once, in Python: of a few rows that is faster than asking torch five times.
    if free and not any(0 < size <= _SMALLEST or size >= _LARGEST for size in peak.tolist()):
        return x
    factor = _to_range(peak).reshape(-1, *[1] * (x.dim() - 1))
    return x * factor if free else torch.mul(x, factor, out=x if out is None else out)


def is_in_range(x: Tensor) -> bool:
    """Whether `in_range` leaves a tensor with one row as it is, whatever its signs."""
    return x.numel() == 0 or bool(_to_range(x.abs().amax()) == 1)


def _to_range(peak: Tensor) -> Tensor:
    """The power of two that brings a largest magnitude near 1 where it is extreme; of zero any, else 1."""
    # A factor of 2 ** 140 would itself overflow float32: the smallest numbers are brought as near as it allows.
    most = math.frexp(torch.finfo(peak.dtype).max)[1] - 2
    return torch.pow(0.5, hardshrink(peak.log2().trunc_(), 39.5).clamp_(-most, most))


def shift_to(C: Tensor, total: Tensor, n: int) -> Tensor:
    """Subtract the same from every entry that is not zero, so that each sample sums to ``total`` ``(k, n)``."""
    reached = C != 0
    count = sums(reached, n)
    excess = sums(C, n) - total
    return C - reached * over_samples(safe_divide(excess, count.to(C.dtype)), C)
