"""The same map, a refusal by name, or a silent difference: what a method makes of a spelling."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import equipoise
from equipoise.errors import EquipoiseError
from equipoise.methods import METHODS

TARGETS = [1, 3, 0]
TOLERANCE = {torch.float64: 1e-7, torch.float32: 1e-4}

# Options that keep a method cheap on a network of a few hundred neurons.
OPTIONS = {
    "smooth_grad": {"samples": 3}, "integrated_gradients": {"steps": 4}, "occlusion": {"window": 4},
    "rise": {"masks": 16, "grid": 3}, "extremal_perturbation": {"steps": 3}, "deep_lift_shap": {"baselines": 2},
    "gradient_shap": {"samples": 2}, "lime": {"samples": 20, "grid": 2, "penalty": 1e-4},
    "kernel_shap": {"samples": 20, "grid": 2},
}  # fmt: skip

RUNS = (
    "gradient", "input_x_gradient", "smooth_grad", "integrated_gradients", "gradient_shap", "deep_lift",
    "deep_lift_shap", "occlusion", "rise", "lime", "kernel_shap", "extremal_perturbation", "random",
)  # fmt: skip
"""The methods that run the network as it is: their maps follow from its function."""

TAPE = tuple(name for name in METHODS.names() if name not in RUNS)
"""The methods that read how the network is written."""


def explain(method: str, model: nn.Module, images: Tensor, targets: list[int] | None = None) -> Tensor:
    """The map of each image; the options of costly methods are small."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        targets = TARGETS[: len(images)] if targets is None else targets
        found = equipoise.attribute(model, images, targets, method=method, **OPTIONS.get(method, {}))
    assert isinstance(found, Tensor)
    return found


@dataclass(frozen=True)
class Outcome:
    """What a method made of a spelling.

    Attributes:
        error: The largest difference of any image's map, relative to that image's largest value in the base's.
        refusal: What the method said instead of giving a map.
        crash: An error that is no refusal.
    """

    error: float = 0.0
    refusal: str = ""
    crash: str = ""

    def bad(self, tolerance: float) -> bool:
        """Whether it is neither the same map nor a refusal."""
        return bool(self.crash) or not self.error <= tolerance


def attempt(method: str, model: nn.Module, images: Tensor, targets: list[int] | None = None) -> Tensor | Outcome:
    """The map, or why there is none."""
    try:
        return explain(method, model, images, targets)
    except EquipoiseError as refusal:
        return Outcome(refusal=str(refusal) or type(refusal).__name__)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is the finding
        return Outcome(crash=f"{type(error).__name__}: {error}")


def difference(found: Tensor, base: Tensor) -> float:
    """The largest difference of any image's map, relative to that image's largest value."""
    if found.shape != base.shape:
        return float("inf")
    scale = base.flatten(1).abs().amax(1).clamp(min=torch.finfo(base.dtype).tiny)
    worst = ((found - base).flatten(1).abs().amax(1) / scale).max()
    return float(worst) if worst.isfinite() else float("inf")


def compare(method: str, base: Tensor, model: nn.Module, images: Tensor) -> Outcome:
    """What a method makes of a spelling, where it makes ``base`` of the base spelling."""
    found = attempt(method, model, images)
    return found if isinstance(found, Outcome) else Outcome(difference(found, base))
