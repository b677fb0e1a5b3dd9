"""Which method runs on which family of networks: measure and render.

python tools/method_families.py            run all, write docs/methods/families.json and families.md
python tools/method_families.py --render   families.md from families.json
"""

from __future__ import annotations

import argparse
import json
import re
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from coverage_table import CLASSES, checked, network
from torch import Tensor, nn

from equipoise.errors import MissingPackageError
from equipoise.methods import METHODS

FOLDER = Path(__file__).parents[1] / "docs" / "methods"
SIZE = 64
FAMILIES = {
    "chain": ("torchvision/vgg11", "convolutions, ReLUs and max pools in a row"),
    "residual": ("torchvision/resnet18", "residual sums, batch norms, one in-place ReLU used twice"),
    "concatenation": ("torchvision/densenet121", "every layer reads all earlier ones"),
    "branches": ("torchvision/googlenet", "parallel branches, colors rescaled inside"),
    "depthwise": ("torchvision/mobilenet_v2", "depthwise convolutions, ReLU6"),
    "squeeze": ("torchvision/efficientnet_b0", "squeeze and excitation, SiLU"),
    "hardswish": ("torchvision/mobilenet_v3_small", "squeeze and excitation, hard-swish"),
    "shuffle": ("torchvision/shufflenet_v2_x0_5", "channels split in two and shuffled"),
    "layer norm": ("timm/test_convnext", "layer norms, layer scale, GELU"),
    "weight norm": ("timm/test_nfnet", "standardized weights, scaled activations"),
    "channels last": ("timm/test_mambaout", "channels last, products of two signals"),
    "functions": ("Functions", "no module but the parameters: functional calls and operators alone"),
}
# Fewer samples: whether a method runs does not depend on how many.
QUICK: dict[str, dict[str, Any]] = {
    "smooth_grad": {"samples": 2},
    "integrated_gradients": {"steps": 2},
    "occlusion": {"window": 32},
    "rise": {"masks": 8},
    "extremal_perturbation": {"steps": 2},
    "deep_lift_shap": {"baselines": 2},
    "gradient_shap": {"samples": 2},
    "lime": {"samples": 20, "grid": 2, "penalty": 1e-9},
    "kernel_shap": {"samples": 20, "grid": 2},
}


class Functions(nn.Module):
    """Functional calls and operators: in-place ReLU and sum, pad, concatenation, mean, matrix product."""

    def __init__(self) -> None:
        super().__init__()
        stream = torch.Generator().manual_seed(0)
        for name, shape in {"a": (8, 3, 3, 3), "b": (8, 8, 3, 3), "c": (CLASSES, 16)}.items():
            self.register_parameter(name, nn.Parameter(0.3 * torch.randn(shape, generator=stream)))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.conv2d(F.pad(x, (1, 1, 1, 1)), self.a, stride=2))
        y = F.conv2d(x, self.b, padding=1)
        y += x
        both = torch.cat([F.relu_(y), F.max_pool2d(x, 3, 1, 1)], 1)
        return both.mean((2, 3)) @ self.c.t()


def build_member(name: str) -> nn.Module:
    """The small network that stands for a family, with random weights."""
    torch.manual_seed(0)
    return Functions().eval() if name == "Functions" else network(name)


def cell(method: str, family: str) -> str:
    """Empty if ``method`` explains every class of an image there, else why it cannot, in a sentence.

    Raises:
        MissingPackageError: If it could not be tried.
    """
    image = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    model = build_member(FAMILIES[family][0])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = METHODS[method](model, **QUICK.get(method, {})).attribute(image, torch.arange(CLASSES)[None])
        expected = (1, CLASSES, 1 if METHODS[method].level == "map" else 3, SIZE, SIZE)
        return "" if checked(found).shape == expected else f"a result of shape {tuple(found.shape)}"
    except MissingPackageError:
        raise
    except Exception as error:  # noqa: BLE001  # a failure is what is measured
        return sentence(error)


def sentence(error: Exception) -> str:
    """Why, without the place in the code."""
    text = re.sub(r" in [\w. ]+ \(\S+:\d+\)", "", " ".join(str(error).split()))
    return text.partition(";")[0]


def measure() -> dict[str, Any]:
    """Every method on every family."""
    packages = ("torch", "torchvision", "timm", "captum")
    rows: dict[str, dict[str, str]] = {}
    for method in METHODS:
        print(method, flush=True)
        rows[method] = {family: cell(method, family) for family in FAMILIES}
    return {
        "versions": {name: version(name).partition("+")[0] for name in packages},
        "size": SIZE,
        "classes": CLASSES,
        "families": {family: list(entry) for family, entry in FAMILIES.items()},
        "methods": rows,
    }


TEXT = """<!-- made by tools/method_families.py from docs/methods/families.json; do not edit -->
# Which method runs on which network

Every method explained {classes} classes of an image of noise, {size}x{size} pixels, on a small member of each family,
with random weights and few samples. *yes*: the result has the right shape, is finite and not zero everywhere; else the
number of the reason below. That it runs does not say that it explains well.
{versions}.

| family | network | what is special |
|---|---|---|
{families}

{table}

{reasons}

For Attribution Equilibrium on every family of torchvision and timm see [what runs on what](../coverage.md).
"""


def page(data: dict[str, Any]) -> str:
    """The page as Markdown."""
    families = list(data["families"])
    reasons = sorted({why for row in data["methods"].values() for why in row.values() if why})
    lines = ["| method | " + " | ".join(families) + " |", "|---" * (1 + len(families)) + "|"]
    for method, row in data["methods"].items():
        cells = [f"[{reasons.index(row[family]) + 1}]" if row[family] else "yes" for family in families]
        lines.append(f"| [{method}]({method}.md) | " + " | ".join(cells) + " |")
    return TEXT.format(
        size=data["size"],
        classes=data["classes"],
        versions=", ".join(f"{name} {number}" for name, number in data["versions"].items()),
        families="\n".join(f"| {family} | {name} | {what} |" for family, (name, what) in data["families"].items()),
        table="\n".join(lines),
        reasons="\n".join(f"{number}. {why}" for number, why in enumerate(reasons, 1)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--render", action="store_true")
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not parser.parse_args().render:
        (FOLDER / "families.json").write_text(json.dumps(measure(), indent=1) + "\n")
    (FOLDER / "families.md").write_text(page(json.loads((FOLDER / "families.json").read_text())))


if __name__ == "__main__":
    main()
