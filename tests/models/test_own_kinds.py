"""Every form in which a network of one's own comes: scores, maps, names and sizes as in the user's own code."""

import gc
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torchvision.transforms import v2

import equipoise
from equipoise.cli import main
from equipoise.loading import load, load_kept

NAMES = ("ant", "bee", "cat")
SIZE = 64
TRANSFORM = v2.Compose([
    v2.Resize(SIZE), v2.CenterCrop(SIZE), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True),
    v2.Normalize((0.5, 0.4, 0.3), (0.25, 0.2, 0.3)),
])  # fmt: skip
PREPROCESSING = f"[preprocessing]\nsize = {SIZE}\nmean = [0.5, 0.4, 0.3]\nstd = [0.25, 0.2, 0.3]\n"
MAKES = """
import timm
def build(num_classes=3):
    return timm.create_model("test_resnet", num_classes=num_classes)
"""


def moved(network):
    """Statistics as after training, so that batch norm does something."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.2, 0.2)
            layer.running_var.uniform_(0.5, 2)
    return network.eval()


def network():
    torch.manual_seed(5)
    return moved(timm.create_model("test_resnet", num_classes=3))


def state_dict(folder):
    torch.save(network().state_dict(), folder / "mine.pth")
    return 'architecture = "timm/test_resnet"\nweights = "mine.pth"\n', network(), TRANSFORM


def safetensors(folder):
    save_file(network().state_dict(), folder / "mine.safetensors")
    return 'architecture = "timm/test_resnet"\nweights = "mine.safetensors"\n', network(), TRANSFORM


def lightning(folder):
    weights = {f"model.{key}": value for key, value in network().state_dict().items()}
    others = {"criterion.weight": torch.ones(3), "train_acc.tp": torch.zeros(3)}
    saved = {"epoch": 3, "state_dict": weights | others, "hyper_parameters": {"lr": 0.1}, "callbacks": {}}
    torch.save(saved, folder / "last.ckpt")
    return 'architecture = "timm/test_resnet"\nweights = "last.ckpt"\nnum_classes = 3\n', network(), TRANSFORM


def pt2(folder):
    batch = torch.export.Dim("batch")
    inputs = (torch.rand(2, 3, SIZE, SIZE),)
    program = torch.export.export(network(), inputs, dynamic_shapes=({0: batch},))
    torch.export.save(program, folder / "net.pt2")
    return 'architecture = "net.pt2"\n', network(), TRANSFORM


def build(folder):
    torch.save(network().state_dict(), folder / "mine.pth")
    return 'architecture = "own_kinds:build"\nweights = "mine.pth"\n', network(), TRANSFORM


def hugging_face(folder):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(5)
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", id2label=dict(enumerate(NAMES))
    )
    model = moved(transformers.ResNetForImageClassification(config))
    model.save_pretrained(folder / "hf")
    processor = transformers.ConvNextImageProcessor(size={"shortest_edge": SIZE})
    processor.save_pretrained(folder / "hf")
    return 'architecture = "hf:hf"\n', model, lambda photo: processor(photo, return_tensors="pt")["pixel_values"][0]


KINDS = {one.__name__: one for one in (state_dict, safetensors, lightning, pt2, build, hugging_face)}


@pytest.fixture(scope="module", params=KINDS)
def written(request, tmp_path_factory):
    """A folder with a described network, the same in the user's own hands, and the user's own preprocessing."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "own_kinds.py").write_text(MAKES)
    text, bare, transform = KINDS[request.param](folder)
    if request.param != "hugging_face":
        text += f"classes = {json.dumps(NAMES)}\n{PREPROCESSING}"
    (folder / "mynet.toml").write_text(text)
    photo().save(folder / "photo.png")
    return folder, bare, transform


@pytest.fixture
def kind(written, monkeypatch):
    """In that folder: the network in the user's own hands, and the preprocessing."""
    folder, bare, transform = written
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    yield bare, transform
    __import__("sys").modules.pop("own_kinds", None)


def photo():
    """Of odd sides, so that a crop's corner has to be rounded, and different in every color."""
    torch.manual_seed(9)
    pixels = nn.functional.interpolate(torch.rand(1, 3, 9, 12) * 255, size=(83, 110), mode="bicubic").clamp(0, 255)
    return Image.fromarray(pixels[0].byte().permute(1, 2, 0).numpy())


