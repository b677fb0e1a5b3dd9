"""Methods that cover parts of the image and look at what the score does; no gradient."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from equipoise.errors import OptionError
from equipoise.methods.base import METHODS
from equipoise.methods.evaluate import Batch, ManyPasses, whole
from equipoise.methods.gradient import baseline_like
from equipoise.methods.masks import RandomMasks, Windows, masked_scores, weighted_sum


@METHODS.register("occlusion")
class Occlusion(ManyPasses):
    r"""How much the score drops when a window is covered; a pixel takes the mean over the windows on it.

    A window slides over the image and covers it; where the score drops, the pixels mattered.

    .. math::
        R_p = \frac{1}{|W_p|} \sum_{w \in W_p} \big(y(x) - y(x \text{ without } w)\big)

    Args:
        model: Any network in eval mode; it is not changed.
        window: Side of the window in pixels; ``None``: a seventh of each side of the image.
        stride: Step from window to window, at most ``window``; ``None``: half the window.
        fill: What covers: a number, or a tensor that broadcasts over ``(n, c, h, w)``.
        chunk: How many images pass the network at once, fewer of more than 224 x 224 pixels;
            one forward pass per window.

    Raises:
        OptionError: If a number is out of range.

    References:
        Zeiler & Fergus 2014 (*Visualizing and understanding convolutional networks*), Section 4.2.

        https://arxiv.org/abs/1311.2901
    """

    title: ClassVar[str] = "Occlusion"
    summary: ClassVar[str] = "How far the score drops when a window around each place is covered"
    level = "map"

    def __init__(
        self,
        model: nn.Module,
        *,
        window: int | None = None,
        stride: int | None = None,
        fill: Any = 0.0,
        chunk: int = 64,
    ) -> None:
        super().__init__(model, chunk=chunk)
        self.window = None if window is None else whole("window", window)
        self.stride = None if stride is None else whole("stride", stride)
        if self.window and self.stride and self.stride > self.window:
            raise OptionError(f"stride is {stride}, so pixels between windows of {window} would be left out")
        self.fill = fill

    def explain(self, batch: Batch) -> Tensor:
        """See `ManyPasses`; ``(k, n, 1, *space)``."""
        size = batch.image.shape[2:]
        window = [min(self.window or max(length // 7, 2), length) for length in size]
        stride = [min(self.stride or max(side // 2, 1), side) for side in window]
        holes = Windows(size, window, stride)
        fill = baseline_like(self.fill, batch.image)
        scores = masked_scores(batch, len(holes), lambda which, _: 1 - holes(which), fill)
        everything = torch.arange(batch.n, device=batch.image.device)
        before = batch.scores(batch.logits, torch.zeros_like(everything), everything)
        drops = before.unsqueeze(1) - scores
        return weighted_sum(drops, holes) / weighted_sum(torch.ones_like(drops[:1, :, :1]), holes)


@METHODS.register("rise", aliases=("RISE",))
class Rise(ManyPasses):
    r"""The mean of thousands of random smooth masks, weighted by the score of the image seen through each.

    Each mask counts as much as the class scores on the image seen through it. Needs nothing but the scores.

    .. math::
        R = \frac{1}{N\, \mathbb E[M]} \sum_{i=1}^N f(x \odot M_i)\, M_i

    Args:
        model: Any network in eval mode; it is not changed.
        masks: How many; the authors take 4000 for VGG-16 and 8000 for ResNet-50.
        grid: Cells of a mask along each side.
        keep: Probability that a cell is kept.
        score: A class's score: its ``"probability"`` (the paper) or its ``"logit"``. A function of the
            logits is taken as it is.
        seed: Of the masks, which are the same for every image of a batch; torch's own random state is
            not touched.
        chunk: How many images pass the network at once, fewer of more than 224 x 224 pixels; one forward pass per mask.

    Raises:
        OptionError: If a number is out of range.

    References:
        Petsiuk, Das & Saenko 2018 (*RISE*), Eq. 6; masks as in its Section 3.2.

        https://arxiv.org/abs/1806.07421
    """

    title: ClassVar[str] = "RISE"
    summary: ClassVar[str] = "Regions that keep the score when seen alone: random masks, weighted by what it is then"
    level = "map"
    signed = False

    def __init__(
        self,
        model: nn.Module,
        *,
        masks: int = 4000,
        grid: int = 7,
        keep: float = 0.5,
        score: Literal["probability", "logit"] = "probability",
        seed: int = 0,
        chunk: int = 64,
    ) -> None:
        super().__init__(model, chunk=chunk)
        if not isinstance(keep, float) or not 0 < keep < 1:
            raise OptionError(f"keep is {keep!r}; a probability lies between 0 and 1")
        if score not in {"probability", "logit"}:
            raise OptionError(f"score is {score!r}; choose from probability, logit")
        self.masks, self.grid, self.seed = whole("masks", masks), whole("grid", grid), whole("seed", seed, 0)
        self.keep, self.score = keep, score

    def explain(self, batch: Batch) -> Tensor:
        """See `ManyPasses`; ``(k, n, 1, *space)``."""
        drawn = RandomMasks(self.masks, batch.image.shape[2:], self.grid, self.keep, self.seed)
        scores = masked_scores(
            batch, self.masks, lambda which, _: drawn(which), probability=self.score == "probability"
        )
        return weighted_sum(scores, drawn) / (self.masks * self.keep)
