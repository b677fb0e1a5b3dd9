"""Networks from one file: programs of `torch.export` and ONNX; a file that could run something is refused."""

import io
import json
import os
import pickle
import sys
import warnings
import zipfile
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from torch import nn

import equipoise
from equipoise.cli import main
from equipoise.errors import EquipoiseError, MissingPackageError, OptionError, UnsupportedModelError, WeightsError
from equipoise.loading import load
from equipoise.models.program_check import check_program

AUTO = torch.export.Dim.AUTO


def small(channels=3, classes=4):
    torch.manual_seed(0)
    layers = [nn.Conv2d(channels, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(6, classes)).eval()


def exported(network, path, *shape, dynamic=None):
    program = torch.export.export(network, (torch.rand(*shape),), dynamic_shapes=dynamic)
    torch.export.save(program, path)
    return str(path)


def photo():
    torch.manual_seed(9)
    return Image.fromarray((torch.rand(50, 60, 3) * 255).byte().numpy())


def test_what_the_file_says_of_its_input(tmp_path):
    path = exported(small(1), tmp_path / "net.pt2", 2, 1, 30, 40, dynamic=({0: AUTO},))
    found = load(path)
    assert (found.spec.preprocessing.crop, found.spec.preprocessing.channels) == ((30, 40), 1)
    assert found.spec.outputs == 4
    path = exported(small(), tmp_path / "net.pt2", 2, 3, 30, 40, dynamic=({0: AUTO, 2: AUTO, 3: AUTO},))
    assert load(path).spec.preprocessing.crop == (224, 224)
    assert load(path, changes={"crop": (20, 20), "resize": (20, 20)}).spec.preprocessing.crop == (20, 20)
    path = exported(small(), tmp_path / "net.pt2", 1, 3, 30, 30)
    found = equipoise.explain(photo(), path, "ae")
    right = equipoise.attribute(small(), load(path).prepare(photo()), found.target.index,
                                input_bounds=load(path).spec.input_bounds)  # fmt: skip
    torch.testing.assert_close(found.attribution, right[0], rtol=1e-5, atol=1e-6)


def test_a_signal(tmp_path):
    network = nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 3))
    path = exported(network.eval(), tmp_path / "net.pt2", 1, 2, 50)
    spec = load(path).spec
    assert (spec.preprocessing.size, spec.preprocessing.channels, spec.outputs) == ((50,), 2, 3)


def test_a_batch_of_one_is_enough_or_said_in_a_sentence(tmp_path):
    path = exported(small(), tmp_path / "net.pt2", 1, 3, 30, 30)
    equipoise.explain(photo(), path, "grad_cam", layer=None)
    with pytest.raises(EquipoiseError, match="export it with a dynamic batch size"):
        equipoise.explain(photo(), path, "occlusion")


@pytest.mark.parametrize("name", [
    "test_resnet", "test_convnext", pytest.param("test_efficientnet", marks=pytest.mark.slow),
    pytest.param("test_byobnet", marks=pytest.mark.slow),
])  # fmt: skip
def test_what_programs_say_is_not_taken_for_code(tmp_path, name):
    network = timm.create_model(name).eval()
    path = exported(network, tmp_path / "net.pt2", 2, 3, 96, 96, dynamic=({0: AUTO, 2: AUTO, 3: AUTO},))
    check_program(tmp_path / "net.pt2")
    image = torch.rand(3, 3, 64, 64)
    torch.testing.assert_close(load(path).module(image), network(image))