def scores(bare, inputs):
    result = bare(inputs)
    return getattr(result, "logits", result)


def test_python(kind):
    bare, transform = kind
    inputs = transform(photo())[None]
    module, spec = equipoise.load_model("mynet.toml")
    assert spec.classes == NAMES
    torch.testing.assert_close(spec.preprocess(photo())[None], inputs, rtol=0, atol=1e-5)
    torch.testing.assert_close(scores(module, inputs), scores(bare, inputs), rtol=0, atol=1e-5)
    found = load("mynet.toml")
    assert (found.assumed, found.spec.preprocessing.crop) == ({}, (SIZE, SIZE))


@pytest.mark.parametrize("method", ["ae", "grad_cam"])
def test_the_same_map(kind, method):
    bare, transform = kind
    found = equipoise.explain(photo(), "mynet.toml", method, "bee")
    inputs = transform(photo())[None]
    assert found.target.logit == pytest.approx(scores(bare, inputs)[0, 1].item(), abs=1e-5)
    options = {"input_bounds": load("mynet.toml").spec.input_bounds} if method == "ae" else {}
    right = equipoise.attribute(bare, inputs, 1, method=method, **options)[0]
    assert found.attribution.shape[1:] == (SIZE, SIZE)
    assert (found.attribution - right).abs().max() <= 1e-5 * max(right.abs().max().item(), 1)
    assert found.attribution.abs().max() > 0


