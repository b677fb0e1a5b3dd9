"""Pictures of results are small and keep their colors: text was purple once, when a figure had 128 of them."""

import io
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"


@pytest.fixture(scope="module")
def tool():
    sys.path.insert(0, str(ROOT / "tools"))
    found = runpy.run_path(str(ROOT / "tools" / "results.py"))
    sys.path.remove(str(ROOT / "tools"))
    return found


def test_a_small_figure_has_its_own_colors(tool, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    ending, content = tool["small"](tmp_path / "a.png")
    with Image.open(io.BytesIO(content)) as image:
        assert (ending, image.format, image.mode) == ("png", "PNG", "RGB")
        assert (np.asarray(image) == pixels).all()


def maps(side=900):
    """Grains on red and on blue, as maps over photos have them, and black letters above them on white."""
    grains = [Image.effect_noise((side, side), 90).filter(ImageFilter.GaussianBlur(2)) for _ in range(3)]
    found = Image.blend(Image.merge("RGB", grains), Image.new("RGB", (side, side), (255, 0, 0)), 0.5)
    blue = Image.blend(Image.merge("RGB", grains), Image.new("RGB", (side, side), (0, 0, 255)), 0.5)
    found.paste(blue.crop((side // 2, 0, side, side)), (side // 2, 0))
    found.paste((255, 255, 255), (0, 0, side, 160))
    ImageDraw.Draw(found).text((40, 40), "Attribution Equilibrium", (0, 0, 0), font_size=60)
    return found


def test_a_figure_of_many_maps_is_a_fraction_with_its_letters_black_and_its_colors_true(tool, tmp_path):
    (tmp_path / "fig9-some").mkdir()
    maps().save(tmp_path / "fig9-some" / "fig9-bins.png")
    ((name, content),) = tool["figures"](tmp_path / "fig9-some").items()
    assert name == "fig9-some-bins.jpg"
    assert len(content) < 0.5 * (tmp_path / "fig9-some" / "fig9-bins.png").stat().st_size
    before = np.asarray(Image.open(tmp_path / "fig9-some" / "fig9-bins.png")).astype(int)
    after = np.asarray(Image.open(io.BytesIO(content))).astype(int)
    assert np.ptp(after[:150], axis=-1).max() <= 3, "letters are gray"
    assert np.abs(after - before)[:150].mean() < 1
    assert np.abs(after - before).mean() < 3
    edge = np.abs(after - before)[170:, 448:452]
    assert edge.mean() < 6, "red and blue keep their edge"


def test_a_figure_of_another_kind_leaves_no_old_one(tool, tmp_path, monkeypatch):
    run, pages = tmp_path / "fig9-some", tmp_path / "pages"
    for folder in (run, pages):
        folder.mkdir()
    monkeypatch.setitem(tool["put"].__globals__, "page", lambda _run, shown: "\n".join(shown))
    maps().save(run / "fig9-bins.png")
    tool["put"](run, pages)
    assert {one.name for one in pages.iterdir()} == {"fig9-some.md", "fig9-some-bins.jpg"}
    Image.new("RGB", (30, 20), "red").save(run / "fig9-bins.png")
    tool["put"](run, pages)
    assert {one.name for one in pages.iterdir()} == {"fig9-some.md", "fig9-some-bins.png"}
    assert (pages / "fig9-some.md").read_text(encoding="utf-8") == "fig9-some-bins.png"


def test_every_picture_is_shown_by_a_page_and_small(tool):
    there = {path.name: path.stat().st_size for path in RESULTS.iterdir() if path.suffix in {".png", ".jpg"}}
    pages = "\n".join(path.read_text(encoding="utf-8") for path in RESULTS.glob("*.md"))
    assert set(re.findall(r"!\[[^]]*]\(([^)]+)\)", pages)) == set(there)
    assert {name: size for name, size in there.items() if size > tool["LARGE"]} == {}


def test_no_tool_cuts_colors():
    for tool in (ROOT / "tools").glob("*.py"):
        assert "quantize(" not in tool.read_text(encoding="utf-8"), tool
