"""LRP composites beside zennit's, the overhead of a data set, and growth with images and pixels.

    python benchmarks/whole_runs.py [--quick] [--output benchmarks/results/whole_runs.json]

The method is described in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import torch
import zennit.attribution
import zennit.canonizers
import zennit.composites
import zennit.torchvision
from PIL import Image
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
from ae_cost import RESULTS, SEED, Run, machine, spread

from equipoise.experiments import Column, MethodRun, Plan, Recipe, run
from equipoise.experiments.protocols.gallery import Gallery
from equipoise.experiments.subject import BoundRun, Subject
from equipoise.methods import METHODS
from equipoise.models import build

COMPOSITES = {
    "epsilon-gamma-box": "EpsilonGammaBox",
    "epsilon-plus": "EpsilonPlus",
    "epsilon-alpha2-beta1": "EpsilonAlpha2Beta1",
}
"""Ours to zennit's name."""


def zennit_run(name: str, model: nn.Module, images: Tensor) -> Run:
    """One of zennit's composites, with the canonizer that it has for the network."""
    resnet = type(model).__name__ == "ResNet"
    canonizer = zennit.torchvision.ResNetCanonizer() if resnet else zennit.canonizers.SequentialMergeBatchNorm()
    bounds = {}
    if name.endswith("Box"):
        bounds = {"low": torch.full_like(images, -3.0), "high": torch.full_like(images, 3.0)}
    composite = getattr(zennit.composites, name)(canonizers=[canonizer], **bounds)
    seeds = torch.zeros(len(images), 1000)
    seeds[:, 0] = 1

    def go() -> Tensor:
        with zennit.attribution.Gradient(model, composite) as attributor:
            return attributor(images, seeds)[1]

    return go


def composites(size: int, rounds: int) -> dict[str, Any]:
    """Our time over zennit's for the same composite, interleaved."""
    found: dict[str, Any] = {}
    for network in ("vgg16", "resnet50"):
        images = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(SEED))
        for ours, theirs in COMPOSITES.items():
            model = build(network).requires_grad_(requires_grad=False)
            method = METHODS["lrp_composite"](model, composite=ours)
            runs = (partial(method.attribute, images, 0), zennit_run(theirs, build(network), images))
            seconds: tuple[list[float], list[float]] = ([], [])
            for turn in range(rounds + 1):
                for one, times in zip(runs, seconds, strict=True):
                    start = time.perf_counter()
                    one()
                    if turn:  # the first warms up
                        times.append(time.perf_counter() - start)
            ratios = [mine / other for mine, other in zip(*seconds, strict=True)]
            found[f"{network}, {ours}"] = spread(ratios) | {"ours, s": round(statistics.median(seconds[0]), 4)}
            print(network, ours, found[f"{network}, {ours}"], flush=True)
    return found


def photos(folder: Path, count: int) -> Path:
    """Photos of noise as large as ImageNet's, stored as JPEG."""
    (folder / "images").mkdir(parents=True)
    for index in range(count):
        generator = torch.Generator().manual_seed(index)
        small = torch.randint(0, 256, (40, 50, 3), generator=generator, dtype=torch.uint8)
        Image.fromarray(small.numpy()).resize((500, 375)).save(folder / "images" / f"{index:04d}.jpg")
    return folder


def overhead(network: str, count: int) -> dict[str, float]:
    """One AE run over a folder: seconds in all, and those spent inside the network and the method."""
    inside = [0.0]
    originals = BoundRun.heatmaps, Subject.forward

    def timed(function: Any) -> Any:
        def call(*arguments: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                inside[0] += time.perf_counter() - start

        return call

    recipe = Recipe(
        "overhead", "Overhead", "of a data set", Gallery(), (("folder", network),), (MethodRun("AE", "ae"),),
        (Column("PR", "positive ratio"),), keep_maps=0,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        data = photos(Path(folder) / "data", count)
        run(Plan(recipe, Path(folder) / "warm", data, limit=2))
        BoundRun.heatmaps, Subject.forward = timed(originals[0]), timed(originals[1])
        try:
            start = time.perf_counter()
            run(Plan(recipe, Path(folder) / "out", data))
            whole = time.perf_counter() - start
        finally:
            BoundRun.heatmaps, Subject.forward = originals
    return {"images": count, "seconds": round(whole, 2), "outside": round(1 - inside[0] / whole, 4)}


def growth(size: int, rounds: int) -> dict[str, Any]:
    """AE's time per image at 10 times the images in one batch, and at 4 times the pixels."""
    model = build("efficientnet_lite0").requires_grad_(requires_grad=False)
    method = METHODS["ae"](model)
    shapes = {"one": (1, size), "ten images": (10, size), "four times the pixels": (1, 2 * size)}
    inputs = {name: torch.randn(count, 3, side, side) for name, (count, side) in shapes.items()}
    seconds: dict[str, list[float]] = {name: [] for name in inputs}
    for turn in range(rounds + 1):
        for name, images in inputs.items():
            start = time.perf_counter()
            method.attribute(images, 0)
            if turn:
                seconds[name].append(time.perf_counter() - start)
    unit = seconds["one"]
    return {
        "ten images, per image": spread([a / b / 10 for a, b in zip(seconds["ten images"], unit, strict=True)]),
        "four times the pixels": spread([a / b for a, b in zip(seconds["four times the pixels"], unit, strict=True)]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small and few: to see that it works")
    parser.add_argument("--output", type=Path, default=None)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.manual_seed(SEED)
    size, rounds, count = (64, 3, 4) if options.quick else (224, 7, 300)
    output = options.output or RESULTS / ("whole_runs_quick.json" if options.quick else "whole_runs.json")
    result: dict[str, Any] = {"machine": machine(), "size": size, "seed": SEED, "rounds": rounds}
    result["growth"] = growth(size, rounds)
    result["composites"] = composites(size, rounds)
    result["overhead"] = {name: overhead(name, count) for name in ("efficientnet_lite0",)}
    result["machine"]["load after"] = [round(value, 2) for value in os.getloadavg()]
    output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({key: result[key] for key in ("growth", "composites", "overhead")}, indent=1))


if __name__ == "__main__":
    main()
