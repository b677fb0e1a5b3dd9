"""Every convolutional classifier of torchvision and timm by name, with its preprocessing and its classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise._lazy import lazily

if TYPE_CHECKING:
    from equipoise.models.array_preprocessing import ArrayPreprocessing as ArrayPreprocessing
    from equipoise.models.families import Kind as Kind
    from equipoise.models.families import cnn_families as cnn_families
    from equipoise.models.families import representative as representative
    from equipoise.models.preprocessing import Preprocessing as Preprocessing
    from equipoise.models.spec import ModelSpec as ModelSpec
    from equipoise.models.zoo import build as build
    from equipoise.models.zoo import fetch as fetch
    from equipoise.models.zoo import list_models as list_models
    from equipoise.models.zoo import load_model as load_model

# Imported when first asked for: what is known of a network needs neither torchvision nor timm.
__getattr__, __dir__ = lazily(__name__)
