"""``equipoise describe``: what can be found out is written, guesses are said, and every command reads the file."""

import argparse
import json
import tomllib

import pytest
import timm
import torch
from PIL import Image

from equipoise.cli import main
from equipoise.loading import load
from equipoise.models.description import read_description
from equipoise.models.hyperparameters import told_by

NAMES = ["ant", "bee", "cat"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def network(classes=3, channels=3):
    torch.manual_seed(1)
    return timm.create_model("test_resnet", num_classes=classes, in_chans=channels)


def described(*arguments):
    assert main(["describe", *arguments]) == 0
    read_description_again = read_description(__import__("pathlib").Path("mynet.toml"))
    with open("mynet.toml", "rb") as file:  # noqa: PTH123
        table = tomllib.load(file)
    assert read_description_again.architecture
    return table


def test_a_lightning_checkpoint(capsys):
    state = {f"model.{key}": value for key, value in network(channels=1).state_dict().items()}
    hyper = {"arch": "test_resnet", "class_names": NAMES, "img_size": 96, "mean": [0.5], "std": [0.25], "lr": 0.1}
    torch.save({"state_dict": state | {"loss.weight": torch.ones(3)}, "hyper_parameters": hyper}, "last.ckpt")
    table = described("last.ckpt")
    assert table["architecture"] == "timm/test_resnet"
    assert (table["weights"], table["num_classes"], table["in_chans"], table["classes"]) == ("last.ckpt", 3, 1, NAMES)
    assert {key: table["preprocessing"][key] for key in ("size", "mean", "std")} == {
        "size": 96, "mean": [0.5], "std": [0.25],
    }  # fmt: skip
    out = capsys.readouterr().out
    assert "guessed     architecture: its tensors have the names and shapes" in out
    assert "guessed     preprocessing.size, mean, std: a hyper-parameter of the checkpoint" in out
    found = load("mynet.toml")
    assert (found.assumed, found.spec.classes) == ({}, tuple(NAMES))
    Image.effect_noise((50, 40), 80).save("photo.png")
    assert main(["explain", "photo.png", "--model", "mynet.toml", "--method", "gradient"]) == 0


def test_a_state_dict_without_names(capsys):
    torch.save(
        {
            "state_dict": network(4).state_dict(),
            "args": argparse.Namespace(model="test_resnet", input_size=[3, 80, 80]),
        },
        "w.pth.tar",
    )
    table = described("w.pth.tar")
    assert table["preprocessing"]["size"] == 80
    assert "classes" not in table
    with open("mynet.toml") as file:  # noqa: PTH123
        text = file.read()
    assert '# classes = ...  # 4 names, ["first", "second"], or a file' in text
    assert 'crop_mode = "center"  # guessed: as for the architecture' in text
    assert "to fill in  classes: 4 names" in capsys.readouterr().out


def test_weights_of_a_name_and_of_a_function(here):
    torch.save(network().state_dict(), "w.pth")
    (here / "my_nets.py").write_text(
        "import timm\ndef build():\n    return timm.create_model('test_resnet', num_classes=3)\n"
    )
    table = described("timm/test_resnet", "--weights", "w.pth")
    assert (table["architecture"], table["weights"], table["num_classes"]) == ("timm/test_resnet", "w.pth", 3)
    table = described("my_nets:build", "--weights", "w.pth", "--force")
    assert (table["architecture"], table["weights"]) == ("my_nets:build", "w.pth")
    assert load("mynet.toml").spec.outputs == 3
    table = described("timm/test_resnet", "--force")
    assert table["preprocessing"]["size"] == 160


def test_a_folder_of_hugging_face(here):
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic",
                                       id2label=dict(enumerate(NAMES)))  # fmt: skip
    transformers.ResNetForImageClassification(config).save_pretrained("hf")
    transformers.ConvNextImageProcessor(size={"shortest_edge": 48}).save_pretrained("hf")
    table = described("hf", "--output", "mynet.toml")
    assert table == {"architecture": "hf:hf"}
    text = (here / "mynet.toml").read_text()
    assert '# classes = ["ant", "bee", "cat"]' in text
    assert "# size = 48" in text
    (here / "sub").mkdir()
    assert main(["describe", "hf", "--output", "sub/net.toml"]) == 0
    assert load("sub/net.toml").spec.classes == tuple(NAMES)
    assert load("sub/net.toml").spec.preprocessing.crop == (48, 48)


def test_a_program(here):
    program = torch.export.export(network().eval(), (torch.rand(1, 3, 64, 64),))
    (here / "nets").mkdir()
    torch.export.save(program, "nets/net.pt2")
    table = described("nets")
    assert (table["architecture"], table["preprocessing"]["size"]) == ("nets/net.pt2", 64)
    assert load("mynet.toml").spec.outputs == 3


def test_weights_of_nothing_known(capsys):
    torch.save({"a.weight": torch.ones(2, 3), "b.c": torch.ones(2)}, "odd.pt")
    table = described("odd.pt")
    assert (table["architecture"], table["weights"]) == ("package.module:build", "odd.pt")
    assert "to fill in  architecture" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "words"), [
    (["none.pth"], "there is no weights file none.pth"), (["timm/none"], "no model is called"),
    (["w.pth", "--weights", "w.pth"], "w.pth holds weights already"), (["w.pth", "--output", "x.txt"], ".toml file"),
    (["w.pth", "--output", "none/x.toml"], "there is no folder none"),
    (["two"], "not one file of weights (a.pth, b.pth)"),
    (["w.pth", "--output", "there.toml"], "there.toml is there already; --force overwrites it"),
    (["there.toml"], "there.toml is a description already"),
])  # fmt: skip
def test_what_is_wrong_is_one_line(here, capsys, arguments, words):
    torch.save(network().state_dict(), "w.pth")
    (here / "two").mkdir()
    for name in ("a.pth", "b.pth"):
        (here / "two" / name).write_bytes(b"")
    (here / "there.toml").write_text("x = 1")
    assert main(["describe", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err
    assert (here / "there.toml").read_text() == "x = 1"


@pytest.mark.parametrize(("content", "count", "names"), [
    ({"classes": NAMES}, 3, NAMES), ({"hyper_parameters": {"id2label": {"0": "a", "1": "b"}}}, 2, ["a", "b"]),
    ({"args": argparse.Namespace(class_to_idx={"b": 1, "a": 0})}, 2, ["a", "b"]), ({"classes": NAMES}, 4, None),
    ({"names": {0: "a", 2: "b"}}, 2, None), ({"classes": [1, 2]}, 2, None), ({"labels": "abc"}, 3, None), ([], 3, None),
])  # fmt: skip
def test_names_in_a_checkpoint(content, count, names):
    assert told_by(content).names(count) == (None if names is None else tuple(names))


@pytest.mark.parametrize(("hyper", "found"), [
    ({"image_size": [96, 128]}, {"size": [96, 128]}), ({"img_size": 0}, {}), ({"mean": [0.5]}, {}),
    ({"mean": [0.5], "std": [0.0]}, {}), ({"mean": [1, 2], "std": [3, 4]}, {"mean": [1.0, 2.0], "std": [3.0, 4.0]}),
    ({"size": "big", "mean": "x", "std": [float("nan")]}, {}),
])  # fmt: skip
def test_preprocessing_in_a_checkpoint(hyper, found):
    assert json.loads(json.dumps(told_by({"hyper_parameters": hyper}).preprocessing)) == found
