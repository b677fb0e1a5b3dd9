"""What stands below a figure in a paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from equipoise.palettes import PALETTES
from equipoise.plot.panels import SCALES, Shown, Style, columns_of, wording

if TYPE_CHECKING:
    from equipoise.plot.panels import Panel


def caption(
    explanations: Sequence[Shown] | Mapping[str, Shown],
    *,
    cmap: str = "red_blue",
    scale: str = "map",
    percentile: float = 99.9,
) -> str:
    """The text for the figure that `compare` draws with the same arguments.

    Args:
        explanations: As of `compare`.
        cmap: As of `compare`.
        scale: As of `compare`.
        percentile: As of `compare`.

    Returns:
        Sentences: methods, networks, classes with how sure the network is, what colors, scale and frame mean.

    Raises:
        OptionError: As of `compare`.
        UnknownNameError: As of `compare`.
    """
    style = Style(cmap, scale, percentile)
    return told([panel for column in columns_of(explanations, style) for panel in column], style)


def told(panels: Sequence[Panel], style: Style) -> str:
    """The caption of panels that are drawn already."""
    methods, networks, targets = (
        list(dict.fromkeys(getattr(one, what).replace("\n", ", ") for one in panels))
        for what in ("method", "network", "target")
    )
    words, palette = wording(panels[0].shown), PALETTES[style.cmap]
    sentences = [
        f"{_listed(methods)} on {_listed(networks)}: {'; '.join(targets)}",
        words.legend(palette.positive, palette.negative),
        f"{SCALES[style.scale].words}: {_full(panels, style)}",
    ]
    if smoothings := sorted({one.shown.smoothing for one in panels} - {0.0}):
        share = " or ".join(f"{100 * one:g} %" for one in smoothings)
        sentences.append(f"For the eye, maps of pixels are smoothed by a Gaussian of {share} of their longer side")
    if any(_framed(one.shown) for one in panels):
        sentences.append("The network saw what lies inside the frame")
    return " ".join(f"{one}." for one in sentences)


def _full(panels: Sequence[Panel], style: Style) -> str:
    part = "largest" if style.percentile == 100 else f"{style.percentile:g}th percentile of the"
    full = f"full color is the {part} absolute relevance"
    limit = panels[0].limit
    if style.shared and limit is not None:
        return f"{full} of the map where that is largest, {limit:.3g}"
    return full


def _framed(one: Shown) -> bool:
    """Whether a part of the photo was not seen."""
    left, top, right, bottom = (round(edge) for edge in one.box)
    return left > 0 or top > 0 or right < one.image.width or bottom < one.image.height


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
