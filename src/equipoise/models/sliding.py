"""Networks that look at images larger than their own: the classifier slides, and its scores are averaged.

The grid pointing game (Rao et al., T-PAMI 2024, section 3.1) puts several images side by side into one. A
network that averages its last feature map over all positions takes the larger image as it is. VGG's and
AlexNet's classifiers take a feature map of one size; as convolutions they slide over a larger one.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from equipoise.errors import ShapeError, UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Sliding(nn.Module):
    """Features, a classifier of convolutions, and the average of its scores over the positions.

    Args:
        features: From images to a feature map ``(n, c, h, w)``.
        classifier: From a feature map to scores ``(n, C, h', w')``.
        window: Height and width of the smallest feature map that the classifier takes.
    """

    def __init__(self, features: nn.Module, classifier: nn.Sequential, window: tuple[int, int]) -> None:
        super().__init__()
        self.features = features
        self.classifier = classifier
        self.window = window

    def forward(self, images: Tensor) -> Tensor:
        """Scores ``(n, C)`` of images ``(n, 3, height, width)``.

        Raises:
            ShapeError: If the images are too small for the classifier to stand on one position.
        """
        maps: Tensor = self.features(images)
        if maps.shape[-2] < self.window[0] or maps.shape[-1] < self.window[1]:
            raise ShapeError(
                f"images of shape {tuple(images.shape)} give feature maps of {tuple(maps.shape[-2:])} positions; "
                f"the classifier needs at least {self.window}"
            )
        scores: Tensor = self.classifier(maps)
        return scores.mean((2, 3))


def sliding(module: nn.Module, *, size: int = 224) -> nn.Module:
    """The network, able to look at larger images.

    Args:
        module: Either of torchvision's VGG and AlexNet kind (``features``, then ``avgpool`` to a fixed size,
            then a ``classifier`` that begins with a linear layer), or one that pools globally.
        size: Side of the images it was made for, in pixels.

    Returns:
        For the first kind a copy in the same mode that shares the weights, whose names of layers stay valid
        and whose scores are averaged over all positions of the classifier; on images of ``size`` they are the
        network's own. For the second kind ``module`` itself.

    Raises:
        UnsupportedModelError: If the network is of neither kind, or of the first and made for another size.
    """
    pool, classifier = getattr(module, "avgpool", None), getattr(module, "classifier", None)
    if _fixed(pool) and isinstance(classifier, nn.Sequential) and _first_linear(classifier) is not None:
        shared = _sharing_copy(module)
        rows, columns = _pair(shared.avgpool.output_size)
        window = (rows or 0, columns or 0)
        maps = _tried(shared.features, size)
        if maps is None or tuple(maps.shape[-2:]) != window:
            found = "no feature maps" if maps is None else f"feature maps of {tuple(maps.shape[-2:])} positions"
            raise UnsupportedModelError(
                f"{type(module).__name__} has {found} for images of {size} pixels, and a classifier for {window}"
            )
        convolutions = nn.Sequential(*_convolutions(shared.classifier, window)).train(shared.classifier.training)
        return Sliding(shared.features, convolutions, window).train(module.training)
    if any(_fixed(part) for part in module.modules()) or _tried(module, 2 * size) is None:
        raise UnsupportedModelError(
            f"{type(module).__name__} takes images of one size alone: it neither pools globally nor has the features, "
            "avgpool and linear classifier of a VGG"
        )
    return module


def _pair(size: object) -> tuple[int | None, int | None]:
    rows, columns = size if isinstance(size, tuple) else (size, size)
    return rows, columns


def _fixed(part: object) -> bool:
    """Whether it pools to a fixed number of positions that is more than one."""
    return isinstance(part, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d) and set(_pair(part.output_size)) != {1}


def _first_linear(classifier: nn.Sequential) -> nn.Linear | None:
    """The first layer, dropout aside, if it is linear."""
    layers = [layer for layer in classifier if not isinstance(layer, nn.Dropout)]
    return layers[0] if layers and isinstance(layers[0], nn.Linear) else None


def _convolutions(classifier: nn.Sequential, window: tuple[int, int]) -> Iterator[nn.Module]:
    """The classifier's layers, the linear ones as convolutions: the first of the window, the others of a pixel."""
    size = window
    for layer in classifier:
        if isinstance(layer, nn.Linear):
            yield _convolution(layer, size)
            size = (1, 1)
        else:
            yield layer


def _convolution(layer: nn.Linear, size: tuple[int, int]) -> nn.Conv2d:
    """The linear layer of a flattened window as a convolution on the same memory."""
    channels = layer.in_features // (size[0] * size[1])
    with torch.device("meta"):  # no memory for weights that are replaced at once
        convolution = nn.Conv2d(channels, layer.out_features, size, bias=layer.bias is not None)
    shape = (layer.out_features, channels, *size)
    convolution.weight = nn.Parameter(layer.weight.detach().view(shape), requires_grad=layer.weight.requires_grad)
    if layer.bias is not None:
        convolution.bias = layer.bias
    return convolution.train(layer.training)


def _sharing_copy(module: nn.Module) -> Any:
    """A copy of the modules with the tensors of the original."""
    tensors: list[Tensor] = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


def _tried(module: nn.Module, size: int) -> Tensor | None:
    """What a network gives in eval mode for one image of zeros; ``None`` if it does not take that size."""
    like = next((parameter for parameter in module.parameters()), torch.zeros(()))
    modes = {part: part.training for part in module.modules()}
    try:
        module.eval()
        with torch.no_grad():
            found: Tensor = module(torch.zeros(1, 3, size, size, dtype=like.dtype, device=like.device))
    except (RuntimeError, ValueError):  # sizes that do not fit
        return None
    finally:
        for part, mode in modes.items():
            part.training = mode
    return found
