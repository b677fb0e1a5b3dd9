"""What a figure shows: explanations as pictures, and the scale of their colors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import numpy as np

from equipoise import viz
from equipoise._registry import Registry
from equipoise.errors import OptionError
from equipoise.methods.base import title_of
from equipoise.naming import named, sureness
from equipoise.palettes import PALETTES
from equipoise.wording import WORDINGS

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from equipoise.answers import ClassScore
    from equipoise.wording import Wording

LARGEST: Final = 800
"""Longer side of a picture in a figure, in pixels."""


@runtime_checkable
class Shown(Protocol):
    """What can be shown: an `equipoise.Explanation`."""

    @property
    def image(self) -> Image.Image:
        """The photo as a person sees it."""
        ...

    @property
    def heatmap(self) -> Tensor:
        """The map, one channel."""
        ...

    @property
    def record(self) -> dict[str, Any]:
        """What made the map."""
        ...

    @property
    def smoothing(self) -> float:
        """How much a map is smoothed where it is drawn, unless said; 0: not at all."""
        ...

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of what the network looked at, in pixels of the photo."""
        ...

    @property
    def kind(self) -> str:
        """What is shown, such as `"photo"`."""
        ...

    @property
    def targets(self) -> tuple[ClassScore, ...]:
        """What was explained."""
        ...

    def parts(self) -> Sequence[Shown]:
        """One of each target."""
        ...

    def thumbnail(self, side: int) -> Shown:
        """The same, no side longer than `side` pixels."""
        ...

    def overlay(self, target_index: int = 0, **options: Any) -> Image.Image:
        """The map over the photo."""
        ...


@dataclass(frozen=True)
class Scale:
    """Which relevance gets the full color.

    Attributes:
        limits: Of each map's own limit, the one that it is drawn with.
        words: For the caption.
    """

    limits: Callable[[Sequence[float]], Sequence[float]]
    words: str


SCALES: Registry[Scale] = Registry("scale")
"""Whether maps have a scale each, or share one."""

SCALES.add("map", Scale(lambda each: each, "Each map has its own color scale, symmetric about zero"))
SCALES.add(
    "shared", Scale(lambda each: [max(each)] * len(each), "All maps share one color scale, symmetric about zero")
)


@dataclass(frozen=True)
class Style:
    """How maps are drawn; checked when it is made.

    Attributes:
        cmap: A name in `equipoise.palettes.PALETTES`.
        scale: A name in `SCALES`.
        percentile: Of the absolute values of a map: what gets the full color.
        opacity: Of the strongest relevance; ``None``: the default of what is explained.

    Raises:
        UnknownNameError: If there is no such palette or scale.
        OptionError: If a number is outside its range.
    """

    cmap: str = "red_blue"
    scale: str = "map"
    percentile: float = 99.9
    opacity: float | None = None

    def __post_init__(self) -> None:
        PALETTES.canonical(self.cmap)
        SCALES.canonical(self.scale)
        if not 0.0 < self.percentile <= 100.0:
            raise OptionError(f"percentile is {self.percentile}; it has to be above 0 and at most 100")

    @property
    def shared(self) -> bool:
        """Whether maps share a scale."""
        return SCALES[self.scale] is SCALES["shared"]

    def options(self) -> dict[str, Any]:
        """Of `Shown.overlay`."""
        own = {} if self.opacity is None else {"opacity": self.opacity}
        return {"colors": self.cmap, "percentile": self.percentile} | own


@dataclass(frozen=True)
class Panel:
    """One map.

    Attributes:
        picture: As drawn.
        limit: The relevance with the full color, where it is known: on photos.
        method: Printed name.
        network: Its name.
        target: The class and how sure the network is, in two lines.
        shown: The explanation.
    """

    picture: Image.Image
    limit: float | None
    method: str
    network: str
    target: str
    shown: Shown


def columns_of(explanations: Sequence[Shown] | Mapping[str, Shown], style: Style) -> list[list[Panel]]:
    """A list of panels for each explanation: one for each target.

    Args:
        explanations: At least one; the keys of a mapping are printed in place of the methods' names.
        style: How they are drawn.

    Raises:
        OptionError: If there is none, or a scale is to be shared by what is no photo.
    """
    named_ones = (
        list(explanations.items())
        if isinstance(explanations, Mapping)
        else [(title_of(str(one.record["method"]["name"])), one) for one in explanations]
    )
    if not named_ones:
        raise OptionError("there is no explanation to draw")
    parts = [[(name, part) for part in one.thumbnail(LARGEST).parts()] for name, one in named_ones]
    own = [own_limit(part, style) for column in parts for _, part in column]
    known = [limit for limit in own if limit is not None]
    if style.shared and len(known) < len(own):
        raise OptionError("only maps of photos can share a scale; signals and volumes have a scale each")
    limits = iter(SCALES[style.scale].limits(known) if len(known) == len(own) else own)
    return [[_panel(name, part, next(limits), style) for name, part in column] for column in parts]


def own_limit(one: Shown, style: Style) -> float | None:
    """The relevance of a photo's map that gets the full color where each has its own scale."""
    if one.heatmap.dim() != 2:
        return None
    values = one.heatmap.detach().cpu().double().numpy()
    return viz.scale_limit(viz.smoothed(np.where(np.isfinite(values), values, 0.0), one.smoothing), style.percentile)


def wording(one: Shown) -> Wording:
    """The words of an explanation's network."""
    return WORDINGS[one.record["model"].get("task") or "classification"]


def _panel(name: str, part: Shown, limit: float | None, style: Style) -> Panel:
    options = style.options() | ({} if limit is None else {"limit": limit})
    target = part.targets[0]
    network = str(part.record["model"].get("name") or "the network")
    return Panel(part.overlay(**options), limit, name, network, f"{named(target)}\n{sureness(target)}", part)
