"""One drawn scene, one network, one method: cause, shortcut and map side by side, and what interventions say of it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from PIL import Image

from equipoise import metrics, viz
from equipoise.app import markup
from equipoise.app.drawing import Corners, enlarged, outlined
from equipoise.app.lanes import Stop
from equipoise.app.networks import SharedNetwork
from equipoise.datasets import open_dataset
from equipoise.datasets.drawing import SHAPES
from equipoise.errors import OptionError
from equipoise.experiments.protocols.base import Bench, Unit
from equipoise.experiments.protocols.scenes import SHORTCUT, UNUSED, DrawnScenes, Fact, Seen
from equipoise.experiments.recipes.scenes import EVERY
from equipoise.experiments.subject import Lab

NETWORKS: Final = {
    "plain, shapes alone decide": "equipoise.scenes:plain_0",
    "residual, shapes alone decide": "equipoise.scenes:residual_0",
    "plain, learned shortcuts": "equipoise.scenes:shortcut_0",
}
"""What the page calls the packaged networks."""

METHODS: Final = {one.label: one for one in EVERY}

SIDE: Final = 280  # of a picture, in pixels
_HEADS: Final = (
    "what",
    "share of the positive relevance",
    "of the highest pixels",
    "its effect, in logits",
    "its sign",
)


_LOADED: Final[dict[str, tuple[Bench, SharedNetwork]]] = {}
_LOADING: Final = threading.Lock()


def bench(network: str) -> Bench:
    """A packaged network before the scenes.

    Raises:
        OptionError: If there is no such network.
    """
    return _loaded(network)[0]


def shared(network: str) -> SharedNetwork:
    """The same network, which all visitors of the page use one after another.

    Raises:
        OptionError: If there is no such network.
    """
    return _loaded(network)[1]


def _loaded(network: str) -> tuple[Bench, SharedNetwork]:
    if network not in NETWORKS:
        raise OptionError(f"{network!r} is none of the networks: {'; '.join(NETWORKS)}")
    with _LOADING:
        if network not in _LOADED:
            subject, data = Lab().subject(NETWORKS[network]), open_dataset("scenes")
            common = SharedNetwork.of(subject.network)
            subject = replace(subject, network=common)
            _LOADED[network] = Bench(subject, data, subject.classes(data)), common
        return _LOADED[network]


@dataclass(frozen=True, eq=False)
class Asked:
    """A scene before a network.

    Attributes:
        picture: The scene.
        scores: Of each class, in logits.
        seen: What interventions say.
        shapes: Of each object its shape's place, -1: there is none.
    """

    picture: Image.Image
    scores: list[float]
    seen: Seen
    shapes: list[int]


def ask(network: str, number: int) -> Asked:
    """Show a scene to a network.

    Raises:
        OptionError: If there is no such scene or network.
    """
    at = bench(network)
    if not 0 <= number < len(at.data):
        raise OptionError(f"there is no scene {number}; they go from 0 to {len(at.data) - 1}")
    protocol, sample = DrawnScenes(), at.data[number]
    prepared = protocol.prepare(Unit(sample.key, (sample,)), at)
    scores = at.subject.forward(prepared[1])[0].tolist()
    return Asked(sample.image(), scores, protocol.look(prepared, at), prepared[0].shapes[0].tolist())


def show(network: str, number: int, method: str, stop: Stop | None = None) -> str:
    """The scene, and for each class that the network says is there the map and its numbers.

    Args:
        network: In `NETWORKS`.
        number: Of the scene.
        method: In `METHODS`.
        stop: Of the visitor.

    Raises:
        OptionError: If there is no such scene, network or method.
        EquipoiseError: If the method cannot explain the network.
        CancelledError: If the visitor stopped it.
    """
    if method not in METHODS:
        raise OptionError(f"{method!r} is none of the methods: {', '.join(METHODS)}")
    with shared(network).work(stop or Stop()):
        return _shown(network, number, method)


def _shown(network: str, number: int, method: str) -> str:
    """The page, made while nobody else works with the network."""
    asked = ask(network, int(number))
    said = ", ".join(f"{name} {score:+.1f}" for name, score in zip(SHAPES.names(), asked.scores, strict=True))
    parts = [markup.message(f"Scores, above 0 is there: {said}.")]
    if not asked.seen.facts:
        parts.append(markup.row([markup.Shown("the scene", enlarged(asked.picture, SIDE))]))
        return "".join([*parts, markup.message("The network sees nothing here; take another scene.")])
    subject = bench(network).subject
    maps = subject.bind(METHODS[method]).heatmaps(asked.seen.inputs, asked.seen.targets)
    for fact, one in zip(asked.seen.facts, maps, strict=True):
        parts.append(markup.title(f"Why {fact.goal.name}?"))
        parts.append(markup.row(pictures(asked, fact, one, method)))
        parts.append(markup.table(_HEADS, numbers(asked, fact, one), f"{method} on scene {int(number)}"))
    return "".join(parts)


def pictures(asked: Asked, fact: Fact, heatmap: torch.Tensor, method: str) -> list[markup.Shown]:
    """The scene with its cause framed, and the map."""
    boxes, names = [], []
    if fact.cause is not None:
        for index in fact.own.nonzero()[:, 0].tolist():
            boxes.append(_box(asked.seen.objects[index]))
            names.append("cause")
    if fact.watermark:
        boxes.append(_box(asked.seen.corner))
        names.append("shortcut" if fact.watermark == SHORTCUT else "unused")
    drawn = enlarged(asked.picture, SIDE)
    times = drawn.width / asked.picture.width
    framed = outlined(drawn, [(a * times, b * times, c * times, d * times) for a, b, c, d in boxes], names)
    colored = enlarged(viz.heatmap_image(np.asarray(heatmap), percentile=99.5), SIDE)
    return [markup.Shown("what it used", framed), markup.Shown(f"what {method} says", colored)]


def numbers(asked: Asked, fact: Fact, heatmap: torch.Tensor) -> list[tuple[str, ...]]:
    """A row for the cause, each object and the watermark."""
    rows: list[tuple[str, ...]] = []
    if fact.cause is not None:
        mass = float(metrics.energy_pointing(heatmap[None], fact.cause[None]))
        rank = float(metrics.relevance_rank_accuracy(heatmap[None], fact.cause[None]))
        rows.append((f"the cause: every {fact.goal.name}", _share(mass), _share(rank), "the answer turns over", ""))
    for index, shape in enumerate(asked.shapes):
        effect = float(fact.effects[index])
        if shape < 0:
            continue
        inside = asked.seen.objects[index]
        total = float((heatmap * inside).sum())
        right = "right" if np.sign(total) == np.sign(effect) else "wrong"
        asks = abs(effect) >= DrawnScenes().least
        share = _share(float(metrics.energy_pointing(heatmap[None], inside[None])))
        rows.append(
            (
                f"object {index + 1}: a {SHAPES.names()[shape]}",
                share,
                "",
                f"{effect:+.1f}",
                right if asks else "not asked",
            )
        )
    if fact.watermark:
        share = _share(float(metrics.energy_pointing(heatmap[None], asked.seen.corner[None])))
        does = "under 0.5: no cause" if fact.watermark == UNUSED else "the answer turns over"
        rows.append(("the watermark", share, "", does, ""))
    return rows


def _share(value: float) -> str:
    return "nothing is positive" if np.isnan(value) else f"{value:.1%}"


def _box(mask: torch.Tensor) -> Corners:
    down, across = mask.nonzero(as_tuple=True)
    return float(across.min()), float(down.min()), float(across.max()) + 1, float(down.max()) + 1
