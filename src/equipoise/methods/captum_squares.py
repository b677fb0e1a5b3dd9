"""LIME and Kernel SHAP over squares of the image, computed by captum."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from equipoise.errors import OptionError
from equipoise.methods.base import METHODS
from equipoise.methods.captum_methods import CaptumMethod, ImageScore
from equipoise.methods.evaluate import Batch, Progress, whole
from equipoise.methods.gradient import baseline_like


class SquareMethod(CaptumMethod):
    """Base of `Lime` and `KernelShap`: a linear model of the score while squares of the image are covered."""

    level = "map"
    packages: ClassVar[tuple[str, ...]] = ("captum.attr", "sklearn.linear_model")
    differentiates: ClassVar[bool] = False

    def __init__(self, model: nn.Module, *, grid: int, samples: int, baseline: Any, seed: int, chunk: int) -> None:
        super().__init__(model, seed=seed, chunk=chunk)
        self.grid, self.samples, self.baseline = whole("grid", grid), whole("samples", samples), baseline

    def explain(self, batch: Batch) -> Tensor:
        """See `ManyPasses`; the number of forward passes is said first."""
        with Progress(batch.name, batch.k * batch.n * self.samples) as batch.progress:
            return super().explain(batch)

    def network(self, batch: Batch) -> Callable[[Tensor], Tensor]:
        """See `CaptumMethod`; counts the passes, and halves the chunk when memory runs out."""

        def forward(points: Tensor) -> Tensor:
            logits = batch.forward_in_chunks(points)
            batch.progress.advance(len(points))
            return logits

        return forward

    def explainer(self, attr: Any, scores: ImageScore) -> Any:
        """Captum's object."""
        raise NotImplementedError  # abstract: both methods define it

    def one(self, attr: Any, scores: ImageScore, image: Tensor) -> Tensor:
        """See `CaptumMethod`; ``(1, 1, *space)``."""
        image = image.detach()
        explainer = self.explainer(attr, scores)
        try:
            found: Tensor = explainer.attribute(
                image,
                baselines=baseline_like(self.baseline, image).contiguous(),
                feature_mask=squares(image, self.grid),
                n_samples=self.samples,
                perturbations_per_eval=self.chunk,
            )
        finally:
            vars(explainer).clear()  # KernelShap holds itself, and with it the network and the images
        return found[:, :1]


@METHODS.register("lime", aliases=("LIME",))
class Lime(SquareMethod):
    r"""The coefficients of a sparse linear model that imitates the score while squares of the image are covered.

    Its coefficients are the map.

    .. math::
        \hat\beta = \mathrm{arg}\,\min_\beta \sum_i \pi(z_i) \big(y(x_{z_i}) - \beta^\top z_i\big)^2
        + \lambda \lVert \beta \rVert_1

    Args:
        model: Any network in eval mode; it is not changed.
        grid: Squares along each side of the image; fewer where it has more than two dimensions, so that there are
            about ``grid * grid`` in all.
        samples: How many covered images; one forward pass each.
        penalty: Of the Lasso, as a part of the score's standard deviation over the covered images: squares that
            matter less get 0.
        baseline: What covers: a number, or a tensor that broadcasts over ``(1, c, h, w)``.
        seed: Of the choice of squares.
        chunk: How many images pass the network at once, fewer of more than 224 x 224 pixels;
            halved by itself when memory runs out.

    Raises:
        MissingPackageError: If captum or scikit-learn is not installed.
        OptionError: If a number is out of range.

    References:
        Ribeiro, Singh & Guestrin 2016 (*Why should I trust you?*), Eq. 1; computed by captum with its
        own similarity and Lasso.

        https://doi.org/10.1145/2939672.2939778
    """

    title: ClassVar[str] = "LIME"
    summary: ClassVar[str] = "Squares of the image that the score hangs on, by a sparse linear model of it (captum)"

    def __init__(
        self,
        model: nn.Module,
        *,
        grid: int = 8,
        samples: int = 500,
        penalty: float = 0.01,
        baseline: Any = 0.0,
        seed: int = 0,
        chunk: int = 64,
    ) -> None:
        super().__init__(model, grid=grid, samples=samples, baseline=baseline, seed=seed, chunk=chunk)
        if not isinstance(penalty, int | float) or not penalty >= 0:
            raise OptionError(f"penalty is {penalty!r}; it must be at least 0")
        self.penalty = float(penalty)

    def explainer(self, attr: Any, scores: ImageScore) -> Any:
        """See `SquareMethod`."""
        return attr.Lime(scores, interpretable_model=_relative_lasso(self.penalty))


