"""Why is Attribution Equilibrium smooth on residual and bottleneck networks? One rule changed at a time.

    EQUIPOISE_DATA=DIR python benchmarks/blur.py [--photos N] [--after N] [--grids N] [--model NAME] [--only PART]
        [--output FILE]

Photos: a fixed draw of the labelled ImageNet photos, or what follows behind its first ones: the profile `fine` was
chosen on photos among the first 200, and the others have no part in it. Each variant explains the class that the
network names, and is measured by the positive ratio, the detail beyond the starting grid, the grid pattern at strides
of 8 and 32, and the probability of the class when 5 % of the pixels are shown, on the Gaussian canvas and on the
blurred photo. Grids: 2x2 of those photos that the network names right, of different classes; a photo may be in
several grids. Of each grid the class of one cell is explained, of all cells in turn. Work goes in rounds of a few
photos and grids for every variant, so that the variants of a run that was cut off compare; the file is written after
each, and the run can go on.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import math
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from blur_rules import VARIANTS
from torch import Tensor, nn

import equipoise
from equipoise import metrics
from equipoise.datasets import Sample, open_dataset
from equipoise.engine import Composite, OpKind, Relevance
from equipoise.engine.relevance import only
from equipoise.engine.rule import Rule, Step
from equipoise.experiments.protocols.grid import arranged
from equipoise.methods.ae import AttributionEquilibrium
from equipoise.models import ModelSpec
from equipoise.models.sliding import sliding
from equipoise.records import write_atomically

MODELS = ("examples.resnet50", "efficientnet_lite0")
SHARE = 0.05
BATCH = 4


def load(name: str) -> tuple[nn.Module, ModelSpec]:
    """A network of ``examples``, or one that equipoise loads."""
    return importlib.import_module(name).build() if name.startswith("examples.") else equipoise.load_model(name)


def drawn(count: int, after: int = 0, seed: int = 0) -> list[Sample]:
    """``count`` photos behind the first ``after``; of a longer draw a shorter one is the beginning."""
    samples = sorted((sample for sample in open_dataset("imagenet") if sample.categories), key=lambda s: s.key)
    random.Random(seed).shuffle(samples)
    return samples[after : after + count]


class Material:
    """Photos and grids of one network."""

    def __init__(self, name: str, photos: int, grids: int, after: int = 0) -> None:
        self.module, self.spec = load(name)
        prepared = self.spec.preprocessing
        self.colors = [torch.tensor(values).view(-1, 1, 1) for values in (prepared.mean, prepared.std)]
        samples = drawn(photos, after)
        self.inputs = {sample.key: self.spec.preprocess(sample.image()) for sample in samples}
        with torch.no_grad():
            tops = {key: int(self.module(x[None]).argmax()) for key, x in self.inputs.items()}
        self.tops = [tops[sample.key] for sample in samples]
        right = [sample for sample in samples if tops[sample.key] == sample.categories[0]]
        found: list[list[Sample]] = []
        for seed in range(100):
            found += arranged(right, 4, seed)
            if len(found) >= grids:
                break
        self.grids = found[:grids]
        self.slid = sliding(self.module)

    def maps(self, module: nn.Module, profiles: Mapping[str, Any], x: Tensor, targets: Tensor) -> Iterator[Any]:
        """Each variant's name and its maps ``(n, h, w)``; one forward pass, and layers where they agree, serve all."""
        trace, done = AttributionEquilibrium(module).trace(x), {}
        for variant, profile in profiles.items():
            entry = AttributionEquilibrium(module, input_bounds=self.spec.input_bounds)
            entry.profile = replace(profile, composite=partial(remembering, profile.composite, done))
            yield variant, equipoise.heatmap(entry.attribute_trace(trace, targets)).clone()
        done.clear()
        gc.collect()  # a forward pass is large

    def on_photos(self, profiles: Mapping[str, Any], part: slice) -> dict[str, dict[str, list[float]]]:
        """One number per photo of each metric, for each variant."""
        x, tops = torch.stack(list(self.inputs.values())[part]), self.tops[part]
        found: dict[str, dict[str, list[float]]] = {variant: {} for variant in profiles}
        for start in range(0, len(x), BATCH):
            some, targets = x[start : start + BATCH], torch.tensor(tops[start : start + BATCH])
            for variant, maps in self.maps(self.module, profiles, some, targets):
                for key, value in self.numbers(some, targets, maps).items():
                    found[variant].setdefault(key, []).extend(value.tolist())
        return found

    def numbers(self, inputs: Tensor, targets: Tensor, maps: Tensor) -> dict[str, Tensor]:
        """Each metric of the maps of some photos."""
        shown = {
            canvas: metrics.perturbation_curve(
                lambda pixels, index: self.probability(pixels, targets[index]),
                self.pixels(inputs),
                maps,
                shares=(SHARE,),
                canvas=canvas,
            )[:, 0]
            for canvas in ("gaussian", "blur")
        }
        return {
            "positive ratio": metrics.positive_ratio(maps),
            "detail": metrics.starting_detail(maps),
            "detail of the positive": metrics.starting_detail(maps.clamp(min=0)),
            "pattern 8": metrics.stride_energy(maps, 8),
            "pattern 32": metrics.stride_energy(maps, 32),
            "insertion 5%": shown["gaussian"],
            "insertion 5%, blur": shown["blur"],
        }

    def pixels(self, inputs: Tensor) -> Tensor:
        """Pixels from 0 to 1 of what the network takes."""
        mean, std = self.colors
        return (inputs * std + mean).clamp(0, 1)

    def probability(self, pixels: Tensor, targets: Tensor) -> Tensor:
        """Of the explained classes."""
        mean, std = self.colors
        return self.module((pixels - mean) / std).softmax(1).gather(1, targets[:, None])[:, 0]

    def on_grids(self, profiles: Mapping[str, Any], part: slice) -> dict[str, list[float]]:
        """One number per grid, for each variant."""
        found: dict[str, list[float]] = {variant: [] for variant in profiles}
        for number in range(len(self.grids))[part]:
            grid, cell = self.grids[number], number % 4
            tiled = metrics.tile(torch.stack([self.inputs[sample.key] for sample in grid]), 2)[None]
            target = torch.tensor([grid[cell].categories[0]])
            for variant, maps in self.maps(self.slid, profiles, tiled, target):
                found[variant] += metrics.grid_pointing(maps, 2, torch.tensor([cell])).tolist()
        return found


