"""From a photograph to the tensor that a network was trained on, and back to the photograph's pixels."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from PIL import Image
from torch import Tensor

from equipoise._registry import Registry

if TYPE_CHECKING:
    import enum
    from collections.abc import Callable, Iterable, Mapping

Size = tuple[int, int]
"""Height and width, in pixels."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

CROP_MODES: Registry[Callable[[Preprocessing, int, int], Size]] = Registry("crop mode")
"""How each crop mode resizes: (preprocessing, height, width) to height and width before the crop."""


@CROP_MODES.register("center")
def _center(preprocessing: Preprocessing, height: int, width: int) -> Size:
    """Keep the aspect ratio, fill the crop, lose what lies outside it.

    Square targets round as ``torchvision.transforms.Resize(int)`` (the long side is cut off to whole
    pixels), others as timm's ``ResizeKeepRatio`` (rounded to nearest).
    """
    rows, columns = preprocessing.resize
    if rows != columns:
        ratio = min(height / rows, width / columns)
        return round(height / ratio), round(width / ratio)
    if height <= width:
        return rows, int(rows * width / height)
    return int(rows * height / width), rows


@CROP_MODES.register("squash")
def _squash(preprocessing: Preprocessing, height: int, width: int) -> Size:  # noqa: ARG001 - one signature
    """Give up the aspect ratio."""
    return preprocessing.resize


@CROP_MODES.register("border")
def _border(preprocessing: Preprocessing, height: int, width: int) -> Size:
    """Keep the aspect ratio and the whole image; what stays empty becomes the mean color."""
    rows, columns = preprocessing.resize
    ratio = max(height / rows, width / columns)
    return round(height / ratio), round(width / ratio)


@runtime_checkable
class Preset(Protocol):
    """What `Preprocessing` reads of a preset of torchvision."""

    resize_size: list[int]
    crop_size: list[int]
    interpolation: enum.Enum
    mean: list[float]
    std: list[float]


