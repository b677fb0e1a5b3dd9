"""The 1000 classes of ILSVRC-2012, from the lists that timm and torchvision ship."""

from __future__ import annotations

from functools import cache

from equipoise.errors import MissingPackageError


@cache
def imagenet_names() -> tuple[str, ...]:
    """One name per class, as the networks of torchvision write it.

    Raises:
        MissingPackageError: If torchvision is not installed.
    """
    try:
        from torchvision.models import ResNet18_Weights  # noqa: PLC0415  # takes a second to import
    except ImportError as error:
        raise MissingPackageError("classes of ImageNet need torchvision: pip install equipoise[models]") from error
    return tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


@cache
def imagenet_synsets() -> dict[str, int]:
    """WordNet id (``"n01440764"``) to class index, which is its place in the sorted ids.

    Raises:
        MissingPackageError: If timm is not installed.
    """
    try:
        from timm.data import ImageNetInfo  # noqa: PLC0415  # takes seconds to import
    except ImportError as error:
        raise MissingPackageError("classes of ImageNet need timm: pip install equipoise[models]") from error
    return {synset: index for index, synset in enumerate(ImageNetInfo().label_names())}
