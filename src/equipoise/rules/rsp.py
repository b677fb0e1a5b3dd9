r"""Relative sectional propagation, as its released code states it.

Nam et al. 2021, *Interpreting deep neural networks with relative sectional propagation by analyzing
comparative gradients and hostile activations*.

A layer's weight is replaced by the correlation of its input with the relevance that arrives,
:math:`g^\pm = \partial \langle R^\pm, conv(x^+, w)\rangle / \partial w`: neurons that fire where relevance is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from equipoise.engine.linear_map import LinearMap
from equipoise.engine.numerics import rows_per_image, safe_divide, shift_to, sums, without_residue
from equipoise.rules.layered import Layered


@dataclass(frozen=True)
class RelativeSection(Layered):
    """Positive and negative relevance each by its own correlation, counted twice, then shifted back to the sum.

    A 1x1 kernel takes neither the doubling nor the shift. The correlation belongs to one image
    and one target, so images are treated one by one.

    Attributes:
        flat_kernel: Whether a kernel of height 1 and any width counts as 1x1, as in the authors' code.
        exact: Whether a neuron counts as reached however little reaches it, as there; else rounding does not count.
    """

    fold: bool = False
    flat_kernel: bool = False
    exact: bool = False
    in_portions: ClassVar[bool] = False  # the shift is over the whole image

    def equation(self, x: Tensor, layer: LinearMap, bias: Tensor, R: Tensor) -> Tensor:
        """See `Layered`."""
        return self.of_images(x, layer, bias, R, x.shape[0])

    def of_images(self, x: Tensor, layer: LinearMap, bias: Tensor, R: Tensor, n: int) -> Tensor:
        """See `Layered`."""
        del bias
        f = rows_per_image(len(x), n)
        images = [slice(i * f, (i + 1) * f) for i in range(n)]
        rows = [torch.cat([self._one(x[image], layer, R[k, image]) for image in images]) for k in range(len(R))]
        C = torch.stack(rows)
        if layer.pointwise or (self.flat_kernel and layer.kernel[:1] == (1,)):
            return C
        return shift_to(2 * (C if self.exact else without_residue(C, n)), sums(R, n), n)

    def _one(self, x: Tensor, layer: LinearMap, R: Tensor) -> Tensor:
        x = x.clamp(min=0)
        return self._section(x, layer, R.clamp(min=0)) - self._section(x, layer, (-R).clamp(min=0))

    def _section(self, x: Tensor, layer: LinearMap, R: Tensor) -> Tensor:
        correlation = layer.weight_gradient(x, R)
        z = layer(x, correlation) * (R != 0)
        return x * layer.adjoint(safe_divide(R, z), correlation)