@METHODS.register("kernel_shap", aliases=("KernelSHAP",))
class KernelShap(SquareMethod):
    r"""Shapley values of squares of the image, by `Lime`'s way with other weights and no penalty.

    What each square adds, averaged over the orders in which squares could be uncovered.

    .. math::
        \pi(z) = \frac{M - 1}{\binom{M}{|z|}\, |z|\, (M - |z|)}

    Args:
        model: Any network in eval mode; it is not changed.
        grid: Squares along each side of the image; fewer where it has more than two dimensions, so that there are
            about ``grid * grid`` in all.
        samples: How many covered images; one forward pass each.
        baseline: What covers: a number, or a tensor that broadcasts over ``(1, c, h, w)``.
        seed: Of the choice of squares.
        chunk: How many images pass the network at once, fewer of more than 224 x 224 pixels;
            halved by itself when memory runs out.

    Raises:
        MissingPackageError: If captum or scikit-learn is not installed.

    References:
        Lundberg & Lee 2017, Theorem 2; computed by captum.

        https://arxiv.org/abs/1705.07874
    """

    title: ClassVar[str] = "Kernel SHAP"
    summary: ClassVar[str] = "Each square's share of the score, whichever others are shown: Shapley values (captum)"

    def __init__(
        self,
        model: nn.Module,
        *,
        grid: int = 8,
        samples: int = 500,
        baseline: Any = 0.0,
        seed: int = 0,
        chunk: int = 64,
    ) -> None:
        super().__init__(model, grid=grid, samples=samples, baseline=baseline, seed=seed, chunk=chunk)

    def explainer(self, attr: Any, scores: ImageScore) -> Any:
        """See `SquareMethod`."""
        return attr.KernelShap(scores)

    def one(self, attr: Any, scores: ImageScore, image: Tensor) -> Tensor:
        """See `SquareMethod`; a single square has the whole difference, and captum nothing to choose from."""
        if int(squares(image, self.grid).max()) > 0:
            return super().one(attr, scores, image)
        with torch.no_grad():
            covered = baseline_like(self.baseline, image.detach())
            difference = scores(image.detach()) - scores(covered.clone())
        return difference.reshape(1, *[1] * (image.dim() - 1)).expand_as(image[:, :1])


def _relative_lasso(penalty: float) -> Any:
    """Captum's Lasso, whose penalty does not know in what unit a network speaks: a small score is no small effect."""
    base: Any = importlib.import_module("captum._utils.models.linear_model").SkLearnLasso

    class RelativeLasso(base):  # type: ignore[misc]  # captum is imported when it is needed
        def fit(self, train_data: Any, **options: Any) -> Any:
            spread = torch.cat([batch[1].flatten() for batch in train_data]).double().cpu().std(correction=0)
            self.construct_kwargs["alpha"] = penalty * (spread.item() or 1.0)
            return super().fit(train_data, **options)

    return RelativeLasso(alpha=penalty)


def squares(image: Tensor, grid: int) -> Tensor:
    """Number each position of ``image`` ``(1, c, *space)`` by the square it lies in, from 0 on.

    A cube of ``grid`` to a side would have more cells than samples can tell apart, so it has about as many as a square.
    """
    dims = image.dim() - 2
    if dims > 2:
        grid = max(min(grid, 2), int(grid ** (2 / dims) + 1e-9))
    number = torch.zeros(image.shape[2:], dtype=torch.long, device=image.device)
    for axis, length in enumerate(image.shape[2:]):
        cells = min(grid, length)
        place = torch.arange(length, device=image.device) * cells // length
        shape = [1] * number.dim()
        shape[axis] = length
        number = number * cells + place.reshape(shape)
    return number.expand(image.shape)
