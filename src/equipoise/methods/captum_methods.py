"""Methods that captum computes: DeepLIFT and SHAP by name, with our conventions around them.

captum is imported when one of them is made, not before. Each image and each target goes to captum on
its own, with its own random seed, so a result never depends on the batch.
"""

from __future__ import annotations

import importlib
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from equipoise.engine.entrance import out_of_memory
from equipoise.errors import (
    EquipoiseError,
    MissingPackageError,
    OptionError,
    UnsupportedModelError,
    UntracedTensorError,
)
from equipoise.methods.base import METHODS
from equipoise.methods.evaluate import UNREACHED, Batch, ManyPasses, not_differentiable, whole
from equipoise.methods.gradient import baseline_like
from equipoise.methods.hookable import HookableCopy, ScoreModule

_ALONE = threading.Lock()  # captum draws from the random state of the whole process


@dataclass(frozen=True)
class ImageScore:
    """Score number ``k`` of image number ``i``, as a function of altered images."""

    batch: Batch
    network: Callable[[Tensor], Tensor]
    k: int
    i: int

    def __call__(self, points: Tensor) -> Tensor:
        """Images ``(m, c, *space)`` to scores ``(m,)``."""
        rows = torch.arange(len(points), device=points.device)
        logits = self.network(points.to(self.batch.image.dtype))
        if torch.is_grad_enabled() and points.requires_grad and not logits.requires_grad:
            raise UntracedTensorError(UNREACHED)
        return self.batch.scores(logits, rows, torch.full_like(rows, self.i))[self.k]


class CaptumMethod(ManyPasses):
    """Base of the methods here; a subclass says which captum object explains one image.

    Args:
        model: Any network in eval mode; it is not changed.
        chunk: How many images pass the network at once, fewer of more than 224 x 224 pixels, where captum can be told.

    Raises:
        MissingPackageError: If captum, or what it needs for this method, is not installed.
    """

    packages: ClassVar[tuple[str, ...]] = ("captum.attr",)
    differentiates: ClassVar[bool] = True

    def __init__(self, model: nn.Module, *, seed: int = 0, chunk: int = 16) -> None:
        super().__init__(model, chunk=chunk)
        self.seed = whole("seed", seed, 0)
        for name in self.packages:
            try:
                importlib.import_module(name)
            except ImportError as error:
                package = name.split(".", maxsplit=1)[0]
                raise MissingPackageError(
                    f"{type(self).__name__} needs {package}, which is not installed: pip install equipoise[captum]"
                ) from error

    def explain(self, batch: Batch) -> Tensor:
        """See `ManyPasses`."""
        network = self.network(batch)
        rows = [self._alone(ImageScore(batch, network, k, i)) for k in range(batch.k) for i in range(batch.n)]
        return torch.cat(rows).reshape(batch.k, batch.n, *rows[0].shape[1:])

    def network(self, batch: Batch) -> Callable[[Tensor], Tensor]:
        """What captum is given in place of the network: images to logits."""
        return batch.forward

    def one(self, attr: Any, scores: ImageScore, image: Tensor) -> Tensor:
        """Explain one image ``(1, c, *space)`` with captum's module ``captum.attr``."""
        raise NotImplementedError  # abstract: every method defines it

    def _alone(self, scores: ImageScore) -> Tensor:
        image = scores.batch.image[scores.i : scores.i + 1].clone().requires_grad_()
        with _ALONE, _seeded(self.seed, image.device), warnings.catch_warnings(), torch.enable_grad():
            warnings.simplefilter("ignore")  # it announces its own hooks
            try:
                found = self.one(importlib.import_module("captum.attr"), scores, image)
            except (RuntimeError, AssertionError) as error:
                if isinstance(error, EquipoiseError) or out_of_memory(error):
                    raise
                if "not have been used in the graph" in str(error):
                    raise UntracedTensorError(UNREACHED) from error
                if self.differentiates:
                    raise UnsupportedModelError(not_differentiable(error)) from error
                raise UnsupportedModelError(f"captum cannot explain this network: {error}") from error
        return found.detach().to(scores.batch.dtype)


@METHODS.register("deep_lift", aliases=("DeepLIFT",))
class DeepLift(CaptumMethod):
    r"""What each pixel's difference from a baseline adds to the score's, layer by layer (rescale rule).

    At a nonlinearity the quotient of the differences takes the derivative's place.

    .. math::
        m = \frac{f(x) - f(b)}{x - b} \quad\text{at each nonlinearity, in place of } f'(x)

    The sum over an image is the score minus the baseline's; captum's rule for max pools loses a little
    where the largest entry does not differ from the baseline's. captum asks for a module of its own for
    each call of a nonlinearity; a shared one is split here, on a copy of the network that shares the
    weights. A functional nonlinearity, or one that captum has no rule for, is refused.

    Args:
        model: A network in eval mode whose nonlinearities are modules; it is not changed.
        baseline: A number, or a tensor that broadcasts over ``(n, c, h, w)``.

    Raises:
        MissingPackageError: If captum is not installed.
        UnsupportedModelError: If captum would see a plain gradient where the network has a nonlinearity.

    References:
        Shrikumar, Greenside & Kundaje 2017 (*Learning important features through propagating activation
        differences*), Eq. 1 and Section 3.5.1; computed by captum.

        https://arxiv.org/abs/1704.02685
    """

    title: ClassVar[str] = "DeepLIFT"
    summary: ClassVar[str] = "What each pixel adds to the score by how it differs from a baseline's (captum)"
    costly = False

    def __init__(self, model: nn.Module, *, baseline: Any = 0.0) -> None:
        super().__init__(model)
        self.baseline = baseline

    def network(self, batch: Batch) -> Callable[[Tensor], Tensor]:
        """A copy that captum's hooks can be put on."""
        return HookableCopy(batch.model, batch.image[:1], batch.output)

    def one(self, attr: Any, scores: ImageScore, image: Tensor) -> Tensor:
        """See `CaptumMethod`."""
        baseline = baseline_like(self.baseline, image).contiguous()
        found: Tensor = attr.DeepLift(ScoreModule(scores.network, scores)).attribute(image, baseline)
        return found


