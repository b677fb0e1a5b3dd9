"""The base of the classes that sum a metric over a data set, and their registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import Tensor

from equipoise._registry import Registry
from equipoise._typing import Bool, Float
from equipoise.errors import MissingPackageError
from equipoise.metrics.catalog import CATALOG
from equipoise.metrics.maps import wide

if TYPE_CHECKING:
    from torchmetrics import Metric
else:
    try:
        from torchmetrics import Metric
    except ModuleNotFoundError:  # torch alone is enough for the plain functions

        class Metric:
            """Stands for torchmetrics' class where that is not installed."""

            def __init__(self, **options: Any) -> None:
                del options
                raise MissingPackageError(f"{type(self).__name__} needs torchmetrics: pip install equipoise[evaluate]")


METRICS: Registry[type[AttributionMetric]] = Registry("metric")
"""Grows as the modules of this package are imported; ``equipoise.metrics.METRICS`` imports them all."""


Kind = TypeVar("Kind", bound="type[AttributionMetric]")


def cataloged(name: str) -> Callable[[Kind], Kind]:
    """Put a class into `METRICS` under a name of the `CATALOG`, and give it what the catalog says.

    Raises:
        UnknownNameError: If the catalog has no such metric; the text lists the nearest ones.
    """
    facts = CATALOG[name]

    def register(kind: Kind) -> Kind:
        kind.summary, kind.range, kind.undefined = facts.summary, facts.range, facts.undefined
        kind.higher_is_better = facts.higher_is_better
        METRICS.add(name, kind, aliases=CATALOG.aliases(name))
        return kind

    return register


class AttributionMetric(Metric):
    """Base of the metrics over a data set; a subclass has states that add up, so no batching or rank matters.

    Attributes:
        summary: One line, for tables; this and the next three are the `CATALOG`'s.
        range: The lowest and the highest value.
        higher_is_better: ``None``: neither, it describes a map.
        undefined: When the value of one map is NaN; such a map is counted and left out.
    """

    summary: ClassVar[str]
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    higher_is_better: bool | None = True
    undefined: ClassVar[str]
    is_differentiable: bool | None = False
    full_state_update: bool | None = False

    undefined_count: Tensor
    """How many maps gave NaN so far."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("undefined_count", torch.tensor(0), dist_reduce_fx="sum")

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **options: Any) -> AttributionMetric:
        """As `torch.nn.Module` moves it; float64 becomes float32 where a device has no other."""

        def move(tensor: Tensor) -> Tensor:
            try:
                return fn(tensor)
            except (TypeError, RuntimeError):
                if tensor.dtype != torch.float64:
                    raise
                return fn(tensor.float())

        super()._apply(move, *args, **options)
        return self

    def sum_state(self, name: str, *shape: int) -> None:
        """Declare a float64 state of zeros that adds up over batches and ranks."""
        self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def defined(self, values: Float[Tensor, " n"]) -> Bool[Tensor, " n"]:
        """Which values are numbers; counts the others."""
        known = ~values.isnan()
        self.undefined_count += (~known).sum().to(self.undefined_count)
        return known


class MeanMetric(AttributionMetric):
    """Base of the metrics that are a mean over maps; NaN before the first defined one."""

    total: Tensor
    count: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.sum_state("total")
        self.sum_state("count")

    def add(self, values: Float[Tensor, " n"]) -> None:
        """Take in one value per map."""
        known = self.defined(values)
        self.total += wide(values[known]).sum().to(self.total)
        self.count += known.sum().to(self.count)

    def compute(self) -> Tensor:
        """The mean, float64, a scalar."""
        return self.total / self.count
