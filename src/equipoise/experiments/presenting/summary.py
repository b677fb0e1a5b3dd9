"""From rows to the numbers of a table: ours with an interval, the paper's, and which methods differ."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from equipoise.experiments.model.comparing import SIGNIFICANT, Verdict, holm, sign_flips, verdict
from equipoise.experiments.model.frame import Frame
from equipoise.experiments.model.ranks import Ranks, average_ranks
from equipoise.experiments.model.statistics import FEWEST, Cell, Estimate, Numbers, estimates, images_of, per_image

if TYPE_CHECKING:
    from equipoise.experiments.model.table import Rows
    from equipoise.experiments.recipes.recipe import Column, Recipe, Setting
    from equipoise.experiments.running.runner import Run

REFERENCE = "ae"
"""The method that the others are compared with."""


@dataclass(frozen=True)
class Comparison:
    """A method beside the reference, on the images and classes that both have numbers of.

    Attributes:
        difference: The method less the reference, with a paired bootstrap interval over images.
        p: That they are alike, two-sided, by random flips of signs over images, Holm-corrected over the methods of
            the column; NaN where there are too few images.
    """

    difference: Estimate
    p: float


@dataclass(frozen=True)
class TableNumber:
    """One number of a table.

    Attributes:
        column: The column's label.
        ours: The estimate.
        paper: The paper's number; ``None`` if it has none.
        best: Whether it is not significantly worse than the best of its column, as it could be, while another one is.
        to_reference: Beside the reference; ``None``: it is the reference, or there is none.
        alike: Whether the paper's number is of this network's architecture; else it is for orientation.
    """

    column: str
    ours: Estimate
    paper: float | None
    best: bool = False
    to_reference: Comparison | None = None
    alike: bool = True

    @property
    def difference(self) -> float | None:
        """Ours less the paper's; ``None`` if either is missing."""
        if self.paper is None or math.isnan(self.ours.value):
            return None
        return self.ours.value - self.paper

    @property
    def verdict(self) -> Verdict | None:
        """Whether ours agrees with the paper's; ``None`` if either is missing or they are of other architectures."""
        if self.paper is None or math.isnan(self.ours.value) or not self.alike:
            return None
        return verdict(self.ours, self.paper)


@dataclass(frozen=True)
class TableRow:
    """One row of a table.

    Attributes:
        dataset: Name of the data set.
        model: Name of the network.
        label: The method.
        setting: Label of the setting, which may be empty.
        entries: One per column.
        sampled: What a bootstrap draws: images, or what several of them have in common.
    """

    dataset: str
    model: str
    label: str
    setting: str
    entries: tuple[TableNumber, ...]
    sampled: str = "images"

    @property
    def images(self) -> list[int]:
        """Of how many images, or whatever is `sampled`, each number is."""
        return [entry.ours.images for entry in self.entries]


def summarize(
    recipe: Recipe,
    rows: Rows,
    pairs: Sequence[tuple[str, str]],
    *,
    clusters: Mapping[str, str] | None = None,
    seed: int = 0,
) -> list[TableRow]:
    """The lines of a recipe's table, data set and network by data set and network.

    A block of the table is in memory at a time, and no row is looked at by itself.

    Args:
        recipe: Whose columns, settings and published numbers are used.
        rows: As in ``rows.parquet``.
        pairs: Data sets and networks, in the table's order.
        clusters: Key of a unit to what is drawn with it, where units are not images: see `Protocol.cluster`.
        seed: Of the bootstrap and of the random flips.
    """
    lines = []
    for pair in pairs:
        lines += _Block(recipe, rows, pair, clusters, seed).lines()
    return lines


def clusters_of(run: Run) -> dict[str, str]:
    """Key of each unit to what its numbers have in common with those of others: see `Protocol.cluster`."""
    protocol = run.plan.recipe.protocol
    return {unit.key: protocol.cluster(unit) for block in run.blocks for unit in block.units}


def reference_of(recipe: Recipe) -> str | None:
    """The label of the one method that the others are compared with, if there is one: of several, that as it is."""
    found = [one for one in recipe.methods if one.method == REFERENCE]
    if len(found) > 1:
        found = [one for one in found if not one.options]
    return found[0].label if len(found) == 1 else None


def _choices(recipe: Recipe) -> list[Mapping[str, object]]:
    return [*(column.where for column in recipe.columns), *(setting.where for setting in recipe.settings)]


