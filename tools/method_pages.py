"""Write docs/methods: a page for every method, and their index.

    python tools/method_pages.py

And src/equipoise/app/costs.json, what the app says of their cost. From the texts in tools/texts_*.py, the methods
themselves (defaults), benchmarks/results/method_cost.json, docs/methods/families.json and classes.json. A method
without a text has no page, and a page says what was not measured yet, so that a new method need not wait for any of it;
the slow tests say what is left to do.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import texts_gradient
import texts_perturbation
import texts_propagation
from method_text import Text

from equipoise.methods import METHODS
from equipoise.methods.groups import COMPARED
from equipoise.records import plain

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "methods"
COSTS = ROOT / "src" / "equipoise" / "app" / "costs.json"
TEXTS: dict[str, Text] = texts_propagation.TEXTS | texts_gradient.TEXTS | texts_perturbation.TEXTS
NOT_YET = "Not measured yet."
MARK = "<!-- made by tools/method_pages.py; do not edit -->\n"

PAGE = """{mark}# {title}

`{name}`{aliases}: {level}, {signed}, {speed}.

{idea}

```math
{equation}
```

```python
import torch
from torch import nn

import equipoise

model = nn.Sequential(
    nn.Conv2d(3, 8, 3),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(8, 8, 3),
    nn.ReLU(),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
    nn.Linear(8, 5),
).eval()
images = torch.rand(2, 3, 32, 32)
found = equipoise.attribute(model, images, [3, 1], method="{name}"{options})
assert found.shape == (2, {channels}, 32, 32)
```

## Options

{defaults}

## Differences from other code

{differs}

## Cost

{cost}

## Networks

{families}

## Two classes of one photo

{classes}

## Citation

{sources}

[All methods](README.md) · [Which method when](../which-method.md)
"""

INDEX = """{mark}# The methods

One page each: the idea, the equation, the options, what differs from the authors' code, the cost, the networks, the
citation. [Which method when](../which-method.md) compares them; [families](families.md) says which runs on which
network.

*units*: time in forward and backward passes of the same network (VGG-16, ResNet-50, EfficientNet-Lite0). *classes*:
median correlation of the maps of two classes in one photo, over {photos} photos (not of costly methods); 1 means
that the class does not matter.

| method | name | map | sign | units | classes |
|---|---|---|---|---|---|
{rows}

Groups for `--method`: `fast` leaves out the costly ones (more than 30 units), `paper` are the columns of the paper's
Fig. 4 ({paper}), `all` is every one.

{how}
"""

HOW = """## How the cost was measured

