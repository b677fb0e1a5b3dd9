"""From a photograph to the tensor that a network was trained on, and back to the photograph's pixels."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, runtime_checkable

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from equipoise._registry import Registry
from equipoise.errors import ImageError, OptionError, ShapeError

if TYPE_CHECKING:
    import enum
    from collections.abc import Callable, Mapping

Size = tuple[int, int]
"""Height and width, in pixels."""

ColorOrder: TypeAlias = Literal["RGB", "BGR"]
"""In which order a network takes the colors of a photo."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_COLORS: Final = 3
_ON_ARRAYS: Final = {"nearest": "nearest-exact", "bilinear": "bilinear", "bicubic": "bicubic"}  # torch's names

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
    a Pillow image of at least one pixel a side. A network of one channel sees the photo in gray; one of two, or of
    more than three, takes arrays alone.

    Args:
        resize: Height and width, in pixels, that ``crop_mode`` resizes to.
        crop: Height and width, in pixels, of what the network sees.
        crop_mode: ``"center"`` (the image fills ``resize``), ``"squash"`` (it is stretched to ``resize``)
            or ``"border"`` (it fits into ``resize``).
        interpolation: ``"nearest"``, ``"bilinear"``, ``"bicubic"``, ``"box"``, ``"hamming"`` or
            ``"lanczos"``.
        mean: Of each channel, for pixels in ``value_range``.
        std: Of each channel, likewise.
        value_range: What black and white are before the mean is subtracted; the values of an array are read as such.
        color_order: Of three channels.

    Raises:
        UnknownNameError: If ``crop_mode`` is none of the three.
        OptionError: If there are not as many means as deviations, or white is not above black.
    """

    resize: Size = (256, 256)
    crop: Size = (224, 224)
    crop_mode: str = "center"
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    value_range: tuple[float, float] = (0.0, 1.0)
    color_order: ColorOrder = "RGB"

    def __post_init__(self) -> None:
        CROP_MODES[self.crop_mode]
        if not len(self.mean) == len(self.std) > 0:
            raise OptionError(f"preprocessing has {len(self.mean)} means and {len(self.std)} deviations")
        if not self.value_range[0] < self.value_range[1]:
            raise OptionError(f"value_range is {self.value_range}; white has to be above black")

    @property
    def channels(self) -> int:
        """How many the network takes."""
        return len(self.mean)

    @property
    def space(self) -> Size:
        """What the network takes, in pixels."""
        return self.crop

    def with_channels(self, count: int) -> Preprocessing:
        """The same for a network of so many channels: their mean and deviation are the average of those known."""
        if count == self.channels:
            return self
        mean, std = (sum(values) / len(values) for values in (self.mean, self.std))
        return replace(self, mean=(mean,) * count, std=(std,) * count)

    @property
    def words(self) -> str:
        """For a person: what becomes of a photo."""
        resized, seen = (" x ".join(map(str, dict.fromkeys(size))) for size in (self.resize, self.crop))
        mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (self.mean, self.std))
        plain = (0.0, 1.0)
        values = "" if self.value_range == plain else " of values from {:g} to {:g}".format(*self.value_range)
        kind = "".join(
            word
            for word, said in (
                (" in gray", self.channels == 1), (" as BGR", self.color_order == "BGR" and self.channels == _COLORS)
            ) if said
        )  # fmt: skip
        geometry = f"resized to {resized} and cropped to {seen} pixels ({self.crop_mode}){kind}"
        return f"{geometry}, with mean {mean} and std {std}{values}"

    def describe(self) -> dict[str, Any]:
        """Everything that changes the result, as JSON types."""
        return asdict(self)

    def image(self, image: Image.Image) -> Image.Image:
        """What the network sees: the RGB image of size ``crop``, before normalization; gray for one channel.

        Raises:
            ImageError: If the network takes neither one nor three channels.
        """
        if self.channels not in {1, _COLORS}:
            raise ImageError(
                f"the network takes {self.channels} channels, and a photo has three; give an array, such as a .npy file"
            )
        image = image.convert("RGB" if self.channels == _COLORS else "L").convert("RGB")
        rows, columns = self._resized(image.width, image.height)
        resized = image if image.size == (columns, rows) else self._enlarged(image, rows, columns)
        top, left = self._corner(rows, columns)
        # A canvas rather than `Image.crop`, which knows only black for what lies outside.
        seen = Image.new("RGB", (self.crop[1], self.crop[0]), self._fill())
        seen.paste(resized, (-left, -top))
        return seen

    def __call__(self, image: Image.Image) -> Tensor:
        """The normalized image, float32, shape ``(c, *crop)``, on the CPU."""
        return self.normalize(self.pixels(image))

    def pixels(self, image: Image.Image) -> Tensor:
        """What the network sees, before normalization: float32, shape ``(c, *crop)``, 0 to 1, on the CPU."""
        seen = self.image(image)
        bytes_ = torch.frombuffer(bytearray(seen.tobytes()), dtype=torch.uint8)
        colors = bytes_.view(seen.height, seen.width, _COLORS).permute(2, 0, 1).contiguous().to(torch.float32) / 255
        if self.channels == 1:
            return colors[:1]
        return colors.flip(0) if self.color_order == "BGR" else colors

    def normalize(self, pixels: Tensor) -> Tensor:
        """Pixels between 0 and 1, ``(..., c, h, w)``, as the network takes them; same device and dtype."""
        black, white = self.value_range
        values = pixels if (black, white) == (0, 1) else black + pixels * (white - black)
        return (values - _channels(self.mean).to(values)) / _channels(self.std).to(values)

    def of_array(self, array: Tensor) -> Tensor:
        """An array ``(c, h, w)``, its values in `value_range`, as the network takes it: float32, ``(c, *crop)``.

        Raises:
            ShapeError: If it has another number of channels.
        """
        if array.dim() != 3 or len(array) != self.channels:
            raise ShapeError(f"the array is {tuple(array.shape)}; the network takes ({self.channels}, h, w)")
        size = self._resized(array.shape[2], array.shape[1])
        values = array.to(torch.float32)
        if array.shape[1:] != size:
            mode = _ON_ARRAYS.get(self.interpolation, "bilinear")
            smooth = mode in {"bilinear", "bicubic"}  # only these can be, and Pillow's always are
            values = F.interpolate(values[None], size, mode=mode, antialias=smooth)[0]
        top, left = self._corner(*size)
        fill = self.mean if self.crop_mode == "border" else (self.value_range[0],)
        seen = _channels(fill).expand(self.channels, *self.crop).clone()
        rows, columns = slice(max(top, 0), top + self.crop[0]), slice(max(left, 0), left + self.crop[1])
        part = values[:, rows, columns]
        down, right = max(-top, 0), max(-left, 0)
        seen[:, down : down + part.shape[1], right : right + part.shape[2]] = part
        return (seen - _channels(self.mean)) / _channels(self.std)

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
        """The lowest and the highest value of a pixel after normalization, each of shape ``(c,)``."""
        mean, std = torch.tensor(self.mean), torch.tensor(self.std)
        black, white = self.value_range
        return (black - mean) / std, (white - mean) / std

    def _enlarged(self, image: Image.Image, rows: int, columns: int) -> Image.Image:
        """The photo in another size."""
        return image.resize((columns, rows), Image.Resampling[self.interpolation.upper()])

    def _fill(self) -> tuple[int, ...]:
        """The color of what lies outside the photo, 0 to 255."""
        if self.crop_mode != "border":
            return (0, 0, 0)
        black, white = self.value_range
        color = [min(max(round(255 * (value - black) / (white - black)), 0), 255) for value in self.mean]
        color = color[::-1] if self.color_order == "BGR" else color
        return tuple(color * _COLORS if self.channels == 1 else color)

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
            mean=tuple(preset.mean),
            std=tuple(preset.std),
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
            mean=tuple(config["mean"]),
            std=tuple(config["std"]),
        )


def _offset(size: int, crop: int) -> int:
    """Where a centered crop begins, rounded as torchvision does (half to even; padding rounds down)."""
    return round((size - crop) / 2) if size >= crop else -((crop - size) // 2)


def _channels(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1)
