"""Data sets: those that are registered, those of torch, those of Hugging Face."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image
from torch import Tensor

from equipoise._references import is_reference, resolve
from equipoise.attributions.sources.base import SOURCES, Kind, Label, Source, check_there
from equipoise.datasets import DATASETS, DataSet, open_dataset
from equipoise.errors import DataError, EquipoiseError, ImageError, MissingPackageError
from equipoise.images import one_line
from equipoise.methods import ClassGroup
from equipoise.models.categories import category_groups

if TYPE_CHECKING:
    from equipoise.models.spec import ModelSpec
    from equipoise.wanted import PhotoTarget

HF: Final = "hf:"
"""What a data set of Hugging Face begins with: a folder of ``save_to_disk``, or a name; ``#split`` may follow."""

_IMAGES: Final = ("image", "img", "pixel_values", "jpg", "png")
_LABELS: Final = ("label", "labels", "class", "category", "fine_label")
_KEYS: Final = ("key", "id", "image_id", "file_name")


class Registered(Source):
    """A data set of `equipoise.datasets`: labels are its categories, which a network may know by other names.

    Args:
        data: The data set.
    """

    def __init__(self, data: DataSet) -> None:
        self.name, self.data, self.problems = data.name, data, data.problems
        self._groups: tuple[tuple[int, ...], ...] | None = None

    def __len__(self) -> int:
        return len(self.data)

    def key(self, index: int) -> str:
        """See `Source`."""
        return self.data[index].key

    def labels(self, index: int) -> tuple[Label, ...]:
        """See `Source`."""
        return self.data[index].categories

    def label_name(self, label: Label) -> str:
        """See `Source`."""
        return self.data.classes[int(label)]

    def meant(self, label: Label, spec: ModelSpec) -> PhotoTarget | None:
        """See `Source`."""
        if self._groups is None:
            self._groups = category_groups(self.data.vocabulary, self.data.classes, spec)
        members = self._groups[int(label)] if int(label) < len(self._groups) else ()
        return None if not members else members[0] if len(members) == 1 else ClassGroup(members)

    def read(self, index: int) -> Any:
        """See `Source`."""
        sample = self.data[index]
        return sample.path if sample.read_pixels is None else sample.image()

    def check(self) -> None:
        """See `Source`."""
        check_there(self.data[0].path)


class Mapped(Source):
    """Anything with a length and items ``image``, ``(image, label)`` or ``{"image": ..., "label": ...}``.

    A `torch.utils.data.Dataset` is one. An image is a Pillow image, a path, an array or a tensor ``(c, h, w)`` as
    `equipoise.explain` takes them; keys are the positions, or an item's own ``"key"``.

    Args:
        items: The data set.
        name: For people and records.

    Raises:
        DataError: If it has no length.
    """

    def __init__(self, items: Any, name: str | None = None) -> None:
        if not hasattr(items, "__len__") or not hasattr(items, "__getitem__"):
            raise DataError(f"{type(items).__name__} has no length or no items by number; a stream cannot be resumed")
        if not len(items):
            raise DataError(f"{name or type(items).__name__}: there are no photos")
        self.items, self.name = items, name or type(items).__name__
        self._last: tuple[int, Any] = -1, None

    def __len__(self) -> int:
        return len(self.items)

    def key(self, index: int) -> str:
        """See `Source`."""
        return str(index)

    def labels(self, index: int) -> tuple[Label, ...]:
        """See `Source`."""
        item = self._item(index)
        value = None
        if isinstance(item, dict):
            value = next((item[name] for name in _LABELS if name in item), None)
        elif isinstance(item, tuple | list) and len(item) > 1:
            value = item[1]
        if value is None:
            return ()
        if isinstance(value, str):
            return (value,)
        values = np.asarray(value).reshape(-1)
        return tuple(int(one) for one in values) if values.dtype.kind in "iu" else ()

    def label_name(self, label: Label) -> str:
        """See `Source`."""
        names = getattr(self.items, "classes", None)
        return str(names[label]) if isinstance(label, int) and isinstance(names, list | tuple) else str(label)

    def read(self, index: int) -> Any:
        """See `Source`."""
        item = self._item(index)
        if isinstance(item, dict):
            item = next((item[name] for name in _IMAGES if name in item), None)
        elif isinstance(item, tuple | list):
            item = item[0] if item else None
        if isinstance(item, str | Path | Image.Image | np.ndarray | Tensor):
            return item
        raise ImageError(f"{self.name}, item {index}: holds no image but {type(item).__name__}")

    def identity(self) -> str:
        """See `Source`."""
        return f"{self.name} {len(self)}"

    def _item(self, index: int) -> Any:
        if self._last[0] != index:  # labels and photo of an item are asked for one after the other
            try:
                self._last = index, self.items[index]
            except EquipoiseError:
                raise
            except Exception as error:  # a user's own code may raise anything
                raise ImageError(f"{self.name}, item {index}: {type(error).__name__}: {one_line(error)}") from error
        return self._last[1]


