"""The registry of the classes, full: importing this imports every module that registers one."""

from equipoise.metrics import (
    curves,
    detail,
    faithfulness,
    grid,
    localization,
    ranks,
    segmentation,
    similarity,
    stability,
)
from equipoise.metrics.base import METRICS

__all__ = ["METRICS", "MODULES"]

MODULES = (localization, ranks, grid, segmentation, curves, faithfulness, detail, stability, similarity)
"""Where the entries of `METRICS` are."""
