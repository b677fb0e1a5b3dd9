"""Which method runs on which family of networks: measure and render.

python tools/method_families.py            run all, write the cards, and fill docs/methods/families.md
python tools/method_families.py --render   fill docs/methods/families.md from the cards
"""

from __future__ import annotations

import argparse
import re
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import torch
import torch.nn.functional as F
from coverage_table import CLASSES, checked, network
from filling import filled
from method_cards import FOLDER, card, keep, measured
from torch import Tensor, nn

from equipoise.errors import MissingPackageError
from equipoise.methods import METHODS
from equipoise.records import write_atomically

PATH = FOLDER / "families.md"
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


def measure() -> None:
    """Every method on every family, into the cards."""
    packages = ("torch", "torchvision", "timm", "captum")
    found: dict[str, dict[str, str]] = {}
    for method in METHODS:
        print(method, flush=True)
        found[method] = {family: cell(method, family) for family in FAMILIES}
    how = {
        "versions": {name: version(name).partition("+")[0] for name in packages},
        "size": SIZE,
        "classes": CLASSES,
        "families": {family: list(entry) for family, entry in FAMILIES.items()},
    }
    keep("networks", how, found)


def rows() -> dict[str, dict[str, str]]:
    """Of each measured method why it does not run on a family, or nothing."""
    return {name: found for name in METHODS if (found := card(name).get("networks")) is not None}


def reasons() -> list[str]:
    """Every reason there is, in order."""
    return sorted({why for row in rows().values() for why in row.values() if why})


def families() -> str:
    """The table of the families."""
    named = measured("networks")["families"].items()
    lines = [f"| {family} | {name} | {what} |" for family, (name, what) in named]
    return "\n".join(["| family | network | what is special |", "|---|---|---|", *lines])


def table() -> str:
    """Methods by families."""
    named, numbered = list(measured("networks")["families"]), reasons()
    lines = ["| method | " + " | ".join(named) + " |", "|---" * (1 + len(named)) + "|"]
    for method, row in rows().items():
        cells = [f"[{numbered.index(row[family]) + 1}]" if row[family] else "yes" for family in named]
        lines.append(f"| [{method}]({method}.md) | " + " | ".join(cells) + " |")
    return "\n".join(lines)


BLOCKS: dict[str, Callable[[], str]] = {
    "size": lambda: "{0}x{0}".format(measured("networks")["size"]),
    "classes": lambda: str(measured("networks")["classes"]),
    "versions": lambda: ", ".join(f"{name} {number}" for name, number in measured("networks")["versions"].items()),
    "families": families,
    "table": table,
    "reasons": lambda: "\n".join(f"{number}. {why}" for number, why in enumerate(reasons(), 1)),
}


def page() -> str:
    """The page, filled."""
    return filled(PATH.read_text(encoding="utf-8"), BLOCKS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--render", action="store_true")
    if not parser.parse_args().render:
        measure()
    write_atomically(PATH, page().encode())


if __name__ == "__main__":
    main()
