"""Read weights from a file, say precisely why they do not fit, and load them when they do."""

from __future__ import annotations

import argparse
import hashlib
import pathlib
import pickle
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from equipoise._registry import Registry
from equipoise.errors import WeightsError
from equipoise.models.construction import Construct, skeleton
from equipoise.models.wrappings import COUNTERS, StateDict, bare, unwrapped

if TYPE_CHECKING:
    from pathlib import Path

# What training scripts save beside the weights; plain data, whose classes run nothing of the file's.
_PLAIN: Final[list[Any]] = [argparse.Namespace, pathlib.PosixPath, pathlib.PurePosixPath, pathlib.WindowsPath]

FORMATS: Registry[Callable[[Path], object]] = Registry("weights format")
"""Readers by file suffix; every one of them reads tensors and never runs code from the file."""


@FORMATS.register(".safetensors")
def _read_safetensors(path: Path) -> object:
    return load_file(path, device="cpu")


@FORMATS.register(".pth", aliases=(".pt", ".bin", ".ckpt", ".tar"))
def _read_torch(path: Path) -> object:
    with torch.serialization.safe_globals(_PLAIN):
        return torch.load(path, map_location="cpu", weights_only=True)


def read_state_dict(path: Path) -> StateDict:
    """The tensors of a weights file by name, on the CPU, wrappers and common prefixes taken off.

    Raises:
        WeightsError: As `read_tensors`.
    """
    return bare(read_tensors(path))


def read_tensors(path: Path) -> StateDict:
    """The tensors of a weights file by name, on the CPU, wrappers taken off and prefixes left on.

    Raises:
        WeightsError: If there is no such file, its suffix is unknown, or it holds Python objects other than plain data.
    """
    state = unwrapped(read_content(path))
    if not state:
        raise WeightsError(f"{path} holds no state dict: no tensors under names")
    return state


def read_content(path: Path) -> object:
    """All that a weights file holds, plain data beside the tensors included; no code in it runs.

    Raises:
        WeightsError: As `read_tensors`.
    """
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}")
    if path.suffix not in FORMATS:
        raise WeightsError(
            f"{path} has none of the suffixes of a weights file (.safetensors, .pth, .pt, .bin, .ckpt, .tar)"
        )
    try:
        return FORMATS[path.suffix](path)
    except pickle.UnpicklingError as error:
        raise WeightsError(_unpickled(path)) from error
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{path} cannot be read as weights: {_first_line(error)}") from error


def _unpickled(path: Path) -> str:
    """Why a file of torch cannot be read: what it holds beside tensors, and how to get rid of it."""
    try:
        found = [name for name in torch.serialization.get_unsafe_globals_in_checkpoint(path) if "." in name]
    except (RuntimeError, ValueError, OSError, EOFError, pickle.UnpicklingError):
        found = []  # no archive at all
    if not found:
        return (
            f"{path} is damaged, or holds Python objects other than tensors, which equipoise does not run; "
            "save its state_dict alone"
        )
    some = _some(sorted(found, key=_others_first))
    return (
        f"{path} holds Python objects ({some}), which may be any code, so equipoise does not run them; save "
        f"its state_dict alone, where it was trained: model = torch.load({path.name!r}, weights_only=False); "
        'torch.save(model.state_dict(), "weights.pth")'
    )


def count_classes(state: StateDict, construct: Construct, default: int) -> int:
    """How many classes the classifier in ``state`` tells apart.

    The classifier is whatever changes shape when the network is built for one class more.

    Args:
        state: Weights by name.
        construct: Builds the network.
        default: The answer when ``state`` has no classifier of the expected rank.

    Returns:
        The number of outputs.
    """
    one, other = skeleton(construct, 1000).state_dict(), skeleton(construct, 1001).state_dict()
    for name, tensor in one.items():
        changed = [axis for axis, size in enumerate(tensor.shape) if size != other[name].shape[axis]]
        if changed and name in state and state[name].ndim == tensor.ndim and state[name].shape[changed[0]]:
            return int(state[name].shape[changed[0]])
    return default


def count_channels(state: StateDict, construct: Construct, classes: int, default: int) -> int:
    """How many channels of the input the weights in ``state`` are for.

    The first layers are whatever changes shape when the network is built for one channel more.

    Args:
        state: Weights by name.
        construct: Builds the network.
        classes: As many as the weights have.
        default: How many the network has as it is built; the answer when it is built for no other number.

    Returns:
        The number of channels.
    """
    one = skeleton(construct, classes).state_dict()
    if all(state[name].shape == tensor.shape for name, tensor in one.items() if name in state):
        return default  # most are: no second network is built
    try:
        other = skeleton(construct, classes, in_chans=default + 1).state_dict()
    except TypeError:  # TorchRay's
        return default
    for name, tensor in one.items():
        changed = [axis for axis, size in enumerate(tensor.shape) if size != other[name].shape[axis]]
        if len(changed) != 1 or name not in state or state[name].ndim != tensor.ndim:
            continue
        axis = changed[0]
        each = other[name].shape[axis] - tensor.shape[axis]  # more than one where pixels are folded into channels
        more: int = (state[name].shape[axis] - tensor.shape[axis]) // each
        return max(default + more, 1)
    return default


def load_strictly(network: nn.Module, state: StateDict, *, name: str, file: str) -> None:
    """Put ``state`` into ``network``, all of it and nothing else.

    Args:
        network: On the CPU, of any weights.
        state: Weights by name.
        name: The network's name, for the message.
        file: The file's name, for the message.

    Raises:
        WeightsError: If a name is missing or unexpected or has another shape; the text gives the first few.
    """
    wanted = network.state_dict()
    missing = [key for key in wanted if key not in state and not key.endswith(COUNTERS)]
    unexpected = [key for key in state if key not in wanted and not key.endswith(COUNTERS)]
    reshaped = [
        f"{key} (file {tuple(state[key].shape)}, network {tuple(tensor.shape)})"
        for key, tensor in wanted.items()
        if key in state and state[key].shape != tensor.shape
    ]
    faults = [
        f"{len(keys)} {kind}: {_some(keys)}"
        for kind, keys in (
            ("missing from the file", missing),
            ("unknown to the network", unexpected),
            ("of another shape", reshaped),
        )
        if keys
    ]
    if faults:
        raise WeightsError(f"{file} does not fit {name}: {'; '.join(faults)}")
    network.load_state_dict(state, strict=False)  # the steps counted by batch norm may differ, nothing else


def matches(network: nn.Module, state: StateDict) -> bool:
    """Whether ``state`` has the names of ``network``, whatever the shapes."""
    wanted = {key for key in network.state_dict() if not key.endswith(COUNTERS)}
    return wanted == {key for key in state if not key.endswith(COUNTERS)}


def file_checksum(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def state_checksum(network: nn.Module) -> str:
    """SHA-256 over the names, types, shapes and values of a network's state dict, 64 hex digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        values = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(memoryview(values.numpy()))
    return digest.hexdigest()


def _others_first(name: str) -> tuple[bool, str]:
    return name.startswith(("torch.", "collections.")), name


def _some(names: Iterable[str], count: int = 3) -> str:
    listed = list(names)
    return ", ".join(listed[:count]) + (", ..." if len(listed) > count else "")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
