"""Does the network see what the map says it saw? Pixels shown or hidden in the map's order, beside a random one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from equipoise.app.drawing import enlarged
from equipoise.app.markup import Curve, Shown, chart, row
from equipoise.app.session import SHOWN, Explained
from equipoise.metrics import area, perturb, perturbation_curve
from equipoise.naming import sureness

if TYPE_CHECKING:
    from equipoise.answers import ClassScore
    from equipoise.app.session import Session

SHARES: Final = (0.0, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
"""Shares of the pixels at which the network is asked."""

ORDERS: Final = {"most_relevant": "the map's order", "random": "a random order"}

Mode = Literal["insertion", "deletion"]
Progress = Callable[[float, str], object]


@dataclass(frozen=True)
class Curves:
    """How sure the network is of a target over the share of the pixels.

    Attributes:
        target: What is explained.
        gamma: Of the map.
        mode: Whether pixels are shown or hidden.
        canvas: What is there without them.
        found: Per name in `ORDERS` the probability at each of `SHARES`, or the score where there is none.
    """

    target: Explained
    gamma: float
    mode: Mode
    canvas: str
    found: dict[str, tuple[float, ...]]


def pixels_of(session: Session) -> Tensor:
    """What the network saw before normalization: ``(1, c, h, w)``, 0 to 1."""
    return session.network.pictures.pixels(session.view.photo.image)[None]


def picture_of(session: Session, pixels: Tensor) -> Image.Image:
    """Such pixels ``(c, h, w)`` as a picture, in a person's order of colors; of one channel a gray one."""
    order = getattr(session.network.pictures, "color_order", "RGB")
    colors = pixels.flip(0) if order == "BGR" and len(pixels) == 3 else pixels
    shown = colors[:3] if len(colors) >= 3 else colors[:1].expand(3, -1, -1)
    return Image.fromarray((shown * 255).round().byte().permute(1, 2, 0).contiguous().numpy())


def curves(
    session: Session, target: Explained, gamma: float, *, mode: str, canvas: str, progress: Progress = lambda *_: None
) -> Curves:
    """Ask the network at every share of the pixels, in both orders.

    Raises:
        OptionError: If the mode is neither ``"insertion"`` nor ``"deletion"``.
        UnknownNameError: If there is no such canvas.
        CancelledError: If the visitor stopped it.

    References:
        Nam & Lee 2024, section 5.4 and Fig. 10; Petsiuk et al. 2018 (*RISE*), section 4.3.
    """
    heat = session.explain(target, options={"gamma": gamma}).explanation.heatmap.float().cpu()[None]
    normalize = session.network.pictures.normalize

    def score(images: Tensor, _numbers: Tensor) -> Tensor:
        return session.certainty(normalize(images), target)

    found: dict[str, tuple[float, ...]] = {}

    def tell(done: int, total: int) -> None:
        progress((len(found) + done / total) / len(ORDERS), mode)

    with session.network.work(session.stop):
        for order in ORDERS:
            curve = perturbation_curve(
                score, pixels_of(session), heat, shares=SHARES, mode=cast("Mode", mode), order=order, canvas=canvas,
                progress=tell,
            )  # fmt: skip
            found[order] = tuple(curve[0].tolist())
    return Curves(target, gamma, cast("Mode", mode), canvas, found)


def show(session: Session, made: Curves, share: float) -> str:
    """The photo with that share of its pixels shown or hidden in both orders, and the curves.

    Args:
        session: The photo.
        made: The curves.
        share: 0 to 1.
    """
    explanation = session.explain(made.target, options={"gamma": made.gamma}).explanation
    heat = explanation.heatmap.float().cpu()[None]
    pixels = pixels_of(session)
    target, pictures = explanation.targets[0], []
    for order, words in ORDERS.items():
        changed = perturb(pixels, heat, share, mode=made.mode, order=order, canvas=made.canvas)[0]
        score = float(np.interp(share, SHARES, made.found[order]))
        told = f"{words}: {sureness(_scored(target, score))}, {target.name}"
        pictures.append(Shown(told, enlarged(picture_of(session, changed), SHOWN)))
    lines = [
        Curve(
            f"{words}, area {float(area(torch.tensor(made.found[order]), SHARES)):.3f}",
            tuple(zip(SHARES, made.found[order], strict=True)),
            kind,
        )
        for (order, words), kind in zip(ORDERS.items(), ("eq-own", "eq-other"), strict=True)
    ]
    across = f"pixels {'shown' if made.mode == 'insertion' else 'hidden'}"
    unit = f" in {target.unit}" if target.unit and target.probability is None else ""
    up = f"{session.words.sure if isinstance(made.target, int) else 'score'} of {target.name}{unit}"
    return row(pictures) + chart(lines, share, across, up, _scale(target, made))


def _scored(target: ClassScore, score: float) -> ClassScore:
    """What is said of a target, with another score."""
    return replace(target, logit=score) if target.probability is None else replace(target, probability=score)


def _scale(target: ClassScore, made: Curves) -> tuple[float, float]:
    """From where to where the curves are drawn: 0 to 1 for probabilities, else what they need with 0 in it."""
    if target.probability is not None:
        return 0.0, 1.0
    values = [0.0, *(value for curve in made.found.values() for value in curve)]
    return min(values), max(values)
