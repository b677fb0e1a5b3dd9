"""Does the network see what the map says it saw? Pixels shown or hidden in the map's order, beside a random one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from equipoise import array_pictures
from equipoise._progress import tell
from equipoise.app.drawing import enlarged
from equipoise.app.markup import Curve, Shown, chart, how_to_read, row
from equipoise.app.session import SHOWN, Explained
from equipoise.metrics import CANVASES, area, perturb, perturbation_curve
from equipoise.naming import sureness

if TYPE_CHECKING:
    from equipoise.answers import ClassScore
    from equipoise.app.session import Session

SHARES: Final = (0.0, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
"""Shares of the pixels at which the network is asked."""

ORDERS: Final = {"most_relevant": "the map's order", "random": "a random order"}

UNITS: Final = {1: "samples", 2: "pixels", 3: "voxels"}
"""What a network sees values of, by how many dimensions of positions there are."""

HOW: Final = {
    "insertion": "The {unit} that the map of Attribution Equilibrium ranks highest are shown first. If the network "
    "sees {what} there, its line rises early, above that of a random order. Area 1 would be sure from the first on.",
    "deletion": "The {unit} that the map of Attribution Equilibrium ranks highest are hidden first. If the network saw "
    "{what} there, its line falls early, below that of a random order. The smaller the area, the better the map.",
}
"""How to read the curves, by what is done."""

BEFORE: Final = (
    "What the network is given is shown to it bit by bit, or hidden from it: first what the map of Attribution "
    "Equilibrium ranks highest, and beside it, in a random order. The more of the class lies where the map says, the "
    "earlier its line rises, or falls."
)
"""How to read the curves, before there are any."""

_OF_ANY_SHAPE: Final = ("mean", "black")  # canvases for which neighbors do not matter

Mode = Literal["insertion", "deletion"]


@dataclass(frozen=True)
class Curves:
    """How sure the network is of a target over the share of the pixels.

    Attributes:
        target: What is explained.
        gamma: Of the map.
        mode: Whether pixels are shown or hidden.
        canvas: What is there without them.
        found: Per name in `ORDERS` the probability at each of `SHARES`, or the score where there is none.
        input: Of several inputs the one whose pixels they are.
    """

    target: Explained
    gamma: float
    mode: Mode
    canvas: str
    found: dict[str, tuple[float, ...]]
    input: str = ""


def canvases(session: Session) -> list[str]:
    """What can be there without the pixels; the canvases that look at neighbors are made for pictures."""
    return list(CANVASES) if all(one.dims == 2 for one in session.inputs) else list(_OF_ANY_SHAPE)


def pixels_of(session: Session) -> Tensor:
    """What the network saw before normalization: ``(1, c, h, w)``, 0 to 1; what is no picture as one row."""
    pixels = session.view.pixels
    return pixels if session.dims == 2 else pixels.flatten(2).unsqueeze(2)


def picture_of(session: Session, pixels: Tensor) -> Image.Image:
    """Such pixels ``(c, h, w)`` as a picture, in a person's order of colors; of one channel a gray one."""
    values = pixels.reshape(session.view.inputs.shape[1:])
    if session.dims != 2 or len(values) not in {1, 3}:
        return array_pictures.picture_of(values.numpy())
    order = getattr(session.network.spec.preprocessing, "color_order", "RGB")
    colors = values.flip(0) if order == "BGR" and len(values) == 3 else values
    shown = colors if len(colors) == 3 else colors.expand(3, -1, -1)
    return Image.fromarray((shown.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy())


def _map_of(session: Session, target: Explained, gamma: float) -> Tensor:
    """The map in the order of `pixels_of`: ``(1, h, w)``."""
    heat = session.explain(target, options={"gamma": gamma}).explanation.heatmap.float().cpu()
    return heat[None] if session.dims == 2 else heat.reshape(1, 1, -1)


def curves(session: Session, target: Explained, gamma: float, *, mode: str, canvas: str) -> Curves:
    """Ask the network at every share of the pixels, in both orders.

    Raises:
        OptionError: If the mode is neither ``"insertion"`` nor ``"deletion"``.
        UnknownNameError: If there is no such canvas.
        CancelledError: If the visitor stopped it.

    References:
        Nam & Lee 2024, section 5.4 and Fig. 10; Petsiuk et al. 2018 (*RISE*), section 4.3.
    """
    heat, shape = _map_of(session, target, gamma), session.view.inputs.shape[1:]
    normalize = session.network.spec.preprocessing.normalize

    def score(images: Tensor, _numbers: Tensor) -> Tensor:
        return session.certainty(normalize(images.reshape(-1, *shape)), target)

    found: dict[str, tuple[float, ...]] = {}

    def told(done: int, total: int) -> None:
        tell(len(found) * total + done, len(ORDERS) * total)

    with session.network.work(session.stop):
        for order in ORDERS:
            curve = perturbation_curve(
                score, pixels_of(session), heat, shares=SHARES, mode=cast("Mode", mode), order=order, canvas=canvas,
                progress=told,
            )  # fmt: skip
            found[order] = tuple(curve[0].tolist())
    return Curves(target, gamma, cast("Mode", mode), canvas, found, session.input)


def show(session: Session, made: Curves, share: float) -> str:
    """The photo with that share of its pixels shown or hidden in both orders, and the curves.

    Args:
        session: The photo.
        made: The curves.
        share: 0 to 1.
    """
    session = session.parts(made.input)[0]
    explanation = session.explain(made.target, options={"gamma": made.gamma}).explanation
    heat, pixels = _map_of(session, made.target, made.gamma), pixels_of(session)
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
    of = f" of {session.input}" if session.input else ""
    across = f"{UNITS[session.dims]}{of} {'shown' if made.mode == 'insertion' else 'hidden'}"
    unit = f" in {target.unit}" if target.unit and target.probability is None else ""
    up = f"{session.words.sure if isinstance(made.target, int) else 'score'} of {target.name}{unit}"
    how = HOW[made.mode].format(unit=UNITS[session.dims], what=target.name)
    return how_to_read(how) + row(pictures) + chart(lines, share, across, up, _scale(target, made))


def _scored(target: ClassScore, score: float) -> ClassScore:
    """What is said of a target, with another score."""
    return replace(target, logit=score) if target.probability is None else replace(target, probability=score)


def _scale(target: ClassScore, made: Curves) -> tuple[float, float]:
    """From where to where the curves are drawn: 0 to 1 for probabilities, else what they need with 0 in it."""
    if target.probability is not None:
        return 0.0, 1.0
    values = [0.0, *(value for curve in made.found.values() for value in curve)]
    return min(values), max(values)
