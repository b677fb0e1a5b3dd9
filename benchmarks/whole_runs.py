"""LRP composites beside zennit's, the overhead of a data set, and growth with images and pixels.

    python benchmarks/whole_runs.py [--quick] [--only PART] [--network NETWORK]
        [--output benchmarks/results/whole_runs.json]

``--only`` and ``--network`` measure a part and keep the rest of the file, if it is of the same machine.
The method is described in benchmarks/README.md.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import data_set
import torch
from ae_cost import zennit_run
from measuring import RESULTS, ROUNDS, SEED, SIZE, Job, Record, interleaved, parser, ratios, settle, spread

from equipoise.methods import METHODS
from equipoise.models import build

COMPOSITES = {
    "epsilon-gamma-box": "EpsilonGammaBox",
    "epsilon-plus": "EpsilonPlus",
    "epsilon-alpha2-beta1": "EpsilonAlpha2Beta1",
}
"""Ours to zennit's name."""


@dataclass(frozen=True)
class Scale:
    """How much is measured: side of the images, rounds, photos of the overhead and of the growth, images of a batch."""

    size: int
    rounds: int
    photos: int
    few: int
    ten: int


FULL = Scale(SIZE, ROUNDS, 300, 5, 10)
QUICK = Scale(64, 2, 4, 1, 2)


def composites(network: str, scale: Scale) -> dict[str, Any]:
    """Our time over zennit's for the same composite, interleaved."""
    images = torch.randn(1, 3, scale.size, scale.size, generator=torch.Generator().manual_seed(SEED))
    found: dict[str, Any] = {}
    for ours, theirs in COMPOSITES.items():
        method = METHODS["lrp_composite"](build(network).requires_grad_(requires_grad=False), composite=ours)
        other = build(network).requires_grad_(requires_grad=False)
        runs = {"ours": partial(method.attribute, images, 0), "zennit": zennit_run(theirs, other, images, -3.0, 3.0)}
        interleaved(runs, 1)  # warms up
        seconds = interleaved(runs, scale.rounds)
        found[ours] = {
            "ours / zennit": spread(ratios(seconds["ours"], seconds["zennit"])),
            "seconds": {name: spread(times) for name, times in seconds.items()},
        }
    return found


def overhead(network: str, scale: Scale) -> dict[str, Any]:
    """AE over a folder of photos: seconds in all, and the share outside the network and the method."""
    with tempfile.TemporaryDirectory() as folder:
        data = data_set.photos(Path(folder) / "data", scale.photos)
        data_set.explain(network, data, limit=2)  # warms up
        seconds = data_set.explain(network, data)
    return {
        "images": scale.photos,
        "seconds": round(seconds.whole, 2),
        "outside": round(1 - seconds.network / seconds.whole, 4),
    }


def growth(network: str, scale: Scale) -> dict[str, Any]:
    """AE's cost per image at ten times the images, in one batch and as a data set, and at four times the pixels."""
    method = METHODS["ae"](build(network).requires_grad_(requires_grad=False))
    shapes = {"one": (1, scale.size), "batch": (scale.ten, scale.size), "pixels": (1, 2 * scale.size)}
    generator = torch.Generator().manual_seed(SEED)
    images = {name: torch.randn(n, 3, side, side, generator=generator) for name, (n, side) in shapes.items()}
    runs: dict[str, Job] = {name: partial(method.attribute, inputs, 0) for name, inputs in images.items()}
    interleaved(runs, 1)
    seconds = interleaved(runs, scale.rounds)
    with tempfile.TemporaryDirectory() as folder:
        data = data_set.photos(Path(folder) / "data", scale.few * scale.ten)
        sets: dict[str, Job] = {
            "few": lambda: data_set.explain(network, data, limit=scale.few).photos,
            "many": lambda: data_set.explain(network, data).photos,
        }
        whole = interleaved(sets, scale.rounds, timed=lambda go: go())
    return {
        "times as many": scale.ten,
        "a batch, per image": spread([each / scale.ten for each in ratios(seconds["batch"], seconds["one"])]),
        "a data set, per image": spread([each / scale.ten for each in ratios(whole["many"], whole["few"])]),
        "four times the pixels": spread(ratios(seconds["pixels"], seconds["one"])),
    }


PARTS: dict[str, tuple[Callable[[str, Scale], dict[str, Any]], tuple[str, ...]]] = {
    "growth": (growth, data_set.NETWORKS),
    "composites": (composites, ("vgg16", "resnet50")),
    "overhead": (overhead, data_set.NETWORKS),
}


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--only", choices=PARTS, help="measure one part, and keep what the file has of the others")
    networks = sorted({name for _, names in PARTS.values() for name in names})
    options.add_argument("--network", choices=networks, help="measure one network, likewise")
    chosen = options.parse_args(arguments)
    settle()
    scale = QUICK if chosen.quick else FULL
    output = chosen.output or RESULTS / ("whole_runs_quick.json" if chosen.quick else "whole_runs.json")
    settings = {"size": scale.size, "seed": SEED, "rounds": scale.rounds}
    record = Record(output, settings, go_on=chosen.only is not None or chosen.network is not None)
    for part, (measure, names) in PARTS.items():
        for network in names:
            if chosen.only in (None, part) and chosen.network in (None, network):
                with record.part(part, network) as found:
                    found.update(measure(network, scale))


if __name__ == "__main__":
    main()
