"""What the page's controls share: the photo input, the visitor's choice, and what is said when something is wrong."""

from __future__ import annotations

import html
import importlib.resources
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import gradio as gr
from PIL import Image

from equipoise.app import lines, markup
from equipoise.app.drawing import Style
from equipoise.app.networks import CancelledError, Networks
from equipoise.app.session import Session
from equipoise.errors import EquipoiseError, OptionError
from equipoise.images import one_line, read_image
from equipoise.report import data_uri, thumbnail

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


@dataclass(frozen=True)
class PageContent:
    """What the page is made of.

    Attributes:
        networks: The networks offered; the first is chosen at first.
        examples: Photos offered.
        folder: Where downloads are written.
    """

    networks: Networks
    examples: tuple[Path, ...]
    folder: Path


def text_of(name: str) -> str:
    """A file of this package."""
    return (importlib.resources.files("equipoise.app") / name).read_text(encoding="utf-8")


def examples_html(paths: Sequence[Path]) -> str:
    """A button with a small picture for each example that can be read."""
    buttons = []
    for index, path in enumerate(paths):
        try:
            small = data_uri(thumbnail(read_image(path).resize((168, 128), Image.Resampling.LANCZOS)))
        except EquipoiseError:
            continue
        name = html.escape(one_line(path.name))
        buttons.append(
            f'<button type="button" data-example="{index}"><img src="{small}" alt="Example {name}"></button>'
        )
    return f'<div class="eq-examples" role="group" aria-label="Example photos">{"".join(buttons)}</div>'


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
    indices: list[int]
    gamma: float
    style: Style

    @classmethod
    def of(cls, given: Sequence[Any]) -> Choice:
        """From the values of `Controls.all`.

        Raises:
            OptionError: If there is no photo yet.
            EquipoiseError: If a class is unknown.
        """
        session, checked, others, gamma, mode, opacity, safe = given
        if session is None:
            raise OptionError("choose a photo first")
        session.stop.reset()
        indices = session.classes([*checked, *others])
        return cls(session, indices, float(gamma), Style(mode, opacity, "orange_blue" if safe else "red_blue"))

    @property
    def asked(self) -> lines.Asked:
        """For lines and commands."""
        return lines.Asked(self.session.name, self.session.network.name, tuple(self.indices), self.gamma)


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
