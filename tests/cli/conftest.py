import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent / "explanation"))
import fake_net

from equipoise import models
from equipoise.cli import main
from equipoise.methods import METHODS


@pytest.fixture
def fakes(monkeypatch):
    """Every model is the fake one; ``loaded`` tells how often one was asked for."""
    loaded = []

    def load_model(name, weights=None, device=None):
        loaded.append((name, weights, device))
        return fake_net.model()

    monkeypatch.setattr(models, "load_model", load_model)
    spec = fake_net.model()[1]
    known = SimpleNamespace(classes=len(spec.classes), preprocessing=spec.preprocessing)
    monkeypatch.setattr("equipoise.models.zoo.find", lambda _: known)
    fake_methods = {"share": fake_net.InputTimesWeight, "coarse": fake_net.CoarseMap}
    monkeypatch.setattr(METHODS, "_entries", fake_methods)
    monkeypatch.setattr(METHODS, "_aliases", {})
    return loaded


@pytest.fixture
def equipoise(fakes, capsys, monkeypatch, tmp_path):
    """Run a command in an empty folder: status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def photo(tmp_path):
    """Write a photo by name."""

    def write(name="cat.png", size=(80, 40)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.new("RGB", size, (0, 0, 255))
        image.paste((255, 0, 0), (0, 0, size[0] // 2, size[1]))
        image.save(path)
        return path

    return write
