"""What every method costs, in units of one forward and backward pass of the same network.

    python benchmarks/method_cost.py [--quick] [--output FILE.json]

Batch 1, default options. Quick methods are timed in interleaved rounds; those of dozens of passes once, between two
runs of the unit; those of hundreds are not timed: their passes are counted, and a forward pass costs what it is
measured to cost. The unit is that of ae_cost.py, and so are the networks. The result goes into the methods' cards
(tools/method_cards.py), which their pages show; a quick run's, or with --output, into a file of its own.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
from ae_cost import MODELS, gradient
from measuring import RESULTS, SEED, SIZE, Job, clock, interleaved, load, machine, parser, ratios, settle, spread
from torch import Tensor, nn

from equipoise.methods import METHODS
from equipoise.models import build
from equipoise.records import write_atomically

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
from method_cards import keep_cost  # found through the path set above

sys.path.remove(str(Path(__file__).parents[1] / "tools"))

ROUNDS = 5
ONCE = ("smooth_grad", "integrated_gradients", "occlusion", "gradient_shap")
COUNTED = ("score_cam", "rise", "extremal_perturbation", "lime", "kernel_shap")


class Counted(nn.Module):
    """A network that runs once and from then on only counts the images it is shown.

    Its later scores are a linear function of the image, so that a gradient can be taken.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body, self.forwards, self.backwards, self.first = body, 0, 0, True

    def forward(self, x: Tensor) -> Tensor:
        if self.first:
            self.first = False
            return self.body(x)
        self.forwards += len(x)
        self.backwards += len(x) if x.requires_grad else 0
        return x.flatten(1).mean(1, keepdim=True) * torch.linspace(-1, 1, 1000)


def count(method: str, body: nn.Module, images: Tensor) -> tuple[int, int]:
    """How many images pass the network forward, and how many backward, beside the image itself."""
    model = Counted(body).eval()
    METHODS[method](model).attribute(images, 0)
    return model.forwards, model.backwards


def forward(model: nn.Module, images: Tensor) -> Job:
    """A forward pass alone."""

    def run() -> Tensor:
        with torch.no_grad():
            return model(images)

    return run


def sentence(error: Exception) -> str:
    """What a refusal says, without the place of the code."""
    text = re.sub(r" in [\w.]+ \(\S+:\d+\)", "", " ".join(str(error).split()))
    return f"{type(error).__name__}: {text.partition(';')[0]}"


def measure(name: str, size: int, rounds: int) -> dict[str, Any]:
    """Every method on one network."""
    model = build(name).requires_grad_(requires_grad=False)
    images = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(SEED))
    unit = gradient(model, images)
    runs: dict[str, Job] = {"unit": unit, "forward": forward(model, images)}
    result: dict[str, Any] = {}
    for method in METHODS:
        if method in COUNTED:
            continue
        run: Job = partial(METHODS[method](model).attribute, images, 0)
        try:
            if method not in ONCE:
                run()
                runs[method] = run
                continue
            before, mine, after = (clock(part) for part in (unit, run, unit))
            result[method] = {"how": "once", "units": round(2 * mine / (before + after), 2)}
        except Exception as error:  # noqa: BLE001  # that it cannot is the result
            result[method] = {"how": "fails", "why": sentence(error)}
    times = interleaved(runs, rounds)
    for key, mine in times.items():
        result[key] = {
            "how": "rounds",
            "units": spread(ratios(mine, times["unit"])),
            "seconds": round(statistics.median(mine), 4),
        }
    share = result["forward"]["units"]["median"]
    for method in COUNTED:
        forwards, backwards = count(method, model, images)
        units = backwards + (forwards - backwards) * share
        result[method] = {"how": "counted", "forward": forwards, "backward": backwards, "units": round(units, 1)}
    return result


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__).parse_args(arguments)
    settle()
    size, rounds = (64, 3) if options.quick else (SIZE, ROUNDS)
    output = options.output or (RESULTS / "method_cost_quick.json" if options.quick else None)
    described = machine() | {"load before": [load()]}
    result: dict[str, Any] = {"machine": described, "size": size, "seed": SEED, "rounds": rounds, "models": {}}
    for name in MODELS:
        print(name, flush=True)
        result["models"][name] = measure(name, size, rounds)
        described["load after"] = [load()]
        if output is None:
            keep_cost(result)
        else:
            write_atomically(output, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