@dataclass(frozen=True)
class Once:
    """A rule that is asked once for a layer and the same relevance, by whichever variants share it.

    Attributes:
        rule: The rule.
        done: What it was asked and said, by layer.
    """

    rule: Rule
    done: dict[Any, Any]

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> Sequence[Relevance | None]:
        key, arrived = (id(step.call), repr(self.rule)), only(relevance)
        asked, said = self.done.get(key, (None, None))
        if asked is None or not torch.equal(asked.value, arrived.value) or not _same(asked.share, arrived.share):
            said = self.rule(step, relevance)
            self.done[key] = (arrived, said)
        return said


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    return one is other if one is None or other is None else torch.equal(one, other)


def remembering(make: Callable[[Any], Composite], done: dict[Any, Any], options: Any) -> Composite:
    """A variant's composite whose rule for most layers of weights is asked once."""
    made = make(options)
    return made.replacing({OpKind.LINEAR: Once(made.rules[OpKind.LINEAR], done)})


def named(only: str) -> list[str]:
    """The variants that are meant: by a whole name that one, by a part of a name all that have it."""
    parts = only.split(";")
    return [name for name in VARIANTS if any(part == name if part in VARIANTS else part in name for part in parts)]


def shared_out(count: int, rounds: int) -> list[slice]:
    """So many things in rounds that differ by one at most; none is left over."""
    edges = [count * number // rounds for number in range(rounds + 1)]
    return [slice(*pair) for pair in pairwise(edges)]


def mean(values: list[float]) -> float:
    """Of the numbers among them."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def main() -> None:
    """Measure what is not in the file yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--after", type=int, default=0, help="leave out that many photos of the draw")
    parser.add_argument("--grids", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--model", action="append")
    parser.add_argument("--only", default="", help="variants by name or a part of it, separated by semicolons")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/blur.json"))
    options = parser.parse_args()
    wanted = {"photos": options.photos, "grids": options.grids}
    if options.after:
        wanted["after"] = options.after
    done = json.loads(options.output.read_text()) if options.output.is_file() else {}
    done = done if done.get("settings") == wanted else {"settings": wanted, "results": {}}
    chosen = named(options.only)
    if not chosen:
        parser.error(f"no variant is called {options.only!r}, in whole or in part; there are: {'; '.join(VARIANTS)}")
    if not 1 <= options.rounds <= min(options.photos, options.grids):
        parser.error(f"--rounds is {options.rounds}; each has to have a photo and a grid")
    for name in options.model or MODELS:
        rows = done["results"].setdefault(name.rpartition(".")[2], {})
        material = Material(name, options.photos, options.grids, options.after)
        photos, grids = (shared_out(count, options.rounds) for count in (options.photos, options.grids))
        for some, pairs in zip(photos, grids, strict=True):
            left = {v: VARIANTS[v] for v in chosen if len(rows.get(v, {}).get("GridPG", [])) <= pairs.start}
            if not left:
                continue
            start = time.perf_counter()
            found, pointed = material.on_photos(left, some), material.on_grids(left, pairs)
            for variant in left:
                row = rows.setdefault(variant, {})
                for key, values in {**found[variant], "GridPG": pointed[variant]}.items():
                    row[key] = row.get(key, []) + values
                words = "  ".join(f"{key} {mean(values):.3f}" for key, values in row.items())
                print(f"{name} {some.start} {variant}: {words}", flush=True)
            write_atomically(options.output, (json.dumps(done) + "\n").encode())
            print(f"{time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    torch.set_flush_denormal(True)  # powers of small numbers
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    main()
