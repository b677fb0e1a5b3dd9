"""Pieces of the page as HTML: everything a visitor or file named is escaped."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from equipoise.app.drawing import values
from equipoise.palettes import PALETTES
from equipoise.report import data_uri, encoded_for_screen

if TYPE_CHECKING:
    from PIL import Image

    from equipoise.app.following import State
    from equipoise.explanation import Explanation
    from equipoise.wording import Wording

_STEPS = 32767  # of the 16-bit numbers in which the page gets a map
_MOST_POINTED = 1 << 21  # values of such a map: more would be long on their way


def message(text: str, *, error: bool = False) -> str:
    """A sentence for the visitor, read out by screen readers at once; nothing for an empty one."""
    if not text:
        return ""
    kind, role = ("eq-error", "alert") if error else ("eq-note", "status")
    return f'<p class="{kind}" role="{role}">{html.escape(text)}</p>'


def start(text: str) -> str:
    """What to do first; while it stands there, the style sheet shows no control that would have nothing to control."""
    return f'<p class="eq-note eq-start" role="status">{html.escape(text)}</p>'


def working(state: State) -> str:
    """How far work is: words, and a bar where that is known."""
    bar = "" if state.share is None else f'<progress max="1" value="{state.share:.4f}" aria-hidden="true"></progress>'
    return f'<p class="eq-note eq-working" role="status">{html.escape(state.words)}{bar}</p>'


def how_to_read(text: str) -> str:
    """A sentence or two on what is shown."""
    return f'<p class="eq-how"><strong>How to read this.</strong> {html.escape(text)}</p>'


def explanation_of(head: str, terms: Iterable[tuple[str, str]]) -> str:
    """Words and what they mean, folded."""
    said = "".join(f"<dt>{html.escape(term)}</dt><dd>{html.escape(means)}.</dd>" for term, means in terms)
    return f'<details class="eq-terms"><summary>{html.escape(head)}</summary><dl>{said}</dl></details>'


def picture(image: Image.Image, alt: str) -> str:
    """A picture inside the page."""
    return f'<img src="{data_uri(encoded_for_screen(image))}" alt="{html.escape(alt)}">'


def title(text: str) -> str:
    """The head of a row of pictures."""
    return f'<h3 class="eq-class">{html.escape(text)}</h3>'


def legend(colors: str, words: Wording, *, framed: bool = True) -> str:
    """The color scale in colors and words.

    Args:
        colors: A name in `equipoise.palettes.PALETTES`.
        words: Of the network.
        framed: Whether a part of what is shown may be all that the network saw.
    """
    palette = PALETTES[colors]
    seen = "The network looked at what is framed, or at all of the photo." if framed else ""
    return (
        f'<div class="eq-legend"><span>{words.ends[0]}</span>'
        f'<span class="eq-scale eq-{colors}" aria-hidden="true"></span>'
        f"<span>{words.ends[1]}</span><span>{words.legend(palette.positive, palette.negative)}; "
        f"the stronger the color, the more. {seen}</span></div>"
    )


@dataclass(frozen=True)
class Shown:
    """One picture of a row.

    Attributes:
        title: Above it.
        picture: The map as drawn.
        lines: Below it.
        explanation: Whose values pointing at a pixel shows; ``None``: the picture is not to be pointed at.
        index: Which of the row, for the box that a visitor drags.
        pointed: What a positive and a negative pixel do.
        clicks: Whether a click on a pixel asks for it alone.
        by: Whose map it is; above it, below the title.
    """

    title: str
    picture: Image.Image
    lines: tuple[str, ...] = ()
    explanation: Explanation | None = None
    index: int = 0
    pointed: tuple[str, str] = ("for the class", "against the class")
    clicks: bool = False
    by: str = ""


def row(pictures: Sequence[Shown], *, narrow: bool = False) -> str:
    """Pictures side by side, below one another on a phone; ``narrow`` ones fit more into a row."""
    return (
        f'<div class="eq-row{" eq-narrow" if narrow else ""}">' + "".join(_figure(one) for one in pictures) + "</div>"
    )


def _figure(one: Shown) -> str:
    name = html.escape(one.title)
    lines = "".join(f"<span>{html.escape(line)}</span>" for line in one.lines)
    drawn = picture(one.picture, one.title)
    if one.explanation is not None and _can_be_pointed_at(one.explanation):
        positive, negative = map(html.escape, one.pointed)
        clicks, hint = (" data-clicks", "click it to ask for it alone; ") if one.clicks else ("", "")
        signal = one.explanation.heatmap.dim() == 1
        kind, unit, box = (" data-signal", "sample", "a span") if signal else ("", "pixel", "a box")
        drawn = (
            f'<div class="eq-view" tabindex="0" role="application" aria-label="Map of {name}. Arrow keys move a '
            f'pointer, with shift they draw {box}, Enter measures it."{kind} '
            f'{_numbers(one.explanation)} data-index="{one.index}" data-positive="{positive}" '
            f'data-negative="{negative}"{clicks}>{drawn}<div class="eq-box" hidden></div>'
            '<div class="eq-cross" hidden></div></div><output class="eq-value" aria-live="polite">'
            f"Point at a {unit} for its value; {hint}drag {box} for its share of the evidence.</output>"
        )
    by = f'<p class="eq-by">{html.escape(one.by)}</p>' if one.by else ""
    head = f'<figcaption><div class="eq-title">{name}</div>{by}</figcaption>'
    return f'<figure class="eq-figure">{head}{drawn}<p>{lines}</p></figure>'


def _can_be_pointed_at(explanation: Explanation) -> bool:
    """Whether a place of the picture is one of the map; not of a volume, whose slices lie side by side."""
    return explanation.heatmap.dim() <= 2 and explanation.heatmap.numel() <= _MOST_POINTED


def _numbers(explanation: Explanation) -> str:
    """The map as 16-bit numbers, and where it lies on the picture, in shares of its sides; a signal is one row."""
    heat = np.atleast_2d(values(explanation))
    scale = float(np.abs(heat).max()) or 1.0
    data = base64.b64encode(np.round(heat / scale * _STEPS).astype("<i2").tobytes()).decode()
    width, height = explanation.image.size
    left, top, right, bottom = explanation.box
    box = ",".join(f"{edge:.6f}" for edge in (left / width, top / height, right / width, bottom / height))
    return (
        f'data-map="{data}" data-scale="{scale / _STEPS!r}" data-rows="{heat.shape[0]}" '
        f'data-columns="{heat.shape[1]}" data-place="{box}"'
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> str:
    """A table that scrolls by itself."""
    head = "".join(f'<th scope="col">{html.escape(one)}</th>' for one in heads)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>" for cells in rows)
    name = html.escape(caption)
    return (
        f'<div class="eq-scroll" tabindex="0" role="region" aria-label="{name}"><table><caption>{name}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


@dataclass(frozen=True)
class Curve:
    """A curve of a chart.

    Attributes:
        label: Its name.
        points: ``(x, y)`` in the order of x, which is 0 to 1.
        kind: Its class in the style sheet: ``"eq-own"`` or ``"eq-other"``.
    """

    label: str
    points: tuple[tuple[float, float], ...]
    kind: str


def chart(curves: Sequence[Curve], mark: float, across: str, up: str, scale: tuple[float, float] = (0.0, 1.0)) -> str:
    """Curves over shares from 0 to 1, with a vertical mark; the numbers follow for screen readers.

    Args:
        curves: The curves.
        mark: Where the mark stands, 0 to 1.
        across: What x is.
        up: What y is.
        scale: The lowest and the highest y.
    """
    low, high = scale
    span = (high - low) or 1.0
    width, height, left, top = 430, 230, 62, 14  # of the plot, in the drawing's own units, and its margins
    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = top + height * (1 - share)
        x = left + width * share
        parts += [
            f'<line class="eq-grid" x1="{left}" x2="{left + width}" y1="{y:g}" y2="{y:g}"/>',
            f'<text x="{left - 8}" y="{y + 4:g}" text-anchor="end">{low + share * span:.3g}</text>',
            f'<text x="{x:g}" y="{top + height + 18}" text-anchor="middle">{100 * share:g} %</text>',
        ]
    for place, curve in enumerate(curves):
        points = [(left + width * x, top + height * (1 - (y - low) / span)) for x, y in curve.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline class="{curve.kind}" points="{path}"/>')
        x = left + 18 + 230 * place
        parts.append(f'<line class="{curve.kind}" x1="{x}" x2="{x + 26}" y1="{top + 288}" y2="{top + 288}"/>')
        parts.append(f'<text x="{x + 34}" y="{top + 292}">{html.escape(curve.label)}</text>')
    at, middle = left + width * mark, (left + width / 2, top + height / 2)
    turned = f"translate(14 {middle[1]:g}) rotate(-90)"
    parts += [
        f'<line class="eq-mark" x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{top + height}"/>',
        f'<text x="{middle[0]:g}" y="{top + height + 40}" text-anchor="middle">{html.escape(across)}</text>',
        f'<text transform="{turned}" text-anchor="middle">{html.escape(up)}</text>',
    ]
    said = "; ".join(
        f"{curve.label}: " + ", ".join(f"{100 * x:.0f} % {y:.3g}" for x, y in curve.points) for curve in curves
    )
    name = html.escape(f"{up} over {across}. {said}")
    return f'<svg class="eq-chart" viewBox="0 0 520 318" role="img" aria-label="{name}">{"".join(parts)}</svg>'
