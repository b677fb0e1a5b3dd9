"""The picture of each method's page: what it says of the same two photos.

    python tools/method_pictures.py [NAME ...]

Writes docs/images/methods/NAME.jpg for every method, or for those named. Of a method that does not run on the bundled
network the picture is by examples/squeezenet.py, whose weights are in the folder of data sets, and its page says so.
"""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path

from PIL import Image

import equipoise
from equipoise.errors import EquipoiseError, UnsupportedModelError
from equipoise.methods import METHODS
from equipoise.records import write_atomically
from equipoise.samples import sample_path

FOLDER = Path(__file__).parents[1] / "docs" / "images" / "methods"
PHOTOS = {"chelsea.png": "Egyptian cat", "coffee.png": "espresso"}
"""Photos that installed packages bring, and the class that is explained."""
HEIGHT, GAP = 256, 8
BUNDLED, OTHER = "efficientnet_lite0", "examples.squeezenet:build"


def picture(method: str) -> Image.Image:
    """The maps over both photos, side by side.

    Raises:
        EquipoiseError: If the method runs on neither network.
    """
    try:
        return _picture(method, BUNDLED)
    except UnsupportedModelError:
        return _picture(method, OTHER)


def _picture(method: str, network: str) -> Image.Image:
    drawn = []
    for photo, target in PHOTOS.items():
        seen = equipoise.explain(sample_path(photo), network, method, target)
        over = seen.overlay().convert("RGB")
        drawn.append(over.resize((round(over.width * HEIGHT / over.height), HEIGHT), Image.Resampling.LANCZOS))
    sheet = Image.new("RGB", (sum(one.width for one in drawn) + GAP, HEIGHT), "white")
    sheet.paste(drawn[0], (0, 0))
    sheet.paste(drawn[1], (drawn[0].width + GAP, 0))
    return sheet


def main(names: list[str]) -> None:
    sys.path.insert(0, str(Path(__file__).parents[1]))  # where examples is
    FOLDER.mkdir(parents=True, exist_ok=True)
    for method in names or METHODS:
        held = io.BytesIO()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                picture(method).save(held, "JPEG", quality=85, optimize=True)
        except EquipoiseError as error:
            print(f"{method}: {error}", flush=True)
            continue
        write_atomically(FOLDER / f"{method}.jpg", held.getvalue())
        print(method, len(held.getvalue()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
