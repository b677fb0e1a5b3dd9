"""What an experiment is: data, networks, methods, a protocol, and what its table shows, as typed values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from equipoise import records
from equipoise._registry import Registry

if TYPE_CHECKING:
    from equipoise.experiments.protocols.base import Protocol


@dataclass(frozen=True)
class MethodRun:
    """One row of a table: a method as it is run.

    Args:
        label: The row's name, as the paper writes it.
        method: A name of `equipoise.METHODS`, or ``"package.module:function"``.
        options: Of the method.
        readout: How its attribution becomes a heat map: a name of `equipoise.experiments.READOUTS`.
        smooth: Sigma of a Gaussian over the heat map, as a share of its longer side; 0: none. TorchRay smooths
            gradients by 0.02 before it looks for their maximum.
        layer: ``"middle"`` starts the method half-way down the network; ``None``: its own default.
    """

    label: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    readout: str = "sum"
    smooth: float = 0.0
    layer: str | None = None

    def describe(self) -> dict[str, Any]:
        """Everything that changes the result, as JSON types; the label does not."""
        return {
            "method": self.method,
            "options": records.plain(dict(sorted(self.options.items()))),
            "readout": self.readout,
            "smooth": self.smooth,
            "layer": self.layer,
        }


@dataclass(frozen=True)
class Column:
    """One column of a table: a metric over some of the rows.

    Args:
        label: Its head.
        metric: The name in the rows.
        where: What the rows must hold, such as ``{"hard": True}``.
        statistic: A name of `equipoise.experiments.STATISTICS`.
        step: Of a curve, which of its points (a share, a stage); ``None``: the metric is no curve.
        higher_is_better: For the sign of a difference and the best of a column; ``None``: neither.
    """

    label: str
    metric: str
    where: Mapping[str, Any] = field(default_factory=dict)
    statistic: str = "mean"
    step: float | None = None
    higher_is_better: bool | None = True


@dataclass(frozen=True)
class Setting:
    """A second row key: the same method over other targets (the paper's "L" and "P").

    Args:
        label: Such as ``"P"``; empty when there is but one.
        where: What the rows must hold.
    """

    label: str = ""
    where: Mapping[str, Any] = field(default_factory=dict)


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
        columns: Of the table.
        settings: What multiplies the rows.
        published: ``(data set, model, label, setting, column)`` to the paper's number.
        references: Data set to the paper's data set and network that others than the paper's are set beside.
        figure: A name of `equipoise.experiments.FIGURES`; ``None``: a table alone.
        keep_maps: Of how many images the heat maps are kept for figure and gallery; ``None``: of all.
        limit: At most so many units of each data set; ``None``: all.
        notes: What a reader of the table has to know.
        offline_models: What runs where none of the networks can be had.
        offline_datasets: Data set to the one that runs where it is not there.
    """

    name: str
    title: str
    summary: str
    protocol: Protocol
    pairs: tuple[tuple[str, str], ...]
    methods: tuple[MethodRun, ...]
    columns: tuple[Column, ...]
    settings: tuple[Setting, ...] = (Setting(),)
    published: Mapping[tuple[str, str, str, str, str], float] = field(default_factory=dict, repr=False)
    references: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    figure: str | None = None
    keep_maps: int | None = 12
    limit: int | None = None
    notes: tuple[str, ...] = ()
    offline_models: tuple[str, ...] = ("efficientnet_lite0",)
    offline_datasets: Mapping[str, str] = field(default_factory=dict)

    def paper_value(self, dataset: str, model: str, label: str, setting: str, column: str) -> float | None:
        """The paper's number for this data set and network, or for what `references` sets it beside."""
        place = (dataset, model) if self.has(dataset, model) else self.references.get(dataset)
        return None if place is None else self.published.get((*place, label, setting, column))

    def has(self, dataset: str, model: str) -> bool:
        """Whether the paper has numbers for a data set and network."""
        return any(key[:2] == (dataset, model) for key in self.published)


def describe_protocol(protocol: Protocol) -> str:
    """A protocol's name and options as canonical JSON, for content hashes and records."""
    options = {one.name: records.plain(getattr(protocol, one.name)) for one in fields(protocol)}
    return json.dumps({"protocol": protocol.name, **options}, sort_keys=True)


RECIPES: Registry[Recipe] = Registry("recipe")
"""Every table and figure of the paper, filled by `equipoise.experiments.paper`."""
