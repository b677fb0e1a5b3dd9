"""The registry of sources, filled: where names are looked up, in this order."""

from equipoise.models.bundled import Bundled
from equipoise.models.from_timm import Timm
from equipoise.models.from_torchvision import Torchvision
from equipoise.models.sources import SOURCES
from equipoise.models.torchray import TorchRay

__all__ = ["SOURCES"]

SOURCES.add("bundled", Bundled())
SOURCES.add("torchvision", Torchvision())
SOURCES.add("timm", Timm())
SOURCES.add("torchray", TorchRay())
