"""Make the README's picture, docs/images/coffee.png, with the bundled network.

python tools/picture.py
"""

import tempfile
from pathlib import Path

from PIL import Image

from equipoise.cli import main
from equipoise.samples import sample_path

TARGET = Path(__file__).parent.parent / "docs" / "images" / "coffee.png"
WIDTH = 1200


def make() -> None:
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["explain", str(sample_path("coffee.png")), "--target", "espresso,plate"]
        main([*arguments, "--method", "ae,c*EB,lrp_composite,rsp,agf", "--output", folder])
        (montage,) = Path(folder).glob("*.montage.png")
        picture = Image.open(montage).convert("RGB")
        picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
        picture.save(TARGET, optimize=True)


if __name__ == "__main__":
    make()
