"""The page on signals, volumes and several inputs runs as it stands, from its own text."""

import re
import shlex
from pathlib import Path

from PIL import Image

from equipoise.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "more-than-photos.md"


def test_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 5
    exec(compile("\n".join(blocks), str(PAGE), "exec"), {"__name__": "page"})  # noqa: S102  # the page's own code
    (command,), (description,) = (
        re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL) for kind in ("sh", "toml")
    )
    (network,) = re.findall(r"class Pair.*?return self.head[^\n]*\n", "\n".join(blocks), re.DOTALL)
    (tmp_path / "mypair.py").write_text(
        f"import torch\nfrom torch import nn\n\n\n{network}\n\ndef build():\n    return Pair()\n"
    )
    (tmp_path / "pair.toml").write_text(description)
    monkeypatch.syspath_prepend(tmp_path)
    program, *words = shlex.split(command)
    assert program == "equipoise"
    assert main(words) == 0
    assert (tmp_path / "why.html").is_file()
    for name in ("heart.png", "slices.png", "depth.png", "equipoise-out/a.inputs.png"):
        with Image.open(tmp_path / name) as picture:
            assert len(picture.convert("RGB").getcolors(1 << 20)) > 10