`python benchmarks/method_cost.py`: {size}x{size} pixels, batch 1, default options, random weights, float32. Quick
methods: median of {rounds} interleaved rounds. Those of dozens of passes: once, between two runs of the unit. Those of
hundreds: their passes are counted, and a forward pass costs what it was measured to cost. {cpu}, {cores} cores, shared
with other work: load {before} before and {after} after; torch {torch}."""


def data(path: Path) -> dict[str, Any]:
    """A result as it lies on disk."""
    return json.loads(path.read_text(encoding="utf-8"))


def documented() -> list[str]:
    """The methods that have a text, and so a page."""
    return [name for name in METHODS if name in TEXTS]


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
    models = data(ROOT / "benchmarks" / "results" / "method_cost.json")["models"]
    return {network: found[name] for network, found in models.items() if name in found}


def cost_text(name: str) -> str:
    """The table of the section on cost."""
    measured = costs(name)
    if not measured:
        return NOT_YET
    lines = ["| network | units | how |", "|---|---|---|"]
    for network, entry in measured.items():
        how = {"once": "timed once", "fails": "does not run"}.get(entry["how"], "")
        if entry["how"] == "rounds":
            low, high = entry["units"]["quartiles"]
            how = f"median of {entry['units']['runs']} rounds, quartiles {low:.1f} to {high:.1f}"
        if entry["how"] == "counted":
            how = f"counted: {entry['forward']} images forward, {entry['backward']} backward"
        lines.append(f"| {network} | {shown(units(entry))} | {how} |")
    return "\n".join(
        [*lines, "", "One unit is a forward and a backward pass of the same network; see [how](README.md)."]
    )


def families_text(name: str) -> str:
    """Where it runs, in a sentence or a list."""
    row = data(FOLDER / "families.json")["methods"].get(name)
    if row is None:
        return NOT_YET
    failing = {family: why for family, why in row.items() if why}
    if not failing:
        return f"Runs on a member of each of the {len(row)} [families](families.md)."
    head = f"Runs on {len(row) - len(failing)} of the {len(row)} [families](families.md); not on:"
    return "\n".join([head, "", *(f"- {family}: {why}" for family, why in failing.items())])


def median_correlation(name: str) -> float | None:
    """The middle of the photos' correlations; ``None`` where the method does not run or was not measured."""
    found = data(FOLDER / "classes.json")["methods"].get(name)
    return sorted(found["correlation"])[len(found["correlation"]) // 2] if found and found["correlation"] else None


def classes_text(name: str) -> str:
    """How much the maps of two classes differ."""
    result = data(FOLDER / "classes.json")
    if name not in result["methods"]:
        return NOT_YET
    found, middle = result["methods"][name], median_correlation(name)
    if found is not None and not found["correlation"]:
        return "Not measured, since it runs the network many times."
    if found is None or middle is None:
        return f"Does not run on {result['network']}, by which this was measured."
    values = found["correlation"]
    return (
        f"Correlation of the maps of the two kinds of animal in a photo, over {len(values)} photos, by "
        f"{result['network']}: median {middle:.2f}, from {min(values):.2f} to {max(values):.2f}"
        f". 1 means that the map does not depend on the class."
    )


def parameters(name: str) -> list[inspect.Parameter]:
    """The options of a method."""
    found = inspect.signature(METHODS[name]).parameters.values()
    return [parameter for parameter in found if parameter.kind is inspect.Parameter.KEYWORD_ONLY]


def defaults_text(name: str) -> str:
    """Every option with its default; the docstring says what they mean."""
    lines = [f"| `{one.name}` | `{plain(one.default)!r}` |" for one in parameters(name)]
    where = f"`help(equipoise.METHODS[{name!r}])` says what each means."
    return "\n".join(["| option | default |", "|---|---|", *lines, "", where]) if lines else "None."


def page(name: str) -> str:
    """The page of a method."""
    text, entry = TEXTS[name], METHODS[name]
    aliases = [alias for alias, target in METHODS._aliases.items() if target == name]  # noqa: SLF001  # no public list
    return PAGE.format(
        mark=MARK,
        title=text.title,
        name=name,
        aliases=f" (also {', '.join(f'`{alias}`' for alias in aliases)})" if aliases else "",
        level="a value for each color of each pixel" if entry.level == "pixel" else "a map of one channel",
        signed="signed" if entry.signed else "not signed",
        speed="costly" if entry.costly else "fast",
        idea=text.idea,
        equation=text.equation,
        options="".join(f", {key}={value!r}" for key, value in text.example.items()),
        channels=1 if entry.level == "map" else 3,
        defaults=defaults_text(name),
        differs=text.differs,
        cost=cost_text(name),
        families=families_text(name),
        classes=classes_text(name),
        sources="\n".join(f"- [{source.text}]({source.link})" for source in text.sources),
    )


def index() -> str:
    """The index: one row per method that has a page."""
    measured = data(ROOT / "benchmarks" / "results" / "method_cost.json")
    rows = []
    for name in documented():
        entry = METHODS[name]
        numbers = ", ".join(shown(units(found)) for found in costs(name).values())
        middle = median_correlation(name)
        alike = "" if middle is None else f"{middle:.2f}"
        sign = "signed" if entry.signed else "unsigned"
        link = f"[{TEXTS[name].title}]({name}.md)"
        rows.append(f"| {link} | `{name}` | {entry.level} | {sign} | {numbers} | {alike} |")
    machine = measured["machine"]
    how = HOW.format(
        size=measured["size"],
        rounds=measured["rounds"],
        cpu=machine["cpu"],
        cores=machine["cores"],
        before=machine["load before"][0],
        after=machine["load after"][0],
        torch=machine["versions"]["torch"],
    )
    classes = data(FOLDER / "classes.json")
    paper = ", ".join(f"`{name}`" for name in COMPARED)
    return INDEX.format(
        mark=MARK,
        photos=len(classes["photos"]),
        rows="\n".join(rows),
        paper=paper,
        how=how,
    )


def pages() -> dict[str, str]:
    """Every page by its file name."""
    return {"README.md": index()} | {f"{name}.md": page(name) for name in documented()}


def costs_file() -> str:
    """For the app: of each method its units on the networks where it runs, in a file."""
    found = {name: [units(one) for one in costs(name).values()] for name in METHODS}
    rounded = {name: [round(one, 1) for one in row if one is not None] for name, row in found.items()}
    return json.dumps(rounded, indent=1) + "\n"


def main() -> None:
    COSTS.write_text(costs_file(), encoding="utf-8")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file, text in pages().items():
        (FOLDER / file).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