class Trap:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def rewritten(path, member, change):
    """The archive with another member, or one more."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    root = next(iter(content)).partition("/")[0]
    content[f"{root}/{member}"] = change(content.get(f"{root}/{member}"))
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def in_json(change):
    def changed(data):
        document = json.loads(data)
        change(document)
        return json.dumps(document)

    return changed


def sprung(folder):
    return f"__import__('os').mkdir({folder!r})"


def first_size(text):
    def change(document):
        sizes = document["graph_module"]["graph"]["tensor_values"]
        next(iter(sizes.values()))["sizes"][0] = {"as_expr": {"expr_str": text, "hint": {"as_int": 2}}}

    return change


def pickled(document):
    next(iter(document["config"].values()))["use_pickle"] = True


def test_nothing_in_a_file_runs(tmp_path):
    path, folder = tmp_path / "net.pt2", str(tmp_path / "sprung")
    trap = pickle.dumps(Trap(folder))
    packed = io.BytesIO()
    torch.save({"x": Trap(folder)}, packed)
    model = "models/model.json"
    cases = {
        "pickled object": ("data/weights/model_weights_config.json", in_json(pickled)),
        "holds data/constants/opaque_obj_0": ("data/constants/opaque_obj_0", lambda _: trap),
        "holds data/aotinductor": ("data/aotinductor/model/net.so", lambda _: b"x"),
        "sample inputs": ("data/sample_inputs/model.pt", lambda _: packed.getvalue()),
        "of a size": (model, in_json(first_size(sprung(folder)))),
        "says \"S('1')\" of a size": (model, in_json(first_size("S('1')"))),
        "says '().__class__' of a size": (model, in_json(first_size("().__class__"))),
        "the guard": (model, in_json(lambda document: document.update(guards_code=[sprung(folder)]))),
        "calls torch.os.mkdir": (
            model,
            in_json(lambda document: document["graph_module"]["graph"]["nodes"][0].update(target="torch.os.mkdir")),
        ),
        "says 'print(1)' of a size": (
            model, in_json(lambda document: document.update(range_constraints={"print(1)": {}})),
        ),
    }  # fmt: skip
    sound = Path(exported(small(), tmp_path / "sound.pt2", 2, 3, 30, 30, dynamic=({0: AUTO},))).read_bytes()
    for words, (member, change) in cases.items():
        path.write_bytes(sound)
        rewritten(path, member, change)
        with pytest.raises(WeightsError) as caught:
            load(str(path))
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
@pytest.mark.parametrize("content", [b"", b"no program", b"PK\x03\x04" + bytes(60)])
def test_damaged_files(tmp_path, suffix, content):
    (tmp_path / f"net{suffix}").write_bytes(content)
    with pytest.raises(EquipoiseError) as caught:
        load(str(tmp_path / f"net{suffix}"))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_renamed_to_a_program(tmp_path):
    torch.save(small().state_dict(), tmp_path / "net.pt2")
    with pytest.raises(WeightsError, match=r"holds data\.pkl, which no plain program has"):
        load(str(tmp_path / "net.pt2"))


class Two(nn.Module):
    def forward(self, x, y):
        return (x + y).mean((2, 3))


def test_what_is_wrong_is_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    program = torch.export.export(Two(), (torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8)))
    torch.export.save(program, "two.pt2")
    photo().save("photo.png")
    assert main(["explain", "photo.png", "--model", "two.pt2"]) == 2
    assert "two.pt2 takes 2 inputs" in capsys.readouterr().err
    assert main(["explain", "photo.png", "--model", "none.pt2"]) == 2
    assert capsys.readouterr().err == "equipoise: there is no file none.pt2\n"
    path = exported(small(), tmp_path / "net.pt2", 1, 3, 30, 30)
    with pytest.raises(OptionError, match="holds its own weights"):
        load(path, weights="w.pth")
    with pytest.raises(OptionError, match="takes no arguments"):
        load(path, arguments={"num_classes": 3})


@pytest.fixture
def onnx_file(tmp_path):
    """A function that writes a network as ONNX."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnx2torch")

    def written(network, shape):
        axes = {"x": {0: "n"}, "y": {0: "n"}}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter that needs no further package is an old one
            torch.onnx.export(network, (torch.rand(*shape),), str(tmp_path / "net.onnx"), dynamo=False,
                              opset_version=17, input_names=["x"], output_names=["y"], dynamic_axes=axes)  # fmt: skip
        return str(tmp_path / "net.onnx")

    return written


@pytest.mark.parametrize("name", [
    "test_resnet", "test_efficientnet", pytest.param("test_convnext", marks=pytest.mark.slow),
])  # fmt: skip
def test_onnx(onnx_file, name):
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=4).eval()
    path = onnx_file(network, (1, 3, 64, 64))
    found = equipoise.explain(photo(), path, "ae", 1)
    inputs = load(path).prepare(photo())
    assert inputs.shape == (1, 3, 64, 64)
    assert found.target.logit == pytest.approx(network(inputs)[0, 1].item(), abs=1e-5)
    right = equipoise.attribute(network, inputs, 1, input_bounds=load(path).spec.input_bounds)[0]
    assert (found.attribution - right).abs().max() <= 1e-5 * max(1, right.abs().max().item())


def test_onnx_that_cannot_be_converted(onnx_file):
    path = onnx_file(timm.create_model("test_nfnet").eval(), (1, 3, 64, 64))
    with pytest.raises(UnsupportedModelError, match=r"cannot be converted by onnx2torch: .*; export it with opset"):
        load(path)


def test_without_the_converter(tmp_path, monkeypatch):
    (tmp_path / "net.onnx").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "onnx2torch", None)
    with pytest.raises(MissingPackageError, match=r"pip install equipoise\[onnx\]"):
        load(str(tmp_path / "net.onnx"))
