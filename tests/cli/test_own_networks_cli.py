"""``--model package.module:build`` means the same to every command."""

import json

import pytest

import equipoise as library
from equipoise.cli import main

SOURCE = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)]
    return nn.Sequential(*layers)
"""


@pytest.fixture
def run(monkeypatch, capsys, tmp_path, photo):
    """Run ``equipoise`` in a folder with a photo and a module of the user's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    (tmp_path / "module_of_mine.py").write_text(SOURCE)
    photo()

    def call(*arguments):
        status = main(list(arguments))
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    yield call
    __import__("sys").modules.pop("module_of_mine", None)


def test_explain(run, tmp_path):
    status, out, err = run("explain", "cat.png", "--model", "module_of_mine:build", "--method", "gradient", "--json")
    assert status == 0
    assert err.splitlines()[0].startswith("note: no preprocessing was given, so photos are resized to 256")
    assert "class 0 to class 2" in err.splitlines()[1]
    document = json.loads(out)
    assert document["model"]["name"] == "module_of_mine:build"
    assert len(document["explanations"][0]["notes"]) == 2
    right = library.explain(tmp_path / "cat.png", "module_of_mine:build", "gradient")
    assert [one["logit"] for one in document["scores"]] == [one.logit for one in right.scores]


def test_notes_on_the_network_are_said_once(run, photo):
    photo("dog.png")
    _, out, err = run("explain", "cat.png", "dog.png", "--model", "module_of_mine:build", "--method", "gradient")
    assert err.count("no preprocessing was given") == 1
    assert "note" not in out


def test_list_layers(run):
    status, out, err = run("list", "layers", "--model", "module_of_mine:build")
    assert (status, err) == (0, "")
    assert "6 x 222 x 222" in out


def test_serve_loads_it(run, monkeypatch):
    from equipoise.app import server
    from equipoise.app.networks import Networks

    seen = []
    monkeypatch.setattr(server, "serve", lambda names, **_: seen.append(Networks(names)[names[0]]) or 0)
    assert run("serve", "--model", "module_of_mine:build")[0] == 0
    assert seen[0].name == "module_of_mine:build"
    assert len(seen[0].notes) == 2


@pytest.mark.parametrize(("model", "words"), [
    ("module_of_mine:nothing", "module_of_mine has no nothing"),
    ("no_such_module:build", "cannot import no_such_module"),
    (":build", "cannot import"),
    ("module_of_mine:torch", "is no function that makes a network"),
])  # fmt: skip
@pytest.mark.parametrize("command", [("explain", "cat.png"), ("list", "layers")])
def test_what_leads_nowhere_is_one_line(run, command, model, words):
    status, out, err = run(*command, "--model", model)
    assert (status, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
