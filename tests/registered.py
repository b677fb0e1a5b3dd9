"""Every registered method, with options that keep it cheap; for laws that hold for all of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import pytest
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

ONE_OF_EACH = ("ae", "gradient", "grad_cam", "lrp_composite", "deep_lift", "occlusion")
"""The tape, autograd, a map of a layer, a composite of rules, hooks, and forward passes alone."""


def spread(methods: Iterable[str], kinds: Iterable[Hashable], each: int = 1, but: Iterable[Any] = ()) -> list[Any]:
    """Pairs of a method and a kind (of network, of input, ...) for `pytest.mark.parametrize`; most are slow.

    A method goes one of a few ways, and where a kind is read, all that go one way read it alike. So by default every
    kind is tried by `ONE_OF_EACH`, and every method tries ``each`` of the kinds, neighbors in the list other ones.

    Args:
        methods: All methods.
        kinds: All kinds.
        each: How many kinds every method tries.
        but: Pairs that are left out.
    """
    kinds, left_out = list(kinds), set(but)
    return [
        pytest.param(method, kind, marks=() if method in ONE_OF_EACH or asked else pytest.mark.slow)
        for number, method in enumerate(methods)
        for place, kind in enumerate(kinds)
        for asked in [(place - number * each) % len(kinds) < each]
        if (method, kind) not in left_out
    ]


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