@dataclass(frozen=True)
class Preprocessing:
    """Resize, crop about the center, scale to 0 to 1, subtract the mean and divide by the deviation.

    Bit for bit what ``weights.transforms()`` of torchvision and ``create_transform`` of timm compute for
    a Pillow image of at least one pixel a side.

    Args:
        resize: Height and width, in pixels, that ``crop_mode`` resizes to.
        crop: Height and width, in pixels, of what the network sees.
        crop_mode: ``"center"`` (the image fills ``resize``), ``"squash"`` (it is stretched to ``resize``)
            or ``"border"`` (it fits into ``resize``).
        interpolation: ``"nearest"``, ``"bilinear"``, ``"bicubic"``, ``"box"``, ``"hamming"`` or
            ``"lanczos"``.
        mean: Of each channel, for pixels between 0 and 1.
        std: Of each channel, for pixels between 0 and 1.

    Raises:
        UnknownNameError: If ``crop_mode`` is none of the three.
    """

    resize: Size = (256, 256)
    crop: Size = (224, 224)
    crop_mode: str = "center"
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        CROP_MODES[self.crop_mode]

    @property
    def words(self) -> str:
        """For a person: what becomes of a photo."""
        resized, seen = (" x ".join(map(str, dict.fromkeys(size))) for size in (self.resize, self.crop))
        mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (self.mean, self.std))
        return f"resized to {resized} and cropped to {seen} pixels ({self.crop_mode}), with mean {mean} and std {std}"

    def describe(self) -> dict[str, Any]:
        """Everything that changes the result, as JSON types."""
        return asdict(self)

    def image(self, image: Image.Image) -> Image.Image:
        """What the network sees: the RGB image of size ``crop``, before normalization."""
        image = image.convert("RGB")
        rows, columns = self._resized(image.width, image.height)
        resampling = Image.Resampling[self.interpolation.upper()]
        resized = image if image.size == (columns, rows) else image.resize((columns, rows), resampling)
        top, left = self._corner(rows, columns)
        fill = tuple(round(255 * value) for value in self.mean) if self.crop_mode == "border" else (0, 0, 0)
        # A canvas rather than `Image.crop`, which knows only black for what lies outside.
        seen = Image.new("RGB", (self.crop[1], self.crop[0]), fill)
        seen.paste(resized, (-left, -top))
        return seen

    def __call__(self, image: Image.Image) -> Tensor:
        """The normalized image, float32, shape ``(3, *crop)``, on the CPU."""
        return self.normalize(self.pixels(image))

    def pixels(self, image: Image.Image) -> Tensor:
        """What the network sees, before normalization: float32, shape ``(3, *crop)``, 0 to 1, on the CPU."""
        seen = self.image(image)
        bytes_ = torch.frombuffer(bytearray(seen.tobytes()), dtype=torch.uint8)
        return bytes_.view(seen.height, seen.width, 3).permute(2, 0, 1).contiguous().to(torch.float32) / 255

    def normalize(self, pixels: Tensor) -> Tensor:
        """Pixels between 0 and 1, ``(..., 3, h, w)``, as the network takes them; same device and dtype."""
        return (pixels - _channels(self.mean).to(pixels)) / _channels(self.std).to(pixels)

    def box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """The part of an image of that size which the network sees.

        Args:
            width: Of the image, in pixels.
            height: Of the image, in pixels.

        Returns:
            Left, top, right and bottom in the image's own pixels, where pixel ``i`` covers ``i`` to
            ``i + 1``; stretching what the network sees over this box lays it back over the image. It
            reaches beyond the image where the network sees a border.
        """
        rows, columns = self._resized(width, height)
        top, left = self._corner(rows, columns)
        across, down = width / columns, height / rows
        return left * across, top * down, (left + self.crop[1]) * across, (top + self.crop[0]) * down

    def bounds(self) -> tuple[Tensor, Tensor]:
        """The lowest and the highest value of a pixel after normalization, each of shape ``(3,)``."""
        mean, std = torch.tensor(self.mean), torch.tensor(self.std)
        return (0 - mean) / std, (1 - mean) / std

    def _resized(self, width: int, height: int) -> Size:
        """Height and width after the resize; never less than a pixel."""
        rows, columns = CROP_MODES[self.crop_mode](self, height, width)
        return max(rows, 1), max(columns, 1)

    def _corner(self, rows: int, columns: int) -> tuple[int, int]:
        """Top and left of the crop in the resized image; negative where the image is smaller."""
        return _offset(rows, self.crop[0]), _offset(columns, self.crop[1])

    @classmethod
    def from_torchvision(cls, preset: Preset) -> Preprocessing:
        """From ``weights.transforms()``."""
        side, crop = preset.resize_size[0], preset.crop_size[0]
        return cls(
            resize=(side, side),
            crop=(crop, crop),
            interpolation=preset.interpolation.value,
            mean=_three(preset.mean),
            std=_three(preset.std),
        )

    @classmethod
    def from_timm(cls, config: Mapping[str, Any]) -> Preprocessing:
        """From what ``timm.data.resolve_data_config`` returns."""
        rows, columns = config["input_size"][-2:]
        percent = config["crop_pct"] or 0.875
        return cls(
            resize=(math.floor(rows / percent), math.floor(columns / percent)),
            crop=(rows, columns),
            crop_mode=config["crop_mode"] or "center",
            interpolation=config["interpolation"],
            mean=_three(config["mean"]),
            std=_three(config["std"]),
        )


def _offset(size: int, crop: int) -> int:
    """Where a centered crop begins, rounded as torchvision does (half to even; padding rounds down)."""
    return round((size - crop) / 2) if size >= crop else -((crop - size) // 2)


def _three(values: Iterable[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return red, green, blue


def _channels(values: tuple[float, float, float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(3, 1, 1)
