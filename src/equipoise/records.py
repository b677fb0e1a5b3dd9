"""What is kept of an explanation: the JSON record, and files that are whole or absent."""

from __future__ import annotations

import contextlib
import importlib.metadata
import inspect
import io
import json
import math
import os
import platform
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import torch
from torch import Tensor, nn

from equipoise.methods import METHODS

if TYPE_CHECKING:
    from PIL import Image

_PACKAGES = ("equipoise", "torch", "torchvision", "timm")


@contextlib.contextmanager
def atomically(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write that is whole whenever it is there, also if the process is killed half-way.

    The bytes go to a hidden file ``.<name>.<random>.part`` of the same folder, which then takes the name; if the
    block raises, it vanishes.

    Raises:
        OSError: If the folder cannot be written or the disk is full; the old file, if any, is unchanged.
    """
    path = Path(path)
    part = path.with_name(f".{path.name[:80]}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_atomically(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write a file as `atomically` does.

    Returns:
        The path.

    Raises:
        OSError: If the folder cannot be written or the disk is full; the old file, if any, is unchanged.
    """
    with atomically(path) as file:
        file.write(data)
    return Path(path)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    """An image as the bytes of a file; ``kind`` is Pillow's name of the format."""
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def to_json(value: object, *, indent: int | None = 2) -> str:
    """``value`` as JSON that any reader takes: what JSON has no word for is put into one by `plain`."""
    return json.dumps(plain(value), indent=indent, allow_nan=False)


def plain(value: object) -> Any:  # noqa: PLR0911  # JSON is untyped
    """``value`` as JSON types: tensors as lists, functions by name, NaN and infinity as ``None``."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Tensor):
        return plain(value.detach().cpu().tolist())
    if isinstance(value, set | frozenset):
        return [plain(item) for item in sorted(value, key=str)]
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [plain(item) for item in value]
    named = type(value) if isinstance(value, nn.Module) else value
    return str(getattr(named, "__qualname__", value))


def statistics(heatmap: Tensor) -> dict[str, float]:
    """Sums of a heat map.

    Args:
        heatmap: ``(h, w)``, the attribution summed over its channels.

    Returns:
        ``sum``, ``positive_sum``, ``negative_sum``, ``lowest``, ``highest`` in units of the attribution, and
        ``positive_ratio``: the share of the pixels that is greater than zero, 0 to 1.
    """
    values = heatmap.detach().cpu().double()  # not every accelerator has float64
    return {
        "sum": values.sum().item(),
        "positive_sum": values.clamp(min=0).sum().item(),
        "negative_sum": values.clamp(max=0).sum().item(),
        "positive_ratio": (values > 0).double().mean().item(),
        "lowest": values.min().item(),
        "highest": values.max().item(),
    }


def versions() -> dict[str, str | None]:
    """The versions that a result depends on; ``None`` for a package that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    found["torch"] = str(torch.__version__)
    return found


def device_name(device: str | torch.device | None) -> str:
    """A device as its maker calls it: ``NVIDIA H200``; the processor is ``cpu``."""
    found = torch.device("cpu" if device is None else device)
    return torch.cuda.get_device_name(found) if found.type == "cuda" else str(found)


def method_options(method: str) -> dict[str, Any]:
    """The options that a method of `METHODS` takes, with their defaults; ``None`` where one has to be given.

    Raises:
        UnknownNameError: If no method has that name.
    """
    return {
        parameter.name: None if parameter.default is inspect.Parameter.empty else parameter.default
        for parameter in inspect.signature(METHODS[method]).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def method_record(method: object, options: Mapping[str, Any], made: object = None) -> dict[str, Any]:
    """Name, kind and every option of a method, those left at their default too.

    Args:
        method: A name of `METHODS`, or a callable, which is recorded by its own name.
        options: What was passed.
        made: The method with those options, whose level and sign may depend on them; ``None``: as by default.
    """
    if not isinstance(method, str):
        module, name = (
            getattr(method, "__module__", ""),
            getattr(method, "__qualname__", type(method).__qualname__),
        )
        return {"name": f"{module}.{name}", "options": plain(dict(options))}
    name = METHODS.canonical(method)
    entry = METHODS[name] if made is None else made
    return {
        "name": name,
        "level": getattr(entry, "level", None),
        "signed": getattr(entry, "signed", None),
        "options": plain(method_options(name) | dict(options)),
    }
