"""How far maps are from those in float64 when a network is explained in float32, TF32 or bfloat16, on real photos.

    python benchmarks/precision.py [--quick] [--device cuda] [--photos FOLDER] [--images 32] [--output FILE]

EfficientNet-Lite0 with its trained weights. TF32 exists on a CUDA device alone: elsewhere it is not measured. The
method is described in benchmarks/README.md.
"""

from __future__ import annotations

import copy
import os
import re
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
from gpu import describe
from measuring import RESULTS, SEED, SIZE, Record, parser, settle
from torch import Tensor, nn

import equipoise
from equipoise.engine.precision import PRECISIONS, precision
from equipoise.images import find_images, read_image
from equipoise.metrics.similarity import rank_correlation

NETWORK = "efficientnet_lite0"
METHODS = ("ae", "lrp_composite", "grad_cam")
IMAGES, QUICK_IMAGES = 32, 2
BATCH = 8


def photos(folder: Path, count: int, spec: Any) -> Tensor:
    """The first photos of a folder, evenly spread, as the network reads them: ``(count, 3, 224, 224)``."""
    found = find_images(folder, recursive=True)
    chosen = found[:: max(1, len(found) // count)][:count]
    return torch.stack([spec.preprocess(read_image(path)) for path in chosen])


def maps(model: nn.Module, method: str, images: Tensor, classes: Tensor) -> Tensor:
    """Heatmaps ``(n, h, w)`` on the CPU, in float64."""
    bound = equipoise.METHODS[method](model)
    parts = [bound.attribute(x, c) for x, c in zip(images.split(BATCH), classes.split(BATCH), strict=True)]
    return equipoise.heatmap(torch.cat([part for part in parts if isinstance(part, Tensor)])).double().cpu()


def compared(found: Tensor, exact: Tensor) -> dict[str, Any]:
    """Of each photo the error over the size of the exact map, and the rank correlation with it."""
    errors = ((found - exact).flatten(1).norm(dim=1) / exact.flatten(1).norm(dim=1)).tolist()
    alike = rank_correlation(found, exact).tolist()
    return {
        "relative error": _spread(errors) | {"worst": _rounded(max(errors))},
        "rank correlation": _spread(alike) | {"worst": _rounded(min(alike))},
    }


def _spread(values: list[float]) -> dict[str, Any]:
    """Median and quartiles, to digits that count: errors are small."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": _rounded(middle), "quartiles": [_rounded(low), _rounded(high)], "runs": len(values)}


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def measure(
    name: str, method: str, model: nn.Module, images: Tensor, *, classes: Tensor, exact: Tensor, device: torch.device
) -> dict[str, Any]:
    """One method in one precision beside its exact maps."""
    if name == "tf32" and device.type != "cuda":
        return {"fails": "not measured: TF32 is a CUDA device's"}
    with precision(name, model, device) as fast:
        return compared(maps(fast.model, method, fast.images(images), classes), exact)


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options.add_argument("--photos", type=Path, default=os.environ.get("EQUIPOISE_DATA"), help="a folder of photos")
    options.add_argument("--images", type=int, default=IMAGES, help="how many of them")
    chosen = options.parse_args(arguments)
    if chosen.photos is None or not Path(chosen.photos).is_dir():
        print("there are no photos here (--photos, EQUIPOISE_DATA), so there is nothing to measure", file=sys.stderr)
        return
    settle()
    device = torch.device(chosen.device)
    count = QUICK_IMAGES if chosen.quick else chosen.images
    model, spec = equipoise.load_model(NETWORK)
    model.requires_grad_(requires_grad=False)
    images = photos(Path(chosen.photos), count, spec)
    described = describe(device)
    slug = re.sub(r"[^a-z0-9]+", "-", described["name"].lower()).strip("-")
    output = chosen.output or RESULTS / f"precision_{slug}{'_quick' if chosen.quick else ''}.json"
    settings = {"device": described, "network": NETWORK, "images": len(images), "size": SIZE, "seed": SEED, "rounds": 1}
    record = Record(output, settings, go_on=False)
    double = copy.deepcopy(model).double().to(device)
    with torch.no_grad():
        classes = torch.cat([double(x).argmax(1).cpu() for x in images.double().to(device).split(BATCH)])
    exact = {method: maps(double, method, images.double().to(device), classes) for method in METHODS}
    for name in PRECISIONS:
        for method in METHODS:
            with record.part("methods", method, name) as found:
                found.update(measure(name, method, model, images, classes=classes, exact=exact[method], device=device))


if __name__ == "__main__":
    main()
