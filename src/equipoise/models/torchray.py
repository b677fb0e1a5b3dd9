"""The networks of the pointing game: VGG-16 and ResNet-50 fine-tuned on PASCAL VOC 2007 and MS COCO 2014.

Zhang et al. (IJCV 2018) trained them in Caffe, TorchRay (Fong et al., ICCV 2019) converted and published them.
They differ from torchvision's: colors are stored as blue, green, red in the first layer (turned around when the
file is read), pixels run from 0 to 255 less a mean color, pools round their size up, ResNet strides in the first
convolution of a block and pools without padding. Both are fully convolutional: scores are computed at every
position where the classifier's window of 7 x 7 features fits, and averaged.

TorchRay's own resize does not smooth before it shrinks; here Pillow's does, so scores differ a little.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import torchvision
from torch import Tensor, nn

from equipoise._registry import Registry
from equipoise._vocabularies import COCO, VOC
from equipoise.errors import WeightsError
from equipoise.models.checkpoints import file_checksum, load_strictly, read_state_dict
from equipoise.models.downloads import fetch_url
from equipoise.models.preprocessing import Preprocessing
from equipoise.models.sliding import sliding
from equipoise.models.sources import ModelEntry, refuse_other_shapes, without_shapes
from equipoise.models.wrappings import StateDict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torchvision.models.resnet import ResNet

    from equipoise.models.construction import Construct

SERVER: Final = "https://dl.fbaipublicfiles.com/torchray"
"""Where the weights are."""

PREPROCESSING: Final = Preprocessing(
    resize=(224, 224),
    crop=(224, 224),
    mean=(123.68 / 255, 116.779 / 255, 103.939 / 255),
    std=(1 / 255, 1 / 255, 1 / 255),
)
"""Pixels from 0 to 255 less Caffe's mean color; the shorter side becomes 224 pixels."""


class CaffeResNet(nn.Module):
    """A ResNet of bottlenecks as Caffe has it, its classifier a convolution whose scores are averaged.

    Args:
        network: Torchvision's, whose layers are taken over and changed.
    """

    def __init__(self, network: ResNet) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3)
        self.bn1, self.relu = network.bn1, network.relu
        self.maxpool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.layer1, self.layer2 = network.layer1, network.layer2
        self.layer3, self.layer4 = network.layer3, network.layer4
        for stage in (network.layer2, network.layer3, network.layer4):
            stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
        self.avgpool = nn.AvgPool2d(7, stride=1)
        self.fc = nn.Conv2d(network.fc.in_features, network.fc.out_features, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Scores ``(n, C)`` of images ``(n, 3, height, width)`` of at least 195 pixels a side."""
        maps = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        maps = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
        scores: Tensor = self.fc(self.avgpool(maps))
        return scores.mean((2, 3))


def _resnet50(classes: int) -> nn.Module:
    return CaffeResNet(torchvision.models.resnet50(num_classes=classes))


def _vgg16(classes: int) -> nn.Module:
    network: nn.Module = torchvision.models.vgg16(num_classes=classes)
    for part in network.modules():
        if isinstance(part, nn.MaxPool2d):
            part.ceil_mode = True
    return sliding(network)


def translate_vgg16(state: StateDict, network: nn.Module) -> StateDict:
    """TorchRay's tensors under torchvision's names, red first; any other state dict as it is.

    Its classifier counts its layers without dropout.
    """
    if "classifier.2.weight" not in state:
        return state
    numbers = {"classifier.2.": "classifier.3.", "classifier.4.": "classifier.6."}
    renamed = {
        name.replace(prefix := name[: len("classifier.0.")], numbers.get(prefix, prefix)): tensor
        for name, tensor in state.items()
    }
    return _like(network, renamed, first="features.0.weight")


def translate_resnet50(state: StateDict, network: nn.Module) -> StateDict:
    """TorchRay's tensors under torchvision's names, red first; any other state dict as it is.

    Caffe splits a batch norm into two layers, 0 with the statistics and 1 with scale and shift.
    """
    if "bn1.0.running_mean" not in state:
        return state
    renamed = {re.sub(r"(bn\d|downsample\.1)\.[01]\.", r"\1.", name): tensor for name, tensor in state.items()}
    return _like(network, renamed, first="conv1.weight")


def _like(network: nn.Module, state: StateDict, *, first: str) -> StateDict:
    """Classifiers in the network's shape, whether stored as matrices or as kernels; the first layer's colors turned."""
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    found = {
        name: tensor.reshape(len(tensor), *shapes[name][1:])
        if name in shapes and tensor.ndim in {2, 4} and tensor[0].numel() == shapes[name][1:].numel()
        else tensor
        for name, tensor in state.items()
    }
    if first in found:
        found[first] = found[first].flip(1)
    return found


@dataclass(frozen=True)
class _Published:
    """A network and its file, which carries the first digits of its SHA-256 in its name."""

    construct: Construct
    translate: Callable[[StateDict, nn.Module], StateDict]
    classes: tuple[str, ...]
    digits: str


_NETWORKS: Registry[_Published] = Registry("network of TorchRay")
_NETWORKS.add("vgg16_voc", _Published(_vgg16, translate_vgg16, VOC, "b050e8c3"))
_NETWORKS.add("vgg16_coco", _Published(_vgg16, translate_vgg16, COCO, "d82c8150"))
_NETWORKS.add("resnet50_voc", _Published(_resnet50, translate_resnet50, VOC, "9ca920d6"))
_NETWORKS.add("resnet50_coco", _Published(_resnet50, translate_resnet50, COCO, "e99468c5"))


def _fetch(name: str) -> Path:
    return fetch_url(f"{SERVER}/{name}-{_NETWORKS[name].digits}.pth.tar", name=f"torchray/{name}")


def _pretrained(name: str, **arguments: Any) -> tuple[nn.Module, str]:
    published = _NETWORKS[name]
    refuse_other_shapes(f"torchray/{name}", len(published.classes), arguments)
    path = _fetch(name)
    if not (checksum := file_checksum(path)).startswith(published.digits):
        raise WeightsError(
            f"{path} is not the published file of torchray/{name}: its SHA-256 begins with {checksum[:8]}, not with "
            f"{published.digits}; delete it and try again"
        )
    network = published.construct(len(published.classes), **without_shapes(arguments))
    load_strictly(network, published.translate(read_state_dict(path), network), name=f"torchray/{name}", file=str(path))
    return network, checksum


class TorchRay:
    """Four networks, each with the one set of weights that is published."""

    def names(self) -> list[str]:
        """``vgg16_voc``, ``vgg16_coco``, ``resnet50_voc`` and ``resnet50_coco``."""
        return _NETWORKS.names()

    def architectures(self) -> list[str]:
        """The same four."""
        return _NETWORKS.names()

    def find(self, name: str) -> ModelEntry | None:
        """The entry, if it is one of the four."""
        if name not in _NETWORKS:
            return None
        name = _NETWORKS.canonical(name)
        published = _NETWORKS[name]
        return ModelEntry(
            source="torchray",
            architecture=name,
            tag=None,
            classes=len(published.classes),
            preprocessing=PREPROCESSING,
            construct=published.construct,
            fetch=partial(_fetch, name),
            pretrained=partial(_pretrained, name),
            translate=published.translate,
            labels=published.classes,
            license="cc-by-nc-4.0",
            citation="https://github.com/facebookresearch/TorchRay",
        )