class HuggingFace(Mapped):
    """A data set of Hugging Face ``datasets``; class names are those of its features.

    Args:
        items: Of ``datasets.Dataset``.
        name: For people and records.
    """

    def __init__(self, items: Any, name: str | None = None) -> None:
        super().__init__(items, name)
        if not any(column in items.column_names for column in _IMAGES):
            found = ", ".join(items.column_names)
            raise DataError(
                f"{self.name}: no column of images; it is called one of {', '.join(_IMAGES)}, and there are: {found}"
            )
        self._keys = next((column for column in _KEYS if column in items.column_names), None)
        self._label = next((column for column in _LABELS if column in items.column_names), None)

    def key(self, index: int) -> str:
        """See `Source`."""
        return str(index) if self._keys is None else str(self.items[self._keys][index])

    def label_name(self, label: Label) -> str:
        """See `Source`."""
        feature = self.items.features[self._label] if self._label is not None else None
        names = getattr(feature, "names", None)
        return str(names[label]) if isinstance(label, int) and names else str(label)

    def meant(self, label: Label, spec: ModelSpec) -> PhotoTarget | None:
        """See `Source`: a label that has a name is looked for by its name, unless the network's classes are these."""
        feature = self.items.features[self._label] if self._label is not None else None
        names = getattr(feature, "names", None)
        if isinstance(label, int) and names and tuple(names) != tuple(spec.classes):
            members = category_groups("custom", tuple(names), spec)[label]
            return None if not members else members[0] if len(members) == 1 else ClassGroup(members)
        return spec.class_index(label)


def of_hugging_face(text: str) -> HuggingFace:
    """The data set behind ``hf:FOLDER#split`` or ``hf:owner/name#split``.

    Raises:
        MissingPackageError: If ``datasets`` is not installed.
        DataError: If there is none, or it has several splits and none is named.
    """
    if importlib.util.find_spec("datasets") is None:
        raise MissingPackageError("a data set of Hugging Face needs datasets; pip install 'equipoise[streams]'")
    import datasets as hf  # noqa: PLC0415  # an extra

    place, _, split = text.removeprefix(HF).partition("#")
    try:
        found: Any = hf.load_from_disk(place) if Path(place).is_dir() else hf.load_dataset(place)
    except Exception as error:  # files, hub and network fail in many ways
        raise DataError(f"{place}: no data set can be read there ({one_line(error)[:200]})") from error
    if isinstance(found, dict):
        if not split and len(found) > 1:
            raise DataError(f"{place} has the splits {', '.join(found)}; name one: {HF}{place}#{next(iter(found))}")
        if (split or next(iter(found))) not in found:
            raise DataError(f"{place} has no split {split!r}; it has {', '.join(found)}")
        found = found[split or next(iter(found))]
    return HuggingFace(found, text)


def _of_reference(text: str, _root: Path | None) -> Source:
    made = resolve(text)
    items = made() if callable(made) and not hasattr(made, "__getitem__") else made
    return as_source_of_items(items, text)


def as_source_of_items(items: Any, name: str | None = None) -> Source:
    """Whatever has items, as a source."""
    if isinstance(items, Source):
        return items
    if isinstance(items, DataSet):
        return Registered(items)
    if hasattr(items, "column_names") and hasattr(items, "features"):
        return HuggingFace(items, name)
    return Mapped(items, name)


SOURCES.add(
    "hugging_face", Kind(lambda text: text.startswith(HF), lambda text, _: of_hugging_face(text), "hf:FOLDER#train")
)
SOURCES.add(
    "data_set",
    Kind(
        lambda text: text in DATASETS,
        lambda text, root: Registered(open_dataset(text, root)),
        "imagenet (equipoise list datasets)",
    ),
)
SOURCES.add(
    "python", Kind(lambda text: is_reference(text) and not Path(text).exists(), _of_reference, "package.module:build")
)
