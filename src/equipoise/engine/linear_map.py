"""Convolutions, transposed convolutions and linear layers as one thing: a linear map and its adjoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from equipoise.engine.layout import in_turn, settled

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
        rectified: Whether its input is known to be nowhere negative by what made it.
    """

    weight: Tensor
    bias: Tensor | None
    geometry: Geometry | None
    in_shape: tuple[int, ...]
    rectified: bool = field(default=False, kw_only=True)

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
            x = _without(x, g.before)
        return x.reshape(*lead, *x.shape[1:])

    def weight_gradient(self, x: Tensor, s: Tensor) -> Tensor:
        """``d <s, w x> / d w``: how input rows ``(m, *in)`` correlate with output rows ``(m, *out)``."""
        with torch.enable_grad():
            weight = self.weight.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self(x, weight), weight, s)
        return gradient

    def stripes(self, count: int) -> Iterator[Stripe]:
        """Cut a convolution of images into about ``count`` horizontal stripes, from the top to the bottom.

        Their outputs together are this map's output; their adjoints, added where they overlap, are its adjoint.
        Other maps, and padding as large as the kernel, come as one stripe.
        """
        g = self.geometry
        if g is None or g.transposed or len(g.stride) != 2 or count <= 1:
            yield Stripe(self)
            return
        stride, reach, height = g.stride[0], g.dilation[0] * (self.kernel[0] - 1) + 1, self.in_shape[1]
        left, right, top, bottom = (*g.before, *[0] * (4 - len(g.before)))
        top, bottom = top + g.padding[0], bottom + g.padding[0]
        outputs = (height + top + bottom - reach) // stride + 1
        if max(top, bottom) >= reach:
            yield Stripe(self)
            return
        reached = 0
        for rows in in_turn(outputs, -(-outputs // count)):
            first, end = rows.start * stride - top, (rows.stop - 1) * stride + reach - top
            # Rows that no window reads belong to the stripe above them.
            stop = height if rows.stop == outputs else min(height, max(end, rows.stop * stride - top))
            start = max(0, first)
            pads = (left, right, start - first, max(0, end - height))
            geometry = replace(g, padding=(0, g.padding[1]), before=pads if any(pads) else ())
            layer = replace(self, geometry=geometry, in_shape=(self.in_shape[0], stop - start, *self.in_shape[2:]))
            yield Stripe(layer, slice(start, stop), slice(reached - start, stop - start), rows)
            reached = stop

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


def _without(x: Tensor, before: Sequence[int]) -> Tensor:
    """``x`` without what `torch.nn.functional.pad` put around it: a view, which is free, where it only cuts."""
    if min(before, default=0) < 0:  # a pad that cut: nothing arrives there
        return F.pad(x, tuple(-amount for amount in before))
    for axis, (first, last) in enumerate(zip(before[::2], before[1::2], strict=True), start=1):
        if first or last:
            x = x.narrow(-axis, first, x.shape[-axis] - first - last)
    return x


@dataclass(frozen=True, slots=True)
class Stripe:
    """A horizontal stripe of a convolution.

    Attributes:
        layer: The stripe as a map of its own.
        inside: The rows of the input that it reads.
        fresh: Those of them that no stripe above reads, counted from the stripe's first.
        outside: The rows of the output that it makes.
    """

    layer: LinearMap
    inside: slice | None = None
    fresh: slice | None = None
    outside: slice | None = None

    @staticmethod
    def cut(tensor: Tensor, rows: slice | None) -> Tensor:
        """These rows of ``tensor`` ``(..., height, width)``; all where ``rows`` is ``None``."""
        return tensor if rows is None else tensor[..., rows, :]
