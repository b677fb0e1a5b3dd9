"""The tutorial works as it stands: its script trains, its commands run, its Python says what it says."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import equipoise
from equipoise.app import server
from equipoise.cli import main
from equipoise.models.description import read_description

PAGE = Path(__file__).parents[2] / "docs" / "your-network.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)


def blocks(kind):
    return [text for name, text in BLOCKS if name == kind]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    script, *_ = blocks("python")
    (tmp_path / "train.py").write_text(script)
    yield tmp_path
    sys.modules.pop("train", None)


def test_the_tutorial(folder, monkeypatch, capsys):
    commands = [shlex.split(line) for line in blocks("sh")[0].splitlines()]
    assert len(commands) == 5
    here = {"PYTHONPATH": str(Path(equipoise.__file__).parents[1])}
    monkeypatch.setenv("PYTHONPATH", here["PYTHONPATH"])
    subprocess.run([sys.executable, *commands[0][1:]], check=True)  # noqa: S603
    shown = []
    monkeypatch.setattr(server, "serve", lambda names, **more: shown.append((names, more)) or 0)
    for command in commands[1:]:
        assert command[0] == "equipoise"
        assert main(command[1:]) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert "0 to fill in" in out
    said = read_description(folder / "mynet.toml")
    assert said.architecture == "bundled/efficientnet_lite0"
    assert said.said.changes["mean"] == (0.5, 0.5, 0.5)
    page = (folder / "why.html").read_text(encoding="utf-8")
    assert all(name in page for name in ("disc", "square", "triangle", "cross"))
    table = (folder / "table" / "table.md").read_text(encoding="utf-8")
    assert "| AE" in table
    assert "| Grad-CAM" in table
    ((names, more),) = shown
    served = more["loader"](names[0])
    assert served.spec.classes == ("disc", "square", "triangle", "cross")
    assert served.notes == ()
    (written,) = blocks("toml")
    (folder / "shown.toml").write_text(written)
    told = read_description(folder / "shown.toml")
    assert told.said.classes == said.said.classes
    space = {}
    for block in blocks("python")[1:]:
        exec(compile(block, str(PAGE), "exec"), space)  # noqa: S102  # the page's own lines
    assert "cross rather than square" in capsys.readouterr().out
    right = [equipoise.explain(f"photos/images/{name}{number}.png", "mynet.toml", "gradient").target.name == name
             for number, name in enumerate(["disc", "square", "triangle", "cross"])]  # fmt: skip
    assert sum(right) >= 3


def test_every_target_of_the_page_exists():
    from equipoise import targets
    from equipoise.wanted import TEXTS

    for name in re.findall(r"`targets\.(\w+)", TEXT):
        assert callable(getattr(targets, name))
    for kind in re.findall(r"`(\w+):\w", TEXT):
        assert kind in TEXTS or kind == "hf"
