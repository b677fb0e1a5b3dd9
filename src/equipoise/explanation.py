"""What an explanation holds, and how it is shown and saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, overload

import numpy as np
import torch

from equipoise import notebook, plot, records, viz
from equipoise.answers import ClassScore
from equipoise.array_pictures import most_relevant, overlay_of_signal, overlay_of_volume
from equipoise.errors import OptionError, TargetError
from equipoise.methods import heatmap
from equipoise.methods.scores import Similarity
from equipoise.naming import slug
from equipoise.palettes import PALETTES
from equipoise.view import View
from equipoise.wanted import PhotoSimilarity

if TYPE_CHECKING:
    import os

    from matplotlib.axes import Axes
    from numpy.typing import NDArray
    from PIL import Image
    from torch import Tensor

    from equipoise.answers import ScoreOf
    from equipoise.engine import Trace
    from equipoise.network import BoundMethod
    from equipoise.plot import Drawing

LISTED_SCORES: Final = 5
"""How many of the highest classes an explanation lists."""

STRIPE: Final = 32
"""Height of the picture of a signal's map, in pixels."""

CELL: Final = 480
"""Longer side of a picture in a montage, in pixels."""

KINDS: Final = {1: "signal", 2: "photo", 3: "volume"}
"""What is explained, for people, by how many dimensions of positions it has."""

_NOTEBOOK_SIDE: Final = 1024  # pixels of the longer side of what a notebook shows
_NOTEBOOK_VIEW: Final = 512  # the same, of the view that tells values
_MODEL_KEYS: Final = ("name", "source", "weights", "weights_checksum", "task", "activation")  # of a spec, for a record
_OF_TARGETS: Final = ("target", "attribution", "other")  # of a record: one entry for each target
_PICTURES: Final = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


