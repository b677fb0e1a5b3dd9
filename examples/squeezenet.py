"""A network of one's own for ``equipoise reproduce --model examples.squeezenet:build``.

SqueezeNet 1.0 as Deep Compression published it, decoded to arrays under torchvision's names, in the folder of
data sets (``EQUIPOISE_DATA``) as ``extra/squeezenet10_deep_compression``. It is a plain network of convolutions
and ReLUs; it was trained on 227 x 227 pixels in the order blue, green, red from 0 to 255 less their mean. On the 306
ImageNet photos of the data folder it names 200 (65.4 %) right.
"""

from __future__ import annotations

import torchvision
from examples.packed import decode, imagenet_spec, unpacked
from torch import nn

from equipoise.models import ModelSpec, Preprocessing

MEAN = (123.0, 117.0, 104.0)


def build() -> tuple[nn.Module, ModelSpec]:
    """The network, its first layer turned to red, green, blue; and its spec."""
    arrays, checksum = unpacked("squeezenet10_deep_compression", "squeezenet1_0_torchvision_fp32.npz")
    arrays["features.0.weight"] = arrays["features.0.weight"][:, ::-1].copy()
    network = decode(torchvision.models.squeezenet1_0(weights=None), arrays)
    network.classifier[1].padding = (1, 1)  # it was trained with a border
    preprocessing = Preprocessing(
        resize=(256, 256),
        crop=(227, 227),
        mean=(MEAN[0] / 255, MEAN[1] / 255, MEAN[2] / 255),
        std=(1 / 255, 1 / 255, 1 / 255),
    )
    return network, imagenet_spec("squeezenet1_0", "Deep Compression", checksum, "BSD", preprocessing)
