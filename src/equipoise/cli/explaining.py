"""``equipoise explain``: check everything, load the network, then photo after photo."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from equipoise._signals import shielded
from equipoise.cli import MENDABLE
from equipoise.cli.console import RunConsole
from equipoise.cli.photos import PhotoFile
from equipoise.cli.request import check, load_several
from equipoise.cli.results import Results
from equipoise.cli.together import Together
from equipoise.errors import EquipoiseError, ImageError, MissingPackageError, NotFiniteError, ShapeError
from equipoise.explaining import of_input
from equipoise.explanation import Explanation
from equipoise.images import one_line
from equipoise.wanted import Top, read_targets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from equipoise.answers import ScoreOf
    from equipoise.cli.request import Asked, ExplainRequest
    from equipoise.network import BoundMethod, Network
    from equipoise.view import View

WAITING: Final = 16
"""Photos whose pictures wait to be drawn and written."""


def explain_photos(request: ExplainRequest) -> int:
    """Explain the photos of a command line.

    Returns:
        0, or `MENDABLE` if any photo or method could not be done; the others are.

    Raises:
        EquipoiseError: If an argument is wrong; nothing is done then.
    """
    asked = check(request)
    with RunConsole(len(asked.photos) + len(asked.passes), as_json=request.as_json) as console:
        for problem in asked.problems:
            console.trouble(problem)
        if asked.photos:
            network, targets = asked.load()
            bound = _bound(network, asked.options, console)
            for note in network.notes:
                console.note(f"note: {note}")
            each = len(bound) * sum((one.count or 1) if isinstance(one, Top) else 1 for one in targets)
            pictures = len(asked.photos) * each
            results = Results(
                asked.folder, console, page=asked.page, pictures=pictures, known=network.notes, looks=asked.looks
            )
            _explain_each(asked.photos, Together(network, targets, bound, console), results, console)
            results.finish()
        if asked.passes:
            _explain_passes(asked, console)
    return MENDABLE if console.troubles else 0


def _explain_passes(asked: Asked, console: RunConsole) -> None:
    """What a network of several inputs is given: each input, or the one that is asked for, by every method."""
    network, wrt = load_several(asked), asked.request.wrt
    options = {method: network.options(own) for method, own in asked.options.items()}
    shown = len(network.prepares) if wrt is None else 1
    pictures = len(asked.passes) * shown * len(options) * len(asked.request.targets)
    results = Results(asked.folder, console, page=asked.page, pictures=pictures, known=(), looks=asked.looks)
    for one in asked.passes:
        console.begin(one_line(one.stem))
        try:
            views = network.views(one.files)
        except (ImageError, ShapeError, NotFiniteError) as error:  # others of the folders may fit
            console.trouble(str(error) if isinstance(error, ImageError) else f"{one_line(one.stem)}: {error}")
        else:
            made: dict[str, dict[str, Explanation]] = {}
            first = next(iter(views.values()))  # places of a target are those of the first photo
            meant = first.targets(read_targets(asked.request.targets, first.network.spec))
            for key, view in views.items():
                if wrt not in {None, key}:
                    continue
                bound = _bound(view.network, options, console)
                found = _explained(view, bound, meant, console)
                options = {method: options[method] for method in bound}  # what failed once is not tried again
                made[str(key)] = {method: of_input(explanation, key) for method, explanation in found.items()}
            for name, explanations in made.items():
                results.add(PhotoFile(one.files[name], f"{one.stem}.{name}"), explanations)
            if wrt is None:
                results.beside(one.stem, made)
        console.done()
    results.finish()


def _bound(network: Network, options: Mapping[str, Mapping[str, Any]], console: RunConsole) -> dict[str, BoundMethod]:
    """Every method that has its packages, by name; the others are left out.

    Raises:
        MissingPackageError: If none is left.
    """
    bound: dict[str, BoundMethod] = {}
    missing: list[tuple[str, MissingPackageError]] = []
    for method, own in options.items():
        try:
            bound[method] = network.bind(method, **own)
        except MissingPackageError as error:
            missing.append((method, error))
    if not bound:
        raise missing[0][1]
    for method, reason in missing:
        console.trouble(f"{method} is left out: {one_line(reason)}")
    return bound


def _explain_each(photos: Sequence[PhotoFile], together: Together, results: Results, console: RunConsole) -> None:
    """Photo after photo, several of one shape at once; pictures are drawn and written while the network works."""
    with ThreadPoolExecutor(1) as writer:
        waiting: deque[Future[None]] = deque()
        for photo, explanations in together.explained(photos):
            if explanations:
                with shielded():
                    waiting.append(writer.submit(results.add, photo, explanations))
            else:
                console.done()
            while waiting and _written(waiting, wait=len(waiting) > WAITING):
                console.done()
        while waiting and _written(waiting, wait=True):
            console.done()


def _written(waiting: deque[Future[None]], *, wait: bool) -> bool:
    """Whether the first of these is written; what could not be written ends the run."""
    with shielded():
        if not (wait or waiting[0].done()):
            return False
        waiting.popleft().result()
    return True


def _explained(
    view: View, bound: dict[str, BoundMethod], meant: Sequence[ScoreOf], console: RunConsole
) -> dict[str, Explanation]:
    """One view by every method; one that fails is taken out of ``bound``.

    Raises:
        EquipoiseError: If no method is left that can explain this network.
    """
    explanations = {}
    for name in list(bound):
        try:
            explanations[name] = Explanation.of(view, bound[name], meant)
        except EquipoiseError as error:  # what a method cannot do with one photo, it can do with none
            del bound[name]
            if not bound:
                raise
            console.trouble(f"{name} is left out: {one_line(error)}")
    return explanations
