"""Fill docs/methods: what is measured, registered or said by a class, put into pages that a person writes.

    python tools/method_pages.py              fill every page, and src/equipoise/app/costs.json
    python tools/method_pages.py --new NAME   start the page of a method

The idea, the equation and the sources are the class's docstring, the papers ``docs/references.bib``, the numbers the
method's card (`method_cards`). A method without a page is in no index, and a page says what was not measured yet, so
that a new method need not wait for any of it; the slow tests say what is left to do.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import docstrings
import site_bibliography
from filling import filled
from method_cards import FOLDER, card, measured
from method_pictures import FOLDER as PICTURES
from method_pictures import OTHER, PHOTOS

from equipoise.methods import METHODS
from equipoise.methods.groups import COMPARED
from equipoise.records import plain, write_atomically

ROOT = Path(__file__).parents[1]
COSTS = ROOT / "src" / "equipoise" / "app" / "costs.json"
TEMPLATE = ROOT / "tools" / "method_page.md"
NOT_YET = "Not measured yet."


def documented() -> list[str]:
    """The methods that have a page."""
    return [name for name in METHODS if (FOLDER / f"{name}.md").exists()]


def title(name: str) -> str:
    """A page's heading."""
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def units(entry: dict[str, Any]) -> float | None:
    """What a method costs on one network; ``None`` if it does not run there."""
    if entry["how"] == "fails":
        return None
    return entry["units"]["median"] if isinstance(entry["units"], dict) else entry["units"]


def shown(value: float | None) -> str:
    """A number with as many digits as it deserves."""
    if value is None:
        return "no"
    return f"{value:.1f}" if value < 10 else f"{round(value, 0 if value < 100 else -1):.0f}"


def costs(name: str) -> dict[str, dict[str, Any]]:
    """The measured cost of a method by network; empty if it was not measured yet."""
    return card(name).get("cost", {})


