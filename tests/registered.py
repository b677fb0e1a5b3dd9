"""Every registered method, with options that keep it cheap; for laws that hold for all of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import equipoise
from equipoise.methods.propagation import Propagation

CHEAP: dict[str, dict[str, Any]] = {
    "smooth_grad": {"samples": 3}, "integrated_gradients": {"steps": 4}, "occlusion": {"window": 6},
    "rise": {"masks": 10, "grid": 3}, "extremal_perturbation": {"steps": 2}, "deep_lift_shap": {"baselines": 2},
    "gradient_shap": {"samples": 3}, "lime": {"samples": 20, "grid": 2}, "kernel_shap": {"samples": 20, "grid": 2},
}  # fmt: skip
EVERY: list[str] = equipoise.METHODS.names()
HOOKS = {"deep_lift", "deep_lift_shap"}
"""captum puts hooks on modules, so functional nonlinearities are refused."""
GRADIENTS = {"gradient", "input_x_gradient", "smooth_grad", "integrated_gradients", "gradient_shap", "deep_lift",
             "deep_lift_shap", "extremal_perturbation"}  # fmt: skip
"""Those that differentiate the network by autograd."""
TAPE = {name for name in EVERY if issubclass(equipoise.METHODS[name], Propagation)} | {"score_cam", *HOOKS}
"""Those that record the forward pass."""


def explain(method: str, model: nn.Module, x: Tensor, target: Any = 1, **options: Any) -> Any:
    """`equipoise.attribute` with the method's cheap options."""
    return equipoise.attribute(model, x, target, method=method, **{**CHEAP.get(method, {}), **options})


def network(middle: nn.Module | None = None, seed: int = 1) -> nn.Sequential:
    """A small network of modules in eval mode, float32; ``middle`` stands between its layers."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), middle or nn.Identity(), nn.Conv2d(8, 8, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
    ).eval()  # fmt: skip


def images(n: int = 2) -> Tensor:
    """Small images, float32."""
    return torch.randn(n, 3, 12, 12, generator=torch.Generator().manual_seed(0))
