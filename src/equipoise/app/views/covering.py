"""Which rule each operation of the network got, and what became of the relevance there."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from equipoise import rules
from equipoise.app.markup import explanation_of, how_to_read, table
from equipoise.app.session import OWN, Explained
from equipoise.methods.reading import Reading, only_column
from equipoise.methods.several import outside
from equipoise.naming import number

if TYPE_CHECKING:
    from equipoise.app.session import Session
    from equipoise.methods.propagation import Propagation

HEADS = ("operation", "module", "rule", "relevance in", "relevance out", "shape")


_OTHERS: Final = {"gradient": "above the first layer that is explained: torch's own gradient, where there is any"}


@dataclass(frozen=True)
class Operation:
    """One row of the coverage table.

    Attributes:
        name: What torch calls the operation.
        module: The module that ran it; ``"the model itself"`` for the outermost one.
        rule: The rule it got.
        arrived: Sum of the relevance that came in from the logits' side.
        left: Sum of the relevance that it passed on towards the pixels.
        shape: Of its first output.
    """

    name: str
    module: str
    rule: str
    arrived: float
    left: float
    shape: str


def operations(session: Session, target: Explained, gamma: float) -> list[Operation]:
    """Every operation of the forward pass, from the logits down."""
    score, reads = session.score(target), session.network.reads
    if isinstance(reads, Reading) and not isinstance(score, int):  # of a pixel, of a box: read off what it gives
        bound = session.network.bind(OWN, gamma=gamma, output=Reading(reads.output, score))
        score = only_column
    else:
        bound = session.network.bind(OWN, gamma=gamma)
    method = cast("Propagation", bound.attributor)
    with session.network.work(session.stop):
        passages = method.coverage(session.view.inputs, score)
    return [
        Operation(
            one.name,
            outside(one.site.module or "") or "the model itself",
            one.rule,
            float(one.arrived.flatten()[0]),
            float(one.left.flatten()[0]),
            " x ".join(map(str, one.shapes[1][0])),
        )
        for one in passages
    ]


def show(session: Session, target: Explained, gamma: float) -> str:
    """The table."""
    found = operations(session, target, gamma)
    got = dict.fromkeys(one.rule for one in found)
    of = f"{session.input}: " if session.input else ""
    caption = f"{of}{len(found)} operations, {len(got)} kinds of treatment: {', '.join(got)}"
    rows = [
        (one.name, one.module, one.rule, number(one.arrived, signed=True), number(one.left, signed=True), one.shape)
        for one in found
    ]
    said = explanation_of("What the rules do", [(rule, meaning(rule)) for rule in got])
    how = how_to_read(
        "From the logits down to the pixels: what relevance came in at each operation, and what it passed on. Where "
        "both are alike nothing was lost."
    )
    return how + said + table(HEADS, rows, caption)


def meaning(rule: str) -> str:
    """What a rule does, in a sentence: the first of its class's docstring."""
    name = rule.partition("(")[0]
    if name in _OTHERS:
        return _OTHERS[name]
    for found in pkgutil.iter_modules(rules.__path__):
        kind = getattr(importlib.import_module(f"{rules.__name__}.{found.name}"), name, None)
        if kind is not None and kind.__doc__:
            return str(kind.__doc__).strip().splitlines()[0].replace("`", "").rstrip(".")
    return "a rule of one's own"


def as_json(found: list[Operation]) -> list[dict[str, Any]]:
    """The rows as JSON types."""
    return [asdict(one) for one in found]
