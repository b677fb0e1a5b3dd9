"""Which method runs on which family of networks: measure and render.

python tools/method_table.py            measure what is missing, write docs/methods/families.json and families.md
python tools/method_table.py --fresh    measure everything again
python tools/method_table.py --render   docs/methods/families.md from docs/methods/families.json
"""

from __future__ import annotations

import argparse
import json
import re
import time
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from equipoise.methods import METHODS
from equipoise.models import build, cnn_families, representative

PAGES = Path(__file__).parents[1] / "docs" / "methods"
SIZE, CLASSES, TARGET = 96, 10, 3
# They run the network forwards, many times, and ask nothing else of it.
FORWARD_ONLY = ("random", "score_cam", "lime", "kernel_shap", "occlusion", "rise")
# The descent takes long; like `gradient` it asks for the derivative by the pixels.
LIKE_GRADIENT = ("extremal_perturbation",)
# How often the network runs does not decide whether it can.
FEWER: Mapping[str, dict[str, Any]] = {
    "smooth_grad": {"samples": 2},
    "integrated_gradients": {"steps": 2},
    "deep_lift_shap": {"baselines": 2},
    "gradient_shap": {"samples": 2},
}

_HEAD = """<!-- made by tools/method_table.py from docs/methods/families.json; do not edit -->
# Which method runs on which family

Every family of convolutional classifiers of torchvision and timm, one network of each (the one with the fewest
parameters), with random weights, one image of {size}x{size} pixels, float32, each method with its default options.
Measured with {versions}.

"Runs" means: no exception, and a result that is finite and not zero for every class. It does not say that the
heat map is good. What the rules do on each kind of operation is in [the method](../method.md); how many operations
of each network have a rule, beside captum's and zennit's LRP on the same networks, is in
[the coverage table](../coverage.md).

The propagation methods here are rules of one engine, so they run where Attribution Equilibrium runs: on residual
sums, concatenations, functional operations, and modules used twice. DeepLIFT is captum's; it needs nonlinearities
that are modules of a type that captum knows. The numbers of noisy copies, quadrature nodes and baselines were
lowered to 2, since they do not decide whether a method runs.

Not in the table: {forward} only run the network forwards, so they run wherever the network does
(`score_cam` also needs a last feature map, the same as `grad_cam`). {gradient} needs what `gradient` needs.

## By method

| method | runs on | does not run on |
|---|---|---|
"""


class NoResultError(Exception):
    """A method ran and returned something that is no explanation."""


def methods() -> list[str]:
    """The methods of the table, in the order of the registry."""
    return [name for name in METHODS.names() if name not in {*FORWARD_ONLY, *LIKE_GRADIENT}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--render", action="store_true")
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    found = PAGES / "families.json"
    if not arguments.render:
        measure(found, fresh=arguments.fresh)
    (PAGES / "families.md").write_text(page(json.loads(found.read_text())))


def measure(found: Path, *, fresh: bool = False) -> None:
    """Fill ``found``, family by family; what is there from the same packages and methods is kept."""
    data: dict[str, Any] = {
        "versions": {name: version(name).partition("+")[0] for name in ("torch", "torchvision", "timm", "captum")},
        "size": SIZE,
        "methods": methods(),
        "families": {},
    }
    before = json.loads(found.read_text()) if found.exists() and not fresh else {}
    same = {key: before.get(key) for key in ("versions", "size", "methods")} == {
        key: data[key] for key in ("versions", "size", "methods")
    }
    for family in cnn_families():
        start = time.monotonic()
        kept = before["families"].get(family) if same else None
        data["families"][family] = kept or row(representative(family))
        print(f"{family} {time.monotonic() - start:.0f} s", flush=True)
        found.write_text(json.dumps(data, indent=1) + "\n")


def row(name: str) -> dict[str, Any]:
    """One network under every method."""
    model = network(name)
    image = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    return {"network": name, "why_not": {m: why for m in methods() if (why := why_not(m, model, image))}}


def network(name: str) -> nn.Module:
    """Random weights; branches that start switched off (layer scales, last batch norms) are switched on."""
    model = build(name, CLASSES)
    stream = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.numel() == max(parameter.shape, default=1) and float(parameter.abs().max()) < 1e-3:
                parameter.uniform_(0.1, 0.5, generator=stream)
    return model


def why_not(method: str, model: nn.Module, image: Tensor) -> str:
    """Why ``method`` does not explain ``model``, in one line; empty if it does."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            attributor = METHODS[method](model, **FEWER.get(method, {}))
            result = attributor.attribute(image, TARGET)
            if not bool(result.isfinite().all()):
                raise NoResultError("not finite")
            # A map without a positive part is a rightful zero for one class, not for all of them.
            if not bool((result != 0).any()) and not bool(
                (attributor.attribute(image, torch.arange(CLASSES)[None]) != 0).any()
            ):
                raise NoResultError("zero for every class")
    except Exception as error:  # noqa: BLE001  # a failure is what is measured
        return reason(error)
    return ""


def reason(error: Exception) -> str:
    """What went wrong, without places."""
    text = re.sub(r" in [\w.]+ \(\S+:\d+\)", "", " ".join(str(error).split()))
    text = re.sub(r"0x[0-9a-f]+", "", text).replace("|", "/")
    return text if isinstance(error, NoResultError) else f"{type(error).__name__}: {text[:200]}"


def page(data: Mapping[str, Any]) -> str:
    """The page as Markdown."""
    names, rows = data["methods"], data["families"]
    head = _HEAD.format(
        size=data["size"],
        versions=", ".join(f"{name} {number}" for name, number in data["versions"].items()),
        forward=", ".join(f"`{name}`" for name in FORWARD_ONLY),
        gradient=", ".join(f"`{name}`" for name in LIKE_GRADIENT),
    )
    return "\n".join([head.rstrip("\n"), *_by_method(names, rows), "", *_by_family(names, rows)]) + "\n"


def _by_method(names: list[str], rows: Mapping[str, Any]) -> list[str]:
    lines = []
    for name in names:
        failing = [family for family, row in rows.items() if name in row["why_not"]]
        where = ", ".join(failing) if len(failing) <= 6 else f"{len(failing)} families, listed below"
        lines.append(f"| [{name}]({name}.md) | {len(rows) - len(failing)} of {len(rows)} | {where or '-'} |")
    return lines


def _by_family(names: list[str], rows: Mapping[str, Any]) -> list[str]:
    reasons = list(dict.fromkeys(why for row in rows.values() for why in row["why_not"].values()))
    lines = ["## By family", "", "`x`: runs; a number: why not, below.", ""]
    lines += [f"| family | network | {' | '.join(names)} |", "|---" * (len(names) + 2) + "|"]
    for family, row in rows.items():
        why_not = row["why_not"]
        cells = [str(reasons.index(why_not[name]) + 1) if name in why_not else "x" for name in names]
        lines.append(f"| {family} | {row['network'].partition('/')[2]} | {' | '.join(cells)} |")
    if reasons:
        lines += ["", "## Why not", "", *(f"{number}. {why}" for number, why in enumerate(reasons, 1))]
    return lines


if __name__ == "__main__":
    main()