@dataclass(frozen=True, eq=False)
class Explanation:
    """Where in a photo a network found evidence for a class, and evidence against it; notebooks show it.

    Of a signal the positions are ``l``, of a volume ``d, h, w``, where those of a photo are ``h, w``.

    Attributes:
        attribution: ``(c, h, w)``, or ``(k, c, h, w)`` for a list of targets; as the method gave it.
        heatmap: ``(h, w)`` or ``(k, h, w)``: the sum over the channels.
        scores: The highest classes, best first.
        target: The explained class; a tuple of them for a list of targets.
        image: The photo at its own resolution as a person sees it, mode ``RGB``.
        box: ``(left, top, right, bottom)`` in pixels of the photo: what the network saw.
        record: What made this explanation, and its sums, as JSON types.
        notes: What the method has to say, such as that no negative relevance was found at a layer.
        smoothing: Default of `overlay`: 0 for maps that are smooth already.
        array: What ``image`` is a picture of, ``(c, *positions)``; ``None``: it is a photo.
        value_range: What is black and white in that.
        others: For each target the explanation of the other photo, where the target is a similarity of two; else
            ``None``. Empty: none is.
        colors: Default of its pictures: a name in `equipoise.palettes.PALETTES`; see `in_colors`.
    """

    attribution: Tensor = field(repr=False)
    heatmap: Tensor = field(repr=False)
    scores: tuple[ClassScore, ...]
    target: ClassScore | tuple[ClassScore, ...]
    image: Image.Image
    box: tuple[float, float, float, float]
    record: dict[str, Any] = field(repr=False)
    notes: tuple[str, ...] = ()
    smoothing: float = viz.SMOOTHING
    array: Tensor | None = field(default=None, repr=False)
    value_range: tuple[float, float] = (0.0, 1.0)
    others: tuple[Explanation | None, ...] = field(default=(), repr=False)
    colors: str = "red_blue"

    @classmethod
    def of(cls, view: View, bound: BoundMethod, targets: Sequence[ScoreOf], trace: Trace | None = None) -> Explanation:
        """Explain several scores of a photo that the network has looked at.

        Args:
            view: The photo, and what the network says of it.
            bound: The method.
            targets: What is explained.
            trace: The forward pass of the view, where it was recorded before; see `BoundMethod.attribute`.

        Returns:
            The explanation of a list of targets: attribution ``(k, c, h, w)``.
        """
        return cls.made(view, bound, targets, bound.attribute(view.inputs, targets, trace), bound.notes)

    @classmethod
    def made(
        cls, view: View, bound: BoundMethod, targets: Sequence[ScoreOf], attribution: Tensor, notes: Sequence[str]
    ) -> Explanation:
        """As `of`, of an attribution that was computed already, such as with other photos in a batch.

        Args:
            view: The photo, and what the network says of it.
            bound: The method.
            targets: What was explained.
            attribution: Of each, ``(k, c, h, w)``.
            notes: What the method had to say of it.
        """
        heatmaps = heatmap(attribution, dims=view.inputs.dim() - 2)
        scores = view.top(LISTED_SCORES)
        explained = tuple(view.score(target) for target in targets)
        notes = (*view.network.notes, *notes)
        photo, spec = view.photo, view.network.spec
        record = records.plain(
            {
                "image": {
                    "path": photo.path,
                    "sha256": photo.sha256,
                    "width": photo.image.width,
                    "height": photo.image.height,
                    "box": view.box,
                }
                | ({} if photo.array is None else {"array": list(photo.array.shape)}),
                "model": {key: getattr(spec, key, None) for key in _MODEL_KEYS}
                | {"preprocessing": spec.preprocessing.describe()},
                "method": bound.record,
                "target": [asdict(one) for one in explained],
                "scores": [asdict(one) for one in scores],
                "attribution": [{"shape": list(attribution.shape[1:]), **records.statistics(one)} for one in heatmaps],
                "notes": notes,
                "versions": records.versions(),
            }
        )
        others = tuple(_other(view, bound, target) for target in targets)
        if any(others):
            record["other"] = [one and {key: one.record[key] for key in ("image", "target", "attribution")}
                                for one in others]  # fmt: skip
        smoothing = 0.0 if bound.coarse else viz.SMOOTHING
        values = getattr(spec.preprocessing, "value_range", (0.0, 1.0))
        return cls(
            attribution, heatmaps, scores, explained, photo.image, view.box, record, notes, smoothing, photo.array,
            values, others,
        )  # fmt: skip

    @property
    def targets(self) -> tuple[ClassScore, ...]:
        """The explained classes, also when there is one."""
        return self.target if isinstance(self.target, tuple) else (self.target,)

    @property
    def other(self) -> Explanation | None:
        """Of the similarity of two photos the explanation of the other one; ``None``: the target is no such thing."""
        return next((one for one in self.others if one is not None), None)

    def parts(self) -> list[Explanation]:
        """An explanation of each target alone, after each that of the other photo, where there is one."""
        each = [self.select(index) for index in range(len(self.targets))]
        return [part for one in each for part in (one, one.other) if part is not None]

    @property
    def kind(self) -> str:
        """What was explained, for people: ``"photo"``, ``"signal"`` or ``"volume"``."""
        return KINDS[self.heatmap.dim() - isinstance(self.target, tuple)]

    def select(self, target_index: int) -> Explanation:
        """The explanation of one of several targets, ``target_index`` counting from 0.

        Raises:
            TargetError: If there are fewer targets.
        """
        if not 0 <= target_index < len(self.targets):
            raise TargetError(f"there is no target {target_index}; this explanation has {len(self.targets)}")
        if not isinstance(self.target, tuple):
            return self
        return replace(
            self,
            attribution=self.attribution[target_index],
            heatmap=self.heatmap[target_index],
            target=self.target[target_index],
            record=self.record | {key: self.record[key][target_index] for key in _OF_TARGETS if key in self.record},
            others=self.others[target_index : target_index + 1],
        )

    def thumbnail(self, side: int) -> Explanation:
        """The same with a photo of at most ``side`` pixels a side; for showing, since the record stays."""
        scale = min(1.0, side / max(self.image.size))
        size = (max(1, round(self.image.width * scale)), max(1, round(self.image.height * scale)))
        across, down = size[0] / self.image.width, size[1] / self.image.height
        left, top, right, bottom = self.box
        box = (left * across, top * down, right * across, bottom * down)
        others = tuple(one and one.thumbnail(side) for one in self.others)
        return replace(self, image=self.image.resize(size), box=box, others=others)

    def in_colors(self, name: str) -> Explanation:
        """The same, with pictures in the colors of a palette.

        Args:
            name: In `equipoise.palettes.PALETTES`.

        Raises:
            UnknownNameError: If there is no such palette.
        """
        name = PALETTES.canonical(name)
        return replace(self, colors=name, others=tuple(one and one.in_colors(name) for one in self.others))

    def overlay(self, target_index: int = 0, **options: Any) -> Image.Image:
        """The map over the photo, at the photo's own resolution, where the network looked.

        Of a signal it is the ground behind its lines; of a volume the slices with the most relevance are shown.

        Args:
            target_index: Which of several targets, from 0.
            **options: ``opacity``, ``percentile``, ``smoothing`` and ``colors`` of `equipoise.viz.overlay`; of a volume
                also ``slices``, how many. Smoothing
                (default 1.2 % of the side for pixel-level maps) serves the eye in this picture alone;
                ``smoothing=0`` draws the map as it is.

        Raises:
            TargetError: If there are fewer targets.
            OptionError: If an option is outside its range.
        """
        one = self.select(target_index)
        options.setdefault("smoothing", one.smoothing)
        options.setdefault("colors", one.colors)
        return _OVERLAYS[one.heatmap.dim()](one, **options)

    def heatmap_image(self, target_index: int = 0, **options: Any) -> Image.Image:
        """The map alone, one pixel per value; options are those of `equipoise.viz.heatmap_image`.

        A signal's samples are columns; a volume's slices with the most relevance stand side by side.
        """
        values = _numpy(self.select(target_index).heatmap)
        if values.ndim == 1:
            values = np.repeat(values[None], STRIPE, 0)
        if values.ndim == 3:
            values = np.concatenate([values[index] for index in most_relevant(values)], 1)
        options.setdefault("colors", self.colors)
        return viz.heatmap_image(values, **options)

    @overload
    def plot(self, ax: None = None, *, target_index: int | None = None, **options: Any) -> Drawing: ...
    @overload
    def plot(self, ax: Axes, *, target_index: int | None = None, **options: Any) -> Axes: ...
    def plot(self, ax: Axes | None = None, *, target_index: int | None = None, **options: Any) -> Drawing | Axes:
        """A figure for a paper: the map, its class, probability, method and network, and a color bar.

        Args:
            ax: Where to draw; default: a figure of its own, which pyplot does not know.
            target_index: Which of several targets, from 0; default: all, in a grid as of `equipoise.plot.compare`.
            **options: ``width``, ``cmap``, ``scale``, ``percentile`` and ``opacity`` of `equipoise.plot.compare`.

        Returns:
            ``ax``, or the new figure, whose ``save`` writes a caption beside it.

        Raises:
            TargetError: If there are fewer targets.
            OptionError: If an option is outside its range.
            UnknownNameError: If there is no such palette, width or scale.
        """
        one = self if target_index is None else self.select(target_index)
        options.setdefault("cmap", one.colors)
        if one._several:  # noqa: SLF001  # one of its own kind
            return plot.compare([one], ax, **options)
        return plot.single(one, ax, **options)

    def montage(self) -> Image.Image:
        """`plot` as a picture, with the photo: each target below the other; of a similarity both photos and maps."""
        return plot.compare([self], cmap=self.colors).picture()

    def worded(self, picture: Image.Image, target_index: int = 0) -> Image.Image:
        """A picture of the map with method, class, how sure the network is, and network above it, a color bar below.

        Args:
            picture: From `overlay` or `heatmap_image`, or drawn otherwise in this explanation's colors.
            target_index: Which of several targets, from 0.

        Raises:
            TargetError: If there are fewer targets.
        """
        return plot.worded(picture, self.select(target_index), self.colors)

    def contents(self, target_index: int = 0) -> dict[str, bytes]:
        """The files of one target by their endings: two pictures with their words, the raw float32 numbers, the record.

        Of the similarity of two photos also two pictures of the other one.
        """
        one = self.select(target_index)
        other = one.other
        pictures = {} if other is None else {
            ".other.overlay.png": records.encoded(other.worded(other.overlay())),
            ".other.heatmap.png": records.encoded(other.worded(other.heatmap_image())),
        }  # fmt: skip
        return pictures | {
            ".overlay.png": records.encoded(one.worded(one.overlay())),
            ".heatmap.png": records.encoded(one.worded(one.heatmap_image())),
            ".safetensors": one._tensors(),  # noqa: SLF001  # one of its own kind
            ".json": (records.to_json(one.record) + "\n").encode(),
        }

    def save(self, path: str | os.PathLike[str]) -> list[Path]:
        """Write what the ending of ``path`` says; each file is whole or absent.

        Args:
            path: ``.png``, ``.jpg`` or ``.webp`` for the overlay with its words (all targets below one another if
                there are several, and both photos of a similarity), ``.pdf`` or ``.svg`` for the figure of `plot`
                with its caption in a text file beside it, ``.safetensors`` for the attribution as float32 (and
                ``other``, that of the other photo), ``.json`` for the record; without an ending, or an existing
                folder: the folder for all files of every target.

        Returns:
            The files written.

        Raises:
            OptionError: If the ending is another.
            OSError: If the file cannot be written.
        """
        path = Path(path)
        ending = path.suffix.lower()
        if path.is_dir() or not ending:
            path.mkdir(parents=True, exist_ok=True)
            return [
                records.write_atomically(path / f"{slug(target.name)}{_number(target)}{kind}", data)
                for index, target in enumerate(self.targets)
                for kind, data in self.contents(index).items()
            ]
        if ending in plot.VECTORS:
            return self.plot().save(path)
        if ending in _PICTURES:
            picture = self.montage() if self._several else self.worded(self.overlay())
            data = records.encoded(picture, _PICTURES[ending])
        elif ending == ".safetensors":
            data = self._tensors()
        elif ending == ".json":
            data = (records.to_json(self.record) + "\n").encode()
        else:
            known = ", ".join([*_PICTURES, *plot.VECTORS, ".safetensors", ".json"])
            raise OptionError(f"{path.name} ends in {ending}; an explanation is saved as one of {known}")
        path.parent.mkdir(parents=True, exist_ok=True)
        return [records.write_atomically(path, data)]

    def _repr_html_(self) -> str | None:
        return None if self.other is not None else notebook.view(self, _NOTEBOOK_VIEW)

    def _repr_png_(self) -> bytes:
        if self._several:
            return records.encoded(self.montage())
        return records.encoded(self.thumbnail(_NOTEBOOK_SIDE).overlay())

    @property
    def _several(self) -> bool:
        """Whether there is more than one map to show."""
        return isinstance(self.target, tuple) or self.other is not None

    def _tensors(self) -> bytes:
        from safetensors.torch import save  # noqa: PLC0415  # only this needs it

        maps = {"attribution": self.attribution}
        if self.other is not None and not isinstance(self.target, tuple):
            maps["other"] = self.other.attribution
        tensors = {name: one.detach().to("cpu", torch.float32).contiguous() for name, one in maps.items()}
        return save(tensors, metadata={"record": records.to_json(self.record, indent=None)})


