"""Fill docs/which-method.md with what was measured: python tools/which_method.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from filling import filled
from method_cards import card, measured
from method_pages import costs, documented, median_correlation, shown, units
from trust import first, trust_table

from equipoise.methods import METHODS
from equipoise.records import write_atomically

PATH = Path(__file__).parents[1] / "docs" / "which-method.md"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"[`{name}`](methods/{name}.md)" for name in names)


def _those(holds: Callable[[str], bool]) -> str:
    return _listed(name for name in documented() if holds(name))


def worst(name: str) -> float:
    """The largest cost over the networks where the method runs; 0 if it was not measured yet."""
    return max((value for found in costs(name).values() if (value := units(found)) is not None), default=0.0)


def _times() -> str:
    limits = (1, 3, 10, 30, 300, 3000)
    lines, below = ["| at most | methods |", "|---|---|"], 0.0
    for limit in limits:
        names = [name for name in documented() if below < worst(name) <= limit]
        if names:
            row = ", ".join(f"[`{name}`](methods/{name}.md) {shown(worst(name))}" for name in sorted(names, key=worst))
            lines.append(f"| {limit} | {row} |")
        below = limit
    return "\n".join(lines)


def _correlations() -> dict[str, float]:
    return {name: value for name in documented() if (value := median_correlation(name)) is not None}


def _classes() -> str:
    ordered = sorted(_correlations().items(), key=lambda pair: pair[1])
    rows = [f"| [`{name}`](methods/{name}.md) | {value:.2f} |" for name, value in ordered]
    return "\n".join(["| method | correlation |", "|---|---|", *rows])


def _no_classes() -> str:
    without = [name for name in documented() if name not in _correlations()]
    return f"Not measured here (costly) or not run on this network: {_listed(without)}." if without else ""


def _runs(name: str, *, everywhere: bool) -> bool:
    row = card(name).get("networks")  # None: not measured yet
    return row is not None and everywhere is not any(row.values())


BLOCKS: dict[str, Callable[[], str]] = {
    "photos": lambda: str(len(measured("classes")["photos"])),
    "network": lambda: measured("classes")["network"],
    "classes": _classes,
    "no-classes": _no_classes,
    "times": _times,
    "pixel": lambda: _those(lambda name: METHODS[name].level == "pixel"),
    "map": lambda: _those(lambda name: METHODS[name].level == "map"),
    "signed": lambda: _those(lambda name: METHODS[name].signed),
    "unsigned": lambda: _those(lambda name: not METHODS[name].signed),
    "trust": trust_table,
    "first": first,
    "families": lambda: str(len(measured("networks")["families"])),
    "everywhere": lambda: _those(lambda name: _runs(name, everywhere=True)),
    "somewhere": lambda: _those(lambda name: _runs(name, everywhere=False)),
}


def page() -> str:
    """The page, filled."""
    return filled(PATH.read_text(encoding="utf-8"), BLOCKS)


if __name__ == "__main__":
    write_atomically(PATH, page().encode())
