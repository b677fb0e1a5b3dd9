"""What the page's controls share: what is offered, the visitor's choice, and what is said when something is wrong."""

from __future__ import annotations

import html
import importlib.resources
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import gradio as gr
from PIL import Image

from equipoise.app import lines, markup
from equipoise.app.drawing import MODES, Style, modes_for
from equipoise.app.examples import Example, examples_of, takes
from equipoise.app.files import new_place
from equipoise.app.lanes import CancelledError, Lane, waiting
from equipoise.app.networks import Networks, Offered
from equipoise.app.reading import Reader
from equipoise.app.session import Explained, Session
from equipoise.app.visitors import Visitors
from equipoise.errors import EquipoiseError, OptionError
from equipoise.images import one_line, read_image
from equipoise.methods.reading import Reading
from equipoise.naming import sureness
from equipoise.report import data_uri, thumbnail

if TYPE_CHECKING:
    from equipoise.inputs import Prepares

OPENED: Final = "() => { if (matchMedia('(max-width: 700px)').matches) scrollTo(0, 0); }"
"""Brings what is said of a new photo into view where it stands above what the photo was chosen with."""

BOXED: Final = "element.addEventListener('eq-boxed', (event) => trigger('select', event.detail));"
"""Tells the server of a box that inspector.js saw dragged over a map."""

PICKED: Final = """element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-example]');
  if (button) trigger('select', { index: Number(button.dataset.example) });
});"""
"""Tells the server which example was chosen, by its number."""


@dataclass(frozen=True)
class PageContent:
    """What the page is made of.

    Attributes:
        networks: The networks offered; the first is chosen at first.
        given: Folder of what is offered with every network; ``None``: with each its own, or the samples.
        folder: Where downloads are written; nothing else is read by the browser.
        reader: Reads what visitors send.
        visitors: Who is there.
    """

    networks: Networks
    given: Path | None
    folder: Path
    reader: Reader = field(default_factory=Reader)
    visitors: Visitors = field(default_factory=Visitors)

    def examples(self, model: str) -> tuple[Example, ...]:
        """What is offered with a network.

        Raises:
            EquipoiseError: If it cannot be loaded, or the folder of its own holds nothing that it takes.
        """
        network = self.networks[model]
        if self.given is None:
            return examples_of(network.examples, network.prepares)
        try:
            return examples_of(self.given, network.prepares)
        except EquipoiseError:
            if model == self.networks.names[0]:
                raise
            return ()  # the folder is for others

    def picked(self, model: str, index: object) -> dict[str, str]:
        """Copies of an example's files where the browser may read them; nothing if there is no such example."""
        examples = self.examples(model)
        if not isinstance(index, int) or not 0 <= index < len(examples):
            return {}
        found = {}
        for name, path in examples[index].files.items():
            place = new_place(self.folder)
            found[name] = str(shutil.copy(path, place / path.name))
        return found


def text_of(name: str) -> str:
    """A file of this package."""
    return (importlib.resources.files("equipoise.app") / name).read_text(encoding="utf-8")


def examples_html(examples: Sequence[Example]) -> str:
    """A button for each example, with a small picture of a photo that can be read, or the name of an array."""
    buttons = []
    for index, one in enumerate(examples):
        name = html.escape(one_line(one.name))
        shown = f'<span class="eq-file">Example {name}</span>'
        if one.photo is not None:
            try:
                small = data_uri(thumbnail(read_image(one.photo).resize((168, 128), Image.Resampling.LANCZOS)))
            except EquipoiseError:
                continue
            shown = f'<img src="{small}" alt="Example {name}">'
        buttons.append(f'<button type="button" data-example="{index}">{shown}</button>')
    return f'<div class="eq-examples" role="group" aria-label="Examples">{"".join(buttons)}</div>'


def known_html(network: Offered) -> str:
    """What becomes of what the network is given before it sees it, and what was assumed of it; each is said once."""
    told = ""
    if "preprocessing" not in network.assumed:
        told = "".join(
            f'<p class="eq-known">{html.escape(said)}.</p>'
            for name, how in network.prepares.items()
            if (said := _prepared(name, how))
        )
    assumed = "".join(f"<li>{html.escape(one_line(note))}</li>" for note in network.notes)
    if assumed:
        told += f'<div class="eq-note eq-assumed"><p>What was assumed of this network</p><ul>{assumed}</ul></div>'
    return told


def _prepared(name: str, how: Prepares) -> str:
    """What becomes of one input, as a sentence; nothing where that is not known."""
    words = getattr(how, "words", "")
    what = "Photos" if takes(how)[0] else "Arrays"
    return f"{name}: {what.lower()} are {words}" if words and name else f"{what} are {words}" if words else ""


def greeting(network: Offered) -> str:
    """What to do first."""
    kinds = [("a photo" if takes(how)[0] else "an array", name) for name, how in network.prepares.items()]
    if len(kinds) > 1:
        return f"Give {' and '.join(f'{kind} as {name}' for kind, name in kinds)}, or take an example."
    return "Drop a photo, or take an example at the left." if kinds[0][0] == "a photo" else "Give an array to begin."


def guarded(work: Callable[..., tuple[Any, ...] | None], outputs: int) -> Callable[..., tuple[Any, ...]]:
    """``work`` with one output more: what went wrong, as a sentence; the others then stay as they are.

    Args:
        work: Gives ``outputs`` values; or ``None`` if there was nothing to do, and all stays as it is.
        outputs: How many.
    """

    def run(*given: Any) -> tuple[Any, ...]:
        try:
            found = work(*given)
        except EquipoiseError as error:
            return (*[gr.skip()] * outputs, complaint(error))
        return tuple([gr.skip()] * (outputs + 1)) if found is None else (*found, "")

    return run


