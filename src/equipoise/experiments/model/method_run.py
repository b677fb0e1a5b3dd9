"""A method as an experiment runs it: one row of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from equipoise import records


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
