"""What the networks of this folder have in common: arrays in the folder of data sets, checked and decoded.

Each folder of ``extra`` holds a ``.npz`` and a ``manifest.json`` that says how to decode it and what its SHA-256 is.
The folder of data sets is named by ``EQUIPOISE_DATA``; without it, ``data``.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from equipoise.errors import WeightsError
from equipoise.models import ModelSpec, Preprocessing
from equipoise.models.labels import class_names


def unpacked(folder: str, file: str) -> tuple[dict[str, np.ndarray], str]:
    """The arrays of a file, and its SHA-256.

    Args:
        folder: Within ``extra``.
        file: Within ``folder``.

    Raises:
        WeightsError: If there is no such file, or it is not the one of the manifest.
    """
    place = Path(os.environ.get("EQUIPOISE_DATA", "data")) / "extra" / folder
    if not (place / file).is_file():
        raise WeightsError(f"there is no {place / file}; EQUIPOISE_DATA names the folder of data sets")
    manifest = json.loads((place / "manifest.json").read_text(encoding="utf-8"))
    promised = manifest["files"][file]["sha256"] if "files" in manifest else manifest["sha256"]
    found = hashlib.sha256((place / file).read_bytes()).hexdigest()
    if found != promised:
        raise WeightsError(f"{place / file} has SHA-256 {found}, its manifest says {promised}")
    with np.load(place / file) as arrays:
        return {name: arrays[name] for name in arrays.files}, found


def decode(network: nn.Module, arrays: dict[str, np.ndarray]) -> nn.Module:
    """Fill ``network`` with decoded arrays, as float32, and put it into eval mode.

    ``NAME.weight`` is ``codebook[codes]`` where ``NAME.codes`` and ``NAME.codebook`` exist, else the array of that
    name. A batch norm without statistics is folded: its mean is 0 and its variance 1 less its epsilon.

    Raises:
        WeightsError: If an array is missing, left over, or of another size.
    """
    left = dict(arrays)
    state: dict[str, Tensor] = {}
    for name, wanted in network.state_dict().items():
        layer, _, kind = name.rpartition(".")
        if name in left:
            found = torch.from_numpy(left.pop(name))
        elif kind == "weight" and f"{layer}.codes" in left:
            codes, codebook = left.pop(f"{layer}.codes"), left.pop(f"{layer}.codebook")
            found = torch.from_numpy(codebook.astype(np.float32)[codes.astype(np.int64)])
        elif kind == "running_mean":
            found = torch.zeros_like(wanted)
        elif kind == "running_var":
            found = torch.full_like(wanted, 1 - network.get_submodule(layer).eps)
        elif kind == "num_batches_tracked":
            found = wanted
        else:
            raise WeightsError(f"the file has no {name}")
        if found.numel() != wanted.numel():
            raise WeightsError(f"{name} has {found.numel()} numbers, the network wants {tuple(wanted.shape)}")
        state[name] = found.reshape(wanted.shape).to(wanted.dtype)
    if left:
        raise WeightsError(f"the network has no place for {', '.join(sorted(left))}")
    network.load_state_dict(state)
    return network.eval()


def imagenet_spec(
    architecture: str,
    weights: str,
    checksum: str,
    terms: str,
    preprocessing: Preprocessing | None = None,
) -> ModelSpec:
    """The spec of a network of the 1000 classes of ImageNet.

    Args:
        architecture: For people, and for the name.
        weights: Where they come from, in a word.
        checksum: SHA-256 of the file.
        terms: The licence of the weights.
        preprocessing: ``None``: 256 pixels, the middle 224, ImageNet's mean and deviation.
    """
    names, synonyms = class_names(1000)
    prepared = preprocessing or Preprocessing()
    return ModelSpec(
        architecture, weights, architecture, names, prepared, weights, checksum, license=terms, synonyms=synonyms
    )
