"""equipoise: what did the network see?

Attribution Equilibrium (Nam & Lee, T-PAMI 2024) and the methods it is compared with, for any
convolutional network of torchvision or timm, unmodified.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise._bars import rich_bar
from equipoise._lazy import lazily
from equipoise._progress import draw_with

if TYPE_CHECKING:
    from equipoise import datasets as datasets
    from equipoise import experiments as experiments
    from equipoise import metrics as metrics
    from equipoise import plot as plot
    from equipoise import targets as targets
    from equipoise.attributions import attribute_dataset as attribute_dataset
    from equipoise.attributions import open_attributions as open_attributions
    from equipoise.errors import EquipoiseError as EquipoiseError
    from equipoise.explaining import explain as explain
    from equipoise.explanation import Explanation as Explanation
    from equipoise.loading import load_model as load_model
    from equipoise.methods import METHODS as METHODS
    from equipoise.methods import AttributionEquilibrium as AttributionEquilibrium
    from equipoise.methods import ClassGroup as ClassGroup
    from equipoise.methods import attribute as attribute
    from equipoise.methods import heatmap as heatmap

__version__ = "0.1.0"

draw_with(rich_bar)

# Imported when first asked for: the methods need torch, the rest Pillow, torchvision or timm.
__getattr__, __dir__ = lazily(__name__)