class _Block:
    """A network before a data set."""

    def __init__(
        self, recipe: Recipe, rows: Rows, pair: tuple[str, str], clusters: Mapping[str, str] | None, seed: int
    ) -> None:
        dataset, model = pair
        metrics = tuple(dict.fromkeys(column.facts.label for column in recipe.columns))
        fields = [name for where in _choices(recipe) for name in where]
        self._recipe, self._dataset, self._model, self._seed = recipe, dataset, model, seed
        self._frame = Frame(rows.where(dataset=dataset, model=model, metric=metrics), fields, clusters)
        self._labels = [one.label for one in recipe.methods if one.label in self._frame]

    def lines(self) -> list[TableRow]:
        recipe, design = self._recipe, self._frame.design
        columns = [
            _Cells(setting.label, column, self._cells(column, setting), reference_of(recipe))
            for setting in recipe.settings
            for column in recipe.columns
        ]
        every = [cell for one in columns for cell in one.cells.values()]
        every += [cell for one in columns for cell in next(one.tested())]
        numbers = iter(estimates(design, every, seed=self._seed))
        for one in columns:
            one.ours = {label: next(numbers) for label in one.cells}
        for one in columns:
            one.differences = {label: next(numbers) for label, _ in one.tests()[0]}
        del every
        _, alike = recipe.beside(self._dataset, self._model)
        ps = iter(self._ps(cell for one in columns for some in one.tested() for cell in some))
        found = {}
        for one in columns:
            corrected = [holm([next(ps) for _ in some]) for some in one.tests()]
            found[one.setting, one.column.label] = one.entries(*corrected)
        return [
            TableRow(
                self._dataset,
                self._model,
                label,
                setting.label,
                tuple(
                    replace(
                        found[setting.label, column.label][label],
                        paper=recipe.paper_value(self._dataset, self._model, label, setting.label, column.label),
                        alike=alike,
                    )
                    for column in recipe.columns
                ),
                recipe.protocol.sampled,
            )
            for label in self._labels
            for setting in recipe.settings
        ]

    def _cells(self, column: Column, setting: Setting) -> dict[str, Cell]:
        """The rows of each method."""
        where = {**setting.where, **column.where}
        statistic = column.statistic or column.facts.aggregation
        return {
            label: self._frame.cell(label, column.facts.label, statistic, column.step, where) for label in self._labels
        }

    def _ps(self, differences: Iterator[Cell]) -> list[float]:
        """Of each difference the p that it is none; NaN for too few images."""
        design = self._frame.design
        few: list[bool] = []

        def parts() -> Iterator[Numbers]:
            for cell in differences:
                few.append(images_of(design, cell) < FEWEST)
                yield per_image(design, cell)

        ps = sign_flips(parts(), seed=self._seed)
        return [math.nan if too_few else p for too_few, p in zip(few, ps, strict=True)]


class _Cells:
    """One column and setting: the rows of each method, and what they are compared with."""

    def __init__(self, setting: str, column: Column, cells: dict[str, Cell], reference: str | None) -> None:
        self.setting, self.column, self.cells, self.reference = setting, column, cells, reference or ""
        self.ours: dict[str, Estimate] = {}
        self.differences: dict[str, Estimate] = {}

    def best(self) -> str | None:
        """The method with the best number, where one is better than another; of those that can be tested."""
        sign = 1.0 if self.column.higher_is_better else -1.0
        defined = [label for label, number in self.ours.items() if number.images >= FEWEST]
        if self.column.higher_is_better is None or not defined:
            return None
        return max(defined, key=lambda label: sign * self.ours[label].value)

    def tests(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """What is tested: method and reference, method and best."""
        best = self.best()
        return (
            [
                (label, self.reference)
                for label in self.cells
                if self.reference in self.cells and label != self.reference
            ],
            [(label, best) for label in self._others(best) if best is not None],
        )

    def tested(self) -> Iterator[Iterator[Cell]]:
        """The differences of `tests`, made one after the other."""
        for pairs in self.tests():
            yield (self.cells[label].less(self.cells[other]) for label, other in pairs)

    def entries(self, to_reference: Sequence[float], to_best: Sequence[float]) -> dict[str, TableNumber]:
        """The numbers of each method, with the corrected p of `tested`.

        Where a method has so few images that no outcome would be significant, nothing tells it from the best or shows
        that it is as good.
        """
        best = self.best()
        tested = dict(zip(self._others(best), to_best, strict=True))
        worse = any(p < SIGNIFICANT for p in tested.values())
        most = self.ours[best].images if best is not None else 0
        told = {one for one in tested if 2.0 ** (1 - min(most, self.ours[one].images)) * len(tested) < SIGNIFICANT}
        equals = {best, *(label for label, p in tested.items() if p >= SIGNIFICANT and label in told)}
        ps = dict(zip(self.differences, to_reference, strict=True))
        return {
            label: TableNumber(
                self.column.label,
                number,
                None,
                worse and label in equals,
                Comparison(self.differences[label], ps[label]) if label in ps else None,
            )
            for label, number in self.ours.items()
        }

    def _others(self, best: str | None) -> list[str]:
        defined = [label for label, number in self.ours.items() if not math.isnan(number.value)]
        return [label for label in defined if label != best] if best is not None else []


def blocks(lines: Sequence[TableRow]) -> dict[tuple[str, str], list[TableRow]]:
    """The lines by data set and network."""
    found: dict[tuple[str, str], list[TableRow]] = {}
    for line in lines:
        found.setdefault((line.dataset, line.model), []).append(line)
    return found


def ranked(recipe: Recipe, lines: Sequence[TableRow]) -> dict[str, Ranks]:
    """Average ranks of the methods over data sets and networks, of each column and setting that has a better end.

    Blocks where a method has no number are left out; there have to be two blocks and three methods at least.
    """
    found = {}
    parts = blocks(lines).values()
    labels = [
        one.label for one in recipe.methods if all(any(line.label == one.label for line in part) for part in parts)
    ]
    for setting in recipe.settings:
        for index, column in enumerate(recipe.columns):
            numbers = [
                [
                    next(
                        line.entries[index].ours.value
                        for line in part
                        if (line.label, line.setting) == (label, setting.label)
                    )
                    for label in labels
                ]
                for part in parts
            ]
            values = np.array([row for row in numbers if np.isfinite(row).all()]).reshape(-1, len(labels))
            if column.higher_is_better is not None and len(values) > 1 and len(labels) > 2:
                name = f"{column.label}, {setting.label}" if setting.label else column.label
                found[name] = average_ranks(labels, values, higher_is_better=column.higher_is_better is True)
    return found
