"""Preprocessing that a user gives as a function: what it does to black, white and a ramp tells the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import torch
from PIL import Image

from equipoise.errors import OptionError, ShapeError, UnsupportedModelError
from equipoise.models.array_preprocessing import ArrayPreprocessing
from equipoise.models.preprocessing import Preprocessing, Size

if TYPE_CHECKING:
    from torch import Tensor

Preprocess = Callable[[Image.Image], Any]
"""From a photo to what a network takes: a tensor ``(c, h, w)``, or what a Hugging Face processor returns."""

_PROBE: Final = 256  # pixels a side of the plain pictures that show what a function does to black and to white
_INSIDE: Final = (0.02, 0.98)  # shares of the photo's side; what lies nearer to an edge may be padding
_STRAIGHT: Final = 0.02  # of the photo's side: how far a column may lie from the line through all


@dataclass(frozen=True, eq=False)
class OwnPreprocessing:
    """Preprocessing as a function; what it does to black, white and a ramp tells the rest.

    Attributes:
        function: From a photo to the network's input.
        crop: Height and width of what the network sees.
        low: What black becomes, ``(c,)``; ``None``: it depends on the rest of the photo.
        high: What white becomes, ``(c,)``.
    """

    function: Preprocess
    crop: Size
    low: Tensor | None = field(repr=False)
    high: Tensor | None = field(repr=False)

    @classmethod
    def of(cls, function: Preprocess) -> OwnPreprocessing:
        """Look at what a function does.

        Raises:
            ShapeError: If it gives no tensor ``(c, h, w)``.
        """
        black, white = (_tensor(function, _plain(value)) for value in (0, 255))
        low, high = black.flatten(1).amin(1), white.flatten(1).amax(1)
        known = bool((low < high).all()) and bool(torch.isfinite(torch.stack([low, high])).all())
        rows, columns = black.shape[1:]
        return cls(function, (rows, columns), low if known else None, high if known else None)

    @property
    def space(self) -> Size:
        """What the network takes, in pixels."""
        return self.crop

    def __call__(self, image: Image.Image) -> Tensor:
        """The network's input, float32, ``(c, h, w)``, on the CPU."""
        return _tensor(self.function, image)

    def describe(self) -> dict[str, Any]:
        """What is known of it, as JSON types."""
        known = None if self.low is None or self.high is None else [self.low.tolist(), self.high.tolist()]
        name = getattr(self.function, "__qualname__", type(self.function).__qualname__)
        return {"function": name, "crop": list(self.crop), "bounds": known}

    def bounds(self) -> tuple[Tensor, Tensor] | None:
        """The lowest and the highest value of a pixel, each ``(c,)``; ``None`` if no such is known."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    def pixels(self, image: Image.Image) -> Tensor:
        """What the network sees, before normalization: ``(c, h, w)``, 0 to 1.

        Raises:
            UnsupportedModelError: If the function normalizes each photo by itself.
        """
        low, high = self._known()
        return ((self(image) - low) / (high - low)).clamp(0, 1)

    def image(self, image: Image.Image) -> Image.Image:
        """What the network sees, as a picture of mode ``RGB``.

        Raises:
            UnsupportedModelError: If the function normalizes each photo by itself, or gives neither one nor three
                channels.
        """
        pixels = self.pixels(image)
        if len(pixels) not in {1, 3}:
            raise UnsupportedModelError(f"{len(pixels)} channels are no picture")
        values = (pixels.expand(3, -1, -1) * 255).round().byte().permute(1, 2, 0)
        return Image.frombytes("RGB", (self.crop[1], self.crop[0]), bytes(values.flatten().tolist()))

    def normalize(self, pixels: Tensor) -> Tensor:
        """Pixels between 0 and 1, ``(..., c, h, w)``, as the network takes them; same device and dtype.

        Raises:
            UnsupportedModelError: If the function normalizes each photo by itself.
        """
        low, high = (bound.to(pixels) for bound in self._known())
        return low + pixels * (high - low)

    def box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """The part of an image of that size which the network sees; the whole of it where that cannot be told."""
        whole = (0.0, 0.0, float(width), float(height))
        bounds = self.bounds()
        if bounds is None:
            return whole
        across = self._edges(width, height, horizontal=True)
        down = self._edges(width, height, horizontal=False)
        if across is None or down is None:
            return whole
        return across[0], down[0], across[1], down[1]

    def _edges(self, width: int, height: int, *, horizontal: bool) -> tuple[float, float] | None:
        """Where what the network sees begins and ends along one side, read off a ramp."""
        side = width if horizontal else height
        ramp = Image.linear_gradient("L")  # 256 x 256, black at the top
        ramp = ramp.transpose(Image.Transpose.ROTATE_90) if horizontal else ramp
        seen = self.pixels(ramp.resize((width, height), Image.Resampling.BILINEAR).convert("RGB"))[0]
        values = seen.median(0 if horizontal else 1).values.double()
        place = torch.arange(len(values), dtype=torch.float64) + 0.5
        inside = (values > _INSIDE[0]) & (values < _INSIDE[1])
        if int(inside.sum()) < 2:
            return None
        x, y = place[inside], values[inside] * side
        slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
        start = y.mean() - slope * x.mean()
        if slope <= 0 or bool((y - slope * x - start).abs().max() > _STRAIGHT * side):
            return None
        return float(start), float(start + slope * len(values))

    def _known(self) -> tuple[Tensor, Tensor]:
        bounds = self.bounds()
        if bounds is None:
            raise UnsupportedModelError(
                "this preprocessing normalizes each photo by itself, so there are no pixels to change; pass one that "
                "treats all photos alike"
            )
        low, high = bounds
        return low.view(-1, 1, 1), high.view(-1, 1, 1)


def _plain(value: int) -> Image.Image:
    return Image.new("RGB", (_PROBE, _PROBE), (value,) * 3)


def _tensor(function: Preprocess, image: Image.Image) -> Tensor:
    found = function(image)
    if isinstance(found, Mapping) and "pixel_values" in found:
        found = found["pixel_values"]
    if isinstance(found, list | tuple) and len(found) == 1:
        found = found[0]
    tensor = found if isinstance(found, torch.Tensor) else _from_array(found)
    if tensor.dim() == 4 and len(tensor) == 1:
        tensor = tensor[0]
    if tensor.dim() != 3 or not tensor.is_floating_point():
        raise ShapeError(
            f"preprocess returned {tuple(tensor.shape)} of {tensor.dtype}; expected a floating-point tensor (c, h, w)"
        )
    return tensor.detach().to("cpu", torch.float32)


def _from_array(found: Any) -> Tensor:
    try:
        return torch.as_tensor(found)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ShapeError(f"preprocess returned {type(found).__name__}; expected a tensor (c, h, w)") from error


def as_preprocessing(
    preprocess: Preprocessing | ArrayPreprocessing | OwnPreprocessing | Preprocess,
) -> Preprocessing | ArrayPreprocessing | OwnPreprocessing:
    """Preprocessing from whatever a user gave.

    Raises:
        OptionError: If it is no function of a photo.
        ShapeError: If it gives no tensor ``(c, h, w)``.
    """
    if isinstance(preprocess, Preprocessing | ArrayPreprocessing | OwnPreprocessing):
        return preprocess
    given: object = preprocess
    if not callable(given):
        kind = type(given).__name__
        raise OptionError(f"preprocess is a function from a Pillow image to a tensor (c, h, w), not {kind}")
    return OwnPreprocessing.of(preprocess)
