"""What travels from a layer to the one below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from equipoise._typing import Float
from equipoise.engine.layout import Room, in_turn
from equipoise.engine.numerics import rows_per_image, sums
from equipoise.errors import RuleNotApplicableError


@dataclass(frozen=True, slots=True)
class Relevance:
    """The relevance of one tensor of the network, for ``k`` targets of ``n`` images at once.

    Attributes:
        value: Signed relevance, ``(k, n, *shape)``. Rows of ``k`` never mix, so they can be the
            targets of an image, or a target and its contrast.
        share: Which part of the whole this relevance stands for, ``(k, n)``: 1 on a chain; where
            a sum or a concatenation split relevance, the parts add to the whole. ``None`` where no
            rule asked for it.
        gradient: The gradient of the score, for rules that need it beside the relevance,
            ``(k, n, *shape)`` or ``None``.
    """

    value: Tensor
    share: Float[Tensor, "k n"] | None = None
    gradient: Tensor | None = None

    def __add__(self, other: Relevance) -> Relevance:
        """Relevance that meets again in a tensor read by several operations."""
        return Relevance(
            self.value + other.value,
            _sum(self.share, other.share),
            _sum(self.gradient, other.gradient),
        )

    def with_value(self, value: Tensor) -> Relevance:
        """The same share and gradient with another value."""
        return replace(self, value=value)

    def of_dtype(self, dtype: torch.dtype) -> Relevance:
        """The same in another dtype, where a network computes in several."""
        if self.value.dtype == dtype:
            return self
        share, gradient = (None if part is None else part.to(dtype) for part in (self.share, self.gradient))
        return Relevance(self.value.to(dtype), share, gradient)

    def split(self, values: Sequence[Tensor | None]) -> list[Relevance | None]:
        """Hand ``values`` on to several tensors, each with its part of the share.

        A part's share is proportional to its absolute sum; if all parts are zero they share equally.
        """
        if self.share is None:
            return [None if value is None else Relevance(value) for value in values]
        n = self.share.shape[1]
        masses = [None if value is None else _mass(value, n) for value in values]
        present = [mass for mass in masses if mass is not None]
        whole = sum(present[1:], start=present[0])
        equal = 1.0 / len(present)
        parts: list[Relevance | None] = []
        for value, mass in zip(values, masses, strict=True):
            if value is None or mass is None:
                parts.append(None)
                continue
            fraction = (mass / whole).where(whole > 0, equal)
            parts.append(Relevance(value, self.share * fraction))
        return parts


def only(relevance: Sequence[Relevance | None]) -> Relevance:
    """The relevance of an operation's first output, the only one that most rules know.

    Raises:
        RuleNotApplicableError: If it arrived at another.
    """
    first = relevance[0]
    if first is None:
        raise RuleNotApplicableError("relevance arrived at a secondary output only")
    return first


def _mass(value: Tensor, n: int) -> Tensor:
    """The absolute sum of each target of each image, ``(k, n)``, a few images at a time."""
    folded = rows_per_image(value.shape[1], n)
    at_once = Room.of(value[:, :folded]).rows
    parts = [value[:, images.start * folded : images.stop * folded] for images in in_turn(n, at_once)]
    return torch.cat([sums(part.abs(), part.shape[1] // folded) for part in parts], dim=1)


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if a is None or b is None:
        return a if b is None else b
    return a + b


def sum_to(value: Tensor, shape: Sequence[int]) -> Tensor:
    """Sum ``(k, ...)`` over the dimensions along which ``shape`` was broadcast."""
    extra = value.dim() - 1 - len(shape)
    value = value.sum(dim=tuple(range(1, 1 + extra))) if extra else value
    broadcast = tuple(i + 1 for i, size in enumerate(shape) if size == 1 < value.shape[i + 1])
    return value.sum(dim=broadcast, keepdim=True) if broadcast else value
