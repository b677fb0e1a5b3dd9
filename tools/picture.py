"""Make the pictures docs/images/coffee.png and fine.png with the bundled network.

python tools/picture.py
"""

import tempfile
from pathlib import Path

from PIL import Image

import equipoise
from equipoise.cli import main
from equipoise.samples import sample_path

IMAGES = Path(__file__).parent.parent / "docs" / "images"
TARGET = IMAGES / "coffee.png"
WIDTH = 1200


def make() -> None:
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["explain", str(sample_path("coffee.png")), "--target", "espresso,plate"]
        main([*arguments, "--method", "ae,c*EB,lrp_composite,rsp,agf", "--output", folder])
        (montage,) = Path(folder).glob("*.montage.png")
        picture = Image.open(montage).convert("RGB")
        picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
        picture.save(TARGET, optimize=True)


def profiles() -> None:
    """Two photos, each as the network sees it, and its class by two profiles of Attribution Equilibrium."""
    rows = []
    for name in ("coffee.png", "chelsea.png"):
        found = [equipoise.explain(sample_path(name), profile=profile) for profile in ("paper", "fine")]
        maps = [one.heatmap_image(percentile=99.8) for one in found]
        photo = found[0].image.convert("RGB")
        side = min(photo.size)
        left, top = (photo.width - side) // 2, (photo.height - side) // 2
        middle = photo.crop((left, top, left + side, top + side)).resize(maps[0].size)
        rows.append([middle, *maps])
    width, height = rows[0][0].size
    sheet = Image.new("RGB", (width * 3, height * len(rows)))
    for down, row in enumerate(rows):
        for across, cell in enumerate(row):
            sheet.paste(cell, (across * width, down * height))
    sheet.save(IMAGES / "fine.png", optimize=True)


if __name__ == "__main__":
    make()
    profiles()
