"""Networks of several inputs from files to pictures: in Python, by a description, on the command line."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import equipoise
from equipoise.cli import main
from equipoise.errors import DescriptionError, EquipoiseError, OptionError, ShapeError
from equipoise.loading import load
from equipoise.models import ArrayPreprocessing, Preprocessing

SOURCE = """
import torch
from torch import nn


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.color, self.depth, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(1, 4, 3), nn.Linear(8, 3)
        self.bent = nn.ReLU()

    def forward(self, image, depth):
        seen = [self.color(image).relu().mean((2, 3)), self.bent(self.depth(depth)).mean((2, 3))]
        return self.head(torch.cat(seen, 1))


def build():
    torch.manual_seed(4)
    return Pair().eval()
"""
DESCRIPTION = """
architecture = "{module}:build"
classes = ["cup", "bowl", "jar"]
[inputs.image]
size = 32
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]
[inputs.depth]
size = [16, 24]
crop_mode = "squash"
mean = [0.5]
std = [0.5]
"""
PREPARES = {
    "image": Preprocessing((32, 32), (32, 32), "center", mean=(0.5,) * 3, std=(0.25,) * 3),
    "depth": Preprocessing((16, 24), (16, 24), "squash", mean=(0.5,), std=(0.5,)),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two photos and their depths, as arrays; a network of both, described."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    module = f"pairs_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{module}.py").write_text(SOURCE)
    (tmp_path / "pair.toml").write_text(DESCRIPTION.format(module=module))
    random = np.random.default_rng(0)
    for place in ("photos", "depths"):
        (tmp_path / place).mkdir()
    for name in ("a", "b"):
        pixels = (random.random((40, 48, 3)) * 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{name}.png")
        np.save(tmp_path / "depths" / f"{name}.npy", random.random((1, 16, 24), dtype=np.float32))
    return __import__(module)


def prepared(name):
    image = PREPARES["image"](Image.open(f"photos/{name}.png").convert("RGB"))[None]
    depth = (torch.from_numpy(np.load(f"depths/{name}.npy"))[None] - 0.5) / 0.5
    return {"image": image, "depth": depth}


def sources(name="a"):
    return {"image": f"photos/{name}.png", "depth": f"depths/{name}.npy"}


@pytest.mark.parametrize("method", ["gradient", "ae", "grad_cam", "occlusion"])
def test_each_input_is_explained_as_by_attribute(folder, method):
    network, inputs = folder.build(), prepared("a")
    options = {"window": 8, "stride": 8} if method == "occlusion" else {}
    found = equipoise.explain(sources(), "pair.toml", method, "bowl", **options)
    assert list(found) == ["image", "depth"]
    for key, one in found.items():
        bounds = {"input_bounds": PREPARES[key].bounds()} if method == "ae" else {}
        right = equipoise.attribute(network, inputs, 1, method=method, wrt=key, **options, **bounds)[0]
        torch.testing.assert_close(one.attribution, right, rtol=1e-4, atol=1e-6)
        assert one.target.name == "bowl"
        assert one.target.logit == pytest.approx(network(**inputs)[0, 1].item(), abs=1e-5)
        assert one.record["input"] == key
        assert one.record["model"]["name"] == "pair.toml"
        assert one.notes == ()
        assert one.overlay().size == one.image.size


def test_python_takes_a_module_and_one_input_by_name_or_place(folder):
    network = folder.build()
    whole = equipoise.explain(sources(), "pair.toml", "gradient", 1)
    names = ["cup", "bowl", "jar"]
    both = equipoise.explain(
        tuple(sources().values()), network, "gradient", 1, preprocess=tuple(PREPARES.values()), classes=names
    )
    assert [one.record["input"] for one in both] == [0, 1]
    for one, same in zip(both, whole.values(), strict=True):
        torch.testing.assert_close(one.attribution, same.attribution)
        assert one.target.name == "bowl"
    depth = equipoise.explain(sources(), network, "gradient", 1, preprocess=PREPARES, wrt="depth")
    torch.testing.assert_close(depth.attribution, whole["depth"].attribution)
    layered = equipoise.explain(sources(), "pair.toml", "grad_cam", 1, wrt="depth", layer="depth")
    assert layered.heatmap.shape == (16, 24)


def test_what_is_passed_as_it_is(tmp_path):
    class Aged(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Conv1d(1, 4, 3), nn.Linear(5, 2)

        def forward(self, signal, age):
            return self.head(torch.cat([self.body(signal).relu().mean(2), age], 1))

    torch.manual_seed(0)
    network, values = Aged().eval(), np.random.default_rng(0).random((1, 30), dtype=np.float32)
    age = torch.tensor([[0.7]])
    how = (ArrayPreprocessing((30,)), None)
    (found,) = equipoise.explain((values, age), network, "gradient", 0, preprocess=how)
    right = equipoise.attribute(network, (torch.from_numpy(values)[None], age), 0, method="gradient", wrt=0)[0]
    torch.testing.assert_close(found.attribution, right)
    assert found.kind == "signal"
    with pytest.raises(OptionError, match="wrt is 1, and the inputs that can be explained are 0"):
        equipoise.explain((values, age), network, "gradient", 0, preprocess=how, wrt=1)


def test_the_command_line_and_the_report(folder, capsys):
    asked = ["explain", "image=photos", "depth=depths", "--model", "pair.toml", "--method", "gradient,ae"]
    assert main([*asked, "--target", "bowl", "--json", "--report", "why.html", "--output", "out"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    documents = [json.loads(line) for line in out.splitlines()]
    assert [(one["input"], one["image"]["path"]) for one in documents] == [
        ("image", "photos/a.png"), ("depth", "depths/a.npy"), ("image", "photos/b.png"), ("depth", "depths/b.npy"),
    ]  # fmt: skip
    network = folder.build()
    for name, document in zip("aabb", documents, strict=True):
        right = network(**prepared(name))[0].tolist()
        assert {one["index"]: one["logit"] for one in document["scores"]} == pytest.approx(
            dict(enumerate(right)), abs=1e-5
        )
    with Image.open("out/a.inputs.png") as beside, Image.open("photos/a.png") as one:
        assert beside.width > 3 * one.width  # a column for each input and its map
    report = open("why.html").read()  # noqa: PTH123, SIM115
    assert set(re.findall(r'data-filter="(\w+)"', report)) >= {"input", "method"}
    assert main(["explain", "image=photos/a.png", "depth=depths/b.npy", "--model", "pair.toml"]) == 0
    capsys.readouterr()


def test_one_input_alone_on_the_command_line(folder, capsys, tmp_path):
    asked = ["explain", "image=photos/a.png", "depth=depths/a.npy", "--model", "pair.toml", "--method", "gradient"]
    assert main([*asked, "--json", "--wrt", "depth", "--output", "one", "--report", "one.html"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    (document,) = [json.loads(line) for line in out.splitlines()]
    assert document["input"] == "depth"
    assert not list((tmp_path / "one").glob("*.image.*"))
    assert not list((tmp_path / "one").glob("*.inputs.png"))
    assert main([*asked, "--json", "--output", "each"]) == 0
    capsys.readouterr()
    (name,) = [path.name for path in (tmp_path / "one").glob("*.safetensors")]
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "each" / name).read_bytes()


@pytest.mark.parametrize(("more", "words"), [
    (
        ["image=photos/a.png", "depth=depths/a.npy", "--model", "pair.toml", "--wrt", "dept"],
        "--wrt: no input is called 'dept'; did you mean 'depth'? pair.toml takes image, depth",
    ),
    (["photos/a.png", "--wrt", "depth"], "--wrt depth names one of several inputs, and efficientnet_lite0 takes one"),
])  # fmt: skip
def test_an_input_that_is_none_is_said_before_any_work(folder, capsys, tmp_path, more, words):
    assert main(["explain", *more, "--output", "out"]) == 2
    assert capsys.readouterr().err == f"equipoise: {words}\n"
    assert not (tmp_path / "out").exists()


def test_the_layers_of_each_input(folder, capsys):
    assert main(["list", "layers", "--model", "pair.toml"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["color", "Conv2d", *["4", "x", "30", "x", "30"]],
        ["depth", "Conv2d", *["4", "x", "14", "x", "22"]],
        ["bent", "ReLU", *["4", "x", "14", "x", "22"], "default", "of", "depth"],  # the other is no module's output
    ]
    assert main(["list", "layers", "--model", "pair.toml", "--size", "8"]) == 2
    assert "it cannot be said of all at once" in capsys.readouterr().err


@pytest.mark.parametrize("command", [
    ["reproduce", "insertion", "--dataset", "folder", "--data", "photos"], ["attribute", "photos", "--output", "maps"],
])  # fmt: skip
def test_what_takes_one_input_says_what_takes_several(folder, capsys, command):
    pytest.importorskip("pyarrow", reason="the tests of whole data sets need pyarrow")
    assert main([*command, "--model", "pair.toml", "--method", "gradient"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "equipoise: pair.toml describes a network of the inputs image, depth, and one input is needed here; "
        "equipoise.explain, equipoise serve, equipoise list layers and equipoise explain image=FILE_OR_FOLDER "
        "depth=FILE_OR_FOLDER take it"
    )


@pytest.mark.parametrize(("images", "words"), [
    (["photos/a.png"], "takes the inputs image, depth: give image=FILE depth=FILE"),
    (["image=photos/a.png"], "nothing is given for the input 'depth'; the network takes image, depth"),
    (["image=photos/a.png", "dept=depths/a.npy"], "no input is called 'dept'; did you mean 'depth'?"),
    (["image=photos/a.png", "depth=depths/c.npy"], "depths/c.npy: no such file"),
    (["image=photos", "depth=depths/a.npy"], "photos/b.png has no depth"),
])  # fmt: skip
def test_what_is_wrong_on_the_command_line_is_one_line(folder, capsys, images, words):
    status = main(["explain", *images, "--model", "pair.toml", "--method", "gradient"])
    assert status == 2
    err = capsys.readouterr().err
    assert words in err
    assert sum(line.startswith("equipoise: ") for line in err.splitlines()) == 1


def test_an_array_that_does_not_fit_costs_itself_alone(folder, capsys, tmp_path):
    np.save("depths/a.npy", np.zeros(5, dtype=np.float32))
    asked = ["explain", "image=photos", "depth=depths", "--model", "pair.toml", "--method", "gradient"]
    assert main([*asked, "--output", "out"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("equipoise: a: input 'depth': the array is (5,), and the network takes 1 channel")
    assert {path.name.partition(".")[0] for path in (tmp_path / "out").iterdir()} == {"b"}


def test_what_is_wrong_is_one_sentence(folder, tmp_path):
    network = folder.build()
    for given, more, words in (
        (sources(), {}, "needs preprocess= of each"),
        ({"image": "photos/a.png"}, {"preprocess": PREPARES}, "nothing is given for the input 'depth'"),
        ({**sources(), "dept": 1}, {"preprocess": PREPARES}, "no input is called 'dept'; did you mean 'depth'"),
        (sources(), {"preprocess": PREPARES, "wrt": "dept"}, "wrt is 'dept'"),
        ("photos/a.png", {"wrt": "image"}, "wrt names one of several inputs"),
    ):
        with pytest.raises(EquipoiseError, match=re.escape(words)) as caught:
            equipoise.explain(given, network, "gradient", **more)
        assert "\n" not in str(caught.value)
    np.save("flat.npy", np.zeros(5, dtype=np.float32))
    with pytest.raises(ShapeError, match=r"^input 'depth': the array is \(5,\), and the network takes 1 channel"):
        equipoise.explain({**sources(), "depth": "flat.npy"}, "pair.toml", "gradient")
    with pytest.raises(OptionError, match="a network of the inputs image, depth, and one input is needed here"):
        load("pair.toml")
    text = (tmp_path / "pair.toml").read_text()
    for old, new, words in (
        ("mean = [0.5]\n", "", "has no inputs.depth.mean, which nothing else tells"),
        ("crop_mode", "crop_mod", "no key inputs.depth.crop_mod; did you mean inputs.depth.crop_mode?"),
        ("[inputs.image]", "[preprocessing]\nsize = 8\n[inputs.image]", "preprocessing is said of each input"),
    ):
        (tmp_path / "wrong.toml").write_text(text.replace(old, new))
        with pytest.raises(DescriptionError, match=re.escape(words)):
            equipoise.explain(sources(), "wrong.toml", "gradient")
