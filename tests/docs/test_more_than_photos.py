"""The page on signals, volumes and several inputs runs as it stands, from its own text."""

import re
from pathlib import Path

from PIL import Image

PAGE = Path(__file__).parents[2] / "docs" / "more-than-photos.md"


def test_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    exec(compile("\n".join(blocks), str(PAGE), "exec"), {"__name__": "page"})  # noqa: S102  # the page's own code
    for name in ("heart.png", "slices.png"):
        with Image.open(tmp_path / name) as picture:
            assert len(picture.convert("RGB").getcolors(1 << 20)) > 10
