"""How good a heat map is: plain functions on tensors, and beside each a ``torchmetrics.Metric``.

Heat maps are ``(n, h, w)``, floating, signed: above 0 speaks for the class. Each function returns one number
per map; a map for which a metric is not defined gives NaN, never a made-up value. The classes sum over a data
set, leave NaN out and count it (`AttributionMetric.undefined_count`). The functions need torch alone unless
they say otherwise; the classes need torchmetrics.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipoise.metrics.base import AttributionMetric as AttributionMetric
    from equipoise.metrics.base import resize_map as resize_map
    from equipoise.metrics.base import smooth as smooth
    from equipoise.metrics.localization import EnergyPointingGame as EnergyPointingGame
    from equipoise.metrics.localization import OutsideInsideRatio as OutsideInsideRatio
    from equipoise.metrics.localization import PointingGame as PointingGame
    from equipoise.metrics.localization import PositiveRatio as PositiveRatio
    from equipoise.metrics.localization import center_map as center_map
    from equipoise.metrics.localization import energy_pointing as energy_pointing
    from equipoise.metrics.localization import outside_inside_ratio as outside_inside_ratio
    from equipoise.metrics.localization import pointing_hit as pointing_hit
    from equipoise.metrics.localization import positive_ratio as positive_ratio

# Imported when first asked for: a plain function must not load torchmetrics or scikit-image for its neighbors.
_MODULES = {
    "base": ("AttributionMetric", "resize_map", "smooth"),
    "localization": (
        "EnergyPointingGame",
        "OutsideInsideRatio",
        "PointingGame",
        "PositiveRatio",
        "center_map",
        "energy_pointing",
        "outside_inside_ratio",
        "pointing_hit",
        "positive_ratio",
    ),
}
_LAZY = {name: f"equipoise.metrics.{module}" for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'equipoise.metrics' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
