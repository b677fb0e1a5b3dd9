"""LRP as Relevance-CAM's released code computes it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from equipoise.engine.linear_map import LinearMap
from equipoise.rules.layered import Layered


@dataclass(frozen=True)
class DoubledBias(Layered):
    """z+ with one denominator for ``x+ w+`` and ``x- w-``, in which a convolution's signed bias counts twice."""

    fold: bool = False

    def equation(self, x: Tensor, layer: LinearMap, bias: Tensor, R: Tensor) -> Tensor:
        """See `Layered`."""
        up, down = layer.weight.clamp(min=0), layer.weight.clamp(max=0)
        positive, negative = x.clamp(min=0), x.clamp(max=0)
        twice = 2 * bias if layer.geometry is not None else 0.0
        s = self.divide(R, layer(positive, up) + layer(negative, down) + twice)
        return positive * layer.adjoint(s, up) + negative * layer.adjoint(s, down)
