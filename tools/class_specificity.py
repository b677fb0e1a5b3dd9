"""How much each method's maps of two classes of one photo differ.

    EQUIPOISE_DATA=FOLDER python tools/class_specificity.py

Writes into the methods' cards (`method_cards`) Pearson's correlation, over the pixels, of the heat maps of the two
classes that are in a photo, by the bundled EfficientNet-Lite0. 1: the map does not depend on the class.
"""

from __future__ import annotations

import os
import warnings
from importlib.metadata import version
from pathlib import Path

import torch
from method_cards import keep
from PIL import Image
from torch import Tensor, nn

import equipoise
from equipoise.errors import EquipoiseError
from equipoise.methods import METHODS

# Photos of the data set cats_dogs that show two kinds of animal, with a class of ImageNet for each.
PHOTOS = {
    "cat_dog.png": (243, 282),
    "dog_bird.png": (161, 88),
    "dog_cat_white.jpg": (207, 281),
    "zebra_elephant1.jpg": (340, 386),
    "zebra_elephant2.jpg": (340, 386),
    "zebra_elephant3.jpg": (340, 386),
    "zebra_elephant4.jpg": (340, 386),
}


def correlation(model: nn.Module, image: Tensor, classes: tuple[int, int], method: str) -> float:
    """Pearson's correlation of the two classes' heat maps of one image ``(1, 3, h, w)``."""
    found = equipoise.attribute(model, image, torch.tensor([classes]), method=method)
    return float(torch.corrcoef(equipoise.heatmap(found)[0].flatten(1).double())[0, 1])


def main() -> None:
    folder = Path(os.environ["EQUIPOISE_DATA"]) / "cats_dogs" / "two_object"
    model, spec = equipoise.load_model("efficientnet_lite0")
    images = {name: spec.preprocess(Image.open(folder / name).convert("RGB"))[None] for name in PHOTOS}
    found: dict[str, list[float] | None] = {}
    for method in METHODS:
        pairs = [] if METHODS[method].costly else list(PHOTOS.items())  # costly ones are not measured, for time
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                values = [round(correlation(model, images[name], pair, method), 3) for name, pair in pairs]
            found[method] = values
        except EquipoiseError:
            found[method] = None  # the section on networks says why
        print(method, found[method], flush=True)
    packages = {name: version(name).partition("+")[0] for name in ("torch", "timm", "captum")}
    keep("classes", {"network": spec.name, "photos": list(PHOTOS), "versions": packages}, found)


if __name__ == "__main__":
    main()
