"""What a visitor takes home from each view: pictures, raw maps and records."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from equipoise import records
from equipoise.app.drawing import Style, draw
from equipoise.app.session import OWN, Explained
from equipoise.app.views import covering, inserting, randomizing
from equipoise.app.views.comparing import method_of, method_options
from equipoise.app.views.explaining import explained
from equipoise.naming import slug

if TYPE_CHECKING:
    from equipoise.app.session import Session
    from equipoise.explanation import Explanation

KEPT: Final = 2 * 3600
"""Seconds for which visitors' files are kept."""

_NAME = 30  # letters of a photo's name in the names of its files


def write(folder: Path, contents: Mapping[str, bytes]) -> list[str]:
    """Write files into a new folder within ``folder``; their paths.

    Raises:
        OSError: If that is impossible.
    """
    place = new_place(folder)
    return [str(records.write_atomically(place / name, data)) for name, data in contents.items()]


def new_place(folder: Path) -> Path:
    """A new folder within ``folder``; those that are older than `KEPT` go.

    Raises:
        OSError: If that is impossible.
    """
    place = folder / secrets.token_hex(8)
    place.mkdir(parents=True)
    for one in folder.iterdir():
        with contextlib.suppress(OSError):  # another may have removed it
            if time.time() - one.stat().st_mtime > KEPT:
                shutil.rmtree(one)
    return place


def of_maps(
    session: Session,
    targets: Sequence[Explained],
    methods: Sequence[str],
    gamma: float,
    style: Style,
    *,
    wrt: str | None = None,
) -> dict[str, bytes]:
    """Of every method, class and input: the picture as shown, the heat map, the raw float32 numbers, the record."""
    found: dict[str, bytes] = {}
    for method in methods:
        for part, target in explained(session, targets, wrt):
            explanation = part.full(target, method_of(method), method_options(method, gamma))
            found |= _of_one(explanation, f"{_stem(part)}.{method}.{_part(target)}", style)
    return found


def of_curves(session: Session, made: inserting.Curves, style: Style) -> dict[str, bytes]:
    """Both curves as JSON, and the map whose order they follow."""
    part = session.parts(made.input)[0]
    record = {
        "photo": part.name,
        "model": session.network.name,
        **({"input": part.input} if part.input else {}),
        "target": made.target,
        "gamma": made.gamma,
        "mode": made.mode,
        "canvas": made.canvas,
        "shares": inserting.SHARES,
        "found": made.found,
    }
    return {f"{_stem(part)}.{made.mode}.{_part(made.target)}.json": _json(record)} | of_maps(
        part, [made.target], [OWN], made.gamma, style
    )


def of_randomized(session: Session, target: Explained, gamma: float, place: int, style: Style) -> dict[str, bytes]:
    """The map of the network with random layers, and which those are."""
    step = randomizing.steps(session)[place]
    explanation = randomizing.randomized(session, target, gamma, step).explanation
    stem = f"{_stem(session)}.{len(step.layers)}_random.{_part(target)}"
    return _of_one(explanation, stem, style) | {f"{stem}.layers.json": _json({"layers": step.layers, "of": step.of})}


def of_coverage(session: Session, target: Explained, gamma: float, style: Style) -> dict[str, bytes]:
    """The coverage table as JSON, and the map that it explains."""
    rows = covering.as_json(covering.operations(session, target, gamma))
    return {f"{_stem(session)}.coverage.{_part(target)}.json": _json(rows)} | of_maps(
        session, [target], [OWN], gamma, style
    )


def _of_one(explanation: Explanation, stem: str, style: Style) -> dict[str, bytes]:
    contents = explanation.in_colors(style.colors).contents()
    contents[".overlay.png"] = records.encoded(explanation.in_colors(style.colors).worded(draw(explanation, style)))
    return {f"{stem}-{slug(explanation.targets[0].name)}{ending}": data for ending, data in contents.items()}


def _stem(session: Session) -> str:
    """Begins the names of a photo's files; of several inputs with the input's."""
    stem = slug(Path(session.name.partition("#")[0]).stem, _NAME)
    return f"{stem}.{slug(session.input, _NAME)}" if session.input else stem


def _part(target: Explained) -> str:
    """A target in the name of a file."""
    return str(target) if isinstance(target, int) else slug(target, _NAME)


def _json(value: Any) -> bytes:
    return (records.to_json(value) + "\n").encode()
