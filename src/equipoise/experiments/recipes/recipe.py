"""What an experiment is: data, networks, methods, a protocol, and what its table shows, as typed values."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from equipoise import records
from equipoise._registry import Registry
from equipoise.errors import OptionError, UnknownNameError
from equipoise.experiments.model.rows import check_where
from equipoise.experiments.model.statistics import STATISTICS
from equipoise.metrics.catalog import CATALOG

if TYPE_CHECKING:
    from equipoise.experiments.model.method_run import MethodRun
    from equipoise.experiments.protocols.base import Protocol
    from equipoise.metrics.catalog import MetricFacts

AS_CATALOGED: Final = "as cataloged"
"""Of a column: what `equipoise.metrics.CATALOG` says of its metric."""


@dataclass(frozen=True)
class Column:
    """One column of a table: a metric over some of the rows.

    Args:
        label: Its head.
        metric: A name or label of `equipoise.metrics.CATALOG`.
        where: What the rows must hold, such as ``{"hard": True}``.
        statistic: A name of `equipoise.experiments.STATISTICS`; ``None``: the metric's aggregation.
        step: Of a curve, which of its points (a share, a stage); ``None``: the metric is no curve.
        higher_is_better: For the best of a column; ``None``: neither; by default what the catalog says.

    Raises:
        UnknownNameError: If there is no such metric, statistic or field of a row; the text lists the nearest ones.
    """

    label: str
    metric: str
    where: Mapping[str, Any] = field(default_factory=dict)
    statistic: str | None = None
    step: float | None = None
    higher_is_better: bool | Literal["as cataloged"] | None = AS_CATALOGED

    def __post_init__(self) -> None:
        object.__setattr__(self, "metric", CATALOG.canonical(self.metric))  # a label is as good as a name
        check_where(self.where)
        if self.statistic is None:
            object.__setattr__(self, "statistic", self.facts.aggregation)
        STATISTICS.canonical(str(self.statistic))
        if self.higher_is_better == AS_CATALOGED:
            object.__setattr__(self, "higher_is_better", self.facts.higher_is_better)

    @property
    def facts(self) -> MetricFacts:
        """What the catalog says of its metric."""
        return CATALOG[self.metric]


@dataclass(frozen=True)
class Setting:
    """A second row key: the same method over other targets (the paper's "L" and "P").

    Args:
        label: Such as ``"P"``; empty when there is but one.
        where: What the rows must hold.
    """

    label: str = ""
    where: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_where(self.where)


@dataclass(frozen=True)
class Recipe:
    """A table or figure of the paper, or one of your own.

    Args:
        name: For the command line: ``"table1"``.
        title: What the paper calls it, and about what.
        summary: One line for ``equipoise list recipes``.
        protocol: What is measured, and how.
        pairs: What stands before what: a name of `equipoise.datasets.DATASETS`, and a network as
            `equipoise.load_model` takes it, or ``"package.module:build"``.
        methods: The rows.
        more: Methods that the command line can name too, as they are set here; all of them are ``every``.
        columns: Of the table.
        settings: What multiplies the rows.
        published: ``(data set, model, label, setting, column)`` to the paper's number.
        references: Data set to what networks other than the paper's are set beside: by a part of the network's name,
            such as ``"vgg16"``, the paper's data set and network; the first is for all others.
        figure: A name of `equipoise.experiments.FIGURES`; ``None``: a table alone.
        keep_maps: Of how many images the heat maps are kept for figure and gallery; ``None``: of all.
        limit: At most so many units of each data set; ``None``: all.
        notes: What a reader of the table has to know.
        offline_models: What runs where none of the networks can be had.
        offline_datasets: Data set to the one that runs where it is not there.

    Raises:
        UnknownNameError: If the protocol does not measure what a column shows.
        OptionError: If it measures it at other steps, or two methods, columns or settings share a label.
    """

    name: str
    title: str
    summary: str
    protocol: Protocol
    pairs: tuple[tuple[str, str], ...]
    methods: tuple[MethodRun, ...]
    columns: tuple[Column, ...]
    settings: tuple[Setting, ...] = (Setting(),)
    more: tuple[MethodRun, ...] = ()
    published: Mapping[tuple[str, str, str, str, str], float] = field(default_factory=dict, repr=False)
    references: Mapping[str, Mapping[str, tuple[str, str]]] = field(default_factory=dict, repr=False)
    figure: str | None = None
    keep_maps: int | None = 12
    limit: int | None = None
    notes: tuple[str, ...] = ()
    offline_models: tuple[str, ...] = ("efficientnet_lite0",)
    offline_datasets: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for column in self.columns:
            _check_column(column, self.protocol)
        for what, labels in (
            ("method", [one.label for one in (*self.methods, *self.more)]),
            ("column", [one.label for one in self.columns]),
            ("setting", [one.label for one in self.settings]),
        ):
            if double := [label for label, count in Counter(labels).items() if count > 1]:
                raise OptionError(f"{self.name}: two {what}s are called {double[0]!r}")

    def measured_by(self, protocol: Protocol) -> Recipe:
        """The same with another protocol; columns of steps that this one does not take are left out."""
        taken = tuple(column for column in self.columns if column.step is None or _takes(protocol, column.step))
        return replace(self, protocol=protocol, columns=taken)

    def paper_value(self, dataset: str, model: str, label: str, setting: str, column: str) -> float | None:
        """The paper's number for this data set and network, or for what `references` sets it beside."""
        place, _ = self.beside(dataset, model)
        return None if place is None else self.published.get((*place, label, setting, column))

    def beside(self, dataset: str, model: str) -> tuple[tuple[str, str] | None, bool]:
        """The paper's data set and network that a network is set beside, and whether that is of its architecture."""
        if self.has(dataset, model):
            return (dataset, model), True
        places = self.references.get(dataset, {})
        for part, place in places.items():
            if part in model.casefold():
                return place, True
        return next(iter(places.values()), None), False

    def has(self, dataset: str, model: str) -> bool:
        """Whether the paper has numbers for a data set and network."""
        return any(key[:2] == (dataset, model) for key in self.published)


def _check_column(column: Column, protocol: Protocol) -> None:
    declared = (*protocol.metrics, *protocol.curves)
    if column.metric not in declared:
        raise UnknownNameError(
            f"column {column.label!r}: the protocol {protocol.name} does not measure {column.metric}; "
            f"it measures: {', '.join(declared) or 'nothing that it declares'}"
        )
    if column.metric in protocol.curves and column.step is None:
        raise OptionError(f"column {column.label!r}: {column.metric} is a curve of {protocol.name}; give it a step")
    if column.metric not in protocol.curves and column.step is not None:
        raise OptionError(f"column {column.label!r}: {column.metric} is no curve of {protocol.name}; it has no step")
    if column.step is not None and not _takes(protocol, column.step):
        steps = list(protocol.steps or ())
        near = min(steps, key=lambda step: abs(step - (column.step or 0.0)), default=None)
        raise OptionError(
            f"column {column.label!r}: {protocol.name} has no step {column.step:g}"
            + ("" if near is None else f"; the nearest one is {near:g}")
        )


def _takes(protocol: Protocol, step: float) -> bool:
    return protocol.steps is None or any(math.isclose(step, one) for one in protocol.steps)


def describe_protocol(protocol: Protocol) -> str:
    """A protocol's name and options as canonical JSON, for content hashes and records."""
    options = {one.name: records.plain(getattr(protocol, one.name)) for one in fields(protocol)}
    return json.dumps({"protocol": protocol.name, **options}, sort_keys=True)


RECIPES: Registry[Recipe] = Registry("recipe")
"""Every table and figure of the paper, filled by `equipoise.experiments.recipes.paper`; and what `known` adds."""
