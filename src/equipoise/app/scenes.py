"""The page of scenes: pick a scene, a network and a method, and see what the network used and what the map says."""

from __future__ import annotations

from typing import Any, Final

import gradio as gr

from equipoise.app.controls import guarded
from equipoise.app.views import scenes
from equipoise.datasets.scenes import COUNT

PATH: Final = "scenes"
"""Of the page, below the address."""

FIRST_SHOWN: Final = 5
"""A scene of three objects."""


def add(blocks: gr.Blocks) -> None:
    """Give the app this page, beside the one for photos.

    Args:
        blocks: The app.
    """
    networks, methods = list(scenes.NETWORKS), list(scenes.METHODS)
    with blocks.route("Scenes with known causes", PATH):
        gr.HTML(
            '<div class="eq-head"><h1>Which method can I trust?</h1><p>Drawn scenes: what the network used is known, '
            "because one thing can be taken away and all else stay. What does a map say of it?</p></div>"
        )
        status = gr.HTML("", elem_id="scenes-status")
        with gr.Row():
            network = gr.Dropdown(networks, value=networks[0], label="Network", elem_id="scenes-network")
            method = gr.Dropdown(methods, value=methods[0], label="Method", elem_id="scenes-method")
            number = gr.Slider(0, COUNT - 1, FIRST_SHOWN, step=1, label="Scene", elem_id="scenes-number")
        shown = gr.HTML("", elem_id="scenes")
        inputs = [network, number, method]
        live: dict[str, Any] = {"concurrency_id": "scenes", "concurrency_limit": 1, "trigger_mode": "always_last"}
        moved = [network.change, method.change, number.change]
        gr.on([blocks.load, *moved], guarded(_show, 1), inputs, [shown, status], show_progress="minimal", **live)


def _show(network: str, number: float, method: str) -> tuple[str]:
    return (scenes.show(network, int(number), method),)
