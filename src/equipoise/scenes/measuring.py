"""How well a method's maps say what is known of drawn scenes.

    python -m equipoise.scenes.measuring [--method NAME] [--network NAME] [--scenes N] [--seed N]

Prints a table in Markdown. Without ``--method`` and ``--network``: every method, every network, with each of its
packaged seeds. Options that are words follow a method's name: ``--method "ae profile=fine"``.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import torch
from torch import Tensor

from equipoise import metrics
from equipoise.datasets.drawing import SHAPES, Scenes, draw
from equipoise.datasets.scenes import FIRST
from equipoise.errors import EquipoiseError, OptionError
from equipoise.methods import METHODS
from equipoise.methods.base import attribute as attributed
from equipoise.methods.base import heatmap
from equipoise.scenes.interventions import Answer, effects, logits, same_signs
from equipoise.scenes.networks import ARCHITECTURES, SEEDS, load, normalized

Explain = Callable[[Tensor, Tensor], Tensor]
"""From normalized scenes ``(n, 3, h, w)`` and a class of each ``(n,)`` to heat maps ``(n, h, w)``."""

COLUMNS: Final = ("mass", "rank", "watermark", "sign", "sign of others")
"""What `measured` measures."""

LEAST: Final = 0.5
"""Logits that an object has to add or take for its sign to be asked for."""

CHUNK: Final = 50


def measured(explain: Explain, network: Answer, scenes: Scenes) -> dict[str, list[float]]:
    """One number for each shape that is in a scene and that the network sees there.

    ``"mass"`` and ``"rank"``: of the positive relevance, and of the highest pixels, the share on the objects of that
    shape (`energy_pointing`, `relevance_rank_accuracy`). ``"watermark"``: the share of the positive relevance in its
    corner, where a scene has one: wrong where the network does not look at it, right where it does, which interventions
    tell. ``"sign"``: whether the sum of the map over an object has the sign of what the object adds to the score,
    known by taking it away, of objects that add or take at least half a logit; ``"sign of others"``: of those alone
    that have another shape. Several objects of a scene are several numbers.
    """
    found: dict[str, list[float]] = {name: [] for name in COLUMNS}
    said, added, masks = logits(network, scenes), effects(network, scenes), scenes.masks()
    images = normalized(scenes.images())
    for shape in range(len(SHAPES)):
        seen = ((said[:, shape] > 0) & scenes.labels[:, shape]).nonzero()[:, 0]
        for some in torch.split(seen, CHUNK):
            maps = explain(images[some], torch.full_like(some, shape))
            cause = scenes.causes(shape)[some]
            found["mass"] += metrics.energy_pointing(maps, cause).tolist()
            found["rank"] += metrics.relevance_rank_accuracy(maps, cause).tolist()
            marked = scenes.marked[some]
            corner = scenes.watermark.expand_as(maps)
            found["watermark"] += metrics.energy_pointing(maps[marked], corner[marked]).tolist()
            sums = (maps[:, None] * masks[some]).sum((2, 3))
            effect = added[some, :, shape]
            asked = effect.abs() >= LEAST
            right = same_signs(sums, effect)
            other = asked & (scenes.shapes[some] != shape)
            found["sign"] += right[asked].tolist()
            found["sign of others"] += right[other].tolist()
    return found


def of_method(said: str, model: torch.nn.Module) -> Explain:
    """A method by its name, and options that are words: ``"ae"``, ``"ae profile=fine"``.

    Raises:
        UnknownNameError: If there is no such method.
        OptionError: If an option is no ``key=value``.
    """
    name, *words = said.split()
    if not all("=" in word for word in words):
        raise OptionError(f"{said!r} is no method with options; write 'ae profile=fine'")
    options: dict[str, Any] = dict(word.split("=", 1) for word in words)
    METHODS[name]

    def explain(inputs: Tensor, targets: Tensor) -> Tensor:
        found: Any = attributed(model, inputs, targets, method=name, **options)
        return heatmap(found)

    return explain


def table(methods: list[str], networks: list[str], count: int, seed: int) -> Iterator[str]:
    """Lines of Markdown: a row for each network and method, the mean over scenes and packaged seeds."""
    yield "| network | method | " + " | ".join(COLUMNS) + " |"
    yield "|---|---|" + "---|" * len(COLUMNS)
    for name in networks:
        for method in methods:
            values: dict[str, list[float]] = {column: [] for column in COLUMNS}
            for trained in SEEDS:
                network = load(name, trained)
                try:
                    found = measured(of_method(method, network), network, draw(count, FIRST + seed))
                except EquipoiseError as error:
                    yield f"| {name} | {method} | {error} |" + " |" * (len(COLUMNS) - 1)
                    break
                for column in COLUMNS:
                    values[column] += found[column]
            else:
                yield f"| {name} | {method} | " + " | ".join(_words(values)) + " |"


def _words(values: Mapping[str, list[float]]) -> Iterator[str]:
    for numbers in values.values():
        known = [number for number in numbers if not math.isnan(number)]
        yield f"{sum(known) / len(known):.3f}" if known else ""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", action="append")
    parser.add_argument("--network", choices=ARCHITECTURES.names(), action="append")
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    methods, networks = options.method or METHODS.names(), options.network or ARCHITECTURES.names()
    for line in table(methods, networks, options.scenes, options.seed):
        print(line, flush=True)


if __name__ == "__main__":
    main()
