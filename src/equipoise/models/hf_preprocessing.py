"""What the image processors of ``transformers`` do, read from ``preprocessor_config.json``; without `transformers`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from PIL import Image

from equipoise._registry import Registry, nearest
from equipoise.errors import DescriptionError
from equipoise.models.preprocessing import Preprocessing, Size

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_HALF: Final = (0.5, 0.5, 0.5)
_CLIP: Final = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
_RESAMPLE: Final = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers that torchvision knows
_BYTES: Final = 255
_WARPED: Final = 384  # pixels from which on a ConvNeXt's photo is stretched rather than cropped
_USUAL: Final[Mapping[str, Any]] = {
    "do_resize": True, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
    "image_mean": _HALF, "image_std": _HALF, "resample": 2, "do_center_crop": False,
}  # fmt: skip


@dataclass(frozen=True)
class BytePreprocessing(Preprocessing):
    """As `Preprocessing`, resized and cropped as the processors of ``transformers`` do it.

    They resize by torchvision's operator for tensors of bytes, which differs from Pillow's by 1 of 255 in some pixels,
    and round the corner of a crop down.
    """

    def _enlarged(self, image: Image.Image, rows: int, columns: int) -> Image.Image:
        from torchvision.transforms import InterpolationMode  # noqa: PLC0415  # takes a second
        from torchvision.transforms.v2.functional import resize  # noqa: PLC0415  # as above

        pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        pixels = pixels.view(image.height, image.width, -1).permute(2, 0, 1).contiguous()
        mode = InterpolationMode("nearest-exact" if self.interpolation == "nearest" else self.interpolation)
        resized = resize(pixels, [rows, columns], interpolation=mode, antialias=True)
        return Image.frombytes("RGB", (columns, rows), resized.permute(1, 2, 0).contiguous().numpy().tobytes())

    def _corner(self, rows: int, columns: int) -> tuple[int, int]:
        return _down(rows - self.crop[0]), _down(columns - self.crop[1])


def _down(room: int) -> int:
    """Half of what is cut off, or padded on, toward zero."""
    return room // 2 if room >= 0 else -(-room // 2)


@dataclass(frozen=True)
class _Processor:
    """A class of image processors: what it does where its file is silent, and how it resizes.

    Attributes:
        defaults: Where they differ from `_USUAL`.
        number: How a size that is one number resizes: that of the shorter side (``"center"``) or of both.
        geometry: From its entries to the fields of `Preprocessing` for the positions; ``None`` if there are none such.
    """

    defaults: Mapping[str, Any]
    number: str
    geometry: Callable[[Mapping[str, Any], str], dict[str, Any] | None]


def _plain_geometry(entries: Mapping[str, Any], number: str) -> dict[str, Any] | None:
    sides = _sides(entries["size"], number)
    if not entries["do_resize"] or sides is None:
        return None
    mode, resize = sides
    crop = _sides(entries["crop_size"], "squash") if entries["do_center_crop"] else ("squash", resize)
    if crop is None or (mode == "center" and not entries["do_center_crop"]):
        return None  # what the network sees depends on the photo's shape
    return {"resize": resize, "crop": crop[1], "crop_mode": mode}


def _convnext_geometry(entries: Mapping[str, Any], number: str) -> dict[str, Any] | None:
    sides = _sides(entries["size"], number)
    if not entries["do_resize"] or entries["do_center_crop"] or sides is None or sides[0] != "center":
        return None
    crop = sides[1]
    if crop[0] >= _WARPED:
        return {"resize": crop, "crop": crop, "crop_mode": "squash"}
    side = int(crop[0] / entries["crop_pct"])
    return {"resize": (side, side), "crop": crop, "crop_mode": "center"}


def _sides(size: Any, number: str) -> tuple[str, Size] | None:
    """How a size resizes, and to which height and width; ``None`` if in a way that `Preprocessing` does not know."""
    if isinstance(size, list | tuple) and len(size) == 2:
        return "squash", (size[0], size[1])
    if isinstance(size, int):
        return number, (size, size)
    if not isinstance(size, Mapping):
        return None
    sides = {key: value for key, value in size.items() if value is not None}
    if set(sides) == {"shortest_edge"}:
        return "center", (sides["shortest_edge"], sides["shortest_edge"])
    if set(sides) == {"height", "width"}:
        return "squash", (sides["height"], sides["width"])
    return None


PROCESSORS: Registry[_Processor] = Registry("image processor")
PROCESSORS.add("ViTImageProcessor", _Processor({"size": 224, "crop_size": 224}, "squash", _plain_geometry))
PROCESSORS.add("ConvNextImageProcessor", _Processor(
    {"size": 384, "resample": 3, "crop_pct": 224 / 256}, "center", _convnext_geometry,
))  # fmt: skip
PROCESSORS.add("EfficientNetImageProcessor", _Processor(
    {"size": 346, "crop_size": 289, "resample": 3, "rescale_offset": False, "include_top": True}, "squash",
    _plain_geometry,
))  # fmt: skip
PROCESSORS.add("BitImageProcessor", _Processor(
    {"size": {"shortest_edge": 224}, "crop_size": 224, "resample": 3, "do_center_crop": True, "image_mean": _CLIP[0],
     "image_std": _CLIP[1]}, "center", _plain_geometry,
), aliases=("CLIPImageProcessor",))  # fmt: skip
PROCESSORS.add("MobileNetV1ImageProcessor", _Processor(
    {"size": {"shortest_edge": 256}, "crop_size": 224, "do_center_crop": True}, "center", _plain_geometry,
), aliases=("MobileNetV2ImageProcessor",))  # fmt: skip


def read_preprocessor(path: Path) -> Preprocessing:
    """Preprocessing as a ``preprocessor_config.json`` says, or a ``config.json`` with timm's ``pretrained_cfg``.

    Raises:
        DescriptionError: If it is absent, no such file, or of a processor that has no fixed size or is not known.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DescriptionError(f"{path} cannot be read") from error
    except json.JSONDecodeError as error:
        raise DescriptionError(f"{path} is not JSON: {error}") from error
    if not isinstance(entries, dict):
        raise DescriptionError(f"{path} holds no image processor of transformers: no JSON object")
    try:
        found = of_timm(entries) or of_entries(entries)
    except (TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
        raise DescriptionError(f"{path} says something of an image that cannot be: {error}") from error
    if isinstance(found, str):
        raise DescriptionError(f"{path} {found}; write its entries under [preprocessing]")
    return found


def of_timm(entries: Mapping[str, Any]) -> Preprocessing | None:
    """As a ``pretrained_cfg`` of timm says; ``None`` if there is none."""
    config = entries.get("pretrained_cfg")
    if not isinstance(config, Mapping):
        return None
    import timm  # noqa: PLC0415  # takes time

    return Preprocessing.from_timm(timm.data.resolve_data_config({}, pretrained_cfg=dict(config)))


def processor_type(entries: Mapping[str, Any]) -> str:
    """The processor's class, whatever its backend and age."""
    said = str(entries.get("image_processor_type") or entries.get("feature_extractor_type") or "")
    return said.replace("FeatureExtractor", "ImageProcessor").removesuffix("Fast").removesuffix("Pil")


def of_entries(said: Mapping[str, Any]) -> Preprocessing | str:
    """What a processor's entries mean, or in words why they cannot be said as `Preprocessing`."""
    kind = processor_type(said)
    if kind not in PROCESSORS:
        near = nearest(kind, PROCESSORS.names(), 1) if kind else []
        hint = f"; the nearest is {near[0]}" if near else ""
        return f"is of the image processor {kind or 'without a name'}, which equipoise does not know{hint}"
    processor = PROCESSORS[kind]
    entries = {**_USUAL, **processor.defaults, **{key: value for key, value in said.items() if value is not None}}
    geometry = processor.geometry(entries, processor.number)
    if geometry is None or entries.get("do_pad") or entries["resample"] not in _RESAMPLE:
        return "resizes photos in a way that depends on their shape"
    factor = float(entries["rescale_factor"]) if entries["do_rescale"] else 1.0
    black = -1.0 if entries.get("rescale_offset") and entries["do_rescale"] else 0.0
    means, deviations = _list(entries["image_mean"]), _list(entries["image_std"])
    divisors = deviations
    if not entries["do_normalize"]:
        means, divisors = [0.0] * len(means), [1.0] * len(deviations)
    if entries.get("include_top"):  # the deviation counts twice
        divisors = [one * other for one, other in zip(divisors, deviations, strict=True)]
    white = round(black + factor * _BYTES, 12)
    if not math.isfinite(white):
        return "has no finite rescale_factor"
    return BytePreprocessing(
        **geometry,
        interpolation=_RESAMPLE[entries["resample"]],
        mean=tuple(means),
        std=tuple(divisors),
        value_range=(black, white),
    )


def _list(values: Any) -> list[float]:
    return [float(value) for value in (values if isinstance(values, list | tuple) else [values] * 3)]
