"""An explanation in a notebook: the photo under its map, how opaque the map is, and each pixel's relevance.

Plain HTML with a few lines of script, no widgets: it stays what it is in a notebook that is exported or reopened, and
where scripts are taken out, the picture is there all the same.
"""

from __future__ import annotations

import base64
import html
import json
import uuid
from typing import TYPE_CHECKING, Final

import numpy as np

from equipoise import records
from equipoise.methods.base import title_of
from equipoise.naming import named, sureness
from equipoise.wording import WORDINGS

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from equipoise.plot.panels import Shown

MOST: Final = 6
"""Of more targets than these a notebook gets one picture of all: a cell should stay light."""

_STYLE: Final = (
    "<style>.eqn{display:inline-block;margin:0 1em 1em 0;max-width:100%;vertical-align:top;font:13px/1.45 system-ui,"
    "sans-serif}.eqn b{font-size:1.05em}.eqn-pictures{position:relative;width:WIDTHpx;max-width:100%;cursor:crosshair}"
    ".eqn-pictures img{display:block;width:100%;margin:0}.eqn-pictures img+img{position:absolute;left:0;top:0}"
    ".eqn output{display:block;min-height:1.45em;opacity:.8}.eqn input{vertical-align:middle}</style>"
)
_SCRIPT: Final = """<script>(() => {
  const root = document.getElementById("ID");
  const {values, scale, rows, columns, place, words} = DATA;
  const bytes = Uint8Array.from(atob(values), (letter) => letter.charCodeAt(0));
  const map = new Int16Array(bytes.buffer);
  const over = root.querySelectorAll("img")[1], said = root.querySelector("output");
  root.querySelector("input").addEventListener("input", (event) => { over.style.opacity = event.target.value; });
  root.querySelector(".eqn-pictures").addEventListener("pointermove", (event) => {
    const frame = event.currentTarget.getBoundingClientRect();
    const x = (event.clientX - frame.left) / frame.width, y = (event.clientY - frame.top) / frame.height;
    const column = Math.floor((x - place[0]) / (place[2] - place[0]) * columns);
    const row = Math.floor((y - place[1]) / (place[3] - place[1]) * rows);
    if (row < 0 || column < 0 || row >= rows || column >= columns) { said.textContent = words[3]; return; }
    const value = map[row * columns + column] * scale;
    said.textContent = `row ${row}, column ${column}: ${value.toPrecision(3)}, ${words[1 - Math.sign(value)]}`;
  });
})();</script>"""


def view(shown: Shown, side: int) -> str | None:
    """An explanation as HTML.

    Args:
        shown: Of a photo.
        side: Longer side of its pictures in pixels, at most.

    Returns:
        ``None`` for what has no such view: signals, volumes, and more than `MOST` targets.
    """
    if shown.kind != "photo" or len(shown.targets) > MOST:
        return None
    return "".join(map(_figure, shown.thumbnail(side).parts()))


def _figure(one: Shown) -> str:
    name = f"eqn-{uuid.uuid4().hex[:12]}"
    (target,), wording = one.targets, WORDINGS[one.record["model"].get("task") or "classification"]
    values = one.heatmap.double().cpu().numpy()
    kept, scale = _shortened(values)
    width, height = one.image.size
    left, top, right, bottom = one.box
    data = {
        "values": base64.b64encode(kept.astype("<i2").tobytes()).decode(),
        "scale": scale,
        "rows": values.shape[0],
        "columns": values.shape[1],
        "place": [left / width, top / height, right / width, bottom / height],
        "words": [wording.pointed[0], "no evidence", wording.pointed[1], "the network did not see this part"],
    }
    title = html.escape(f"{named(target)}, {sureness(target)}")
    label = html.escape(f"{title_of(one.record['method']['name'])}, {one.record['model']['name']}")
    return (
        f'<figure class="eqn" id="{name}">{_STYLE.replace("WIDTH", str(width))}<b>{title}</b><br>{label}'
        f'<div class="eqn-pictures"><img alt="" src="{_address(one.image)}">'
        f'<img alt="{title}: {label}" src="{_address(one.overlay())}"></div>'
        '<label>map <input type="range" min="0" max="1" step="0.01" value="1"></label>'
        f"<output></output></figure>{_SCRIPT.replace('ID', name).replace('DATA', json.dumps(data))}"
    )


def _shortened(values: NDArray[np.float64]) -> tuple[NDArray[np.int16], float]:
    """A map in 16 bits a value, and the value of one step."""
    finite = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    scale = float(np.abs(finite).max()) / 32767 or 1.0
    return np.rint(finite / scale).astype(np.int16), scale


def _address(picture: Image.Image) -> str:
    """A picture as an address that holds it."""
    return f"data:image/jpeg;base64,{base64.b64encode(records.encoded(picture.convert('RGB'), 'JPEG')).decode()}"
