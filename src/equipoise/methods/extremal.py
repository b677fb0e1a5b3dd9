"""Extremal perturbation: the smooth mask of a given area that keeps the score highest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from equipoise.errors import OptionError, ShapeError
from equipoise.methods.base import METHODS
from equipoise.methods.evaluate import Batch, ManyPasses, differentiated, whole

_RATE, _MOMENTUM = 0.01, 0.9
_AREA_WEIGHT, _AREA_GROWTH = 300.0, 16.4  # the authors' 1.0035 ** 800
_LEVELS = 8
_SHARPNESS = 20.0  # of the smooth maximum
_CONVOLVE = {1: F.conv1d, 2: F.conv2d}


@METHODS.register("extremal_perturbation", aliases=("extremal_perturbations",))
class ExtremalPerturbation(ManyPasses):
    r"""The mask that covers a given part of the image and keeps the score as high as it can.

    Says how much of the image is enough.

    .. math::
        m^* = \mathrm{arg}\,\max_{m \in \mathcal M} \; y(m \otimes x) - \lambda\, \lVert \mathrm{sort}(m) - r_a \rVert^2

    A coarse mask is enlarged by a smooth maximum over a disk and decides how much each position is
    blurred. Gradient descent with momentum raises the score and pulls the sorted values of the mask
    towards zeros and ones in the wanted proportion. Nothing is random. The mask starts at one half and its
    first step follows the score alone; the authors' starts at one, where all places tie.

    Args:
        model: Any network in eval mode that torch can differentiate; it is not changed.
        area: Which part of the image the mask may keep, or several; the masks are then averaged.
        steps: Of the descent; the authors take 800. Each is one forward and one backward pass.
        chunk: How many images pass the network at once, fewer of more than 224 x 224 pixels.

    Raises:
        OptionError: If an area is not between 0 and 1.
        ShapeError: If the inputs are neither signals nor images: around a voxel lie too many others.

    References:
        Fong, Patrick & Vedaldi 2019 (*Understanding deep networks via extremal perturbations and smooth
        masks*), Eq. 2 to 5 (area constraint and smooth masks); weights and rates are the authors'.

        https://arxiv.org/abs/1910.08485
    """

    title: ClassVar[str] = "Extremal Perturbation"
    summary: ClassVar[str] = "The region of a given area that is worth most to the class, as a smooth mask"
    level = "map"
    signed = False

    def __init__(
        self, model: nn.Module, *, area: float | Sequence[float] = 0.1, steps: int = 400, chunk: int = 16
    ) -> None:
        super().__init__(model, chunk=chunk)
        given = [area] if isinstance(area, int | float) else list(area)
        if not given or not all(isinstance(part, int | float) and 0 < part < 1 for part in given):
            raise OptionError(f"area is {area!r}; it must be a part of the image between 0 and 1, or several")
        self.areas, self.steps = given, whole("steps", steps)

    def explain(self, batch: Batch) -> Tensor:
        """See `ManyPasses`; ``(k, n, 1, *space)``."""
        if batch.image.dim() not in {3, 4}:
            raise ShapeError(
                f"extremal perturbation explains signals (n, c, l) and images (n, c, h, w), not inputs of shape "
                f"{tuple(batch.image.shape)}; rise and occlusion explain them too"
            )
        kinds = batch.k * len(self.areas)  # each image is optimized once for every target and area
        found = torch.zeros(kinds, batch.n, 1, *batch.image.shape[2:], dtype=batch.dtype, device=batch.image.device)

        def work(which: Tensor, images: Tensor) -> None:
            areas = torch.tensor(self.areas).to(which.device, non_blocking=True)[which // batch.k]
            found[which, images] = self._optimize(batch, which, which % batch.k, images, areas)

        batch.over(kinds, work, passes=self.steps)
        return found.reshape(len(self.areas), batch.k, *found.shape[1:]).mean(0)

    def _optimize(self, batch: Batch, which: Tensor, targets: Tensor, images: Tensor, areas: Tensor) -> Tensor:
        smooth = SmoothMask(batch.image.shape[2:], batch.image.device, batch.dtype)
        blurred = Blur(batch.image[images])
        rank = torch.linspace(0, 1, math.prod(batch.image.shape[2:]), device=which.device, dtype=batch.dtype)
        wanted = (rank >= 1 - areas.unsqueeze(1)).to(batch.dtype)
        coarse = torch.full((len(which), 1, *smooth.cells), 0.5, device=which.device, dtype=batch.dtype)
        speed = torch.zeros_like(coarse)
        rows = torch.arange(len(which), device=which.device)
        for step in range(self.steps):
            with torch.enable_grad():
                leaf = coarse.detach().requires_grad_()
                mask = smooth(leaf)
                scores = batch.scores(batch.forward(blurred(mask)), which, images)[targets, rows]
                off = (mask.flatten(1).sort(dim=1, stable=True).values - wanted).square().mean(1)
                # Of equal values the sort would prefer some by their place, so the score speaks first.
                weight = _AREA_WEIGHT * _AREA_GROWTH ** (step / self.steps) if step else 0.0
                aim = weight * off - scores if weight else -scores
                gradient = differentiated(aim.sum(), leaf)
            speed = _MOMENTUM * speed + gradient
            coarse = (coarse - _RATE * speed).clamp(0, 1)
            batch.progress.advance(len(which))
        return smooth(coarse)


class SmoothMask:
    """Enlarges a coarse mask: each pixel takes the smooth maximum of the cells around, weighted by nearness.

    Args:
        size: Of the image, ``(h, w)``, or of a signal, ``(l,)``.
        device: Where.
        dtype: In what.
    """

    def __init__(self, size: Sequence[int], device: torch.device, dtype: torch.dtype) -> None:
        self.size = tuple(size)
        self.step = max(1, round(max(size) / 32))
        self.cells = tuple(math.ceil(length / self.step) for length in size)
        radius = 3 * self.step  # of the disk; a neighbor counts fully up to half of it
        self.reach = math.ceil(2 * radius / self.step)
        offsets = torch.arange(-self.reach, self.reach + 1, device=device, dtype=dtype) * self.step
        dims = len(self.size)
        squared: Tensor | float = 0.0  # (offset along each axis, place along each axis)
        for axis, length in enumerate(self.size):
            place = torch.arange(length, device=device) % self.step
            shape = [1] * (2 * dims)
            shape[axis], shape[dims + axis] = len(offsets), length
            squared = squared + (offsets.unsqueeze(1) + (self.step - 1) / 2 - place).square().reshape(shape)
        distance = torch.as_tensor(squared).sqrt() / radius
        weights = torch.exp(-2 * (distance - 0.5).clamp(min=0).square())
        self.weights = weights.reshape(1, -1, *self.size)  # (1, neighbors, *size)

    def __call__(self, coarse: Tensor) -> Tensor:
        """``(m, 1, *cells)`` to ``(m, 1, *size)``, in [0, 1] like its argument."""
        dims = len(self.size)
        around = F.pad(coarse, (self.reach,) * (2 * dims), mode="replicate")
        for axis in range(dims):
            around = around.unfold(2 + axis, 2 * self.reach + 1, 1)  # the window becomes the last axis
        near = around.movedim(tuple(range(-dims, 0)), tuple(range(1, 1 + dims))).reshape(len(coarse), -1, *self.cells)
        for axis, length in enumerate(self.size):
            near = near.repeat_interleave(self.step, 2 + axis).narrow(2 + axis, 0, length)
        near = near * self.weights
        return (near * torch.softmax(_SHARPNESS * near, 1)).sum(1, keepdim=True)


class Blur:
    """Each position of an image as sharp as a mask says: 1 shows it, 0 blurs it most.

    Args:
        image: ``(m, c, *space)``.
    """

    def __init__(self, image: Tensor) -> None:
        widest = max(image.shape[2:]) * 20 / 224
        widths = [widest * (1 - level / (_LEVELS - 1)) for level in range(_LEVELS)]
        self.levels = [gaussian_blur(image, width) for width in widths]

    def __call__(self, mask: Tensor) -> Tensor:
        """The image ``(m, c, *space)`` seen through a mask ``(m, 1, *space)``."""
        place = mask * (_LEVELS - 1)
        shown = torch.zeros_like(self.levels[0])
        for number, level in enumerate(self.levels):
            shown = shown + (level * (1 - (place - number).abs()).clamp(min=0)).to(shown.dtype)
        return shown


def gaussian_blur(image: Tensor, width: float) -> Tensor:
    """Blur ``(m, c, *space)`` with a Gaussian of standard deviation ``width`` pixels, cut at three; edges repeat."""
    if width <= 0:
        return image
    reach = math.ceil(3 * width)
    place = torch.arange(-reach, reach + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (place / width).square())
    kernel = kernel / kernel.sum()
    dims = image.dim() - 2
    flat = F.pad(image.reshape(-1, 1, *image.shape[2:]), (reach,) * (2 * dims), mode="replicate")
    for axis in range(dims):
        shape = [1] * (2 + dims)
        shape[2 + axis] = -1
        flat = _CONVOLVE[dims](flat, kernel.reshape(shape))
    return flat.reshape(image.shape)
