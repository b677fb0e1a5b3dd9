"""What a method has to beat."""

from __future__ import annotations

import hashlib
from typing import ClassVar

import torch
from torch import Tensor, nn

from equipoise.methods.base import METHODS
from equipoise.methods.evaluate import Batch, ManyPasses, whole


@METHODS.register("random")
class Random(ManyPasses):
    r"""Uniform numbers in [0, 1), one for each position: a map that has seen nothing.

    What a metric gives it is the floor of that metric.

    .. math::
        R_p \sim U[0, 1)

    They depend on the image's content, the class and ``seed`` alone, so a batch, its order and the
    device do not matter; torch's own random state is not touched.

    Args:
        model: Any network in eval mode; one forward pass finds the classes.
        seed: Another seed, other numbers.
        chunk: How many images pass the network at once, fewer of more than 224 x 224 pixels.

    References:
        Adebayo et al. 2018 (*Sanity checks for saliency maps*): a map must be compared with one that cannot know.

        https://arxiv.org/abs/1810.03292
    """

    title: ClassVar[str] = "Random numbers"
    summary: ClassVar[str] = "Noise that knows nothing of the image: the floor of every comparison"
    level = "map"
    signed = False
    costly = False
    blind = True

    def __init__(self, model: nn.Module, *, seed: int = 0, chunk: int = 64) -> None:
        super().__init__(model, chunk=chunk)
        self.seed = whole("seed", seed, 0)

    def explain(self, batch: Batch) -> Tensor:
        """See `ManyPasses`; ``(k, n, 1, *space)``."""
        classes = _named(batch)
        contents = [image_bytes(image) for image in batch.image.cpu()]  # together: a device is waited for once
        rows = [
            self._draw(f"{self.seed} {index}".encode() + content, batch)
            for row in classes
            for index, content in zip(row, contents, strict=True)
        ]
        return torch.stack(rows).reshape(batch.k, batch.n, 1, *batch.image.shape[2:])

    def _draw(self, content: bytes, batch: Batch) -> Tensor:
        seed = int.from_bytes(hashlib.sha256(content).digest()[:7], "big")
        generator = torch.Generator().manual_seed(seed)
        return torch.rand(batch.image.shape[2:], generator=generator, dtype=batch.dtype).to(batch.image.device)


def _named(batch: Batch) -> list[list[str]]:
    """What each target ``(k, n)`` stands for: its classes; ``-1`` for a function of the logits."""
    members = batch.targets.members
    if members is None:
        return [["-1"] * batch.n] * batch.k
    return [[" ".join(map(str, image.nonzero()[:, 0].tolist())) for image in target] for target in members.cpu()]


def image_bytes(image: Tensor) -> bytes:
    """The memory of a tensor, in order; needs no numpy."""
    return bytes(image.detach().cpu().contiguous().flatten().view(torch.uint8).tolist())
