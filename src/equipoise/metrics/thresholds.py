"""Where a map is cut to say which pixels are the object."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from equipoise._registry import Registry

THRESHOLDS: Registry[Callable[[Tensor], Tensor]] = Registry("threshold")
"""Above which value a pixel counts as object: from maps ``(n, h, w)`` to ``(n, 1, 1)``."""

THRESHOLDS.add("zero", lambda heatmaps: heatmaps.new_zeros(len(heatmaps), 1, 1))
THRESHOLDS.add("mean", lambda heatmaps: heatmaps.mean((1, 2), keepdim=True))
