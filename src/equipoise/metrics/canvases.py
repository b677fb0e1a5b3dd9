"""What is behind the pixels that a perturbation shows or hides."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from equipoise._registry import Registry
from equipoise._typing import Float

CANVASES: Registry[Callable[[Float[torch.Tensor, "n c h w"]], Float[torch.Tensor, "n c h w"]]] = Registry("canvas")
"""From images, pixels between 0 and 1, to canvases of the same shape."""

_GAUSSIAN_SIGMA = 64 / 224  # of the longer side
_BLUR_KERNEL, _BLUR_SIGMA = 11, 5.0  # pixels
_ZERO = (0.485, 0.456, 0.406)


@CANVASES.register("gaussian")
def gaussian(images: Float[torch.Tensor, "n c h w"]) -> Float[torch.Tensor, "n c h w"]:
    r"""A gray spot that fades from white at the center to black: :math:`\exp(-r^2 / (2 \sigma^2))`.

    :math:`\sigma` is 64 pixels at a side of 224 and grows with the longer side. It favors objects at the center,
    around which it is light.

    References:
        Nam & Lee 2024, section 5.4; the formula was fitted to the sample images that the authors released.
    """
    height, width = images.shape[-2:]
    sigma = _GAUSSIAN_SIGMA * max(height, width)
    down = torch.arange(height, dtype=torch.float64) - (height - 1) / 2
    across = torch.arange(width, dtype=torch.float64) - (width - 1) / 2
    spot = torch.exp(-(down[:, None] ** 2 + across**2) / (2 * sigma**2))
    return spot.to(images).expand_as(images).clone()


@CANVASES.register("blur")
def blur(images: Float[torch.Tensor, "n c h w"]) -> Float[torch.Tensor, "n c h w"]:
    """The image, blurred by 11 by 11 weights; beyond the border lies ImageNet's mean color.

    The weights are a unit impulse in a field of 11 by 11, blurred by a Gaussian of
    5 pixels that is mirrored at the field's edge, so they fall off less than the Gaussian itself.

    References:
        Petsiuk et al. 2018 (*RISE*), the insertion game of the public code.
    """
    around = _mean_color(images)  # what zero padding means once an image is normalized
    kernel, margin = _mirrored_gaussian().to(images), _BLUR_KERNEL // 2
    stack = (images - around).reshape(-1, 1, *images.shape[-2:])
    stack = F.conv2d(stack, kernel.view(1, 1, 1, -1), padding=(0, margin))
    stack = F.conv2d(stack, kernel.view(1, 1, -1, 1), padding=(margin, 0))
    return stack.reshape(images.shape) + around


def _mean_color(images: torch.Tensor) -> torch.Tensor:
    """ImageNet's, ``(1, c, 1, 1)``; of other than three channels the gray of its mean."""
    color = _ZERO if images.shape[1] == len(_ZERO) else (sum(_ZERO) / len(_ZERO),) * images.shape[1]
    return images.new_tensor(color).view(1, -1, 1, 1)


def _mirrored_gaussian() -> torch.Tensor:
    """The weights along one axis: of each place, the Gaussian's that land there once the field is unfolded."""
    reach = torch.arange(-int(4 * _BLUR_SIGMA), int(4 * _BLUR_SIGMA) + 1)
    weights = torch.exp(-0.5 * (reach.double() / _BLUR_SIGMA) ** 2)
    unfolded = (torch.arange(_BLUR_KERNEL).unsqueeze(1) + reach) % (2 * _BLUR_KERNEL)
    folded = torch.minimum(unfolded, 2 * _BLUR_KERNEL - 1 - unfolded)
    return ((weights / weights.sum()) * (folded == _BLUR_KERNEL // 2)).sum(1)


@CANVASES.register("mean")
def mean(images: Float[torch.Tensor, "n c h w"]) -> Float[torch.Tensor, "n c h w"]:
    """Each image's own mean color."""
    return images.mean((2, 3), keepdim=True).expand_as(images).clone()


@CANVASES.register("zero")
def zero(images: Float[torch.Tensor, "n c h w"]) -> Float[torch.Tensor, "n c h w"]:
    """ImageNet's mean color, which is 0 after the usual normalization; gray where there are not three channels."""
    return _mean_color(images).expand_as(images).clone()


@CANVASES.register("black")
def black(images: Float[torch.Tensor, "n c h w"]) -> Float[torch.Tensor, "n c h w"]:
    """Black pixels."""
    return torch.zeros_like(images)
