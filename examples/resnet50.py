"""ResNet-50 with ImageNet weights for ``--model examples.resnet50:build``.

Compressed to codebooks (Martinez et al. 2021, *Permute, Quantize, and Fine-tune*), decoded to float32; its batch
norms are folded. The authors publish a top-1 accuracy of 72.18 %. On the 306 ImageNet photos of the data folder it
names 255 (83.3 %) right. The weights are for evaluation and tests only, as their licence says.
"""

from __future__ import annotations

import torchvision
from examples.packed import decode, imagenet_spec, unpacked
from torch import nn

from equipoise.models import ModelSpec


def build() -> tuple[nn.Module, ModelSpec]:
    """The network and its spec."""
    arrays, checksum = unpacked("resnet50_pqf", "resnet50_coded.npz")
    network = decode(torchvision.models.resnet50(weights=None), arrays)
    return network, imagenet_spec("resnet50", "Permute, Quantize, and Fine-tune", checksum, "Uber non-commercial")
