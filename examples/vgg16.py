"""VGG-16's convolutions with ImageNet filters, under a small classifier, for ``--model examples.vgg16:build``.

Thirteen 3x3 convolutions up to relu5_3, the mean over positions, one dense layer. That layer was distilled from the
ResNet-50 of this folder on 910 photos: weak as a classifier (top-1 21 %, top-5 50 % on 90 photos that it never saw),
real as features. So it is for explanations of a given class and for pictures, not for accuracy. On the 306 ImageNet
photos of the data folder, some of which it learnt from, it names 244 (79.7 %) right. For evaluation and tests only.
"""

from __future__ import annotations

import torchvision
from examples.packed import decode, imagenet_spec, unpacked
from torch import Tensor, nn

from equipoise.models import ModelSpec

RELU5_3 = 30


class VGG16(nn.Module):
    """``vgg16.features[:30]``, the mean over positions, a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.features = torchvision.models.vgg16(weights=None).features[:RELU5_3]
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(512, 1000)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores ``(n, 1000)`` of photos ``(n, 3, h, w)``."""
        return self.classifier(self.flatten(self.pool(self.features(x))))


def build() -> tuple[nn.Module, ModelSpec]:
    """The network and its spec."""
    arrays, checksum = unpacked("vgg16_distilled", "vgg16_distilled_fp16.npz")
    spec = imagenet_spec("vgg16", "convolutions of VGG-16, distilled classifier", checksum, "evaluation and tests only")
    return decode(VGG16(), arrays), spec