def median_correlation(name: str) -> float | None:
    """The middle of the photos' correlations; ``None`` where the method does not run or was not measured."""
    found = card(name).get("classes")
    return sorted(found)[len(found) // 2] if found else None


def parameters(name: str) -> list[inspect.Parameter]:
    """The options of a method."""
    found = inspect.signature(METHODS[name]).parameters.values()
    return [parameter for parameter in found if parameter.kind is inspect.Parameter.KEYWORD_ONLY]


def about(name: str) -> str:
    """What kind of method it is, and what its class says: the idea and the equation."""
    entry = METHODS[name]
    aliases = [f"`{alias}`" for alias, target in METHODS._aliases.items() if target == name]  # noqa: SLF001  # no public list
    level = "a value for each color of each pixel" if entry.level == "pixel" else "a map of one channel"
    kind = f"{level}, {'signed' if entry.signed else 'not signed'}, {'costly' if entry.costly else 'fast'}"
    also = f" (also {', '.join(aliases)})" if aliases else ""
    return f"`{name}`{also}: {kind}.\n\n{docstrings.description(entry)}"


def picture(name: str) -> str:
    """The maps of the same two photos."""
    if (PICTURES / f"{name}.jpg").exists():
        said = " and ".join(f'"{target}"' for target in PHOTOS.values())
        network = "by the bundled network"
        if costs(name).get("efficientnet_lite0", {}).get("how") == "fails":
            network = f"by SqueezeNet (`{OTHER}`): the method does not run on the bundled network"
        return f"![{said}, by {title(name)}](../images/methods/{name}.jpg)\n\n*{said}, {network}.*"
    return NOT_YET


def options(name: str) -> str:
    """Every option with its default; the docstring says what they mean."""
    lines = [f"| `{one.name}` | `{plain(one.default)!r}` |" for one in parameters(name)]
    where = f"`help(equipoise.METHODS[{name!r}])` says what each means."
    return "\n".join(["| option | default |", "|---|---|", *lines, "", where]) if lines else "None."


def cost(name: str) -> str:
    """The table of the section on cost."""
    if not costs(name):
        return NOT_YET
    lines = ["| network | units | how |", "|---|---|---|"]
    for network, entry in costs(name).items():
        how = {"once": "timed once", "fails": "does not run"}.get(entry["how"], "")
        if entry["how"] == "rounds":
            low, high = entry["units"]["quartiles"]
            how = f"median of {entry['units']['runs']} rounds, quartiles {low:.1f} to {high:.1f}"
        if entry["how"] == "counted":
            how = f"counted: {entry['forward']} images forward, {entry['backward']} backward"
        lines.append(f"| {network} | {shown(units(entry))} | {how} |")
    said = "One unit is a forward and a backward pass of the same network; see [how](README.md)."
    return "\n".join([*lines, "", said])


def networks(name: str) -> str:
    """Where it runs, in a sentence or a list."""
    row = card(name).get("networks")
    if row is None:
        return NOT_YET
    failing = {family: why for family, why in row.items() if why}
    if not failing:
        return f"Runs on a member of each of the {len(row)} [families](families.md)."
    head = f"Runs on {len(row) - len(failing)} of the {len(row)} [families](families.md); not on:"
    return "\n".join([head, "", *(f"- {family}: {why}" for family, why in failing.items())])


def classes(name: str) -> str:
    """How much the maps of two classes differ."""
    if "classes" not in card(name):
        return NOT_YET
    values, network = card(name)["classes"], measured("classes")["network"]
    if values is None:
        return f"Does not run on {network}, by which this was measured."
    if not values:
        return "Not measured, since it runs the network many times."
    return (
        f"Correlation of the maps of the two kinds of animal in a photo, over {len(values)} photos, by {network}: "
        f"median {median_correlation(name):.2f}, from {min(values):.2f} to {max(values):.2f}. "
        f"1 means that the map does not depend on the class."
    )


def citation(name: str) -> str:
    """The papers that the docstring names, in full."""
    return "\n".join(f"- {site_bibliography.cited(link)}" for link in docstrings.sources(METHODS[name]))


SECTIONS: dict[str, Callable[[str], str]] = {
    one.__name__: one for one in (about, picture, options, cost, networks, classes, citation)
}


def table() -> str:
    """The index: one row per method that has a page."""
    rows = ["| method | name | map | sign | units | classes |", "|---|---|---|---|---|---|"]
    for name in documented():
        entry = METHODS[name]
        numbers = ", ".join(shown(units(found)) for found in costs(name).values())
        middle = median_correlation(name)
        alike = "" if middle is None else f"{middle:.2f}"
        sign = "signed" if entry.signed else "unsigned"
        rows.append(f"| [{title(name)}]({name}.md) | `{name}` | {entry.level} | {sign} | {numbers} | {alike} |")
    return "\n".join(rows)


def conditions() -> str:
    """On what the cost was measured."""
    found = measured("cost")
    machine = found["machine"]
    return (
        f"{found['size']}x{found['size']} pixels, {found['rounds']} rounds, {machine['cpu']}, {machine['cores']} cores "
        f"shared with other work: load {machine['load before'][0]} before and {machine['load after'][0]} after; "
        f"torch {machine['versions']['torch']}."
    )


INDEX: dict[str, Callable[[], str]] = {
    "photos": lambda: str(len(measured("classes")["photos"])),
    "table": table,
    "paper": lambda: ", ".join(f"`{name}`" for name in COMPARED),
    "conditions": conditions,
}


def pages() -> dict[str, str]:
    """Every page by its file name, filled."""
    found = {"README.md": filled((FOLDER / "README.md").read_text(encoding="utf-8"), INDEX)}
    for name in documented():
        blocks = {section: partial(of, name) for section, of in SECTIONS.items()}
        found[f"{name}.md"] = filled((FOLDER / f"{name}.md").read_text(encoding="utf-8"), blocks)
    return found


def costs_file() -> str:
    """For the app: of each method its units on the networks where it runs, in a file."""
    found = {name: [units(one) for one in costs(name).values()] for name in METHODS}
    rounded = {name: [round(one, 1) for one in row if one is not None] for name, row in found.items()}
    return json.dumps(rounded, indent=1) + "\n"


def start(name: str) -> None:
    """Write a new page, to be edited."""
    entry = METHODS[name]
    text = TEMPLATE.read_text(encoding="utf-8")
    for mark, value in {"TITLE": entry.title, "NAME": name, "CHANNELS": "1" if entry.level == "map" else "3"}.items():
        text = text.replace(mark, value)
    path = FOLDER / f"{name}.md"
    assert not path.exists(), f"{path} is there already"
    write_atomically(path, text.encode())


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--new"]:
        start(METHODS.canonical(arguments[1]))
    write_atomically(COSTS, costs_file().encode())
    for file, text in pages().items():
        write_atomically(FOLDER / file, text.encode())


if __name__ == "__main__":
    main(sys.argv[1:])
