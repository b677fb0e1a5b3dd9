"""A network of one's own: a module alone, a function that makes it, preprocessing and names of one's own."""

import re

import pytest
import torch
import torchvision
from PIL import Image
from torch import nn
from torchvision.transforms import v2

import equipoise
from equipoise.errors import OptionError, ShapeError, TargetError, UnsupportedModelError
from equipoise.loading import load
from equipoise.methods import ClassGroup
from equipoise.models import Preprocessing
from equipoise.models.own_preprocessing import OwnPreprocessing
from equipoise.network import Network


def photo(width=80, height=40):
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (width, height), (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, width // 2, height))
    return image


def small(classes=3):
    """A network of a user's own, of any size of photo."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, classes)]
    return nn.Sequential(*layers).eval()


TRANSFORM = v2.Compose([
    v2.PILToTensor(), v2.Resize(48), v2.CenterCrop(32), v2.ToDtype(torch.float32, scale=True),
    v2.Normalize((0.4, 0.5, 0.6), (0.2, 0.3, 0.4)),
])  # fmt: skip


def test_a_module_alone_says_what_was_assumed():
    found = equipoise.explain(photo(), small(), "gradient")
    assert found.attribution.shape == (3, 224, 224)
    assert [score.name for score in found.scores] == [f"class {score.index}" for score in found.scores]
    assert len(found.notes) == 2
    assert "no preprocessing was given" in found.notes[0]
    assert "0.485" in found.notes[0]
    assert "preprocess=" in found.notes[0]
    assert "class 0 to class 2" in found.notes[1]
    assert found.record["notes"] == list(found.notes)


def test_what_is_given_is_used_and_nothing_is_assumed():
    network = small()
    found = equipoise.explain(photo(), network, "ae", "cat", preprocess=TRANSFORM, classes=["dog", "cat", "cow"])
    assert found.notes == () or all("image 0" in note for note in found.notes)
    assert found.target.name == "cat"
    inputs = TRANSFORM(photo())[None]
    assert found.target.logit == pytest.approx(network(inputs)[0, 1].item(), abs=1e-6)
    low, high = ((value - torch.tensor([0.4, 0.5, 0.6])) / torch.tensor([0.2, 0.3, 0.4]) for value in (0.0, 1.0))
    right = equipoise.attribute(network, inputs, 1, input_bounds=(low, high))
    torch.testing.assert_close(found.attribution, right[0], rtol=1e-4, atol=1e-6)
    assert found.box == pytest.approx((80 / 96 * 32, 40 / 48 * 8, 80 / 96 * 64, 40 / 48 * 40), abs=1)


def test_names_and_preprocessing_can_replace_those_of_a_pair(fakes):
    found = equipoise.explain(photo(), fakes, "share", "b", classes=list("abcd"), preprocess=TRANSFORM)
    assert (found.target.name, found.target.index) == ("b", 1)
    assert found.attribution.shape == (3, 32, 32)


def test_timms_own_networks_say_how_they_were_trained():
    timm = pytest.importorskip("timm")
    model = timm.create_model("test_resnet", num_classes=5).eval()  # 160 pixels
    found = equipoise.explain(photo(200, 200), model, "gradient")
    assert found.attribution.shape[-1] == 160
    assert "pretrained_cfg" in found.notes[0]


def test_a_result_with_several_parts():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = small()

        def forward(self, x):
            return {"a": -self.body(x), "b": self.body(x)}

    with pytest.raises(ShapeError, match="output='a' or output='b'"):
        equipoise.explain(photo(), Two().eval(), "gradient")
    found = equipoise.explain(photo(), Two().eval(), "gradient", output="b")
    alone = equipoise.explain(photo(), small(), "gradient")
    assert torch.equal(found.attribution, alone.attribution)


@pytest.mark.parametrize("width_height", [(300, 200), (200, 300), (512, 64), (64, 64)])
@pytest.mark.parametrize("crop_mode", ["center", "squash"])
def test_the_box_of_a_function_is_found(width_height, crop_mode):
    """What a function shows the network is read off a ramp, to about a pixel of the network."""
    known = Preprocessing((60, 60), (48, 48), crop_mode, "bicubic")
    found = OwnPreprocessing.of(known)
    assert found.box(*width_height) == pytest.approx(known.box(*width_height), abs=max(width_height) / 48)
    for one, other in zip(found.bounds(), known.bounds(), strict=True):
        torch.testing.assert_close(one, other)
    image = Image.effect_noise(width_height, 50).convert("RGB")
    torch.testing.assert_close(found.pixels(image), known.pixels(image), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.normalize(found.pixels(image)), known(image), rtol=0, atol=1e-4)


def test_torchvisions_transforms_are_preprocessing():
    transforms = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.transforms()
    network = load(small(), preprocess=transforms)
    known = Preprocessing.from_torchvision(transforms)
    assert network.spec.preprocessing.box(500, 375) == pytest.approx(known.box(500, 375), abs=3)
    torch.testing.assert_close(network.prepare(photo())[0], transforms(photo()))


def test_a_function_that_treats_each_photo_by_itself_has_no_bounds():
    def standardized(image):
        pixels = v2.functional.to_image(image).float()
        return (pixels - pixels.mean()) / (pixels.std() + 1e-6)

    found = equipoise.explain(photo(), small(), preprocess=standardized, classes=["a", "b", "c"])
    assert found.box == (0.0, 0.0, 80.0, 40.0)
    assert found.record["method"]["options"]["input_bounds"] is None
    assert found.attribution.shape == (3, 40, 80)


@pytest.mark.parametrize("give", [
    lambda pixels: {"pixel_values": pixels[None]}, lambda pixels: {"pixel_values": [pixels.numpy()]},
    lambda pixels: pixels[None], lambda pixels: pixels.numpy(),
])  # fmt: skip
def test_forms_of_what_a_function_returns(give):
    found = equipoise.explain(photo(), small(), "gradient", preprocess=lambda image: give(TRANSFORM(image)))
    right = equipoise.explain(photo(), small(), "gradient", preprocess=TRANSFORM)
    assert torch.equal(found.attribution, right.attribution)


@pytest.mark.parametrize(("options", "error", "words"), [
    ({"preprocess": 3}, OptionError, "function from a Pillow image"),
    ({"preprocess": lambda _: "no"}, ShapeError, "preprocess returned str"),
    ({"preprocess": lambda _: torch.zeros(3)}, ShapeError, r"preprocess returned \(3,\)"),
    ({"classes": ["a", "b"]}, OptionError, "2 class names for .*, which has 3 outputs"),
    ({"classes": "abc"}, OptionError, "list of names"),
    ({"classes": [1, 2, 3]}, OptionError, "list of names"),
])  # fmt: skip
def test_what_is_wrong_is_one_sentence(options, error, words):
    with pytest.raises(error, match=words) as caught:
        equipoise.explain(photo(), small(), "gradient", **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", [None, 3, (1, 2), (small(),), [small()]])
def test_what_is_no_network_is_refused(model):
    with pytest.raises(UnsupportedModelError, match=r"a network is a name, a torch\.nn\.Module or the pair"):
        equipoise.explain(photo(), model)


SPEC = load(small(), classes=["a", "b", "c"], preprocess=Preprocessing((32, 32), (32, 32))).spec
PAIR = (small(), SPEC)
NETWORK = Network(*PAIR)


def test_a_function_by_reference(monkeypatch):
    monkeypatch.setattr("fake_net.small", small, raising=False)
    monkeypatch.setattr("fake_net.pair", PAIR, raising=False)
    monkeypatch.setattr("fake_net.network", lambda: NETWORK, raising=False)
    alone = equipoise.explain(photo(), "fake_net:small", "gradient")
    assert torch.equal(alone.attribution, equipoise.explain(photo(), small(), "gradient").attribution)
    assert alone.record["model"]["name"] == "fake_net:small"
    for name in ("pair", "network"):
        module, spec = equipoise.load_model(f"fake_net:{name}")
        assert spec == SPEC
        assert not module.training


def test_weights_of_a_network_of_ones_own(monkeypatch, tmp_path):
    other = small()
    with torch.no_grad():
        other[0].weight.neg_()
    torch.save(other.state_dict(), tmp_path / "mine.pth")
    monkeypatch.setattr("fake_net.small", small, raising=False)
    module, _ = equipoise.load_model("fake_net:small", weights=tmp_path / "mine.pth")
    assert torch.equal(module[0].weight, other[0].weight)
    with pytest.raises(equipoise.EquipoiseError, match=re.escape("none.pth")):
        equipoise.load_model("fake_net:small", weights=tmp_path / "none.pth")


def second(logits):
    return logits[:, 1]


def highest(logits):
    return logits.argmax(1)


@pytest.mark.parametrize(("target", "of_attribute", "names"), [
    (torch.tensor([2]), [2], ["c"]), (torch.tensor(2), 2, "c"),
    (torch.tensor([[0, 2]]), torch.tensor([[0, 2]]), list("ac")),
    ([[0, 2]], [[0, 2]], list("ac")), (ClassGroup((0, 2)), ClassGroup((0, 2)), "a, c"), (second, second, "second"),
    ([second, ClassGroup((0, 1))], [second, ClassGroup((0, 1))], ["second", "a, b"]),
])  # fmt: skip
@pytest.mark.parametrize("method", ["ae", "gradient", "contrastive_eb"])
def test_what_attribute_takes_as_a_target_explain_takes(target, of_attribute, names, method):
    found = equipoise.explain(photo(), PAIR, method, target, **({"input_bounds": (-3, 3)} if method == "ae" else {}))
    inputs = SPEC.preprocess(photo())[None]
    options = {"input_bounds": (-3, 3)} if method == "ae" else {}
    right = equipoise.attribute(PAIR[0], inputs, of_attribute, method=method, **options)
    right = right[0]
    torch.testing.assert_close(found.attribution, right.reshape(found.attribution.shape))
    assert [one.name for one in found.targets] == ([names] if isinstance(names, str) else names)
    assert isinstance(found.target, tuple) == isinstance(names, list)
    found.montage()
    assert found.contents()


def test_scores_of_groups_and_functions(tmp_path):
    found = equipoise.explain(photo(), PAIR, "gradient", [ClassGroup((0, 2)), second, highest])
    logits = PAIR[0](SPEC.preprocess(photo())[None])[0]
    group, function, top = found.targets
    assert group.probability == pytest.approx(logits.softmax(0)[[0, 2]].sum().item(), abs=1e-6)
    assert group.logit == pytest.approx(logits[[0, 2]].logsumexp(0).item(), abs=1e-6)
    assert (function.probability, function.index) == (None, None)
    assert function.logit == pytest.approx(logits[1].item(), abs=1e-6)
    assert top.index == logits.argmax().item()
    names = {path.name for path in found.save(tmp_path / "all")}
    assert {"a_c.json", "second.json", f"{top.name}-{top.index}.json"} <= names


@pytest.mark.parametrize("target", [lambda _: 3, lambda logits: logits, torch.tensor([0.5]), ClassGroup((7,)), []])
def test_targets_that_are_none(target):
    with pytest.raises((TargetError, ShapeError)):
        equipoise.explain(photo(), PAIR, "gradient", target)


def test_reprs_are_short():
    assert len(repr(NETWORK)) < 1000
