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


SAID = ("--classes", "names.txt", "--size", "40", "--mean", ".5,.5,.5", "--std", ".5,.5,.5", "--activation", "sigmoid")


@pytest.fixture
def run(monkeypatch, capsys, tmp_path, photo):
    """Run ``equipoise`` in a folder with a photo and a module of the user's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    (tmp_path / "module_of_mine.py").write_text(SOURCE)
    (tmp_path / "names.txt").write_text("ant\nbee\ncat\n")
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

    def served(names, *, loader, **_):
        seen.append(Networks(names, loader)[names[0]])
        return 0

    monkeypatch.setattr(server, "serve", served)
    assert run("serve", "--model", "module_of_mine:build")[0] == 0
    assert seen[0].name == "module_of_mine:build"
    assert len(seen[0].notes) == 2
    assert run("serve", "--model", "module_of_mine:build", *SAID)[0] == 0
    assert seen[1].notes == ()
    assert seen[1].spec.classes == ("ant", "bee", "cat")
    assert seen[1].spec.preprocessing.crop == (40, 40)
    assert seen[1].spec.task == "multi-label"


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


def test_explain_is_told_what_it_does_not_know(run):
    status, out, err = run(
        "explain", "cat.png", "--model", "module_of_mine:build", "--method", "gradient", "--json", *SAID
    )
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert document["model"]["task"] == "multi-label"
    assert document["model"]["preprocessing"]["crop"] == [40, 40]
    sure = {one["name"]: one["probability"] for one in document["scores"]}
    assert sure.keys() == {"ant", "bee", "cat"}
    assert all(0 < one < 1 for one in sure.values())


def test_list_layers_is_told_the_size(run):
    status, out, _ = run("list", "layers", "--model", "module_of_mine:build", *SAID)
    assert status == 0
    assert "6 x 38 x 38" in out


def test_a_description_on_the_command_line_and_in_a_file_reproduce_the_same(run, tmp_path, data_of_three):
    (tmp_path / "mynet.toml").write_text(
        'architecture = "module_of_mine:build"\nclasses = "names.txt"\n'
        "[preprocessing]\nsize = 40\nmean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]\n"
    )
    common = (
        "reproduce",
        "fig10",
        "--dataset",
        "folder",
        "--data",
        data_of_three,
        "--method",
        "grad_cam",
        "--no-photos",
    )
    status, _, err = run(*common, "--model", "mynet.toml", "--output", "one")
    assert status == 0, err
    told = ("--classes", "names.txt", "--size", "40", "--mean", ".5,.5,.5", "--std", ".5,.5,.5")
    status, _, err = run(*common, "--model", "module_of_mine:build", *told, "--output", "two")
    assert status == 0, err
    rows = [numbers(tmp_path / folder) for folder in ("one", "two")]
    assert rows[0] == rows[1]
    assert rows[0]
    status, _, _ = run(*common, "--model", "module_of_mine:build", "--output", "two", "--resume")
    assert numbers(tmp_path / "two") != rows[1]  # another size: nothing of the other run is taken for this one's


def numbers(folder):
    import pyarrow.parquet as pq

    rows = pq.read_table(folder / "rows.parquet").to_pylist()
    return [{key: value for key, value in row.items() if key not in {"model", "seconds"}} for row in rows]


@pytest.fixture
def data_of_three(tmp_path):
    from PIL import Image

    for index, name in enumerate(("ant", "bee", "cat")):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number in range(2):
            Image.effect_noise((48, 48), 40 + 20 * index + number).convert("RGB").save(folder / f"{number}.png")
    return str(tmp_path / "photos")


def test_what_is_said_is_said_of_one_network(run):
    status, out, err = run("serve", "--model", "module_of_mine:build,efficientnet_lite0", "--size", "40")
    assert (status, out) == (2, "")
    assert "--size say something of one --model, and 2 are named" in err
    status, _, err = run("reproduce", "fig10", "--model", "a,b", "--classes", "names.txt", "--dataset", "folder")
    assert status == 2
    assert "--classes say something of one --model" in err


@pytest.mark.parametrize(("options", "words"), [
    (("--activation", "relu"), "activation is 'relu'; choose from softmax, sigmoid, none"),
    (("--task", "guess"), "task is 'guess'; choose from classification"),
    (("--in-chans", "0"), "--in-chans is 0"), (("--in-chans", "1"), "module_of_mine:build is no function"),
    (("--classes", "absent.txt"), "absent.txt cannot be read"), (("--size", "4,5,6,7"), "preprocessing.size"),
])  # fmt: skip
@pytest.mark.parametrize("command", [("explain", "cat.png"), ("list", "layers"), ("reproduce", "fig10"), ("serve",)])
def test_what_cannot_be_said_is_one_line_in_every_command(run, command, options, words):
    if command[0] == "reproduce" and options == ("--in-chans", "1"):
        pytest.skip("it asks for the data first")
    status, out, err = run(*command, "--model", "module_of_mine:build", *options)
    assert (status, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
