"""The rows of one network before one data set as arrays, grouped once by method, metric and step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise.experiments.model.statistics import STATISTICS, Cell, Design, Estimate, Numbers, estimates
from equipoise.experiments.model.table import as_array, factorized

if TYPE_CHECKING:
    from equipoise.experiments.model.table import Rows

_GROUPED = ("method", "metric", "step")


class Frame:
    """Rows of one block, in memory: some 40 bytes each.

    Args:
        rows: Of one data set and network; narrow them to the metrics that are wanted.
        fields: By which rows will be chosen.
        clusters: Key of a unit to what it was drawn with, where several units are of one thing; by default itself.

    Attributes:
        units: The keys of the images, or of their clusters, sorted.
        design: Images, or clusters, and classes.
    """

    def __init__(self, rows: Rows, fields: Iterable[str] = (), clusters: Mapping[str, str] | None = None) -> None:
        fields = dict.fromkeys(fields)
        table = rows.table([*_GROUPED, *dict.fromkeys(("unit", "category", "value", *fields))])
        self._value: Numbers = as_array(table.column("value"))
        self._fields = {name: factorized(table.column(name)) for name in fields}
        image, self.units = _clustered(*factorized(table.column("unit")), clusters or {})
        group, _ = factorized(table.column("category"))
        self.design, self._pair = Design.of(image, group)
        self._counts: dict[bytes, Numbers] = {}
        code = np.zeros(len(table), np.int64)
        self._names: list[list[Any]] = []
        for name in _GROUPED:
            codes, names = factorized(table.column(name))
            code = code * (len(names) + 1) + codes + 1
            self._names.append(names)
        code = code.astype(np.min_scalar_type(int(code.max(initial=0))))  # two bytes or less are sorted fast
        self._order = np.argsort(code, kind="stable")
        codes, starts = np.unique(code[self._order], return_index=True)
        ends = [*starts[1:], len(code)][: len(starts)]
        self._runs = {int(one): (int(first), int(last)) for one, first, last in zip(codes, starts, ends, strict=True)}

    def __contains__(self, method: str) -> bool:
        return method in self._names[0]

    def steps(self, metric: str, method: str | None = None) -> list[float]:
        """The steps of a metric's curves, rising."""
        methods = self._names[0] if method is None else [method]
        return [
            step
            for step in self._names[2]
            if any(len(self._slice(self._code_of(one, metric, step))) for one in methods)
        ]

    def select(
        self, method: str, metric: str, step: float | None = None, where: Mapping[str, object] | None = None
    ) -> NDArray[np.int64]:
        """The numbers of the rows that fit, in order; without a step those of any."""
        found = self._some(method, metric, step)
        for name, value in (where or {}).items():
            codes, names = self._fields[name]
            found = found[codes[found] == names.index(value)] if value in names else found[:0]
        return found

    def values(
        self, method: str, metric: str, step: float | None = None, where: Mapping[str, object] | None = None
    ) -> Numbers:
        """The values of the rows that fit."""
        return self._value[self.select(method, metric, step, where)]

    def cell(
        self,
        method: str,
        metric: str,
        statistic: str = "mean",
        step: float | None = None,
        where: Mapping[str, object] | None = None,
    ) -> Cell:
        """The rows that fit as sums, for `estimates` over this frame's `design`; equal counts are one array."""
        rows = self.select(method, metric, step, where)
        found = Cell.of(self.design, self._pair[rows], self._value[rows], STATISTICS[statistic])
        count = self._counts.setdefault(found.count.tobytes(), found.count)
        return Cell(found.statistic, found.total, count, found.undefined)

    def curve(self, method: str, metric: str, steps: Iterable[float], *, draws: int) -> list[Estimate]:
        """The mean at each step, with intervals."""
        return estimates(self.design, [self.cell(method, metric, step=step) for step in steps], draws=draws)

    def _some(self, method: str, metric: str, step: float | None) -> NDArray[np.int64]:
        steps = [None, *self._names[2]] if step is None else [one for one in self._names[2] if math.isclose(one, step)]
        found = [self._slice(self._code_of(method, metric, one)) for one in steps]
        return found[0] if len(found) == 1 else np.concatenate([self._order[:0], *found])

    def _code_of(self, *place: object) -> int:
        code = 0
        for names, wanted in zip(self._names, place, strict=True):
            if wanted is not None and wanted not in names:
                return -1
            code = code * (len(names) + 1) + (0 if wanted is None else names.index(wanted) + 1)
        return code

    def _slice(self, code: int) -> NDArray[np.int64]:
        first, last = self._runs.get(code, (0, 0))
        return self._order[first:last]


def _clustered(
    unit: NDArray[np.integer[Any]], names: list[str], clusters: Mapping[str, str]
) -> tuple[NDArray[np.integer[Any]], list[str]]:
    """Of each row the number of its cluster, and the clusters' names, sorted."""
    own = [clusters.get(name, name) for name in names]
    if own == names:
        return unit, names
    found = sorted(set(own))
    places = {name: place for place, name in enumerate(found)}
    return np.array([places[name] for name in own], np.int64)[unit], found
