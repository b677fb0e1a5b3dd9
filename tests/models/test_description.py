"""A network described in a file: what it says is used, what is wrong with it is one sentence."""

import json

import pytest
import torch
from PIL import Image
from torch import nn

import equipoise
from equipoise.cli import main
from equipoise.errors import DescriptionError
from equipoise.models.description import read_classes, read_description


@pytest.fixture
def write(tmp_path):
    """A description, and beside it the weights of a small network of five classes."""
    (tmp_path / "makes_nets.py").write_text(
        "from torch import nn\n"
        "def build():\n"
        "    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)]\n"
        "    return nn.Sequential(*layers)\n"
    )
    torch.save(network().state_dict(), tmp_path / "mine.pth")
    (tmp_path / "names.txt").write_text("ant\nbee\ncat\ndog\nelk\n")

    def written(text):
        path = tmp_path / "mynet.toml"
        path.write_text(text)
        return str(path)

    return written


def network():
    torch.manual_seed(3)
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)]
    return nn.Sequential(*layers).eval()


WHOLE = """
architecture = "makes_nets:build"
weights = "mine.pth"
classes = "names.txt"

[preprocessing]
size = 48
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]
"""


@pytest.fixture
def described(write, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(tmp_path))
    yield write(WHOLE)
    __import__("sys").modules.pop("makes_nets", None)


def photo():
    return Image.effect_noise((80, 60), 80).convert("RGB")


def test_the_scores_are_the_users_own(described):
    image = photo()
    found = equipoise.explain(image, described, "gradient", "dog")
    assert found.notes == ()
    resized = image.resize((64, 48), Image.Resampling.BILINEAR).crop((8, 0, 56, 48))
    pixels = torch.frombuffer(bytearray(resized.tobytes()), dtype=torch.uint8).view(48, 48, 3).permute(2, 0, 1) / 255
    logits = network()((pixels[None] - 0.5) / 0.25)[0]
    assert found.target.logit == pytest.approx(logits[3].item(), abs=1e-5)
    assert found.record["model"]["name"] == "makes_nets:build"
    assert found.record["model"]["preprocessing"]["mean"] == [0.5, 0.5, 0.5]
    module, spec = equipoise.load_model(described)
    assert spec.classes == ("ant", "bee", "cat", "dog", "elk")
    assert torch.equal(module[0].weight, network()[0].weight)


def test_what_it_does_not_say_is_noted(write, described):
    del described
    found = equipoise.explain(photo(), write('architecture = "makes_nets:build"\nclasses = ["a", "b", "c", "d", "e"]'))
    assert "no preprocessing was given" in found.notes[0]
    assert not any("class names" in note for note in found.notes)


