"""Methods side by side on the same classes: their maps, what each cost, and what it adds up to."""

from __future__ import annotations

import importlib.resources
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from equipoise.app.drawing import Style, draw
from equipoise.app.following import Following, State
from equipoise.app.lanes import CancelledError
from equipoise.app.markup import Shown, legend, message, row, title
from equipoise.app.session import OWN, Explained, Session
from equipoise.app.views.explaining import check_count, explained, heading, meanings, network_of, sums
from equipoise.errors import EquipoiseError, OptionError
from equipoise.methods import METHODS
from equipoise.methods.base import title_of

Asked: TypeAlias = tuple[Session, Explained]
"""Of which input, and of what, a row of maps is."""

MEASURED: Final = "VGG-16, ResNet-50 and EfficientNet-Lite0"
"""The networks on which the cost of methods was measured."""


FINE: Final = f"{OWN}-fine"
"""As a choice: the page's own method by its sharper profile."""


def method_choices(*, costly: bool) -> list[tuple[str, str]]:
    """What to choose from, the costly methods or the others: what each shows and costs, and its name; fast ones first.

    The page's own method, by both of its profiles, is before all others; last is what knows nothing of the image.
    """
    names = [name for name, entry in METHODS.items() if getattr(entry, "costly", False) == costly]
    found = []
    for name in sorted(names, key=_order):
        found.append((f"{title_of(name)}: {METHODS[name].summary}; {cost(name)}", name))
        if name == OWN:
            found.append((f"{shown_as(FINE)}: sharper, by rules of our own; takes as long", FINE))
    return found


def _order(name: str) -> tuple[bool, bool, float]:
    """By which methods are offered."""
    return name != OWN, getattr(METHODS[name], "blind", False), max(_passes(name), default=math.inf)


def method_of(choice: str) -> str:
    """The method that a choice is."""
    return OWN if choice == FINE else choice


def shown_as(choice: str) -> str:
    """A choice, for people."""
    return f"{title_of(OWN)}, profile fine" if choice == FINE else title_of(choice)


def cost(name: str) -> str:
    """What a method costs, in words: time in forward and backward passes of the same network, where it was measured."""
    units = _passes(name)
    if not units:
        return "cost not measured"
    low, high = (f"{end:.1f}" if end < 10 else f"{end:.0f}" for end in (min(units), max(units)))
    return f"{low} passes" if low == high else f"{low} to {high} passes"


def _passes(name: str) -> list[float]:
    """What a method was measured to cost, once for each network."""
    text = (importlib.resources.files("equipoise.app") / "costs.json").read_text(encoding="utf-8")
    found: list[float] = json.loads(text).get(name, [])
    return found


def method_options(choice: str, gamma: float) -> dict[str, Any]:
    """The options of a choice: the visitor's gamma for Attribution Equilibrium, with its profile."""
    profile = {"profile": "fine"} if choice == FINE else {}
    return {"gamma": gamma, **profile} if method_of(choice) == OWN else {}


def compare(
    session: Session,
    targets: Sequence[Explained],
    methods: Sequence[str],
    gamma: float,
    style: Style,
    *,
    wrt: str | None = None,
) -> Iterator[str | State]:
    """The maps so far, each time one more method is done, and meanwhile how far the next one is.

    Args:
        session: The photo; of several inputs the session of the first.
        targets: A row for each, and of several inputs one for each of them.
        methods: A column for each: names, and `FINE`.
        gamma: Of Attribution Equilibrium.
        style: How maps are drawn.
        wrt: The input that is explained; ``None``: each.

    Raises:
        OptionError: If no method or too many classes are chosen.
        CancelledError: If the visitor stopped it.
    """
    check_count(targets)
    if not methods:
        raise OptionError("choose at least one method to compare")
    asked = explained(session, targets, wrt)
    rows: dict[Asked, list[Shown]] = {one: [] for one in asked}
    heads: dict[Asked, str] = {}
    failures: dict[str, str] = {}
    for count, method in enumerate(methods, start=1):
        try:
            for part, target in asked:
                name, options = shown_as(method), method_options(method, gamma)
                work = partial(part.explain, target, method_of(method), options)
                job = Following(name, work, part.stop, part.network.lane)
                yield from job.states()
                made = job.result
                lines, shown = (took(made.seconds), *sums(made.explanation, part.words)), rows[part, target]
                by = network_of(part)
                shown.append(Shown(name, draw(made.explanation, style), lines, by=by))
                if (other := made.explanation.other) is not None:
                    told = sums(other, part.words)
                    shown.append(Shown(f"{name}, the other photo", draw(other, style), told, by=by))
                of = f"{part.input}: " if part.input else ""
                heads[part, target] = f"{of}{heading(made.explanation)}"
        except CancelledError:
            raise
        except EquipoiseError as error:  # what a method cannot do with one class, it can do with none
            failures[shown_as(method)] = str(error)
        waiting = "" if count == len(methods) else f"{count} of {len(methods)} methods are done."
        scale = legend(style.colors, session.words, framed=any(part.dims == 2 for part, _ in asked))
        yield _page(rows, heads, message(waiting) + _troubles(failures), scale) + meanings(session)


def took(seconds: float) -> str:
    """A time for a person."""
    return "less than 0.01 s" if seconds < 0.005 else f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"


def _troubles(failures: Mapping[str, str]) -> str:
    return "".join(message(f"{method}: {why}", error=True) for method, why in failures.items())


def _page(rows: Mapping[Asked, Sequence[Shown]], heads: Mapping[Asked, str], said: str, scale: str) -> str:
    body = "".join(title(heads[one]) + row(shown, narrow=True) for one, shown in rows.items() if shown)
    return scale + said + body
