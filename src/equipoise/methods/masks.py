"""Images seen through masks, and what the network then says."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from equipoise.methods.evaluate import Batch

MaskOf = Callable[[Tensor, Tensor], Tensor]
"""Masks ``(m, 1, *space)`` for mask numbers ``(m,)`` and image numbers ``(m,)``."""

_MODE = {1: "linear", 2: "bilinear", 3: "trilinear"}


def masked_scores(
    batch: Batch, count: int, masks: MaskOf, fill: Tensor | None = None, *, probability: bool = False
) -> Tensor:
    """The explained scores of every image seen through every mask.

    Args:
        batch: What is explained.
        count: How many masks each image is seen through.
        masks: Makes them, some at a time; 1 keeps a pixel.
        fill: What a mask of 0 shows, ``(n, c, *space)``; ``None``: zero.
        probability: See `Batch.scores`.

    Returns:
        ``(k, count, n)``.
    """
    found = torch.zeros(batch.k, count, batch.n, dtype=batch.dtype, device=batch.image.device)

    def work(which: Tensor, images: Tensor) -> None:
        mask = masks(which, images).to(batch.image.dtype)
        seen = batch.image[images] * mask
        if fill is not None:
            seen = seen + fill[images] * (1 - mask)
        found[:, which, images] = batch.scores(batch.forward(seen), which, images, probability=probability)

    batch.over(count, work)
    return found


def weighted_sum(scores: Tensor, masks: Callable[[Tensor], Tensor], block: int = 64) -> Tensor:
    """Sum masks, weighted by their scores.

    Args:
        scores: ``(k, count, n)``.
        masks: Makes the masks ``(m, 1, *space)`` that all images share from their numbers ``(m,)``.
        block: How many masks to hold at once.

    Returns:
        ``(k, n, 1, *space)``.
    """
    total: Tensor | int = 0
    for which in torch.split(torch.arange(scores.shape[1], device=scores.device), block):
        made = masks(which).to(scores.dtype)
        total = total + torch.einsum("kmn,mp->knp", scores[:, which], made.flatten(1)).reshape(
            *scores.shape[::2], *made.shape[1:]
        )
    assert isinstance(total, Tensor)  # noqa: S101  # there is at least one mask
    return total


class RandomMasks:
    """The masks of RISE: coarse random grids, enlarged smoothly and shifted by a part of a cell.

    Args:
        count: How many.
        size: Of the images, one number per spatial dimension.
        grid: Cells along each dimension.
        keep: Probability that a cell is kept.
        seed: The same seed draws the same masks on every device.
    """

    def __init__(self, count: int, size: Sequence[int], grid: int, keep: float, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.size = tuple(size)
        self.cell = tuple(math.ceil(length / grid) for length in size)
        self.cells = (torch.rand(count, 1, *[grid + 1] * len(size), generator=generator) < keep).to(torch.uint8)
        self.shift = torch.stack([torch.randint(step, (count,), generator=generator) for step in self.cell], 1)

    def __call__(self, which: Tensor) -> Tensor:
        """Masks ``(m, 1, *space)`` in [0, 1] by number ``(m,)``."""
        numbers = which.cpu()
        cells = self.cells[numbers].float().to(which.device, non_blocking=True)
        large = [(cells.shape[2]) * step for step in self.cell]
        enlarged = F.interpolate(cells, size=large, mode=_MODE[len(large)], align_corners=False)
        cropped = []
        for mask, shift in zip(enlarged, self.shift[numbers].tolist(), strict=True):
            window = tuple(slice(start, start + length) for start, length in zip(shift, self.size, strict=True))
            cropped.append(mask[(slice(None), *window)])
        return torch.stack(cropped)


class Windows:
    """Square holes at regular places; holes at the border are cut off.

    Args:
        size: Of the images.
        window: Length of a hole in each dimension.
        stride: Step from one to the next in each dimension.
    """

    def __init__(self, size: Sequence[int], window: Sequence[int], stride: Sequence[int]) -> None:
        self.size, self.window = tuple(size), tuple(window)
        starts = [
            torch.arange(math.ceil(max(length - hole, 0) / step) + 1) * step
            for length, hole, step in zip(size, window, stride, strict=True)
        ]
        self.starts = torch.cartesian_prod(*starts).reshape(-1, len(starts))

    def __len__(self) -> int:
        return len(self.starts)

    def __call__(self, which: Tensor) -> Tensor:
        """1 inside hole number ``which``, 0 outside, ``(m, 1, *space)``."""
        starts = self.starts.to(which.device, non_blocking=True)[which]
        inside = torch.ones(len(which), 1, *[1] * len(self.size), device=which.device)
        for axis, (length, hole) in enumerate(zip(self.size, self.window, strict=True)):
            place = torch.arange(length, device=which.device)
            start = starts[:, axis, None]
            along = (place >= start) & (place < start + hole)
            shape = [len(which), 1, *[1] * len(self.size)]
            shape[2 + axis] = length
            inside = inside * along.reshape(shape)
        return inside
