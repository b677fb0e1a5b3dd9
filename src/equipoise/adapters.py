"""Our methods in the clothes of other packages: captum's ``Attribution`` and Quantus' ``explain_func``.

The other way round needs no adapter: `equipoise.attribute` takes any callable as its method.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from equipoise.errors import MissingPackageError, TargetError
from equipoise.methods import make_method
from equipoise.methods.base import MethodFunction


def as_captum(method: str | MethodFunction, model: nn.Module, **options: Any) -> Any:
    """A method as a captum ``Attribution``, for its ``NoiseTunnel``, metrics and visualization.

    Args:
        method: A name of `equipoise.METHODS`, or any callable ``(model, inputs, target) -> Tensor``.
        model: The network.
        **options: The method's own options.

    Returns:
        An object with ``attribute(inputs, target=None)``. Inputs in a tuple of one give a tuple of one,
        as captum does. The target is captum's: ``None`` means the top class of each image.

    Raises:
        MissingPackageError: If captum is not installed.
        EquipoiseError: As `equipoise.attribute`.
    """
    made = make_method(method, model, **options)
    try:
        base: Any = importlib.import_module("captum.attr").Attribution
    except ImportError as error:
        raise MissingPackageError("as_captum needs captum: pip install equipoise[captum]") from error

    def explain(_: Any, inputs: Any, target: Any = None) -> Any:
        if not isinstance(inputs, tuple):
            return _one_tensor(made.attribute(inputs.detach(), target))
        (only,) = inputs
        return (_one_tensor(made.attribute(only.detach(), target)),)

    @functools.wraps(explain)  # captum's NoiseTunnel calls attribute.__wrapped__
    def attribute(self: Any, inputs: Any, target: Any = None) -> Any:
        return explain(self, inputs, target)

    return type("EquipoiseAttribution", (base,), {"attribute": attribute, "__doc__": type(made).__doc__})(model)


def quantus_explain_func(method: str | MethodFunction, **options: Any) -> Callable[..., Any]:
    """A method as the ``explain_func`` of Quantus' metrics.

    Args:
        method: A name of `equipoise.METHODS`, or any callable ``(model, inputs, target) -> Tensor``.
        **options: The method's own options.

    Returns:
        ``(model, inputs, targets, **ignored) -> numpy.ndarray``: ``(n, c, h, w)``, or ``(n, 1, h, w)`` for
        a map. Arrays are moved to the network's device and dtype.

    Example:
        ``quantus.PixelFlipping()(model, x_batch, y_batch, explain_func=quantus_explain_func("ae"))``
    """

    def explain(model: nn.Module, inputs: Any, targets: Any = None, **_: Any) -> Any:
        like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
        images = torch.as_tensor(inputs).to(like.device, like.dtype)
        classes = None if targets is None else torch.as_tensor(targets).to(like.device)
        return _one_tensor(make_method(method, model, **options).attribute(images, classes)).cpu().numpy()

    return explain


def _one_tensor(result: Tensor | list[Tensor]) -> Tensor:
    if isinstance(result, list):
        raise TargetError("a ragged list of targets gives a list of attributions, which captum and Quantus do not know")
    return result
