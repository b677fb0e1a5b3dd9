"""Pictures of results keep their colors: text was purple once, when a figure had 128 of them."""

import io
import runpy
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]


def test_a_small_figure_has_its_own_colors(tmp_path):
    small = runpy.run_path(str(ROOT / "tools" / "results.py"))["small"]
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with Image.open(io.BytesIO(small(tmp_path / "a.png"))) as image:
        assert image.mode == "RGB"
        assert (np.asarray(image) == pixels).all()


def test_no_tool_cuts_colors():
    for tool in (ROOT / "tools").glob("*.py"):
        assert "quantize(" not in tool.read_text(encoding="utf-8"), tool
