"""The page of scenes: pick a scene, a network and a method, and see what the network used and what the map says."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import gradio as gr

from equipoise.app import markup
from equipoise.app.controls import complaint
from equipoise.app.following import Following
from equipoise.app.views import scenes
from equipoise.app.visitors import Visitors
from equipoise.datasets.scenes import COUNT
from equipoise.errors import EquipoiseError

PATH: Final = "scenes"
"""Of the page, below the address."""

FIRST_SHOWN: Final = 5
"""A scene of three objects."""


def add(blocks: gr.Blocks, visitors: Visitors) -> None:
    """Give the app this page, beside the one for photos.

    Args:
        blocks: The app.
        visitors: Who is there.
    """
    networks, methods = list(scenes.NETWORKS), list(scenes.METHODS)

    def show(network: str, number: float, method: str, request: gr.Request) -> Iterator[tuple[Any, str]]:
        """What the network used and what the map says; until it is there, how far it is."""
        try:
            stop = visitors.stop(str(request.session_hash))
            work = partial(scenes.show, network, int(number), method, stop)
            job = Following(method, work, stop, scenes.shared(network).lane)
            for state in job.states():
                yield gr.skip(), markup.working(state)
            yield job.result, ""
        except EquipoiseError as error:
            yield gr.skip(), complaint(error)

    def halt(request: gr.Request) -> None:
        visitors.halt(str(request.session_hash))

    with blocks.route("Scenes with known causes", PATH):
        gr.HTML(
            '<div class="eq-head"><h1>Which method can I trust?</h1><p>Drawn scenes: what the network used is known, '
            "because one thing can be taken away and all else stay. What does a map say of it?</p></div>"
        )
        with gr.Row(elem_id="scenes-now"):
            status = gr.HTML("", elem_id="scenes-status")
            stop = gr.Button("Stop", size="sm", scale=0, min_width=90, elem_id="scenes-stop")
        with gr.Row():
            network = gr.Dropdown(networks, value=networks[0], label="Network", elem_id="scenes-network")
            method = gr.Dropdown(methods, value=methods[0], label="Method", elem_id="scenes-method")
            number = gr.Slider(0, COUNT - 1, FIRST_SHOWN, step=1, label="Scene", elem_id="scenes-number")
        shown = gr.HTML("", elem_id="scenes")
        live: dict[str, Any] = {"concurrency_id": "scenes", "concurrency_limit": 16, "trigger_mode": "always_last"}
        moved = [network.change, method.change, number.change]
        gr.on([blocks.load, *moved], show, [network, number, method], [shown, status], show_progress="minimal", **live)
        stop.click(halt, None, None, queue=False, show_progress="hidden")
