"""Hostile files through the real command, a folder of them, and through a served page: a line each, nothing left."""

import html
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("gradio", reason="the app's tests need gradio")

from visitor import Visitor

import hostile
from patience import PATIENCE

pytestmark = pytest.mark.slow

MANY, FEW = 2000, 200
VOLUMES = """
import torch
from torch import nn


def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
"""
DESCRIPTION = """
architecture = "hostile_volumes:build"
classes = ["calm", "quick", "ill"]
[preprocessing]
size = [4, 5, 6]
mean = [0.0]
std = [1.0]
"""
KINDS = {"photos": (hostile.PHOTOS, "colors:build"), "arrays": (hostile.ARRAYS, "volumes.toml")}


@pytest.fixture
def process(tmp_path, monkeypatch):
    """Start the library in a process of its own, where only what the test says is found; its files and its words."""
    (tmp_path / "hostile_volumes.py").write_text(VOLUMES)
    (tmp_path / "volumes.toml").write_text(DESCRIPTION)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    paths = [*os.environ.get("PYTHONPATH", "").split(os.pathsep), str(Path(__file__).parents[1] / "experiments")]
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(one for one in paths if one))

    started = []

    def run(*arguments):
        command = [sys.executable, "-m", "equipoise", *arguments]
        made = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # noqa: S603  # ourselves
        started.append(made)
        return made

    yield run
    for one in started:  # where a test failed
        one.kill()
        one.communicate()
    left = [one for one in temporary.rglob("*") if one.is_file() or not one.name.startswith("torchinductor")]
    assert left == []  # torch makes an empty folder when it is imported


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_explains_what_can_be_read_and_says_a_line_of_each_of_the_others(tmp_path, process, kind):
    kinds, model = KINDS[kind]
    given, keep = tmp_path / "given", tmp_path / "keep"
    given.mkdir()
    keep.mkdir()
    for path in hostile.files(given, 5, MANY, kinds):
        (keep / path.name).hardlink_to(path)
    looked_at = [one for one in keep.iterdir() if kind == "photos" or not one.name.endswith((".pt", ".pth"))]
    started = process("explain", "keep", "--model", model, "--method", "gradient", "--output", "out")
    out, err = started.communicate(timeout=PATIENCE)
    assert started.returncode == 2
    troubles = err.splitlines()
    form = re.compile(r"equipoise: keep/\d+\.[\w.]+[:# ]")
    assert [line for line in troubles if not form.match(line) or not line.isprintable()] == []
    explained = int(re.match(r"(\d+) photos? explained in", out.splitlines()[-1])[1])
    assert explained > 0
    assert explained + len(troubles) == len(looked_at)
    assert len({line.split(": ")[1] for line in troubles}) == len(troubles)
    assert len(list((tmp_path / "out").iterdir())) == 4 * explained
    assert "Traceback" not in out


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_says_a_sentence_of_each(tmp_path, process, kind):
    kinds, model = KINDS[kind]
    given = tmp_path / "given"
    given.mkdir()
    started = process("serve", "--model", model)
    address = started.stdout.readline().split()[4]
    place = "Photo: drop, paste or choose" if kind == "photos" else None
    with Visitor(address).here() as tab:
        if place is None:
            place = next(one["label"] for one in tab.parts.values() if (one.get("label") or "").startswith("Array"))
        said = []
        for path in hostile.files(given, 7, FEW, kinds):
            tab.opens(tab.upload(path.read_bytes(), path.name), place)
            words = html.unescape(re.sub("<[^>]+>", "", tab.says("status")))
            assert words.isprintable()
            assert len(words) < 1000
            assert "/" not in words.replace("and/or", ""), words  # a visitor need not know the server's folders
            said.append(words)
        assert 0 < said.count("") < FEW
        sent = [one for one in (tmp_path / "temporary").rglob("*") if one.is_file()]
        assert len(sent) <= FEW  # what was sent, until two hours later, and nothing made of it
        good = tmp_path / "good.png"
        hostile.Image.new("RGB", (40, 30), "red").save(good)
        if kind == "photos":
            tab.opens(tab.upload(good.read_bytes(), good.name), place).looks()
            assert "eq-view" in tab.says("explained")
    started.send_signal(signal.SIGINT)
    _, err = started.communicate(timeout=PATIENCE)
    assert "Traceback" not in err
    assert err.strip() in {"", "equipoise: interrupted"}
