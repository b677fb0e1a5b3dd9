"""Which rule for branches? Grid pointing game of Attribution Equilibrium's alternatives on real photos.

    EQUIPOISE_DATA=DIR python benchmarks/branches.py [--grids N] [--output benchmarks/results/branches.json]

Four photos of different classes, each classified right, form a 2x2 grid; the score of a cell is the share
of the positive relevance that falls inside it when its class is explained. Compared: shares of tau (the
default), every branch balanced to all of tau, and the residual branch alone (as in the reference profile),
on the bundled EfficientNet-Lite0; and where SqueezeNet, whose classifier is a convolution, should start.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

import equipoise
from equipoise.engine import OpKind
from equipoise.methods import ae
from equipoise.rules.ae_reference import ResidualBranchOnly


def profiles() -> dict[str, ae.Profile]:
    """The alternatives, as profiles."""
    paper = ae.PROFILES["paper"]

    def residual_only(options: ae.Options) -> ae.Composite:
        return paper.composite(options).replacing({OpKind.ADD: ResidualBranchOnly()})

    return {
        "shares of tau (default)": paper,
        "all of tau on every branch": replace(paper, shares=False),
        "residual branch alone": replace(paper, composite=residual_only),
    }


def squeezenet(data: Path) -> nn.Module:
    """SqueezeNet 1.0 with the weights that lie in the data folder; its last convolution was trained padded."""
    packed = np.load(data / "extra" / "squeezenet10_deep_compression" / "squeezenet1_0_torchvision_fp32.npz")
    model = torchvision.models.squeezenet1_0(weights=None)
    model.load_state_dict({name: torch.from_numpy(packed[name]) for name in packed.files})
    model.classifier[1].padding = (1, 1)
    return model.eval()


def caffe(image: Image.Image) -> Tensor:
    """227x227, colors as blue, green, red from 0 to 255, less their mean: what that network was trained on."""
    short = min(image.size)
    image = image.resize([round(256 * side / short) for side in image.size], Image.Resampling.BILINEAR)
    left, top = ((side - 227) // 2 for side in image.size)
    pixels = torch.from_numpy(np.asarray(image.crop((left, top, left + 227, top + 227)), dtype=np.float32))
    return pixels.flip(2).permute(2, 0, 1) - torch.tensor([104.0, 117.0, 123.0]).reshape(3, 1, 1)


def grids(model: nn.Module, prepare: Callable[[Image.Image], Tensor], data: Path, count: int) -> list:
    """``count`` grids of four photos that the model classifies right, each photo used once."""
    labelled = json.loads((data / "imagenet" / "manifest.json").read_text())
    labelled = [entry for entry in labelled if "label" in entry]
    random.Random(0).shuffle(labelled)
    right: list[tuple[Tensor, int]] = []
    for entry in labelled:
        image = prepare(Image.open(data / "imagenet" / entry["file"]).convert("RGB"))
        with torch.no_grad():
            if int(model(image[None]).argmax()) == entry["label"]:
                right.append((image, entry["label"]))
        if len(right) == 4 * count:
            break
    found = []
    for start in range(0, len(right) - 3, 4):
        cells = right[start : start + 4]
        rows = [torch.cat([cells[i][0], cells[i + 1][0]], dim=2) for i in (0, 2)]
        found.append((torch.cat(rows, dim=1)[None], [label for _, label in cells]))
    return found


def score(method: Callable[[Tensor, list[int]], Tensor], tests: list) -> dict[str, float]:
    """Mean share of positive relevance in the right cell, and the positive ratio."""
    inside, ratio = [], []
    for image, labels in tests:
        maps = equipoise.heatmap(method(image, labels))[0]
        h, w = maps.shape[-2] // 2, maps.shape[-1] // 2
        for cell, heat in enumerate(maps):
            positive = heat.clamp(min=0)
            top, left = cell // 2 * h, cell % 2 * w
            inside.append(float(positive[top : top + h, left : left + w].sum() / positive.sum().clamp(min=1e-12)))
            ratio.append(float((heat > 0).float().mean()))
    return {"in the right cell": float(np.mean(inside)), "positive ratio": float(np.mean(ratio)), "points": len(inside)}


def main() -> None:
    """Run the comparison and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grids", type=int, default=20)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/branches.json"))
    options = parser.parse_args()
    data = Path(os.environ["EQUIPOISE_DATA"])
    results: dict[str, dict[str, dict[str, float]]] = {}

    model, spec = equipoise.load_model("efficientnet_lite0")
    tests = grids(model, spec.preprocess, data, options.grids)
    rows = results.setdefault("efficientnet_lite0", {})
    for name, profile in profiles().items():
        entry = equipoise.AttributionEquilibrium(model, input_bounds=spec.input_bounds)
        entry.profile = profile
        rows[name] = score(lambda x, t, entry=entry: entry.attribute(x, torch.tensor([t])), tests)
        print(name, rows[name], flush=True)
    for other in ("relevance_cam", "lrp_composite", "contrastive_eb"):
        rows[other] = score(lambda x, t, m=other: equipoise.attribute(model, x, torch.tensor([t]), method=m), tests)
        print(other, rows[other], flush=True)

    model = squeezenet(data)
    tests = grids(model, caffe, data, options.grids)
    rows = results.setdefault("squeezenet1_0", {})
    for layer in ("classifier.2", "classifier.1", "features"):
        rows[f"from {layer}"] = score(
            lambda x, t, layer=layer: equipoise.attribute(model, x, torch.tensor([t]), layer=layer), tests
        )
        print(layer, rows[f"from {layer}"], flush=True)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({"grids": options.grids, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
