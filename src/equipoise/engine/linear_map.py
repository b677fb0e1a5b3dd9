"""Convolutions, transposed convolutions and linear layers as one thing: a linear map and its adjoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from equipoise.engine.layout import settled

_CONVOLUTIONS = {1: torch.conv1d, 2: torch.conv2d, 3: torch.conv3d}
_TRANSPOSED = {1: torch.conv_transpose1d, 2: torch.conv_transpose2d, 3: torch.conv_transpose3d}


@dataclass(frozen=True, slots=True)
class Geometry:
    """Everything of a convolution but its weight; ``None`` in place of a `Geometry` means a linear layer.

    Attributes:
        stride: One number per spatial dimension, like the next three.
        padding: Zeros added on both sides.
        dilation: Distance of the kernel's taps.
        output_padding: Of a transposed convolution; zeros otherwise.
        groups: Number of channel groups that do not see each other.
        transposed: Whether the layer is a transposed convolution.
        before: Zeros that an explicit pad operation added first, in the order of `torch.nn.functional.pad`.
    """

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    output_padding: tuple[int, ...]
    groups: int = 1
    transposed: bool = False
    before: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class LinearMap:
    """``z = w x`` without bias, its adjoint, and its weight.

    Rules call it with weights of their own making (``|w|``, ``w+``); it holds the layer's.
    Padding is part of the map: padded positions are no neurons, so they receive nothing.

    Attributes:
        weight: As torch stores it: ``(out, in / groups, *kernel)``, ``(in, out / groups, *kernel)``
            if transposed, ``(out, in)`` for a linear layer.
        bias: ``(out,)`` or ``None``; no method of this class uses it.
        geometry: ``None`` for a linear layer.
        in_shape: Shape of one input row, without the batch dimension.
    """

    weight: Tensor
    bias: Tensor | None
    geometry: Geometry | None
    in_shape: tuple[int, ...]

    @property
    def kernel(self) -> tuple[int, ...]:
        """The spatial size of the kernel: ``()`` for a linear layer, which is a 1x1 convolution."""
        return tuple(self.weight.shape[2:])

    @property
    def pointwise(self) -> bool:
        """Whether every output position sees exactly one input position."""
        return all(size == 1 for size in self.kernel)

    def __call__(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """``z = w x``: input rows ``(m, *in)`` to output rows ``(m, *out)``."""
        w = self.weight if weight is None else weight
        g = self.geometry
        if g is None:
            return F.linear(x, w)
        x = settled(x)
        if g.before:
            x = F.pad(x, g.before)
        d = len(g.stride)
        if g.transposed:
            return _TRANSPOSED[d](x, w, None, g.stride, g.padding, g.output_padding, g.groups, g.dilation)
        return _CONVOLUTIONS[d](x, w, None, g.stride, g.padding, g.dilation, g.groups)

    def adjoint(self, s: Tensor, weight: Tensor | None = None) -> Tensor:
        """``w^T s``: output rows ``(..., m, *out)`` to input rows ``(..., m, *in)``."""
        w = self.weight if weight is None else weight
        g = self.geometry
        if g is None:
            return s.matmul(w)
        lead = s.shape[: s.dim() - len(g.stride) - 1]
        s = settled(s.reshape(-1, *s.shape[len(lead) :]))
        d = len(g.stride)
        if g.transposed:
            x = _CONVOLUTIONS[d](s, w, None, g.stride, g.padding, g.dilation, g.groups)
            # An output padding of a whole stride or more is beyond the last input position.
            for axis, extent in enumerate(self.in_shape[1:], start=2):
                x = x.narrow(axis, 0, extent)
        else:
            size = self._padded_size()
            rest = tuple(
                size[i]
                - ((s.shape[2 + i] - 1) * g.stride[i] - 2 * g.padding[i] + g.dilation[i] * (w.shape[2 + i] - 1) + 1)
                for i in range(d)
            )
            x = _TRANSPOSED[d](s, w, None, g.stride, g.padding, rest, g.groups, g.dilation)
            if g.before:
                x = F.pad(x, tuple(-amount for amount in g.before))
        return x.reshape(*lead, *x.shape[1:])

    def weight_gradient(self, x: Tensor, s: Tensor) -> Tensor:
        """``d <s, w x> / d w``: how input rows ``(m, *in)`` correlate with output rows ``(m, *out)``."""
        with torch.enable_grad():
            weight = self.weight.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self(x, weight), weight, s)
        return gradient

    def of_ones(self, weight: Tensor) -> Tensor:
        """``w 1`` for an image of ones, ``(1, *out)`` up to broadcasting: what every neuron can contribute at most.

        Cheap: the input channels are summed first, so it costs one channel's convolution.
        """
        g = self.geometry
        if g is None:
            return weight.sum(1)
        if g.transposed:  # the sum over input channels depends on the group; do it plainly
            return self(torch.ones(1, *self.in_shape, dtype=weight.dtype, device=weight.device), weight)
        ones = torch.ones(1, 1, *self.in_shape[1:], dtype=weight.dtype, device=weight.device)
        if g.before:
            ones = F.pad(ones, g.before)
        d = len(g.stride)
        return _CONVOLUTIONS[d](settled(ones), weight.sum(1, keepdim=True), None, g.stride, g.padding, g.dilation, 1)

    def _padded_size(self) -> Sequence[int]:
        size = list(self.in_shape[1:])
        if self.geometry is not None:
            before = self.geometry.before
            for i in range(len(before) // 2):
                size[-1 - i] += before[2 * i] + before[2 * i + 1]
        return size
