"""Which classes of a network mean the categories of a data set."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from equipoise._vocabularies import VOC_TO_COCO
from equipoise.models.groups import COCO_GROUPS, VOC_GROUPS
from equipoise.models.labels import imagenet_classes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from equipoise.models.spec import ModelSpec

_TABLES: Final[Mapping[str, Mapping[str, tuple[int, ...]]]] = MappingProxyType(
    {"voc": VOC_GROUPS, "coco": COCO_GROUPS, "custom": {**VOC_GROUPS, **COCO_GROUPS}}
)
_OTHER_NAME: Final[Mapping[str, str]] = MappingProxyType(VOC_TO_COCO | {coco: voc for voc, coco in VOC_TO_COCO.items()})


def category_groups(vocabulary: str, classes: tuple[str, ...], spec: ModelSpec) -> tuple[tuple[int, ...], ...]:
    """For each category of a data set the network's classes that mean it.

    Looked for in this order: the same list of classes, which maps one to one; for a network with the classes
    of ImageNet and categories of VOC or COCO, the tables; a class of the same name, in any case of letters,
    or of the other data set's name for it; a class that has the name as a synonym; for ImageNet and a data
    set's own categories, the tables again.

    Args:
        vocabulary: Whose categories they are: ``"imagenet"``, ``"voc"``, ``"coco"`` or ``"custom"``.
        classes: Their names.
        spec: Of the network.

    Returns:
        One tuple of class indices per category, ascending; empty if the network has no such class.
    """
    on_imagenet = spec.classes == imagenet_classes()
    if spec.classes == classes or (vocabulary == "imagenet" and on_imagenet and len(classes) == len(spec.classes)):
        return tuple((index,) for index in range(len(classes)))
    table = _TABLES.get(vocabulary, {}) if on_imagenet else {}
    if on_imagenet and vocabulary in {"voc", "coco"}:
        return tuple(table.get(name, ()) for name in classes)
    return tuple(_by_name(name, spec) or table.get(name.casefold(), ()) for name in classes)


def _by_name(name: str, spec: ModelSpec) -> tuple[int, ...]:
    """The classes called by a name, or else those that have it as a synonym."""
    wanted = {other.casefold() for other in (name, _OTHER_NAME.get(name, name))}
    called = tuple(index for index, other in enumerate(spec.classes) if other.casefold() in wanted)
    return called or tuple(
        index
        for index, synonyms in enumerate(spec.synonyms)
        if wanted & {word.strip() for word in synonyms.casefold().split(",")}
    )
