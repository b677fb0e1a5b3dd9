"""The files that a visitor takes home from each view, made when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gradio as gr

from equipoise.app import files
from equipoise.app.controls import Choice
from equipoise.app.session import OWN
from equipoise.app.views import randomizing
from equipoise.errors import OptionError

if TYPE_CHECKING:
    from pathlib import Path

Contents = Callable[..., dict[str, bytes]]
"""From the values of controls to files by name."""


def written(folder: Path, contents: Contents) -> Callable[..., tuple[Any]]:
    """Writes them, and shows them."""

    def make(*given: Any) -> tuple[Any]:
        return (gr.update(value=files.write(folder, contents(*given)), visible=True),)

    return make


def explained(*values: Any) -> dict[str, bytes]:
    """Of the first view."""
    choice = Choice.of(values)
    return files.of_maps(choice.session, choice.targets, [OWN], choice.gamma, choice.style, wrt=choice.wrt)


def compared(*given: Any) -> dict[str, bytes]:
    """Of "Compare"; what was compared is not made anew."""
    *values, fast, slow = given
    choice = Choice.of(values, slow=True)
    return files.of_maps(choice.session, choice.targets, [*fast, *slow], choice.gamma, choice.style, wrt=choice.wrt)


def inserted(*given: Any) -> dict[str, bytes]:
    """Of "Insert and delete"."""
    *values, made = given
    choice = Choice.of(values)
    if made is None:
        raise OptionError("ask the network first; then there are curves to save")
    return files.of_curves(choice.session, made, choice.style)


def randomized(*given: Any) -> dict[str, bytes]:
    """Of "Sanity"."""
    *values, depth = given
    choice = Choice.of(values)
    place = min(int(depth), len(randomizing.steps(choice.session)) - 1)
    return files.of_randomized(choice.part, choice.targets[0], choice.gamma, place, choice.style)


def covered(*values: Any) -> dict[str, bytes]:
    """Of "Coverage"."""
    choice = Choice.of(values)
    return files.of_coverage(choice.part, choice.targets[0], choice.gamma, choice.style)
