"""The registry of the classes, full: importing this imports every module that registers one."""

from equipoise.metrics import curves, detail, grid, localization, segmentation, similarity
from equipoise.metrics.base import METRICS

__all__ = ["METRICS", "MODULES"]

MODULES = (localization, grid, segmentation, curves, detail, similarity)
"""Where the entries of `METRICS` are."""
