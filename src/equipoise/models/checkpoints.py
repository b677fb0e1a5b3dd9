"""Read weights from a file, say precisely why they do not fit, and load them when they do."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from equipoise._registry import Registry
from equipoise.errors import WeightsError
from equipoise.models.construction import Construct, skeleton

if TYPE_CHECKING:
    from pathlib import Path

StateDict = dict[str, Tensor]

# Training scripts store the weights below one of these keys; the first that is present counts.
_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model_state", "model", "net")
# ... and wrap the network in modules that put one of these before every name.
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
# Batch norm counts its training steps here; inference never reads it and old files lack it.
_IGNORED = ".num_batches_tracked"

FORMATS: Registry[Callable[[Path], object]] = Registry("weights format")
"""Readers by file suffix; every one of them reads tensors and never runs code from the file."""


@FORMATS.register(".safetensors")
def _read_safetensors(path: Path) -> object:
    return load_file(path, device="cpu")


@FORMATS.register(".pth", aliases=(".pt", ".bin", ".ckpt", ".tar"))
def _read_torch(path: Path) -> object:
    return torch.load(path, map_location="cpu", weights_only=True)


def read_state_dict(path: Path) -> StateDict:
    """The tensors of a weights file by name, on the CPU, wrappers and common prefixes taken off.

    Raises:
        WeightsError: If there is no such file, its suffix is unknown, or it holds anything but tensors.
    """
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}")
    if path.suffix not in FORMATS:
        raise WeightsError(
            f"{path} has none of the suffixes of a weights file (.safetensors, .pth, .pt, .bin, .ckpt, .tar)"
        )
    try:
        content = FORMATS[path.suffix](path)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} is damaged, or holds Python objects other than tensors, which equipoise does not run; "
            "save its state_dict alone"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{path} cannot be read as weights: {_first_line(error)}") from error
    state = unwrap(content)
    if not state:
        raise WeightsError(f"{path} holds no state dict: no tensors under names")
    return state


def unwrap(content: object) -> StateDict:
    """The innermost mapping of names to tensors; empty when there is none."""
    while isinstance(content, Mapping):
        inner = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, Mapping):
        return {}
    state = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    for prefix in _PREFIXES:
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


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
    missing = [key for key in wanted if key not in state and not key.endswith(_IGNORED)]
    unexpected = [key for key in state if key not in wanted and not key.endswith(_IGNORED)]
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
    wanted = {key for key in network.state_dict() if not key.endswith(_IGNORED)}
    return wanted == {key for key in state if not key.endswith(_IGNORED)}


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


def _some(names: Iterable[str], count: int = 3) -> str:
    listed = list(names)
    return ", ".join(listed[:count]) + (", ..." if len(listed) > count else "")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
