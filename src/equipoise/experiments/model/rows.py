"""What a run leaves behind: goals, numbers, kept maps, and the fields of a row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from equipoise._registry import nearest
from equipoise.errors import OptionError, UnknownNameError
from equipoise.naming import percent

if TYPE_CHECKING:
    from torch import Tensor

FIELDS: Final[Mapping[str, type]] = MappingProxyType(
    {
        "recipe": str,
        "dataset": str,
        "model": str,
        "method": str,
        "unit": str,
        "category": int,
        "class": str,
        "cell": int,
        "predicted": bool,
        "hard": bool,
        "metric": str,
        "step": float,
        "detail": str,
        "value": float,
    }
)
"""Of a row: one per image (or grid), class, method, network, metric and point of a curve."""

SELECTABLE: Final = ("unit", "category", "class", "cell", "predicted", "hard", "detail")
"""By which fields a table may choose rows; the others are what its rows and columns are."""


@dataclass(frozen=True)
class Goal:
    """What is explained.

    Args:
        category: Index into the classes of the data set; of the network where the network's answer is explained.
        name: Of the category.
        predicted: Whether the network says that it is there.
        hard: Whether image and category belong to the difficult subset.
        cell: Of a grid of photos, which one shows the category, counted row by row; ``None``: there is no grid.
        probability: How sure the network is, for pictures; ``None``: it is not known, as in runs of before. It makes
            no other goal.
    """

    category: int
    name: str
    predicted: bool = True
    hard: bool = False
    cell: int | None = None
    probability: float | None = field(default=None, compare=False)

    @property
    def sure(self) -> str:
        """How sure the network is, for a person; nothing where that is not known."""
        return "" if self.probability is None else percent(self.probability)

    def said(self, between: str = ", ") -> str:
        """For a person: the category, and how sure the network is where that is known."""
        return between.join(filter(None, (self.name, self.sure)))


@dataclass(frozen=True)
class Measured:
    """One number.

    Args:
        goal: What was explained.
        metric: A name of `equipoise.metrics.CATALOG`.
        value: NaN where the metric is undefined.
        step: Which point of a curve; ``None``: it is no curve.
        detail: What the step is called, such as the stage that was randomized last.
    """

    goal: Goal
    metric: str
    value: float
    step: float | None = None
    detail: str = ""


@dataclass(frozen=True, eq=False)
class KeptMap:
    """A heat map worth keeping, for figures and pages.

    Args:
        goal: What was explained.
        heatmap: ``(h, w)``.
        step: As in `Measured`.
        detail: As in `Measured`.
    """

    goal: Goal
    heatmap: Tensor
    step: float | None = None
    detail: str = ""


@dataclass
class Result:
    """What one method gave on one unit.

    Attributes:
        rows: The numbers.
        maps: The maps worth keeping, in the order of the goals.
    """

    rows: list[Measured] = field(default_factory=list)
    maps: list[KeptMap] = field(default_factory=list)

    def add(self, goal: Goal, values: Iterable[tuple[str, float | Tensor]], *, detail: str = "") -> None:
        """Note several metrics of one goal."""
        self.rows += [Measured(goal, metric, float(value), detail=detail) for metric, value in values]

    def keep(self, goal: Goal, heatmap: Tensor) -> None:
        """Note the map of one goal."""
        self.maps.append(KeptMap(goal, heatmap))


def results(goals: Sequence[Sequence[Goal]], values: Mapping[str, Tensor]) -> list[Result]:
    """What one method gave on several units, from the numbers of all their goals at once.

    Args:
        goals: Of each unit.
        values: Metric to a number for each goal, in the same order, ``(sum of their counts,)``.
    """
    numbers = {metric: value.tolist() for metric, value in values.items()}  # one transfer each
    found, start = [], 0
    for of_unit in goals:
        result = Result()
        for place, goal in enumerate(of_unit, start):
            result.add(goal, [(metric, every[place]) for metric, every in numbers.items()])
        found.append(result)
        start += len(of_unit)
    return found


def check_where(where: Mapping[str, object]) -> None:
    """Refuse a choice of rows by something that rows do not hold.

    Raises:
        UnknownNameError: If there is no such field; the text gives the nearest one.
        OptionError: If a value is not of the field's type.
    """
    for key, value in where.items():
        if key not in SELECTABLE:
            near = nearest(key, list(SELECTABLE), 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(SELECTABLE)}"
            raise UnknownNameError(f"no field of a row to choose by is called {key!r}; {hint}")
        if type(value) is not FIELDS[key]:
            raise OptionError(f"{key} is {value!r}; rows hold a {FIELDS[key].__name__} there")
