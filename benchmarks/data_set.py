"""AE over a folder of photos, as a data set is explained: how long it takes, and how much of that is the network."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from equipoise.experiments import Column, MethodRun, Plan, Recipe, run
from equipoise.experiments.protocols.gallery import Gallery
from equipoise.experiments.running.runner import Observer
from equipoise.experiments.subject import Subject
from equipoise.methods.base import Method
from equipoise.models import build

NETWORKS = ("vgg16", "efficientnet_lite0")
NETWORK = ((Subject, "answers"), (Method, "attribute"))
"""What is the network and the method; all else is decoding, resizing, metrics and writing."""


def vgg16() -> nn.Module:
    """As a recipe names a network of one's own: ``"data_set:vgg16"``."""
    return build("vgg16")


def efficientnet_lite0() -> nn.Module:
    """Likewise."""
    return build("efficientnet_lite0")


def photos(folder: Path, count: int) -> Path:
    """Photos of noise as large as ImageNet's, stored as JPEG."""
    (folder / "images").mkdir(parents=True)
    for index in range(count):
        generator = torch.Generator().manual_seed(index)
        small = torch.randint(0, 256, (40, 50, 3), generator=generator, dtype=torch.uint8)
        Image.fromarray(small.numpy()).resize((500, 375)).save(folder / "images" / f"{index:04d}.jpg")
    return folder


class Within:
    """Adds up the seconds that the thread that made it spends within functions; a call within a call counts once.

    Args:
        now: The clock.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self.seconds = 0.0
        self._now, self._deep, self._thread = now, False, threading.get_ident()

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, timed."""

        @wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            if self._deep or threading.get_ident() != self._thread:
                return function(*arguments, **options)
            self._deep, start = True, self._now()
            try:
                return function(*arguments, **options)
            finally:
                self._deep = False
                self.seconds += self._now() - start

        return call


@contextmanager
def within(
    places: tuple[tuple[Any, str], ...] = NETWORK, now: Callable[[], float] = time.perf_counter
) -> Iterator[Within]:
    """Time methods of classes while the block runs; afterwards they are what they were, also if it fails."""
    timer = Within(now)
    originals = [(owner, name, vars(owner)[name]) for owner, name in places]
    try:
        for owner, name, function in originals:
            setattr(owner, name, timer.around(function))
        yield timer
    finally:
        for owner, name, function in originals:
            setattr(owner, name, function)


@dataclass(frozen=True)
class Seconds:
    """Of one run over a folder.

    Attributes:
        whole: From the call to its return: loading the network, all photos, the files.
        network: Of those, within the network and the method.
        photos: From the first photo to the end: what grows with the photos.
    """

    whole: float
    network: float
    photos: float


class _Start(Observer):
    def __init__(self) -> None:
        self.at = 0.0

    def begin(self, what: str, units: int) -> None:  # noqa: ARG002  # one signature
        self.at = time.perf_counter()


def explain(network: str, data: Path, limit: int | None = None) -> Seconds:
    """AE of the predicted class of every photo, the positive ratio of every map, files as a user has them.

    Args:
        network: One of `NETWORKS`.
        data: Made by `photos`.
        limit: At most so many photos.
    """
    recipe = Recipe(
        "overhead", "Overhead", "of a data set", Gallery(), (("folder", f"data_set:{network}"),),
        (MethodRun("AE", "ae"),), (Column("PR", "positive ratio"),), keep_maps=0,
    )  # fmt: skip
    first = _Start()
    with tempfile.TemporaryDirectory() as folder, within() as timer:
        start = time.perf_counter()
        done = run(Plan(recipe, Path(folder) / "out", data, limit=limit), first)
        end = time.perf_counter()
    if done.problems:
        raise RuntimeError(done.problems[0])
    return Seconds(end - start, timer.seconds, end - first.at)
