r"""The rule for the layer that reads the pixels: :math:`z^B` (Montavon et al. 2017, deep Taylor decomposition)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from equipoise.engine.layout import laid_out
from equipoise.engine.linear_map import LinearMap
from equipoise.engine.numerics import rows_per_image, safe_divide, working_dtype
from equipoise.engine.portions import in_portions
from equipoise.engine.relevance import Relevance, only
from equipoise.engine.rule import Step
from equipoise.errors import OptionError


@dataclass(frozen=True)
class ZBox:
    r"""Share relevance among pixels that lie between a lowest and a highest value.

    .. math:: R_i = x_i (w s)_i - L_i (w^+ s)_i - H_i (w^- s)_i, \quad
              s = R / (x w - L w^+ - H w^-)

    Zero where the denominator is exactly zero. Conserves the sum elsewhere.

    Attributes:
        bounds: ``(L, H)``, each a value per channel ``(c,)`` or broadcastable to the network's input
            ``(n, c, *space)``; ``None`` takes each image's own extremes, over all its channels and pixels.
    """

    bounds: tuple[Tensor, Tensor] | None = None

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        arrived = only(relevance)
        x = laid_out(step.data())
        low, high = self._bounds_at(step, x)
        value = self.equation(x, step.linear_map(), arrived.value, low, high)
        return [arrived.with_value(value), *[None] * (len(step.call.inputs) - 1)]

    def equation(self, x: Tensor, layer: LinearMap, R: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Relevance of the layer's input ``(k, m, *in)`` from that of its output ``(k, m, *out)``.

        The equation with ``w = w+ + w-``: both parts are then differences from a bound, of one sign.
        """
        positive, negative = layer.weight.clamp(min=0), layer.weight.clamp(max=0)

        def equation(inputs: Sequence[Tensor], part: LinearMap, R: Tensor) -> Tensor:
            above, below = inputs
            s = safe_divide(R, part(above, positive) + part(below, negative))
            return above * part.adjoint(s, positive) + below * part.adjoint(s, negative)

        return in_portions(equation, [x - low, x - high], layer, R)

    def _bounds_at(self, step: Step, x: Tensor) -> tuple[Tensor, Tensor]:
        """The bounds of this layer's input: the image's, taken through what the network did to it first."""
        if self.bounds is None:
            # Frames that the network folded into the batch belong to one image.
            rows, n = rows_per_image(len(x), step.n), step.n
            flat = x.reshape(n, -1)
            shape = (-1, *[1] * (x.dim() - 1))
            low, high = (part.repeat_interleave(rows).reshape(shape) for part in (flat.amin(1), flat.amax(1)))
            return low, high
        source, image = step.call.inputs[0], step.trace.input
        dtype = working_dtype(image.dtype)
        ends = [
            step.trace.evaluate(
                source, _as_image(bound, image.shape).to(device=x.device, dtype=dtype, non_blocking=True)
            )
            for bound in self.bounds
        ]
        return torch.minimum(*ends).to(x.dtype), torch.maximum(*ends).to(x.dtype)


def _as_image(bound: Tensor, shape: Sequence[int]) -> Tensor:
    """A bound in the shape of the images ``(n, c, *space)``; of one dimension it has a value for each channel.

    Raises:
        OptionError: If it does not fit them.
    """
    channels = bound.reshape(-1, *[1] * (len(shape) - 2)) if bound.dim() == 1 else bound
    try:
        return channels.expand(*shape)
    except RuntimeError as error:
        given, images = tuple(bound.shape), tuple(shape)
        raise OptionError(
            f"input_bounds of shape {given} do not fit inputs {images}; give a value, or one per channel"
        ) from error
