"""A network of one's own for ``equipoise reproduce --model examples.squeezenet:build``.

SqueezeNet 1.0 as Deep Compression published it, decoded to arrays under torchvision's names, in the folder of
data sets (``EQUIPOISE_DATA``) as ``extra/squeezenet10_deep_compression``. It is a plain network of convolutions
and ReLUs; it was trained on 227 x 227 pixels in the order blue, green, red from 0 to 255 less their mean.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import nn

from equipoise.models import ModelSpec, Preprocessing
from equipoise.models.labels import class_names

MEAN = (123.0, 117.0, 104.0)


def build() -> tuple[nn.Module, ModelSpec]:
    """The network, its first layer turned to red, green, blue; and its spec."""
    folder = Path(os.environ.get("EQUIPOISE_DATA", "data")) / "extra" / "squeezenet10_deep_compression"
    packed = np.load(folder / "squeezenet1_0_torchvision_fp32.npz")
    state = {name: torch.from_numpy(packed[name]) for name in packed.files}
    state["features.0.weight"] = state["features.0.weight"].flip(1).contiguous()
    network = torchvision.models.squeezenet1_0(weights=None)
    network.load_state_dict(state)
    network.classifier[1].padding = (1, 1)  # it was trained with a border
    names, synonyms = class_names(1000)
    preprocessing = Preprocessing(
        resize=(256, 256),
        crop=(227, 227),
        mean=(MEAN[0] / 255, MEAN[1] / 255, MEAN[2] / 255),
        std=(1 / 255, 1 / 255, 1 / 255),
    )
    spec = ModelSpec(
        "squeezenet1_0",
        "Deep Compression",
        "squeezenet1_0",
        names,
        preprocessing,
        "Deep Compression",
        "",
        synonyms=synonyms,
    )
    return network.eval(), spec
