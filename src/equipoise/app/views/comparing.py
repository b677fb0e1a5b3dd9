"""Methods side by side on the same classes: their maps, what each cost, and what it adds up to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from equipoise.app.drawing import Style, draw
from equipoise.app.markup import Shown, legend, message, row, title
from equipoise.app.networks import CancelledError
from equipoise.app.session import OWN
from equipoise.app.views.explaining import check_count, heading, sums
from equipoise.errors import EquipoiseError, OptionError
from equipoise.methods import METHODS

if TYPE_CHECKING:
    from equipoise.app.session import Session


def method_choices() -> list[tuple[str, str]]:
    """What to choose from: a label that warns of the costly ones, and the name."""
    return [(f"{name} (slow)" if getattr(entry, "costly", False) else name, name) for name, entry in METHODS.items()]


def method_options(method: str, gamma: float) -> dict[str, Any]:
    """The options with which the page runs a method: the visitor's gamma for Attribution Equilibrium."""
    return {"gamma": gamma} if method == OWN else {}


def compare(
    session: Session, indices: Sequence[int], methods: Sequence[str], gamma: float, style: Style
) -> Iterator[str]:
    """The maps so far, each time one more method is done; a row per class.

    Raises:
        OptionError: If no method or too many classes are chosen.
        CancelledError: If the visitor stopped it.
    """
    check_count(indices)
    if not methods:
        raise OptionError("choose at least one method to compare")
    rows: dict[int, list[Shown]] = {index: [] for index in indices}
    heads: dict[int, str] = {}
    failures: dict[str, str] = {}
    for count, method in enumerate(methods, start=1):
        try:
            for index in indices:
                made = session.explain(index, method, method_options(method, gamma))
                lines = (f"{made.seconds:.2f} s", *sums(made.explanation))
                rows[index].append(Shown(method, draw(made.explanation, style), lines))
                heads[index] = heading(made.explanation)
        except CancelledError:
            raise
        except EquipoiseError as error:  # what a method cannot do with one class, it can do with none
            failures[method] = str(error)
        waiting = "" if count == len(methods) else f"{count} of {len(methods)} methods are done."
        yield _page(rows, heads, message(waiting) + _troubles(failures), style)


def _troubles(failures: Mapping[str, str]) -> str:
    return "".join(message(f"{method}: {why}", error=True) for method, why in failures.items())


def _page(rows: Mapping[int, Sequence[Shown]], heads: Mapping[int, str], said: str, style: Style) -> str:
    body = "".join(title(heads[index]) + row(shown, narrow=True) for index, shown in rows.items() if shown)
    return legend(style.colors) + said + body