@METHODS.register("deep_lift_shap", aliases=("DeepLiftSHAP",))
class DeepLiftShap(DeepLift):
    r"""`DeepLift`, averaged over several baselines.

    An approximation of Shapley values.

    .. math::
        R = \frac{1}{|B|} \sum_{b \in B} R^{\mathrm{DeepLIFT}}(x, b)

    Args:
        model: As for `DeepLift`.
        baselines: Images ``(b, c, h, w)``, at least two; or how many to draw from the standard normal
            distribution, which is about that of preprocessed pixels.
        seed: Of the baselines drawn.

    References:
        Lundberg & Lee 2017 (*A unified approach to interpreting model predictions*), Section 4.2; computed
        by captum.

        https://arxiv.org/abs/1705.07874
    """

    title: ClassVar[str] = "DeepLIFT SHAP"
    summary: ClassVar[str] = "What each pixel adds to the score by how it differs from several baselines' (captum)"

    def __init__(self, model: nn.Module, *, baselines: Tensor | int = 5, seed: int = 0) -> None:
        super().__init__(model)
        self.seed = whole("seed", seed, 0)
        if isinstance(baselines, Tensor):
            if len(baselines) < 2:
                raise OptionError(f"baselines have shape {tuple(baselines.shape)}; expected at least two images")
            self.baselines: Tensor | int = baselines
        else:
            self.baselines = whole("baselines", baselines, 2)

    def one(self, attr: Any, scores: ImageScore, image: Tensor) -> Tensor:
        """See `CaptumMethod`."""
        if isinstance(self.baselines, Tensor):
            baselines = baseline_like(self.baselines, image.expand(len(self.baselines), *image.shape[1:]))
        else:
            baselines = torch.randn(self.baselines, *image.shape[1:], dtype=torch.float64, device="cpu").to(image)
        found: Tensor = attr.DeepLiftShap(ScoreModule(scores.network, scores)).attribute(image, baselines.contiguous())
        return found


@METHODS.register("gradient_shap", aliases=("GradientSHAP", "shap", "expected_gradients"))
class GradientShap(CaptumMethod):
    r"""The mean of (image - baseline) times gradient, at random points between baselines and the noisy image.

    Integrated gradients by sampling, with noise if wanted.

    .. math::
        R = \mathbb E_{\alpha \sim U(0, 1)} \Big[(x - b) \odot \frac{\partial y}{\partial x}\big(b + \alpha (x -
        b)\big)\Big]

    Args:
        model: Any network in eval mode that torch can differentiate; it is not changed.
        samples: How many points; they pass the network at once.
        noise: Standard deviation of what is added to the image.
        baseline: A number, or a tensor that broadcasts over ``(1, c, h, w)``.
        seed: Of the points and the noise.

    References:
        Lundberg & Lee 2017; Erion et al. 2021 (*expected gradients*), Eq. 3; computed by captum.

        https://arxiv.org/abs/1705.07874
        https://arxiv.org/abs/1906.10670
    """

    title: ClassVar[str] = "Gradient SHAP"
    summary: ClassVar[str] = "What each pixel adds to the score, at random points between baselines and image (captum)"
    costly = False

    def __init__(
        self, model: nn.Module, *, samples: int = 20, noise: float = 0.0, baseline: Any = 0.0, seed: int = 0
    ) -> None:
        super().__init__(model, seed=seed)
        if not isinstance(noise, int | float) or not noise >= 0:
            raise OptionError(f"noise is {noise!r}; a standard deviation is at least 0")
        self.samples, self.noise, self.baseline = whole("samples", samples), float(noise), baseline

    def one(self, attr: Any, scores: ImageScore, image: Tensor) -> Tensor:
        """See `CaptumMethod`."""
        baseline = baseline_like(self.baseline, image).contiguous()
        found: Tensor = attr.GradientShap(scores).attribute(image, baseline, n_samples=self.samples, stdevs=self.noise)
        return found


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Set torch's and numpy's random states, and afterwards put them back."""
    from numpy import random  # noqa: PLC0415  # captum and scikit-learn draw by it, and come with it

    before = random.get_state()  # noqa: NPY002  # theirs is the one state of the process
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            random.seed(seed % 2**32)  # noqa: NPY002  # as above
            yield
    finally:
        random.set_state(before)  # noqa: NPY002  # as above
