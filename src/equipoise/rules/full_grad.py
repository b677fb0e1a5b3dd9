"""Full gradients (Srinivas & Fleuret 2019, *Full-gradient representation*), the bias terms of Eq. 3."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from equipoise.engine import OpKind, Value, check_images, devices
from equipoise.engine.canonical import distinct, places, source_of_views
from equipoise.engine.channels import channel_axis
from equipoise.engine.numerics import per_sample
from equipoise.engine.relevance import Relevance
from equipoise.engine.rule import Rule, Step, describe
from equipoise.errors import UnsupportedOperationError


@dataclass(frozen=True)
class BiasTerm:
    """A layer with a bias leaves ``b * gradient`` behind; the gradient itself goes on as it came.

    A layer's bias is what it makes of zeros, so a batch norm has one, too.

    Attributes:
        found: Where the terms are left, the last layer's first: ``(k, n, c, *positions)``, each with whether it is one,
            as a tensor: the bias may be zero, and an accelerator is asked about all of them at once.
        derivative: How the gradient goes on.
        parts: What lies over a part of the image, where a layer's term has no place on the map.
    """

    found: list[tuple[Tensor, Tensor]]
    derivative: Rule
    parts: Container[Value] = ()

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> Sequence[Relevance | None]:
        """See `Rule`."""
        arrived = relevance[0]
        check_images(step.trace, *step.call.outputs)
        if arrived is not None and not (step.call.kind is OpKind.LINEAR and step.call.bound().get("bias") is None):
            (bias,) = step.run([torch.zeros_like(step.data())])
            bias = torch.nan_to_num(bias, 0.0, 0.0, 0.0)  # a norm of zeros
            present = bias.any()
            if not devices.free_to_ask(bias) or bool(present):
                self._check_whole(step)
                self.found.append((_on_map(arrived.value * bias, step), present))
        return self.derivative(step, relevance)

    def _check_whole(self, step: Step) -> None:
        """Each layer's map is laid over the whole image.

        Raises:
            UnsupportedOperationError: If the layer saw a part of it.
        """
        if step.call.outputs[0] in self.parts:
            raise UnsupportedOperationError(
                f"full gradients lay each layer's map over the image, but {describe(step.call)} saw a part of it; "
                "use integrated_gradients, or a class activation map of a layer that sees all"
            )


def terms_of(found: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """The terms that a `BiasTerm` left and that are some."""
    kept = torch.stack([present for _, present in found]).tolist() if found else []
    return [term for (term, _), keep in zip(found, kept, strict=True) if keep]


def _on_map(term: Tensor, step: Step) -> Tensor:
    """A norm's term ``(k, n, *shape)`` on the map that its input is a view of, such as tokens of a map."""
    value = step.call.inputs[0]
    source = source_of_views(value)
    alike = torch.Size(value.shape).numel() == torch.Size(source.shape).numel()
    out = step.call.outputs[0]
    as_it_is = channel_axis(out) == 1 and len(value.shape) >= len(source.shape)
    if step.call.kind is not OpKind.NORM or as_it_is:
        return term
    if source is value or not alike or source.shape[0] != step.n:
        return term.movedim(1 + channel_axis(out), 2)
    found = places(value, source, step.n)
    if found is None or distinct(found) != found.numel():
        return term
    flat = per_sample(term, step.n)
    moved = torch.empty_like(flat)
    moved[..., (found.flatten() - 1).to(flat.device)] = flat
    return moved.reshape(len(term), *source.shape)
