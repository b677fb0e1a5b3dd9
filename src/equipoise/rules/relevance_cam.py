"""LRP as Relevance-CAM's released code computes it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from equipoise.engine.linear_map import LinearMap
from equipoise.rules.layered import Halves, Layered


@dataclass(frozen=True)
class DoubledBias(Layered):
    """z+ with one denominator for ``x+ w+`` and ``x- w-``, in which a convolution's signed bias counts twice."""

    fold: bool = False

    def equation(self, x: Tensor, layer: LinearMap, bias: Tensor, R: Tensor) -> Tensor:
        """See `Layered`."""
        up, down = layer.weight.clamp(min=0), layer.weight.clamp(max=0)
        halves = Halves.of(x, layer)
        twice = 2 * bias if layer.geometry is not None else 0.0
        s = self.divide(R, halves.through(layer, (up, down)) + twice)
        return halves.back(layer, (s, (up, down)))