def _other(view: View, bound: BoundMethod, target: ScoreOf) -> Explanation | None:
    """The other photo of a similarity: how like the first it is, which is the same number."""
    if not isinstance(target, PhotoSimilarity) or not isinstance(target.other, View):
        return None
    name = "the other photo" if view.photo.path is None else Path(view.photo.path).name
    reference = view.answers.scores.to(view.network.device)
    return Explanation.of(target.other, bound, [Similarity(reference, name)]).select(0)


def _overlay_of_photo(one: Explanation, **options: Any) -> Image.Image:
    return viz.overlay(one.image, _numpy(one.heatmap), one.box, **options)


def _overlay_of_signal(one: Explanation, **options: Any) -> Image.Image:
    return overlay_of_signal(one.image, _numpy(one.heatmap), **options)


def _overlay_of_volume(one: Explanation, **options: Any) -> Image.Image:
    assert one.array is not None  # noqa: S101  # a volume comes as an array
    return overlay_of_volume(_numpy(one.array), _numpy(one.heatmap), one.value_range, **options)


_OVERLAYS: Final = {1: _overlay_of_signal, 2: _overlay_of_photo, 3: _overlay_of_volume}
"""How a map of so many dimensions is shown over what it explains."""


def _number(score: ClassScore) -> str:
    return "" if score.index is None else f"-{score.index}"


def _numpy(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.detach().to("cpu", torch.float32).numpy()
    return array
