"""``equipoise explain --format``: figures beside the files that always are."""

import json

import pytest
from PIL import Image

ALWAYS = {f"cat.share.1-egyptian_cat{kind}" for kind in (".overlay.png", ".heatmap.png", ".safetensors", ".json")}


def test_formats_are_additional(equipoise, photo, tmp_path):
    photo()
    flags = ("--format", "pdf,png", "--format", "svg", "--dpi", "100", "--width", "column")
    status, out, err = equipoise("explain", "cat.png", "--method", "share", *flags)
    assert (status, err) == (0, "")
    made = {f"cat.figure.{kind}{more}" for kind in ("png", "pdf", "svg") for more in ("", ".caption.txt")}
    assert {path.name for path in (tmp_path / "equipoise-out").iterdir()} == ALWAYS | made
    for name in made:
        assert f"equipoise-out/{name}" in out
    with Image.open(tmp_path / "equipoise-out" / "cat.figure.png") as figure:
        assert figure.width == 350
    caption = (tmp_path / "equipoise-out" / "cat.figure.png.caption.txt").read_text()
    assert "share on fake/rednet: Egyptian cat (1), " in caption


def test_json_names_the_figures(equipoise, photo):
    photo()
    _, out, _ = equipoise("explain", "cat.png", "--method", "share", "--json", "--format", "svg", "--scale", "shared")
    document = json.loads(out)
    assert document["figures"] == [f"equipoise-out/cat.figure.svg{more}" for more in ("", ".caption.txt")]
    _, out, _ = equipoise("explain", "cat.png", "--method", "share", "--json")
    assert "figures" not in json.loads(out)


def test_a_palette_is_that_of_all_pictures(equipoise, photo, tmp_path):
    photo()
    flags = ("--cmap", "even_green_purple", "--report", "why.html", "--format", "png")
    assert equipoise("explain", "cat.png", "--method", "share", "--target", "0", *flags)[0] == 0
    with Image.open(tmp_path / "equipoise-out" / "cat.share.0-red_thing.heatmap.png") as heatmap:
        left, top = (heatmap.width - 32) // 2, heatmap.height // 2  # the map's 32 pixels are in the middle
        (red, green, blue), (less, least, more) = (heatmap.getpixel((left + x, top)) for x in (2, 29))
    assert green > max(red, blue) + 30
    assert min(less, more) > least + 20
    assert "Green pixels speak for the class" in (tmp_path / "why.html").read_text()
    assert "Green pixels" in (tmp_path / "equipoise-out" / "cat.figure.png.caption.txt").read_text()


def test_a_folder_is_explained_without_its_figures(equipoise, photo, tmp_path):
    photo("in/cat.png")
    for _ in range(2):
        status, out, _ = equipoise("explain", "in", "--method", "share", "--format", "png", "--output", "in", "--json")
        assert status == 0
        assert len(out.splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--format", "tiff"), "no format is called 'tiff'"),
        (("--cmap", "jet"), "no palette is called 'jet'"),
        (("--width", "colum"), "did you mean column"),
        (("--scale", "each"), "no scale is called 'each'"),
        (("--dpi", "3"), "dpi is 3"),
    ],
)
def test_what_is_wrong_costs_a_line(equipoise, photo, tmp_path, flags, words):
    photo()
    status, out, err = equipoise("explain", "cat.png", "--method", "share", *flags)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert words in err
    assert not (tmp_path / "equipoise-out").exists()