def test_every_command_takes_it(described, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    photo().save(tmp_path / "cat.png")
    assert (
        main(["explain", "cat.png", "--model", "mynet.toml", "--target", "elk", "--method", "gradient", "--json"]) == 0
    )
    out = json.loads(capsys.readouterr().out)
    assert out["explanations"][0]["target"]["name"] == "elk"
    assert main(["list", "layers", "--model", "mynet.toml"]) == 0
    assert "4 x 46 x 46" in capsys.readouterr().out


def test_a_registered_name_with_weights_of_its_own(write, tmp_path):
    model = equipoise.models.build("timm/test_resnet", 5)
    torch.save(model.state_dict(), tmp_path / "fine.pth")
    path = write(
        'architecture = "timm/test_resnet"\nweights = "fine.pth"\nclasses = "names.txt"\n[preprocessing]\nsize = 64'
    )
    found = equipoise.explain(photo(), path, "gradient")
    assert found.attribution.shape == (3, 64, 64)
    assert ["resized to 64 and cropped to 64" in note for note in found.notes] == [True]
    assert {score.name for score in found.scores} == {"ant", "bee", "cat", "dog", "elk"}
    bare = equipoise.loading.load("timm/test_resnet", weights=tmp_path / "fine.pth")
    assert set(bare.assumed) == {"preprocessing", "classes"}


def test_options_say_the_same_as_a_description(described, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    photo().save(tmp_path / "cat.png")
    method = ("--method", "gradient", "--json")
    main(["explain", "cat.png", "--model", "mynet.toml", *method])
    right = json.loads(capsys.readouterr().out)
    said = (
        "--weights",
        "mine.pth",
        "--classes",
        "names.txt",
        "--size",
        "48",
        "--mean",
        ".5,.5,.5",
        "--std",
        ".25,.25,.25",
    )
    assert main(["explain", "cat.png", "--model", "makes_nets:build", *said, *method]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    found = json.loads(out)
    assert found["scores"] == right["scores"]
    assert found["model"]["preprocessing"] == right["model"]["preprocessing"]
    assert main(["explain", "cat.png", "--model", "makes_nets:build", "--size", "48", *method]) == 0
    assert "what was not said of preprocessing is assumed: photos are resized to 48" in capsys.readouterr().err


@pytest.mark.parametrize(("options", "words"), [
    (("--size", "many"), "--size is 'many'"), (("--size", "-3"), "preprocessing.size is -3"),
    (("--mean", "1,2"), "preprocessing makes 2 channels (a mean each), and makes_nets:build takes 3"),
    (("--classes", "none.txt"), "none.txt cannot be read"),
    (("--classes", "two.txt"), "2 class names for makes_nets:build, which has 5 outputs"),
])  # fmt: skip
def test_options_that_cannot_be(described, tmp_path, monkeypatch, capsys, options, words):
    monkeypatch.chdir(tmp_path)
    photo().save(tmp_path / "cat.png")
    (tmp_path / "two.txt").write_text("a\nb")
    assert main(["explain", "cat.png", "--model", "makes_nets:build", "--method", "gradient", *options]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err


@pytest.mark.parametrize(("text", "words"), [
    ("architectur = 'a'", "no key architectur; did you mean architecture?"),
    ("classes = ['a']", "architecture is None"),
    ("architecture = 3", "architecture is 3"),
    ("architecture = 'x.toml'", "architecture is 'x.toml'"),
    ("architecture = 'a'\nweights = 'none.pth'", "weights is 'none.pth', and there is no file"),
    ("architecture = 'a'\nweights = 1", "weights is 1"),
    ("architecture = 'a'\nclasses = 7", "classes is 7"),
    ("architecture = 'a'\nclasses = [1]", "classes is [1]"),
    ("architecture = 'a'\noutput = true", "output is True"),
    ("architecture = 'a'\npreprocessing = 3", "preprocessing is 3"),
    ("architecture = 'a'\n[preprocessing]\nsise = 3", "no key preprocessing.sise; did you mean preprocessing.size?"),
    ("architecture = 'a'\n[preprocessing]\nsize = 0", "preprocessing.size is 0"),
    ("architecture = 'a'\n[preprocessing]\nsize = [3, 4, 5, 6]", "preprocessing.size is [3, 4, 5, 6]"),
    ("architecture = 'a'\n[preprocessing]\nmean = ['a']", "preprocessing.mean is ['a']"),
    ("architecture = 'a'\n[preprocessing]\nmean = [1, 2]\nstd = [1]", "2 numbers, as many as preprocessing.mean"),
    ("architecture = 'a'\n[preprocessing]\nstd = [1, 0, 1]", "positive numbers, one per channel"),
    ("architecture = 'a'\n[preprocessing]\nvalue_range = [1, 0]", "black below white"),
    ("architecture = 'a'\n[preprocessing]\ncolor_order = 'GBR'", "one of RGB, BGR"),
    ("architecture = 'a'\ntask = 'regresion'", "did you mean 'regression'?"),
    ("architecture = 'a'\nactivation = 'relu'", "one of softmax, sigmoid, none"),
    ("architecture = 'a'\nnum_classes = 0", "num_classes is 0"),
    ("architecture = 'a'\nexamples = 'nowhere'", "there is no folder"),
    ("architecture = 'a'\narguments = 3", "arguments is 3"),
    ("architecture = 'a'\n[preprocessing]\nfrom = 'none.json'", "preprocessing.from is 'none.json'"),
    ("architecture = 'a'\n[preprocessing]\ncrop_mode = 'middle'", "one of center, squash, border"),
    ("architecture = 'a'\n[preprocessing]\ninterpolation = 'cubic'", "one of nearest"),
    ("architecture = ", "is not TOML"),
])  # fmt: skip
def test_what_is_wrong_is_one_sentence_with_file_and_key(write, text, words):
    with pytest.raises(DescriptionError) as caught:
        equipoise.load_model(write(text))
    assert words in str(caught.value)
    assert "mynet.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_absent_description(tmp_path):
    with pytest.raises(DescriptionError, match=r"none\.toml: No such file"):
        read_description(tmp_path / "none.toml")


@pytest.mark.parametrize("text", [
    "a\n b \n\nc\n", '["a", "b", "c"]', '{"0": "a", "2": "c", "1": "b"}',
    '{"id2label": {"0": "a", "1": "b", "2": "c"}}',
])  # fmt: skip
def test_forms_of_class_files(tmp_path, text):
    (tmp_path / "names").write_text(text)
    assert read_classes(tmp_path / "names") == ("a", "b", "c")


@pytest.mark.parametrize("text", ["[1, 2]", '{"a": "b"}', "{}", "[", ""])
def test_files_without_names(tmp_path, text):
    (tmp_path / "names").write_text(text)
    with pytest.raises(DescriptionError):
        read_classes(tmp_path / "names")
