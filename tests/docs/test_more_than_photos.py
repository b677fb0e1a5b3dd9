"""The page on signals, volumes and several inputs runs as it stands, from its own text."""

import re
import shlex
from pathlib import Path

from PIL import Image

from equipoise.app import server
from equipoise.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "more-than-photos.md"


def test_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 5
    exec(compile("\n".join(blocks), str(PAGE), "exec"), {"__name__": "page"})  # noqa: S102  # the page's own code
    (command, others), (description,) = (
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
    served = []
    monkeypatch.setattr(server, "serve", lambda names, **more: served.append(more["loader"](names[0])) or 0)
    for line in others.splitlines():
        assert main(shlex.split(line)[1:]) == 0
    assert list(served[0].prepares) == ["image", "depth"]
    assert "depth  Conv2d  4 x 14 x 22" in capsys.readouterr().out
    for name in ("heart.png", "slices.png", "depth.png", "equipoise-out/a.inputs.png"):
        with Image.open(tmp_path / name) as picture:
            assert len(picture.convert("RGB").getcolors(1 << 20)) > 10