def test_command_line(kind, capsys):
    bare, transform = kind
    assert main(["explain", "photo.png", "--model", "mynet.toml", "--method", "gradient", "--json"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    right = scores(bare, transform(photo())[None])[0]
    assert {score["name"]: score["logit"] for score in document["scores"]} == pytest.approx(
        dict(zip(NAMES, right.tolist(), strict=True)), abs=1e-5
    )
    assert err == ""
    assert main(["list", "layers", "--model", "mynet.toml"]) == 0
    out, err = capsys.readouterr()
    assert "default" in out or "no layers with names" in err


@pytest.mark.filterwarnings("ignore")  # gradio's own parts warn about one another
def test_page(kind, tmp_path):
    pytest.importorskip("gradio", reason="the page needs gradio")
    from equipoise.app.controls import PageContent
    from equipoise.app.networks import Networks
    from equipoise.app.page import VIEWS, Page

    bare, transform = kind
    inputs = transform(photo())[None]
    page = Page(PageContent(Networks(["mynet.toml"]), Path(), tmp_path / "made"))
    tab = SimpleNamespace(session_hash="tab")
    *_, found = page.opening.given(
        tab, str(Path("photo.png").resolve()), None, None, "mynet.toml", 0, "overlay", "blur"
    )
    assert found[-1] == "", found[-1]
    session, _, others, *_ = found
    right = scores(bare, inputs)[0]
    assert {one.name: one.logit for one in session.scores} == pytest.approx(
        dict(zip(NAMES, right.tolist(), strict=True)), abs=1e-5
    )
    assert [label for label, _ in others["choices"]] == [f"{name} ({index})" for index, name in enumerate(NAMES)]
    shown, *_ = page._show(session, ["1"], [], None, None, 1.0, "overlay", 0.9, False, False, "", VIEWS[0], 0)
    assert f"bee, {100 * right.softmax(0)[1]:.1f} %" in shown
    assert f'data-rows="{SIZE}" data-columns="{SIZE}"' in shown
    found = session.explain(1, "gradient").explanation
    own = equipoise.attribute(bare, inputs, 1, method="gradient")[0]
    torch.testing.assert_close(found.attribution, own, rtol=1e-5, atol=1e-5 * own.abs().max().item())
    del page
    gc.collect()  # what gradio leaves unclosed complains now, where that is ignored


def test_reproduce(kind, tmp_path):
    """The last point of an insertion curve is the probability of the whole photo."""
    from pyarrow import parquet

    bare, transform = kind
    (tmp_path / "set" / "bee").mkdir(parents=True)
    photo().save(tmp_path / "set" / "bee" / "photo.png")
    asked = ["reproduce", "insertion", "--dataset", "folder", "--data", str(tmp_path / "set"), "--model", "mynet.toml"]
    more = ["--method", "gradient", "--limit", "1", "--option", "shares=(0.5,1.0)", "--output", str(tmp_path / "table")]
    assert main([*asked, *more]) == 0
    file = tmp_path / "table" / "rows.parquet"
    (last,) = [row for row in parquet.read_table(file).to_pylist()
               if (row["metric"], row["step"]) == ("probability", 1.0)]  # fmt: skip
    assert (last["class"], last["model"]) == ("bee", "mynet.toml")
    assert last["value"] == pytest.approx(scores(bare, transform(photo())[None])[0].softmax(0)[1].item(), abs=1e-5)


def test_attribute(kind, tmp_path):
    bare, transform = kind
    inputs = transform(photo())[None]
    asked = ["attribute", "photo.png", "--model", "mynet.toml", "--method", "gradient", "--values", "float32"]
    assert main([*asked, "--target", "bee,top3", "--output", str(tmp_path / "maps")]) == 0
    found = equipoise.open_attributions(tmp_path / "maps")
    right = scores(bare, inputs)[0]
    assert {entry.name: entry.score for entry in found} == pytest.approx(
        dict(zip(NAMES, right.tolist(), strict=True)), abs=1e-5
    )
    (bee,) = [entry for entry in found if entry.name == "bee"]
    assert bee.probability == pytest.approx(right.softmax(0)[1].item(), abs=1e-5)
    own = equipoise.attribute(bare, inputs, 1, method="gradient")[0]
    torch.testing.assert_close(bee.attribution, own, rtol=1e-5, atol=1e-5 * own.abs().max().item())


@pytest.mark.parametrize(("text", "words"), [
    ('architecture = "timm/test_resnet"\nweights = "none.pth"', "weights is 'none.pth', and there is no file"),
    ('architecture = "none.pt2"', "architecture is 'none.pt2', and there is no file"),
    ('architecture = "hf:./none"', "there is no folder ./none"),
    ('architecture = "own_kinds:biuld"', "own_kinds has no biuld"),
    ('architecture = "timm/test_resnet"\nwieghts = "mine.pth"', "no key wieghts; did you mean weights?"),
    ('architecture = "timm/test_resnet"\nweights = "mine.pth"\nnum_classes = 4',
     "mine.pth has 3 classes, and num_classes = 4"),
    ('architecture = "timm/test_resnet"\nweights = "mine.pth"\nin_chans = 1', "has 3 input channels, and in_chans = 1"),
    ('architecture = "timm/test_resnet"\nweights = "mine.pth"\nclasses = ["a"]', "1 class names for"),
    ('architecture = "timm/test_resnet"\nweights = "mine.pth"\n[arguments]\ndrop_rat = 1',
     "no argument 'drop_rat'; did you mean 'drop_rate'?"),
    ('architecture = "timm/resnet18"\nweights = "mine.pth"', "does not fit timm/resnet18"),
])  # fmt: skip
def test_what_is_wrong_is_one_line(tmp_path, monkeypatch, capsys, text, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_kinds.py").write_text(MAKES)
    state_dict(tmp_path)
    photo().save("photo.png")
    (tmp_path / "mynet.toml").write_text(text)
    assert main(["explain", "photo.png", "--model", "mynet.toml"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err


def test_what_is_not_said_is_assumed_in_one_line_each(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    state_dict(tmp_path)
    photo().save("photo.png")
    command = ["explain", "photo.png", "--model", "timm/test_resnet", "--weights", "mine.pth", "--method", "gradient"]
    assert main([*command, "--json"]) == 0
    out, err = capsys.readouterr()
    for words in ("--size, --mean and --std, or a description, set it", "class 0 to class 2 (--classes"):
        assert words in err
        assert words in out  # the record's, too


def test_a_description_that_changes_is_read_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text, _, _ = state_dict(tmp_path)
    (tmp_path / "mynet.toml").write_text(text)
    first = load_kept("mynet.toml")
    assert load_kept("mynet.toml") is first
    (tmp_path / "mynet.toml").write_text(f"{text}classes = {json.dumps(NAMES)}")
    assert load_kept("mynet.toml").spec.classes == NAMES
    changed = network()
    with torch.no_grad():
        changed.fc.bias.add_(1)
    torch.save(changed.state_dict() | {"fc.bias": changed.fc.bias.double().float()}, tmp_path / "mine.pth")
    assert load_kept("mynet.toml").module.fc.bias[0] == changed.fc.bias[0]
