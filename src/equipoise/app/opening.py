"""From what a visitor gives to a session, and to what the page's controls then offer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping  # gradio reads the annotations below
from typing import Any, Final

import gradio as gr

from equipoise.app import markup
from equipoise.app.controls import PageContent, class_choices, complaint, modes_of, score_choices
from equipoise.app.lanes import waiting
from equipoise.app.networks import SharedInputs
from equipoise.app.session import Session
from equipoise.app.uploads import WIDTH, Uploads
from equipoise.app.views import explaining, inserting, seeing
from equipoise.errors import EquipoiseError

_GONE: Final = gr.update(visible=False)
_EMPTY: Final = gr.update(value=None)
_COUNT: Final = 12  # where in the following stands how many were opened
_NOTHING: Final[tuple[Any, ...]] = (
    None, gr.update(visible=False, value=[]), gr.update(visible=False, value=[]), _GONE, _EMPTY, _EMPTY, _GONE, None,
    None, "", markup.how_to_read(inserting.BEFORE), "", 0, gr.update(visible=False, value=""), gr.skip(), gr.skip(),
    gr.skip(),
)  # fmt: skip
"""What `Opening.given` gives where there is nothing to look at."""

Fill = Callable[[str | None], list[Any]]
"""From a file to the values of a place for it."""


class Opening:
    """What is done when a visitor gives something.

    Args:
        content: What the page is made of.
        uploads: Where things are given.
    """

    def __init__(self, content: PageContent, uploads: Uploads) -> None:
        self._content, self._uploads = content, uploads

    def filled(self, place: int, fill: Fill, *, array: bool) -> Callable[..., Iterator[list[Any]]]:
        """What is done when a place got a file: what else was in it goes, and all is opened that is there."""

        def work(request: gr.Request, *given: Any) -> Iterator[list[Any]]:
            at = WIDTH * place
            own = at + array
            try:
                new = fill(given[own])
            except EquipoiseError as error:
                said = complaint(_without_folder(error, given[own]))
                yield [*[gr.skip()] * (WIDTH + len(_NOTHING)), said]
                return
            values = [*given[:at], *new[:2], None, *given[at + WIDTH :]]
            new[own - at] = gr.skip()
            for found in self.given(request, *values):
                yield [*new, *found]

        return work

    def given(self, request: gr.Request, *given: Any) -> Iterator[list[Any]]:
        """What is shown of what is given, and what is wrong with it or lacks yet."""
        *values, model, opened, mode, canvas = given
        if said := self._waits(model):
            yield [*[gr.skip()] * len(_NOTHING), markup.message(said)]
        try:
            found = self._uploads.given(model, values)
            if found.lacking or found.unnamed:
                yield [*_NOTHING[:_COUNT], opened, *_NOTHING[_COUNT + 1 :], markup.message(found.waits_for)]
                return
            session = self._session(found.paths, model, str(request.session_hash))
            yield [*self._offered(session, opened, mode, canvas), ""]
        except EquipoiseError as error:
            yield [*[gr.skip()] * len(_NOTHING), complaint(error)]

    def _waits(self, model: str) -> str:
        """What a visitor is told who has to wait."""
        networks = self._content.networks
        if model not in networks.names:
            return ""
        return waiting(networks[model].lane) if networks.is_loaded(model) else "The network is being loaded."

    def _session(self, paths: Mapping[str, str], model: str, visitor: str) -> Session:
        network, read = self._content.networks[model], self._content.reader.photo
        stop = self._content.visitors.stop(visitor)
        if isinstance(network, SharedInputs):
            session = Session.open_each(paths, network, stop, read)
        else:
            session = Session.open(paths[""], network, stop, read)
        self._content.visitors.came(visitor, session)
        return session

    @staticmethod
    def _offered(session: Session, opened: int, mode: str, canvas: str) -> list[Any]:
        offer, classes, scores = session.offer, class_choices(session), score_choices(session)
        said = [str(one) for one in session.targets([])][: explaining.MOST]
        pair = gr.update(choices=classes, value=None)
        modes = modes_of(session)
        kinds = inserting.canvases(session)
        names = [one.input for one in session.inputs]
        searched = bool(offer.hint) or len(classes) > len(scores)
        return [
            session,
            gr.update(choices=scores, value=said, label=offer.chips, visible=True),
            gr.update(choices=classes, value=[], label=offer.search, info=offer.hint or None, visible=searched),
            gr.update(visible=offer.contrast and len(classes) > 1),
            pair,
            pair,
            gr.update(visible=offer.pairs),
            None,
            None,
            "",
            markup.how_to_read(inserting.BEFORE),
            "",
            opened + 1,
            gr.update(choices=[("each", ""), *((name, name) for name in names)], value="", visible=len(names) > 1),
            gr.update(choices=modes, value=mode if mode in modes else modes[0]),
            gr.update(visible=any(seeing.can_be_shown(one) for one in session.inputs)),
            gr.update(choices=kinds, value=canvas if canvas in kinds else kinds[0]),
        ]


def _without_folder(error: EquipoiseError, path: str | None) -> EquipoiseError:
    """A visitor need not know the server's folders."""
    folder = "" if path is None else str(path)[: str(path).replace("\\", "/").rfind("/") + 1]
    return type(error)(str(error).replace(folder, "")) if folder else error
