"""Attribution Equilibrium written once more, from the paper's equations, on dense matrices; no code is shared.

A network is a list of layers ``(matrix or operation)``; everything is one flat vector per image. Slow on
purpose: sums are written as the paper writes them.
"""

from __future__ import annotations

import torch
from torch import Tensor


def J(x: Tensor, w: Tensor, R: Tensor) -> Tensor:
    """Eq. 2, term by term: ``R_i = sum_j x_i w_ji / (sum_i' x_i' w_ji') R_j``; 0 where the denominator is 0.

    Args:
        x: ``(in,)``.
        w: ``(out, in)``.
        R: ``(out,)``.
    """
    result = torch.zeros_like(x)
    for j in range(len(R)):
        parts = x * w[j]
        total = parts.sum()
        if total != 0:
            result = result + parts / total * R[j]
    return result


def equilibrium(
    x: Tensor, w: Tensor, R: Tensor, gamma: float, pointwise: bool, terms: str = "CAUS", weighed: bool = False
) -> Tensor:
    """Eq. 6 to 13 at tau = 1; ``weighed``: of the profile `fine`, where A weighs by activity."""
    P, N = R.clamp(min=0), R.clamp(max=0)
    P = P / P.sum() if P.sum() > 0 else P
    N = N / N.sum().abs() if N.sum() < 0 else N
    gamma = 1.0 if pointwise else gamma
    alpha, beta = (x > 0).to(x.dtype), (x <= 0).to(x.dtype)
    size = w.abs()
    result = torch.zeros_like(x)
    if "C" in terms:
        result = result + J(x.clamp(min=0), size, gamma * P) + J(x.clamp(min=0), size, N)
    if "A" in terms:
        result = result + J(x.clamp(min=0) if weighed else alpha, size, P)
    if "U" in terms:
        result = result + J(beta, size, N)
    if "S" in terms and not pointwise and alpha.sum() > 0:
        result = result - alpha / alpha.sum()
    return result


def zbox(x: Tensor, w: Tensor, R: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The rule of the pixels, as its source writes it."""
    up, down = w.clamp(min=0), w.clamp(max=0)
    z = w @ x - up @ low - down @ high
    s = torch.where(z == 0, 0.0, R / z)
    return x * (w.t() @ s) - low * (up.t() @ s) - high * (down.t() @ s)
