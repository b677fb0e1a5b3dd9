"""Networks of several inputs: each is explained in turn, while the others are held as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from equipoise._registry import nearest
from equipoise.engine.entrance import native, python_module
from equipoise.errors import NotFiniteError, OptionError, ShapeError, TargetError

Inputs: TypeAlias = tuple[Any, ...] | Mapping[str, Any]
"""What a network of several inputs is called with: ``model(*inputs)`` or ``model(**inputs)``."""

Which: TypeAlias = int | str
"""One of them: its place in a tuple, or its name in a dict."""

Map: TypeAlias = Tensor | list[Tensor]
Explain: TypeAlias = Callable[[nn.Module, Tensor, Any], Map]
"""The map of the images ``(1, c, *space)`` of a network of one input, for a target."""

_INSIDE = "network"  # what a `OneInput` calls the network; a layer's name begins with it


class OneInput(nn.Module):
    """A network of several inputs as one of a single input: the others are those of one image, and constant.

    Args:
        network: The network.
        inputs: Of one image: tensors ``(1, ...)`` are repeated for as many rows as the input has; all else is passed
            as it is.
        which: The input that is left open.
    """

    def __init__(self, network: nn.Module, inputs: Inputs, which: Which) -> None:
        super().__init__()
        self.network = network
        self.held = dict(inputs) if isinstance(inputs, Mapping) else list(inputs)
        self.which = which
        self.training = network.training  # of itself alone: `train` would change the network

    def forward(self, rows: Tensor) -> Any:
        """What the network returns for ``(m, c, *space)``."""
        if isinstance(self.held, dict):
            return self.network(**{key: self._given(key, one, rows) for key, one in self.held.items()})
        return self.network(*[self._given(place, one, rows) for place, one in enumerate(self.held)])

    def _given(self, key: Which, held: Any, rows: Tensor) -> Any:
        if key == self.which:
            return rows
        if not isinstance(held, Tensor) or not held.dim():
            return held
        return held.repeat(len(rows), *[1] * (held.dim() - 1))  # a copy: the network may write into it


def attribute_each(
    explain: Explain, model: nn.Module, inputs: Inputs, target: Any, wrt: Which | None
) -> Map | tuple[Map | None, ...] | dict[str, Map | None]:
    """Explain one of a network's inputs, or each; image by image, so that a method may alter one image many times.

    Args:
        explain: How a network of one input is explained.
        model: The network.
        inputs: See `Inputs`; tensors have one row for each image.
        target: As in `equipoise.attribute`.
        wrt: Which input; ``None``: each.

    Returns:
        The map of the input; or one for each, in a tuple or dict as ``inputs``, with ``None`` for what no method
        explains: what is no tensor, has no positions or is not floating-point.

    Raises:
        OptionError: If there is no such input.
        ShapeError: If no input can be explained, the one that is named cannot, or their batch sizes differ.
        NotFiniteError: If one holds NaN or infinity.
        TargetError: If there are more or fewer targets than images.
    """
    network = python_module(model)
    pairs: dict[Which, Any] = dict(_pairs(inputs))
    _check_rows(pairs)
    if wrt is not None:
        return _one(explain, network, inputs, _checked(pairs, wrt), target)
    if not any(_explainable(one) for one in pairs.values()):
        raise ShapeError(f"none of the inputs {_listed(pairs)} is a floating-point tensor (n, c, h, w)")
    found = {
        key: _one(explain, network, inputs, key, target) if _explainable(one) else None for key, one in pairs.items()
    }
    return {str(key): one for key, one in found.items()} if isinstance(inputs, Mapping) else tuple(found.values())


def inside(layer: Any, model: nn.Module) -> Any:
    """A layer of the network by its name in a `OneInput`; modules, and names of no layer, stay as they are."""
    if isinstance(layer, Sequence) and not isinstance(layer, str):
        return [inside(one, model) for one in layer]
    known = isinstance(layer, str) and layer in dict(python_module(model).named_modules())
    return f"{_INSIDE}.{layer}" if known and layer else layer


def outside(name: str) -> str:
    """The name that the network itself has for a layer of a `OneInput`."""
    return name.removeprefix(f"{_INSIDE}.")


def _one(explain: Explain, network: nn.Module, inputs: Inputs, which: Which, target: Any) -> Map:
    """The map of one input."""
    opened: Tensor = inputs[which]  # type: ignore[index]  # a place of a tuple or a name of a dict
    parts: list[Map] = []
    for row in range(len(opened)):
        held = {key: _row(network, one, row) for key, one in _pairs(inputs)}
        whole: Inputs = (
            {str(key): one for key, one in held.items()} if isinstance(inputs, Mapping) else (*held.values(),)
        )
        parts.append(
            explain(OneInput(network, whole, which), opened[row : row + 1], of_image(target, row, len(opened)))
        )
    if not parts:
        return torch.zeros_like(opened)
    lists = [part for part in parts if isinstance(part, list)]  # of a ragged target
    return (
        [one for part in lists for one in part]
        if lists
        else torch.cat([part for part in parts if isinstance(part, Tensor)])
    )


def _pairs(inputs: Inputs) -> list[tuple[Which, Any]]:
    return list(inputs.items()) if isinstance(inputs, Mapping) else list(enumerate(inputs))


def _row(network: nn.Module, one: Any, row: int) -> Any:
    """What an input says of one image."""
    if not isinstance(one, Tensor) or not one.dim():
        return one
    rows = one[row : row + 1].detach()
    return native(network, rows) if rows.is_floating_point() else rows


def of_image(target: Any, row: int, n: int) -> Any:
    """The target of one image of a batch, as a batch of one.

    Raises:
        TargetError: If it has more or fewer entries than there are images.
    """
    if target is None or callable(target) or isinstance(target, str) or not hasattr(target, "__len__"):
        return target
    if getattr(target, "ndim", 1) == 0:  # the one class of all, as a tensor or an array
        return target
    if isinstance(target, Sequence) and target and all(callable(one) for one in target):
        return target
    if len(target) != n:
        raise TargetError(f"{len(target)} targets for a batch of {n} images")
    return target[row : row + 1]


def _check_rows(pairs: Mapping[Which, Any]) -> None:
    """Refuse inputs that are not of the same images.

    Raises:
        ShapeError: If there is no tensor, or they differ.
        NotFiniteError: If one holds NaN or infinity.
    """
    tensors = {key: one for key, one in pairs.items() if isinstance(one, Tensor) and one.dim()}
    if not tensors:
        raise ShapeError(f"none of the inputs {_listed(pairs)} is a tensor with one row for each image")
    if len({len(one) for one in tensors.values()}) > 1:
        shapes = ", ".join(f"{key!r} is {tuple(one.shape)}" for key, one in tensors.items())
        raise ShapeError(f"the inputs have one row for each image, so as many each; here {shapes}")
    for key, one in tensors.items():
        if one.is_floating_point() and not bool(one.detach().isfinite().all()):
            raise NotFiniteError(f"input {key!r} holds nan or infinity; every value must be a finite number")


def _explainable(one: Any) -> bool:
    return isinstance(one, Tensor) and one.is_floating_point() and one.dim() > 2


def _checked(pairs: Mapping[Which, Any], wrt: Which) -> Which:
    """The named input.

    Raises:
        OptionError: If there is none of that name.
        ShapeError: If no method can explain it.
    """
    if isinstance(wrt, bool) or not isinstance(wrt, int | str) or wrt not in pairs:
        near = nearest(wrt, [key for key in pairs if isinstance(key, str)]) if isinstance(wrt, str) else []
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise OptionError(f"wrt is {wrt!r}, and the inputs are {_listed(pairs)}{hint}")
    one = pairs[wrt]
    if not _explainable(one):
        what = f"{tuple(one.shape)} of {one.dtype}" if isinstance(one, Tensor) else type(one).__name__
        raise ShapeError(f"input {wrt!r} is {what}; a method explains floating-point tensors (n, c, h, w)")
    return wrt


def _listed(pairs: Mapping[Which, Any]) -> str:
    return ", ".join(map(repr, pairs)) or "of an empty tuple or dict"
