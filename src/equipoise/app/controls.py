"""What the page's controls share: the photo input, the visitor's choice, and what is said when something is wrong."""

from __future__ import annotations

import html
import importlib.resources
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import gradio as gr
from PIL import Image

from equipoise.app import lines, markup
from equipoise.app.drawing import Style
from equipoise.app.examples import example_arrays, example_photos
from equipoise.app.networks import CancelledError, Networks
from equipoise.app.session import Explained, Session
from equipoise.arrays import ARRAY_EXTENSIONS, is_array_file
from equipoise.errors import EquipoiseError, OptionError
from equipoise.images import one_line, read_image
from equipoise.methods.reading import Reading
from equipoise.models.array_preprocessing import ArrayPreprocessing
from equipoise.models.own_preprocessing import OwnPreprocessing
from equipoise.naming import sureness
from equipoise.report import data_uri, thumbnail

if TYPE_CHECKING:
    from equipoise.network import Network

BOXED: Final = "element.addEventListener('eq-boxed', (event) => trigger('select', event.detail));"
"""Tells the server of a box that inspector.js saw dragged over a map."""

PICKED: Final = """element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-example]');
  if (button) trigger('select', { index: Number(button.dataset.example) });
});"""
"""Tells the server which example was chosen, by its number."""


def photo_input(**options: Any) -> gr.Image:
    """An image input that hands over the path as it is: only `equipoise.images` decodes what a visitor sends.

    Args:
        options: Of ``gradio.Image``.
    """
    photo = gr.Image(**options)
    # set on the object, since gradio writes a stub file beside the source of every subclass
    photo.preprocess = lambda payload: None if payload is None else payload.path  # type: ignore[method-assign]  # as said
    return photo


def array_input(**options: Any) -> gr.File:
    """A file input for arrays; `equipoise.arrays` reads them, and no file of theirs can run code.

    Args:
        options: Of ``gradio.File``.
    """
    endings = sorted({ending.rpartition(".")[2] for ending in ARRAY_EXTENSIONS})
    return gr.File(file_types=[f".{ending}" for ending in endings], file_count="single", type="filepath", **options)


def takes(network: Network) -> tuple[bool, bool]:
    """Whether a network's page asks for photos, and whether for arrays."""
    preprocessing = network.spec.preprocessing
    photos = not isinstance(preprocessing, ArrayPreprocessing)
    usual = isinstance(preprocessing, OwnPreprocessing) or preprocessing.channels in {1, 3}
    return photos, not (photos and usual)


@dataclass(frozen=True)
class PageContent:
    """What the page is made of.

    Attributes:
        networks: The networks offered; the first is chosen at first.
        given: Photos offered with every network; ``None``: with each its own, or the samples.
        folder: Where downloads are written; nothing else is read by the browser.
    """

    networks: Networks
    given: tuple[Path, ...] | None
    folder: Path

    def examples(self, model: str) -> tuple[Path, ...]:
        """The photos or arrays offered with a network.

        Raises:
            EquipoiseError: If it cannot be loaded, or the folder of its own holds no photos.
        """
        if self.given is not None:
            return self.given
        network = self.networks[model]
        photos, arrays = takes(network)
        if not arrays:
            return example_photos(network.examples)
        return example_arrays(network.examples, photos=photos)

    def picked(self, model: str, index: object) -> Path | None:
        """A copy of an example where the browser may read it; ``None`` if there is no such example."""
        photos = self.examples(model)
        if not isinstance(index, int) or not 0 <= index < len(photos):
            return None
        place = self.folder / secrets.token_hex(8)
        place.mkdir(parents=True)
        return Path(shutil.copy(photos[index], place / photos[index].name))


def text_of(name: str) -> str:
    """A file of this package."""
    return (importlib.resources.files("equipoise.app") / name).read_text(encoding="utf-8")


def examples_html(paths: Sequence[Path]) -> str:
    """A button for each example, with a small picture of a photo that can be read, or the name of an array."""
    buttons = []
    for index, path in enumerate(paths):
        name = html.escape(one_line(path.name))
        shown = f'<span class="eq-file">Example {name}</span>'
        if not is_array_file(path):
            try:
                small = data_uri(thumbnail(read_image(path).resize((168, 128), Image.Resampling.LANCZOS)))
            except EquipoiseError:
                continue
            shown = f'<img src="{small}" alt="Example {name}">'
        buttons.append(f'<button type="button" data-example="{index}">{shown}</button>')
    return f'<div class="eq-examples" role="group" aria-label="Example photos">{"".join(buttons)}</div>'


def known_html(network: Network) -> str:
    """What becomes of photos before the network sees them, and what was assumed of it; each is said once."""
    words = "" if "preprocessing" in network.assumed else getattr(network.spec.preprocessing, "words", "")
    what = "Photos" if takes(network)[0] else "Arrays"
    told = f'<p class="eq-known">{what} are {html.escape(words)}.</p>' if words else ""
    assumed = "".join(f"<li>{html.escape(one_line(note))}</li>" for note in network.notes)
    if assumed:
        told += f'<div class="eq-note eq-assumed"><p>What was assumed of this network</p><ul>{assumed}</ul></div>'
    return told


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


def complaint(error: EquipoiseError) -> str:
    """What a visitor reads of an error."""
    if isinstance(error, CancelledError):
        return markup.message("Stopped.")
    return markup.message(one_line(error), error=True)


@dataclass(frozen=True)
class Choice:
    """What the controls say."""

    session: Session
    targets: list[Explained]
    gamma: float
    style: Style

    @classmethod
    def of(cls, given: Sequence[Any]) -> Choice:
        """From the values of `Controls.all`.

        Raises:
            OptionError: If there is no photo yet.
            EquipoiseError: If a class is unknown.
        """
        session, checked, others, this, that, gamma, mode, opacity, safe, seen = given
        if session is None:
            raise OptionError("choose a photo first")
        session.stop.reset()
        contrast = [f"contrast:{this}|{that}"] if this and that else []
        targets = session.targets([*contrast, *checked, *others])
        style = Style(mode, opacity, "orange_blue" if safe else "red_blue", bool(seen))
        return cls(session, targets, float(gamma), style)

    @property
    def asked(self) -> lines.Asked:
        """For lines and commands."""
        session = self.session
        dense = isinstance(session.network.reads, Reading)
        whole = dense and not isinstance(session.score(self.targets[0]), int)
        return lines.Asked(session.name, session.network.name, tuple(self.targets), self.gamma, whole)


def network_choices(names: Sequence[str]) -> list[tuple[str, str]]:
    """The networks to choose from: a label, a file's without its folder where that is enough, and the name."""
    short = [Path(name).name if Path(name).is_file() else name for name in names]
    return [(one if short.count(one) == 1 else name, name) for one, name in zip(short, names, strict=True)]


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
    def make(cls) -> TakeHome:
        """Lay it out here."""
        with gr.Accordion("Reproduce and download", open=False):
            python = gr.Code(label="Python", language="python", interactive=False)
            command = gr.Code(label="Command", language="shell", interactive=False)
            button = gr.Button("Make files: PNG, raw map, JSON record", size="sm")
            made = gr.File(label="Files", file_count="multiple", interactive=False, visible=False)
        return cls(python, command, button, made)


def request_stop(session: Session | None) -> None:
    """Stop the visitor's work at the next forward pass."""
    if session is not None:
        session.stop.request()
