"""A maximum pool whose ties share, for the methods defined so."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from equipoise.engine.relevance import Relevance
from equipoise.engine.rule import Step
from equipoise.rules.structure import Pool, only


@dataclass(frozen=True)
class TiedMaximum:
    """Maximum pool: a window's relevance is shared equally by all its maxima (Gu et al. 2018, their code).

    Pools without a fixed window (adaptive ones, ``amax``) fall back to the winner of `Pool`.
    """

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        bound = step.call.bound()
        if "kernel_size" not in bound:
            return Pool()(step, relevance)
        arrived, x = only(relevance), step.data()
        return [arrived.with_value(self.equation(x, step.run([x])[0], arrived.value, bound))]

    def equation(self, x: Tensor, pooled: Tensor, R: Tensor, bound: dict[str, Any]) -> Tensor:
        """Relevance of the input ``(k, m, c, *in)`` from that of the output ``(k, m, c, *out)``."""
        d = x.dim() - 2

        def numbers(name: str, default: Any) -> tuple[int, ...]:
            given = bound.get(name)
            given = default if given is None or given == [] else given
            return (given,) * d if isinstance(given, int) else tuple(given)

        kernel = numbers("kernel_size", None)
        stride, padding = numbers("stride", kernel), numbers("padding", 0)
        dilation = numbers("dilation", 1)
        reach = [
            (o - 1) * s + e * (k - 1) + 1 for o, s, e, k in zip(pooled.shape[2:], stride, dilation, kernel, strict=True)
        ]
        after = [max(0, r - size - p) for r, size, p in zip(reach, x.shape[2:], padding, strict=True)]
        amounts = [side for p, q in zip(reversed(padding), reversed(after), strict=True) for side in (p, q)]
        padded = F.pad(x, amounts, value=-torch.inf)
        windows: list[tuple[Any, ...]] = [
            (..., *[slice(i * e, i * e + (o - 1) * s + 1, s)
                    for i, e, o, s in zip(offset, dilation, pooled.shape[2:], stride, strict=True)])
            for offset in itertools.product(*[range(k) for k in kernel])
        ]  # fmt: skip
        winners = [padded[window] == pooled for window in windows]
        count = torch.stack(winners).sum(0)
        result = R.new_zeros(len(R), *padded.shape)
        for window, wins in zip(windows, winners, strict=True):
            result[window] += R * wins / count
        inside: tuple[Any, ...] = (..., *[slice(p, p + size) for p, size in zip(padding, x.shape[2:], strict=True)])
        return result[inside]
