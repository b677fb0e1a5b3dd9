"""Does the network see what the map says it saw? Pixels shown or hidden in the map's order, beside a random one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from equipoise.app.markup import Curve, Shown, chart, row
from equipoise.metrics import area, perturb, perturbation_curve

if TYPE_CHECKING:
    from equipoise.app.session import Session

SHARES: Final = (0.0, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
"""Shares of the pixels at which the network is asked."""

ORDERS: Final = {"most_relevant": "the map's order", "random": "a random order"}

Mode = Literal["insertion", "deletion"]
Progress = Callable[[float, str], object]


@dataclass(frozen=True)
class Curves:
    """The probability of a class over the share of the pixels.

    Attributes:
        index: Of the class.
        gamma: Of the map.
        mode: Whether pixels are shown or hidden.
        canvas: What is there without them.
        found: Per name in `ORDERS` the probability at each of `SHARES`.
    """

    index: int
    gamma: float
    mode: Mode
    canvas: str
    found: dict[str, tuple[float, ...]]


def pixels_of(session: Session) -> Tensor:
    """What the network saw before normalization: ``(1, 3, h, w)``, 0 to 1."""
    return session.network.pictures.pixels(session.view.photo.image)[None]


def curves(
    session: Session, index: int, gamma: float, *, mode: str, canvas: str, progress: Progress = lambda *_: None
) -> Curves:
    """Ask the network at every share of the pixels, in both orders.

    Raises:
        OptionError: If the mode is neither ``"insertion"`` nor ``"deletion"``.
        UnknownNameError: If there is no such canvas.
        CancelledError: If the visitor stopped it.

    References:
        Nam & Lee 2024, section 5.4 and Fig. 10; Petsiuk et al. 2018 (*RISE*), section 4.3.
    """
    heat = session.explain(index, options={"gamma": gamma}).explanation.heatmap.float().cpu()[None]
    normalize = session.network.pictures.normalize

    def score(images: Tensor, _numbers: Tensor) -> Tensor:
        return session.network.certainty(normalize(images), index)

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
    return Curves(index, gamma, cast("Mode", mode), canvas, found)


def show(session: Session, made: Curves, share: float) -> str:
    """The photo with that share of its pixels shown or hidden in both orders, and the curves.

    Args:
        session: The photo.
        made: The curves.
        share: 0 to 1.
    """
    explanation = session.explain(made.index, options={"gamma": made.gamma}).explanation
    heat = explanation.heatmap.float().cpu()[None]
    pixels = pixels_of(session)
    pictures = []
    for order, words in ORDERS.items():
        changed = perturb(pixels, heat, share, mode=made.mode, order=order, canvas=made.canvas)[0]
        drawn = Image.fromarray((changed * 255).round().byte().permute(1, 2, 0).numpy())
        score = float(np.interp(share, SHARES, made.found[order]))
        pictures.append(Shown(f"{words}: {100 * score:.1f} % {explanation.targets[0].name}", drawn))
    lines = [
        Curve(
            f"{words}, area {float(area(torch.tensor(made.found[order]), SHARES)):.3f}",
            tuple(zip(SHARES, made.found[order], strict=True)),
            kind,
        )
        for (order, words), kind in zip(ORDERS.items(), ("eq-own", "eq-other"), strict=True)
    ]
    across = f"pixels {'shown' if made.mode == 'insertion' else 'hidden'}"
    up = f"probability of {explanation.targets[0].name}"
    return row(pictures) + chart(lines, share, across, up)
