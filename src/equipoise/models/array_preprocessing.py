"""What becomes of an array that is no photo: a signal, a volume."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from equipoise.errors import ImageError, OptionError, ShapeError


@dataclass(frozen=True)
class ArrayPreprocessing:
    """Subtract the mean of each channel and divide by its deviation; the positions stay as they are.

    Args:
        size: Of what the network takes: a length, or depth, height and width; values, not pixels.
        mean: Of each channel.
        std: Of each channel.
        value_range: The lowest and highest value that an array has.

    Raises:
        OptionError: If there are not as many means as deviations.
    """

    size: tuple[int, ...]
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    value_range: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if not len(self.mean) == len(self.std) > 0:
            raise OptionError(f"preprocessing has {len(self.mean)} means and {len(self.std)} deviations")

    @property
    def channels(self) -> int:
        """How many the network takes."""
        return len(self.mean)

    @property
    def space(self) -> tuple[int, ...]:
        """What the network takes, in values."""
        return self.size

    @property
    def words(self) -> str:
        """For a person: what becomes of an array."""
        size = " x ".join(map(str, self.size))
        return f"taken as they are, {size} values of {self.channels} channel{'s' * (self.channels > 1)}"

    def describe(self) -> dict[str, Any]:
        """Everything that changes the result, as JSON types."""
        return asdict(self)

    def __call__(self, image: Image.Image) -> Tensor:
        """Refuse a photo.

        Raises:
            ImageError: Always.
        """
        raise self._no_photo(image)

    def pixels(self, image: Image.Image) -> Tensor:
        """Refuse a photo, as `__call__`."""
        raise self._no_photo(image)

    def image(self, image: Image.Image) -> Image.Image:
        """Refuse a photo, as `__call__`."""
        raise self._no_photo(image)

    def of_array(self, array: Tensor) -> Tensor:
        """An array ``(c, *size)``, its values in `value_range`, as the network takes it, float32.

        Raises:
            ShapeError: If it has another shape.
        """
        wanted = (self.channels, *self.size)
        if tuple(array.shape) != wanted:
            raise ShapeError(f"the array is {tuple(array.shape)}; the network takes {wanted}")
        return (array.to(torch.float32) - self._channels(self.mean)) / self._channels(self.std)

    def normalize(self, pixels: Tensor) -> Tensor:
        """Values between 0 and 1, ``(..., c, *size)``, as the network takes them; same device and dtype."""
        low, high = self.value_range
        return (low + pixels * (high - low) - self._channels(self.mean).to(pixels)) / self._channels(self.std).to(
            pixels
        )

    def bounds(self) -> tuple[Tensor, Tensor]:
        """The lowest and the highest value after normalization, each ``(c,)``."""
        mean, std = torch.tensor(self.mean), torch.tensor(self.std)
        return (self.value_range[0] - mean) / std, (self.value_range[1] - mean) / std

    def box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """The part of a picture of that size which shows what the network sees: all of it."""
        return 0.0, 0.0, float(width), float(height)

    def _no_photo(self, image: Image.Image) -> ImageError:
        size, photo = (" x ".join(map(str, sides)) for sides in (self.size, image.size))
        return ImageError(f"the network takes arrays of {size} values, not a photo of {photo} pixels; give a .npy file")

    def _channels(self, values: tuple[float, ...]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32).view(-1, *[1] * len(self.size))
