"""equipoise: what did the network see?

Attribution Equilibrium (Nam & Lee, T-PAMI 2024) and the methods it is compared with, for any
convolutional network of torchvision or timm, unmodified.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from equipoise.errors import EquipoiseError as EquipoiseError

if TYPE_CHECKING:
    from equipoise import datasets as datasets
    from equipoise import experiments as experiments
    from equipoise import metrics as metrics
    from equipoise.explanation import Explanation as Explanation
    from equipoise.explanation import explain as explain
    from equipoise.loading import load_model as load_model
    from equipoise.methods import METHODS as METHODS
    from equipoise.methods import AttributionEquilibrium as AttributionEquilibrium
    from equipoise.methods import ClassGroup as ClassGroup
    from equipoise.methods import attribute as attribute
    from equipoise.methods import heatmap as heatmap

__version__ = "0.1.0"

# Imported when first asked for: the methods need torch, the rest Pillow, torchvision or timm.
_LAZY = {
    "METHODS": "equipoise.methods",
    "AttributionEquilibrium": "equipoise.methods",
    "ClassGroup": "equipoise.methods",
    "attribute": "equipoise.methods",
    "heatmap": "equipoise.methods",
    "Explanation": "equipoise.explanation",
    "explain": "equipoise.explanation",
    "load_model": "equipoise.loading",
}

_SUBMODULES = ("datasets", "experiments", "metrics")


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"equipoise.{name}")
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'equipoise' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_SUBMODULES})
