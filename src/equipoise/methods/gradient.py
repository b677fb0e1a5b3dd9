"""Methods that are nothing but gradients: one, many averaged, or along a path."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from equipoise.engine.entrance import check_model, check_scores, checking, python_module
from equipoise.errors import OptionError
from equipoise.methods.base import METHODS, Method
from equipoise.methods.evaluate import Batch, ManyPasses, network_logits, pixel_gradients, whole
from equipoise.methods.propagation import ProfileName, check_profile
from equipoise.methods.targets import Target, Targets, resolve_targets


@METHODS.register("gradient", aliases=("saliency",))
class Gradient(Method):
    r"""How the score changes with each pixel.

    Every later method is measured against it.

    .. math::
        R = \frac{\partial y}{\partial x}

    Args:
        model: Any network in eval mode that torch can differentiate; it is not changed.

    References:
        Simonyan, Vedaldi & Zisserman 2014 (*Deep inside convolutional networks*), Section 3, with the
        sign kept; their map is the largest magnitude over the channels.

        https://arxiv.org/abs/1312.6034
    """

    title: ClassVar[str] = "Gradient"
    summary: ClassVar[str] = "How strongly the score changes with each pixel"

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)

    def explained(self, images: Tensor, target: Target) -> tuple[Targets, Tensor]:
        """One forward pass, whatever the number of targets; see `Method`."""
        model = python_module(self.model)
        check_model(model)
        with torch.enable_grad():
            leaf = images.clone().requires_grad_()
            with checking(images):
                logits = network_logits(model, leaf, self.output)
            check_scores(model, logits, images)
            targets = resolve_targets(target, logits.detach())
            gradients = pixel_gradients((targets.seeds * logits).sum((1, 2)), leaf)
        return targets, self.finish(gradients, leaf.detach())

    def finish(self, gradients: Tensor, image: Tensor) -> Tensor:
        """From gradients ``(k, n, c, *space)`` to the attribution."""
        del image
        return gradients


@METHODS.register("input_x_gradient", aliases=("gradient_x_input",))
class InputXGradient(Gradient):
    r"""Each pixel times its gradient: the first-order share of the pixel in the score.

    On a network without biases whose only nonlinearity is the ReLU it sums to the score.

    .. math::
        R = x \odot \frac{\partial y}{\partial x}

    References:
        Shrikumar et al. 2016 (*Not just a black box*).

        https://arxiv.org/abs/1605.01713
    """

    title: ClassVar[str] = "Input x Gradient"
    summary: ClassVar[str] = "How much each pixel adds to the score, if the network were linear around the image"

    def finish(self, gradients: Tensor, image: Tensor) -> Tensor:
        """See `Gradient`."""
        return gradients * image


@METHODS.register("smooth_grad")
class SmoothGrad(ManyPasses):
    r"""The mean gradient over noisy copies of the image.

    The gradient of a deep network is noisy from pixel to pixel; averaging takes the noise away.

    .. math::
        R = \frac{1}{m} \sum_{i=1}^m \frac{\partial y}{\partial x}(x + \epsilon_i),\quad \epsilon_i \sim \mathcal
        N\big(0, (\nu\,(\max x - \min x))^2\big)

    Args:
        model: As for `Gradient`.
        samples: How many noisy copies.
        noise: Standard deviation of the noise, as a part of the image's range (highest minus lowest value).
        seed: Of the noise, which is the same for every image of a batch; torch's own random state is not touched.
        chunk: How many images pass the network at once, fewer of more than 224 x 224 pixels.

    Raises:
        OptionError: If a number is out of range.

    References:
        Smilkov et al. 2017 (*SmoothGrad*), Section 2.

        https://arxiv.org/abs/1706.03825
    """

    title: ClassVar[str] = "SmoothGrad"
    summary: ClassVar[str] = "How strongly the score changes with each pixel, averaged over noisy copies of the image"

    def __init__(
        self, model: nn.Module, *, samples: int = 50, noise: float = 0.15, seed: int = 0, chunk: int = 16
    ) -> None:
        super().__init__(model, chunk=chunk)
        if not isinstance(noise, int | float) or not noise >= 0:
            raise OptionError(f"noise is {noise!r}; it must be a part of the image's range, at least 0")
        self.samples, self.noise, self.seed = whole("samples", samples), noise, whole("seed", seed, 0)

    def explain(self, batch: Batch) -> Tensor:
        """See `ManyPasses`."""
        flat = batch.image.flatten(1)
        deviation = self.noise * (flat.amax(1) - flat.amin(1))
        deviation = deviation.reshape(-1, *[1] * (batch.image.dim() - 1))
        total = torch.zeros(batch.k, *batch.image.shape, dtype=batch.dtype, device=batch.image.device)

        def work(steps: Tensor, images: Tensor) -> None:
            numbers = steps.tolist()
            drawn = {step: self.draw(step, batch.image[0]) for step in set(numbers)}
            noise = torch.stack([drawn[step] for step in numbers]).to(batch.image, non_blocking=True)
            found = batch.gradients(batch.image[images] + deviation[images] * noise, steps, images)
            total.index_add_(1, images, found / self.samples)

        batch.over(self.samples, work)
        return total

    def draw(self, step: int, like: Tensor) -> Tensor:
        """Standard normal noise number ``step`` in the shape and dtype of ``like``; on the CPU, for every device."""
        generator = torch.Generator().manual_seed(self.seed)
        seeds = torch.randint(2**62, (self.samples,), generator=generator)
        generator.manual_seed(int(seeds[step]))
        return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like.dtype)


@METHODS.register("integrated_gradients", aliases=("IG",))
class IntegratedGradients(ManyPasses):
    r"""The gradient integrated along the straight line from a baseline image to the image, times the way there.

    .. math::
        R = (x - b) \odot \int_0^1 \frac{\partial y}{\partial x}\big(b + \alpha (x - b)\big)\, d\alpha

    Gauss-Legendre quadrature. The sum over an image is :math:`y(x) - y(b)` (completeness), up to the quadrature.

    Args:
        model: As for `Gradient`.
        profile: Both are captum's: zero baseline, 50 Gauss-Legendre nodes.
        steps: Number of nodes.
        baseline: A number, or a tensor that broadcasts over ``(n, c, h, w)``.
        chunk: How many images pass the network at once, fewer of more than 224 x 224 pixels.

    Raises:
        OptionError: If a number is out of range, or the baseline does not fit the images.

    References:
        Sundararajan, Taly & Yan 2017 (*Axiomatic attribution for deep networks*), Eq. 1.

        https://arxiv.org/abs/1703.01365
    """

    title: ClassVar[str] = "Integrated Gradients"
    summary: ClassVar[str] = "What each pixel adds to the score, summed on the way from a baseline to the image"

    def __init__(
        self,
        model: nn.Module,
        *,
        profile: ProfileName = "paper",
        steps: int = 50,
        baseline: Any = 0.0,
        chunk: int = 16,
    ) -> None:
        super().__init__(model, chunk=chunk)
        check_profile(profile)
        self.steps, self.baseline = whole("steps", steps), baseline

    def explain(self, batch: Batch) -> Tensor:
        """See `ManyPasses`."""
        start = baseline_like(self.baseline, batch.image)
        way = batch.image - start
        nodes, weights = (part.to(batch.image.device, batch.dtype) for part in gauss_legendre(self.steps))
        total = torch.zeros(batch.k, *batch.image.shape, dtype=batch.dtype, device=batch.image.device)

        def along(numbers: Tensor) -> Tensor:
            return numbers.to(batch.dtype).reshape(-1, *[1] * (way.dim() - 1))

        def work(steps: Tensor, images: Tensor) -> None:
            points = (start[images] + along(nodes[steps]) * way[images]).to(batch.image.dtype)
            total.index_add_(1, images, batch.gradients(points, steps, images) * along(weights[steps]))

        batch.over(self.steps, work)
        return total * way


def gauss_legendre(count: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights of the Gauss-Legendre rule on ``(0, 1)``, float64, by Golub and Welsch's eigenvalues."""
    i = torch.arange(1, count, dtype=torch.float64)
    beside = i / (4 * i * i - 1).sqrt()
    values, vectors = torch.linalg.eigh(torch.diag(beside, 1) + torch.diag(beside, -1))
    return (values + 1) / 2, vectors[0] ** 2


def baseline_like(baseline: Any, image: Tensor) -> Tensor:
    """``baseline`` in the shape, dtype and place of ``image``.

    Raises:
        OptionError: If it is no number or tensor that broadcasts.
    """
    try:
        return torch.as_tensor(baseline).to(image, non_blocking=True).expand(image.shape)
    except (RuntimeError, TypeError, ValueError) as error:
        shape = tuple(baseline.shape) if isinstance(baseline, Tensor) else repr(baseline)
        raise OptionError(f"the baseline is {shape}; it must broadcast to {tuple(image.shape)}") from error