def in_turn(
    work: Callable[..., tuple[Any, ...] | None], outputs: int, lane: Callable[..., Lane | None]
) -> Callable[..., Iterator[tuple[Any, ...]]]:
    """As `guarded`; whose work has to wait is told so first.

    Args:
        work: As there.
        outputs: As there.
        lane: From what ``work`` is given to what it may have to wait for.
    """
    done = guarded(work, outputs)

    def run(*given: Any) -> Iterator[tuple[Any, ...]]:
        found = lane(*given)
        if found is not None and (said := waiting(found)):
            yield (*[gr.skip()] * outputs, markup.message(said))
        yield done(*given)

    return run


def lane_of(session: Session | None, *_: object) -> Lane | None:
    """What quick work of a visitor may have to wait for."""
    return None if session is None else session.network.lane


def complaint(error: EquipoiseError) -> str:
    """What a visitor reads of an error."""
    if isinstance(error, CancelledError):
        return markup.message("Stopped.")
    return markup.message(one_line(error), error=True)


def within(value: object, low: float, high: float) -> float:
    """A control's number, or the nearest that it may be; of what is no number the lowest."""
    number = float(value) if isinstance(value, int | float) else low
    return low if math.isnan(number) else min(max(number, low), high)


@dataclass(frozen=True)
class Choice:
    """What the controls say."""

    session: Session
    targets: list[Explained]
    gamma: float
    style: Style
    wrt: str | None = None

    @classmethod
    def of(cls, given: Sequence[Any], *, slow: bool = False) -> Choice:
        """From the values of the page's controls; what was chosen of another photo, and is not offered of this, is not.

        Args:
            given: The values.
            slow: Whether it is for work that takes long.

        Raises:
            OptionError: If there is no photo yet.
            EquipoiseError: If a class is unknown.
        """
        session, checked, others, this, that, gamma, mode, opacity, safe, seen, wrt = given
        if session is None:
            raise OptionError("choose a photo first")
        session.stop.reset()
        session = session.slow() if slow else session
        session.stop.reset()
        scores, classes = ({value for _, value in offered(session)} for offered in (score_choices, class_choices))
        contrast = [f"contrast:{this}|{that}"] if this and that and {str(this), str(that)} <= classes else []
        chosen, added = (list(map(str, one)) if isinstance(one, list) else [] for one in (checked, others))
        targets = session.targets([*contrast, *(one for one in chosen if one in scores), *added])
        modes = modes_of(session)
        style = Style(
            mode if mode in modes else modes[0], within(opacity, 0, 1), "orange_blue" if safe else "red_blue",
            bool(seen),
        )  # fmt: skip
        named = wrt if wrt in [one.input for one in session.inputs] else None
        return cls(session, targets, within(gamma, 1, 2), style, named or None)

    @property
    def part(self) -> Session:
        """Of several inputs the one that is chosen, or the first."""
        return self.session.parts(self.wrt)[0]

    @property
    def asked(self) -> lines.Asked:
        """For lines and commands."""
        session = self.session
        dense = isinstance(session.network.reads, Reading)
        whole = dense and not isinstance(session.score(self.targets[0]), int)
        photo = {one.input: one.name for one in session.inputs} if session.input else session.name
        return lines.Asked(
            photo, session.network.name, tuple(self.targets), self.gamma, whole, self.wrt, self.part.input,
            flat=self.part.dims != 2,
        )  # fmt: skip


def network_choices(names: Sequence[str]) -> list[tuple[str, str]]:
    """The networks to choose from: a label, a file's without its folder where that is enough, and the name."""
    short = [Path(name).name if Path(name).is_file() else name for name in names]
    return [(one if short.count(one) == 1 else name, name) for one, name in zip(short, names, strict=True)]


def modes_of(session: Session) -> list[str]:
    """The ways in which the maps of every input can be drawn."""
    return [one for one in MODES if all(one in modes_for(part.dims) for part in session.inputs)]


def score_choices(session: Session) -> list[tuple[str, str]]:
    """What the network says of the photo, to choose from: a label, and the target."""
    return [(f"{one.name}, {sureness(one)}", str(one.index)) for one in session.scores]


def class_choices(session: Session) -> list[tuple[str, str]]:
    """Everything that the network tells apart, to search in: a label, and the target."""
    names = session.network.spec.classes
    # a detector's targets by index are boxes
    return [(f"{name} ({index})", name if session.offer.boxes else str(index)) for index, name in enumerate(names)]


@dataclass(frozen=True)
class TakeHome:
    """The lower part of a view: lines of Python, the command, and files."""

    python: gr.Code
    command: gr.Code
    button: gr.Button
    files: gr.File

    @classmethod
    def make(cls, name: str) -> TakeHome:
        """Lay it out here, by that name."""
        with gr.Accordion("Reproduce and download", open=False, elem_id=name):
            python = gr.Code(label="Python", language="python", interactive=False)
            command = gr.Code(label="Command", language="shell", interactive=False)
            button = gr.Button("Make files: PNG, raw map, JSON record", size="sm")
            made = gr.File(label="Files", file_count="multiple", interactive=False, visible=False)
        return cls(python, command, button, made)


def request_stop(session: Session | None) -> None:
    """Stop the visitor's work at the next forward pass."""
    if session is not None:
        session.halt()
