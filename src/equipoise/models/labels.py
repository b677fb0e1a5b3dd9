"""Names for the outputs of a classifier, recognized by their number."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Number of outputs to timm's name of the label set; ImageNet-1k has shorter names in torchvision.
_LABEL_SETS: Mapping[int, str] = {
    11221: "imagenet-21k-miil",
    11821: "imagenet-12k",
    21841: "imagenet-22k",
    21842: "imagenet-22k-ms",
    21843: "imagenet-21k-goog",
}


@cache
def imagenet_classes() -> tuple[str, ...]:
    """The 1000 names of ImageNet-1k, as torchvision writes them."""
    import torchvision  # noqa: PLC0415  # takes a second, and a network may have classes of its own

    return tuple(torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


@cache
def _lemmas(subset: str) -> tuple[str, ...]:
    from timm.data import ImageNetInfo  # noqa: PLC0415  # as above

    return tuple(ImageNetInfo(subset).label_descriptions())


def class_names(count: int, given: tuple[str, ...] | None = None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names for ``count`` outputs.

    Args:
        count: Number of outputs. 1000 is taken for ImageNet-1k, and 11221, 11821, 21841, 21842 and 21843
            for the larger sets that timm's weights are trained on.
        given: Names that the weights' publisher gives; used when there are ``count`` of them.

    Returns:
        One name per output (``"class 17"`` when nothing is known), and one line of synonyms per output
        (or an empty tuple).
    """
    if given is not None and len(given) == count:
        return tuple(given), ()
    if count == 1000:
        return imagenet_classes(), _lemmas("imagenet-1k")
    if count in _LABEL_SETS:
        lemmas = _lemmas(_LABEL_SETS[count])
        return tuple(line.partition(",")[0] for line in lemmas), lemmas
    return tuple(f"class {index}" for index in range(count)), ()
