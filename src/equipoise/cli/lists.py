"""``equipoise list``: plain lines, one entry each, so that they can be searched and piped."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from equipoise._registry import nearest
from equipoise.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from equipoise.cli.request import NetworkRequest


def print_methods() -> int:
    """Name, level (pixel or map), whether signed, whether fast or costly, and one line on each method."""
    from equipoise.methods import METHODS  # noqa: PLC0415  # loads torch

    _print_table(
        [
            (
                name,
                entry.level,
                "signed" if entry.signed else "unsigned",
                "costly" if getattr(entry, "costly", False) else "fast",
                entry.summary,
            )
            for name, entry in METHODS.items()
        ]
    )
    return 0


def print_models(pattern: str | None) -> int:
    """Names of the networks that fit a pattern.

    Raises:
        UnknownNameError: If none does; the text lists the nearest ones.
    """
    from equipoise import models  # noqa: PLC0415  # loads torch

    names = models.list_models(pattern)
    if not names:
        near = nearest(str(pattern), models.list_models())
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise UnknownNameError(f"no model's name fits {pattern!r}{hint}")
    _print_table([(name,) for name in names])
    return 0


def print_layers(asked: NetworkRequest) -> int:
    """Name, kind and output shape of the layers where a method can start; the default is marked.

    Raises:
        EquipoiseError: If the network cannot be loaded.
    """
    import torch  # noqa: PLC0415  # takes time

    from equipoise.inputs import SeveralInputs  # noqa: PLC0415  # loads torch
    from equipoise.methods.layers import list_layers  # noqa: PLC0415

    network = asked.load_either()
    with torch.no_grad():  # any photo: only the shapes are shown
        if isinstance(network, SeveralInputs):
            rows = [(row, f"default of {', '.join(map(str, of))}" if of else "") for row, of in network.layers()]
        else:
            found = list_layers(network.module, network.black(), network.reads)
            rows = [(row, "default" if row.is_default else "") for row in found]
    if not rows:
        sys.stderr.write(f"equipoise: {asked.model} has no layers with names, as no exported program has\n")
        return 0
    _print_table([(row.name, row.kind, " x ".join(map(str, row.shape[1:])), default) for row, default in rows])
    return 0


def print_datasets() -> int:
    """Name and summary of the data sets; below each where it is looked for and how to get it."""
    from equipoise.datasets import DATASETS  # noqa: PLC0415  # takes time

    width = max(map(len, DATASETS))
    for name, entry in DATASETS.items():
        sys.stdout.write(f"{name.ljust(width)}  {entry.summary}\n")
        if entry.folders:
            sys.stdout.write(f"{' ' * width}  looked for: {', '.join(entry.looked_for)}\n")
        sys.stdout.write(f"{' ' * width}  how to get it: {entry.how_to_get}\n")
        sys.stdout.write(f"{' ' * width}  license: {entry.license}\n")
    return 0


def print_recipes() -> int:
    """Name and summary of the recipes."""
    from equipoise.experiments import RECIPES  # noqa: PLC0415  # loads torch

    _print_table([(name, recipe.summary) for name, recipe in RECIPES.items()])
    return 0


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their widest entry; nothing is cut."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")
