"""Class activation maps: a layer's channels, weighted by what they mean to the class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor, nn

from equipoise.engine import Relevance, Trace, Value, record
from equipoise.engine.extents import parts_of_the_image
from equipoise.engine.numerics import safe_divide
from equipoise.errors import LayerError
from equipoise.methods.base import METHODS
from equipoise.methods.evaluate import Batch, ManyPasses
from equipoise.methods.layers import find_layer
from equipoise.methods.masks import masked_scores
from equipoise.methods.propagation import ProfileName, Propagation, one_hot
from equipoise.methods.readouts import channels_first, map_size, mean_of_maps, resize
from equipoise.methods.targets import Target, Targets
from equipoise.rules.gradient import GRADIENT

Layers: TypeAlias = str | Sequence[str] | None
"""A layer's name, or several: the mean of their maps."""


class _GradientCam(Propagation):
    """What the gradient-weighted maps share: ``relu(sum over channels of weight times activation)``."""

    level = "map"
    signed = False
    several_layers: ClassVar[bool] = True

    def __init__(
        self,
        model: nn.Module,
        profile: ProfileName,
        *,
        layer: Layers,
        relu: bool,
        interpolate: bool,
    ) -> None:
        super().__init__(model, profile, interpolate=interpolate)
        self.layer, self.relu = layer, relu
        self.signed = not relu

    def weights(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """Channel weights ``(k, n, c, 1...)`` from ``(n, c, *positions)`` and ``(k, n, c, *positions)``."""
        raise NotImplementedError  # abstract: every method defines it

    def explain_trace(self, trace: Trace, targets: Targets) -> Tensor:
        """See `Propagation`."""
        layers = [feature_map(self.model, trace, name, whole=self.interpolate) for name in each(self.layer)]
        start = {trace.output: Relevance(one_hot(targets, trace.logits.dtype))}
        maps = []
        for layer in layers:  # one at a time: the gradient goes no further than the layer where it is collected
            gradient = channels_first(self.to(trace, start, GRADIENT, layer), layer)
            activation = channels_first(trace.data(layer).to(gradient.dtype).unsqueeze(0), layer)[0]
            result = (self.weights(activation, gradient) * activation).sum(2, keepdim=True)
            maps.append(result.clamp(min=0) if self.relu else result)
        return mean_of_maps(maps, trace.input.shape, interpolate=self.interpolate)


@METHODS.register("grad_cam", aliases=("Grad-CAM", "gradcam"))
class GradCam(_GradientCam):
    r"""Each channel weighted by its mean gradient.

    The channels of the last feature map, each weighted by the mean of its gradient for the class, are added up; what is
    negative is dropped. The map has the resolution of that layer (7x7 for most networks at 224 pixels) and is resized
    to the image.

    .. math::
        L = \mathrm{relu}\Big(\sum_c A_c \, \frac{1}{|P|}\sum_{p \in P} \frac{\partial y}{\partial A_{cp}}\Big)

    Args:
        model: A convolutional network in eval mode; it is not changed.
        profile: Both are the same here; TorchRay computes this with ``interpolate=False``.
        layer: The module at whose output the map is read; ``None`` finds the last spatial map. Of several
            the mean of their maps is given.
        relu: Whether to drop evidence against the class; captum's ``LayerGradCam`` keeps it.
        interpolate: ``False`` returns the map as computed, ``(n, 1, *positions)``.

    Raises:
        LayerError: If ``layer`` is no module, or has no spatial map, or one of a crop of the image alone.

    References:
        Selvaraju et al. 2017 (*Grad-CAM*), Eq. 1 and 2.

        https://doi.org/10.1109/ICCV.2017.74
    """

    title: ClassVar[str] = "Grad-CAM"
    summary: ClassVar[str] = "Regions whose features raise the score: last maps, weighted by their mean gradient"

    def __init__(
        self,
        model: nn.Module,
        *,
        profile: ProfileName = "paper",
        layer: Layers = None,
        relu: bool = True,
        interpolate: bool = True,
    ) -> None:
        super().__init__(model, profile, layer=layer, relu=relu, interpolate=interpolate)

    def weights(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """Eq. 1: the mean over positions."""
        del activation
        return gradient.mean(tuple(range(3, gradient.dim())), keepdim=True)


@METHODS.register("grad_cam_plus_plus", aliases=("Grad-CAM++", "gradcam++"))
class GradCamPlusPlus(_GradientCam):
    r"""Each channel weighted by its positive gradients, positions counted by their part in the score.

    Only positive gradients count, and each position of the gradient has a weight of its own, so that several objects of
    one class weigh alike.

    .. math::
        w_c = \sum_p \alpha_{cp}\, \mathrm{relu}\Big(\frac{\partial y}{\partial A_{cp}}\Big),\quad \alpha_{cp} =
        \frac{g_{cp}^2}{2 g_{cp}^2 + g_{cp}^3 \sum_q A_{cq}},\quad g = \frac{\partial y}{\partial A}

    Where the denominator is zero, so is the weight. The authors explain :math:`\exp(y)`, which multiplies a whole map
    by :math:`\exp(y)`; that factor is left out, since it overflows and says nothing about where.

    Args:
        model: A convolutional network in eval mode; it is not changed.
        layer: The module at whose output the map is read; ``None`` finds the last spatial map. Of several
            the mean of their maps is given.
        relu: Whether to clip the map at zero.
        interpolate: ``False`` returns the map as computed, ``(n, 1, *positions)``.

    Raises:
        LayerError: If ``layer`` is no module, or has no spatial map, or one of a crop of the image alone.

    References:
        Chattopadhyay et al. 2018 (*Grad-CAM++*), Eq. 5, 6 and 19.

        https://doi.org/10.1109/WACV.2018.00097
    """

    title: ClassVar[str] = "Grad-CAM++"
    summary: ClassVar[str] = "Regions whose features raise the score, each position's positive gradient weighted"

    def __init__(self, model: nn.Module, *, layer: Layers = None, relu: bool = True, interpolate: bool = True) -> None:
        super().__init__(model, "paper", layer=layer, relu=relu, interpolate=interpolate)

    def weights(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """Eq. 5, with the coefficients of Eq. 19."""
        axes = tuple(range(3, gradient.dim()))
        total = activation.sum(tuple(axis - 1 for axis in axes), keepdim=True)
        peak = gradient.abs().flatten(2).amax(-1)  # alpha's scale must not underflow; g/peak keeps the ratio
        g = safe_divide(gradient, peak.reshape(*peak.shape, *[1] * (gradient.dim() - 2)))
        alpha = safe_divide(g**2, 2 * g**2 + g**2 * gradient * total)
        return (alpha * gradient.clamp(min=0)).sum(axes, keepdim=True)


@METHODS.register("score_cam", aliases=("Score-CAM", "scorecam"))
class ScoreCam(ManyPasses):
    r"""Each channel weighted by the score of the image seen through it; no gradient.

    A channel, resized to the input and scaled to [0, 1], multiplies the image. Its score minus that of
    a zero image, softmaxed over the channels, is its weight in ``relu(sum of weight times channel)``.

    .. math::
        w = \mathrm{softmax}_c\big(y(x \odot s(A_c)) - y(0)\big),\quad L = \mathrm{relu}\Big(\sum_c w_c A_c\Big)

    Args:
        model: A convolutional network in eval mode; it is not changed.
        layer: The module at whose output the map is read; ``None`` finds the last spatial map. Of several
            the mean of their maps is given.
        interpolate: ``False`` returns the map as computed, ``(n, 1, *positions)``.
        chunk: How many images pass the network at once, fewer of more than 224 x 224 pixels;
            one forward pass per channel.

    Raises:
        LayerError: If ``layer`` is no module, or has no spatial map, or one of a crop of the image alone.

    References:
        Wang et al. 2020 (*Score-CAM*), Eq. 5 to 8 and Algorithm 1; the score is the logit.

        https://arxiv.org/abs/1910.01279
    """

    title: ClassVar[str] = "Score-CAM"
    summary: ClassVar[str] = "Regions that keep the score by themselves: last maps, weighted by the score through each"
    level = "map"
    signed = False
    several_layers: ClassVar[bool] = True

    def __init__(self, model: nn.Module, *, layer: Layers = None, interpolate: bool = True, chunk: int = 64) -> None:
        super().__init__(model, chunk=chunk)
        self.layer, self.interpolate = layer, interpolate

    def explained(self, images: Tensor, target: Target) -> tuple[Targets, Tensor]:
        """See `Method`; one forward pass gives the channels and the logits."""
        trace = record(self.model, images, output=self.output)
        layers = [feature_map(self.model, trace, name) for name in each(self.layer)]
        activations = [channels_first(trace.data(layer).unsqueeze(0), layer)[0] for layer in layers]
        batch = Batch(self, images, target, trace.logits)
        del trace
        maps = [self._map(batch, activation) for activation in activations]
        return batch.targets, mean_of_maps(maps, batch.image.shape, interpolate=self.interpolate)

    def _map(self, batch: Batch, activation: Tensor) -> Tensor:
        size = map_size(activation.dim() - 2, batch.image.shape)
        # A last channel of zeros masks everything: the baseline of Eq. 5.
        activation = torch.cat([activation, torch.zeros_like(activation[:, :1])], 1)

        def through(channels: Tensor, images: Tensor) -> Tensor:
            picked = activation[images, channels].unsqueeze(1).to(batch.dtype)
            seen = resize(picked.unsqueeze(0), size)[0]
            low, high = seen.flatten(1).amin(1), seen.flatten(1).amax(1)
            shape = (-1, *[1] * (seen.dim() - 1))
            mask = safe_divide(seen - low.reshape(shape), (high - low).reshape(shape))
            return mask if mask.dim() == batch.image.dim() else mask.squeeze(1)  # inputs without a channel axis

        scores = masked_scores(batch, activation.shape[1], through)
        weights = (scores[:, :-1] - scores[:, -1:]).softmax(1).transpose(1, 2)  # (k, n, c)
        weights = weights.reshape(*weights.shape, *[1] * (activation.dim() - 2))
        return (weights * activation[:, :-1].to(batch.dtype)).sum(2, keepdim=True).clamp(min=0)


def each(layer: Layers) -> Sequence[str | None]:
    """The names in the option ``layer``."""
    return [layer] if layer is None or isinstance(layer, str) else layer


def feature_map(model: nn.Module, trace: Trace, name: str | None, *, whole: bool = True) -> Value:
    """The layer of a class activation map: Attribution Equilibrium's, unless named.

    Args:
        model: The network.
        trace: Its forward pass.
        name: Of the layer's module.
        whole: Whether its map is to be laid over the image.

    Raises:
        LayerError: If there is none, or its first dimension is not the images, or it is of a part of the image.
    """
    layer = find_layer(model, trace, name)
    if layer.shape[0] != trace.n:
        raise LayerError(f"the map {layer.shape} holds more than one row for each of {trace.n} images; name a layer")
    return of_the_whole_image(trace, layer) if whole else layer


def of_the_whole_image(trace: Trace, layer: Value) -> Value:
    """The layer, whose map is to be resized to the image.

    Raises:
        LayerError: If it saw a crop of it alone.
    """
    if (part := parts_of_the_image(trace).get(layer)) is not None:
        sides = " and ".join(f"{begin:.2g} to {end:.2g}" for begin, end in part)
        raise LayerError(
            f"the map {layer.shape} is of a part of the image ({sides} of its sides), so it cannot be laid over the "
            "whole; name a layer that saw all of it"
        )
    return layer
