"""The measurement cards: ``docs/methods/cards/NAME.json`` has every number that is known of a method.

Three measurements write them: ``benchmarks/method_cost.py`` ("cost", by network), ``tools/method_families.py``
("networks", by family: why it does not run there, or nothing) and ``tools/class_specificity.py`` ("classes": the
correlations of two classes' maps). How and on what each was measured stands once, in ``docs/methods/measured.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equipoise.methods import METHODS
from equipoise.records import write_atomically

FOLDER = Path(__file__).parents[1] / "docs" / "methods"
CARDS = FOLDER / "cards"
MEASURED = FOLDER / "measured.json"
SECTIONS = ("cost", "networks", "classes")


def written(data: Any) -> bytes:
    """JSON as the cards are written."""
    return (json.dumps(data, indent=1) + "\n").encode()


def card(name: str) -> dict[str, Any]:
    """What was measured of a method; empty if nothing was."""
    path = CARDS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def measured(section: str) -> dict[str, Any]:
    """How a section of all cards was measured."""
    return json.loads(MEASURED.read_text(encoding="utf-8"))[section]


def keep(section: str, how: Mapping[str, Any], rows: Mapping[str, Any]) -> None:
    """Write a measurement: how it was done, and of each method the result; other sections stay."""
    every = json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.exists() else {}
    CARDS.mkdir(parents=True, exist_ok=True)
    write_atomically(MEASURED, written(_ordered({**every, section: how})))
    for name, row in rows.items():
        write_atomically(CARDS / f"{name}.json", written(_ordered({**card(name), section: row})))


def keep_cost(result: Mapping[str, Any]) -> None:
    """Write the cost of every method, from what ``benchmarks/method_cost.py`` measured."""
    networks: dict[str, dict[str, Any]] = result["models"]
    rows = {name: {key: found[name] for key, found in networks.items() if name in found} for name in METHODS}
    unit = {key: {what: found[what] for what in ("unit", "forward")} for key, found in networks.items()}
    keep("cost", {**{key: value for key, value in result.items() if key != "models"}, "networks": unit}, rows)


def _ordered(data: dict[str, Any]) -> dict[str, Any]:
    return {section: data[section] for section in SECTIONS if section in data}
