"""Every task that a network does: what it says, how sure, what is explained, in the words of the task."""

import math

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

import equipoise
from equipoise import targets
from equipoise.cli import main
from equipoise.errors import EquipoiseError, OptionError, TargetError
from equipoise.loading import load
from equipoise.models import Preprocessing
from equipoise.naming import sureness
from equipoise.view import View

PLAIN = Preprocessing((32, 32), (32, 32), "squash", mean=(0.5,) * 3, std=(0.5,) * 3)


VECTORS = """
import torch
from torch import nn


def build():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 6),
    )
"""


def photo(seed=0):
    torch.manual_seed(seed)
    pixels = (torch.rand(32, 32, 3) * 255).byte()
    return Image.fromarray(pixels.numpy())


def seeded(*layers):
    generator = torch.Generator().manual_seed(5)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), *layers)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    return network.eval()


def pooled(outputs, *after):
    return seeded(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, outputs), *after)


def explain(network, target=None, method="gradient", **said):
    network = load(network, preprocess=PLAIN, **said)
    return equipoise.explain(photo(), network, method, target)


def output(network):
    return network(PLAIN(photo())[None]).detach()[0]


def test_one_logit_is_two_sides():
    """Class 1 is plus the score, class 0 minus it; probabilities are the sigmoid's and add up to 1."""
    network = pooled(1)
    score = output(network).item()
    yes, no = (explain(network, index, classes=["cat", "dog"]) for index in (1, 0))
    assert (yes.target.name, no.target.name) == ("dog", "cat")
    assert yes.target.logit == pytest.approx(score, abs=1e-6)
    assert no.target.logit == pytest.approx(-score, abs=1e-6)
    assert yes.target.probability == pytest.approx(1 / (1 + math.exp(-score)), abs=1e-6)
    assert yes.target.probability + no.target.probability == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(yes.attribution, -no.attribution)
    top = explain(network, classes=["cat", "dog"])
    assert top.target == (yes.target if score > 0 else no.target)
    assert [one.index for one in top.scores] == ([1, 0] if score > 0 else [0, 1])
    assert yes.notes == ()
    plain = explain(network)
    assert "taken for a logit" in " ".join(plain.notes)
    for target, right in (
        (targets.class_("cat"), no),
        (targets.negative("dog"), no),
        (targets.contrast("dog", "cat"), yes),
    ):
        torch.testing.assert_close(explain(network, target, classes=["cat", "dog"]).attribution, right.attribution)


@pytest.mark.parametrize("method", ["ae", "lrp_composite", "grad_cam"])
def test_both_sides_of_one_logit_are_explained(method):
    maps = [explain(pooled(1), index, method, task="binary").heatmap for index in (0, 1)]
    assert all(one.isfinite().all() for one in maps)
    assert not torch.equal(*maps)


def test_several_labels_at_once():
    network = pooled(5)
    sure = output(network).sigmoid()
    found = explain(network, task="multi-label", threshold=float(sure.sort().values[2]) - 1e-6)
    assert [one.index for one in found.target] == sure.argsort(descending=True)[:3].tolist()
    assert [one.probability for one in found.scores] == pytest.approx(
        sure.sort(descending=True).values.tolist(), abs=1e-6
    )
    assert found.attribution.shape == (3, 3, 32, 32)
    group = explain(network, targets.group(0, 1), task="multi-label")
    assert group.target.probability is None  # both may be there, so theirs do not add up
    none = explain(network, task="multi-label", threshold=1.0)
    assert [one.index for one in none.target] == [int(sure.argmax())]
    assert explain(network, "top1", task="multi-label").target.index == int(sure.argmax())
    assert load(network, preprocess=PLAIN, activation="sigmoid").spec.task == "multi-label"


def test_a_value_has_a_unit_and_no_probability():
    network = pooled(1)
    found = explain(network, 0, task="regression", unit="years")
    assert (found.target.probability, found.target.name) == (None, "value")
    assert found.target.logit == pytest.approx(output(network).item(), abs=1e-6)
    assert sureness(found.target) == f"{output(network).item():.4g} years"
    assert not any("class" in note and "logit" in note for note in found.notes)
    assert load(network, preprocess=PLAIN, activation="none").spec.task == "regression"


@pytest.mark.parametrize(("squash", "outputs"), [(nn.Softmax(1), 4), (nn.Sigmoid(), 4), (nn.Sigmoid(), 1)])
def test_what_is_a_probability_already_stays_one(squash, outputs):
    network = pooled(outputs, squash)
    found = explain(network)
    given = output(network)
    right = given.max().item() if outputs > 1 else max(given.item(), 1 - given.item())
    assert found.scores[0].probability == pytest.approx(right, abs=1e-6)
    assert any("taken as they are" in note for note in found.notes)
    said = explain(network, activation="none") if outputs > 1 else explain(network, task="binary", activation="none")
    assert said.scores[0].probability == pytest.approx(right, abs=1e-6)
    assert not any("taken as they are" in note for note in said.notes)


def test_a_contrast_by_name():
    network = pooled(3)
    names = ["tabby", "Egyptian cat", "dog"]
    found = explain(network, targets.contrast("tabby", "Egyptian cat"), classes=names)
    assert found.target.name == "tabby rather than Egyptian cat"
    assert found.target.logit == pytest.approx((output(network)[0] - output(network)[1]).item(), abs=1e-6)
    text = explain(network, "contrast:tabby|Egyptian cat", classes=names)
    torch.testing.assert_close(text.attribution, found.attribution)


def test_the_similarity_of_two_photos(tmp_path):
    network = pooled(6)
    other = network(PLAIN(photo(1))[None]).detach()[0]
    found = explain(network, targets.similarity(other, "the other"), task="embedding")
    right = torch.cosine_similarity(output(network)[None], other[None]).item()
    assert found.target.logit == pytest.approx(right, abs=1e-5)
    assert found.target.name == "similarity to the other"
    photo(1).save(tmp_path / "other.png")
    text = explain(network, f"similarity:{tmp_path / 'other.png'}", task="embedding")
    torch.testing.assert_close(text.attribution, found.attribution, rtol=1e-4, atol=1e-7)
    assert found.other is None  # of a vector alone there is no photo


def test_a_similarity_shows_the_maps_of_both_photos(tmp_path, monkeypatch, capsys):
    """The other photo's map is that of the similarity the other way round, in Python, files and the report."""
    (tmp_path / "vectors.py").write_text(VECTORS)
    (tmp_path / "mynet.toml").write_text(
        'architecture = "vectors:build"\ntask = "embedding"\n[preprocessing]\nsize = 32'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    photo(0).save("one.png")
    photo(1).save("two.png")
    for method in ("gradient", "ae"):
        found = equipoise.explain("one.png", "mynet.toml", method, "similarity:two.png")
        back = equipoise.explain("two.png", "mynet.toml", method, "similarity:one.png")
        torch.testing.assert_close(found.other.attribution, back.attribution, rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(back.other.attribution, found.attribution, rtol=1e-4, atol=1e-7)
        assert found.other.target.name == "similarity to one.png"
        assert found.other.target.logit == pytest.approx(found.target.logit, abs=1e-5)
        assert found.other.other is None
    assert found.montage().height > 1.8 * found.overlay().height
    assert found.record["other"]["image"]["path"] == "two.png"
    both = equipoise.explain("one.png", "mynet.toml", "gradient", ["similarity:two.png", 0])
    assert [part.target.name for part in both.parts()] == [
        "similarity to two.png",
        "similarity to one.png",
        "dimension 0",
    ]
    assert (both.select(0).other is None, both.select(1).other is None) == (False, True)
    names = {path.name for path in both.save(tmp_path / "files")}
    assert "similarity_to_two_png.other.overlay.png" in names
    (file,) = found.save(tmp_path / "map.safetensors")
    assert set(load_file(file)) == {"attribution", "other"}
    found.save(tmp_path / "why.png")
    asked = ["explain", "one.png", "--model", "mynet.toml", "--method", "gradient,ae", "--target", "similarity:two.png"]
    assert main([*asked, "--report", "why.html"]) == 0
    assert "one.montage.png" in capsys.readouterr().out
    report = (tmp_path / "why.html").read_text()
    assert report.count("similarity to one.png (score") >= 2
    assert report.count("two.png: similarity to one.png") >= 2


def test_a_class_for_each_pixel():
    network = seeded(nn.Conv2d(8, 4, 1))
    raw = network(PLAIN(photo())[None]).detach()
    share = torch.stack([(raw.argmax(1) == index).float().mean() for index in range(4)])
    found = explain(network, classes=["sky", "sea", "sand", "ship"])
    assert found.target.index == int(share.argmax())
    assert found.target.probability == pytest.approx(share.max().item())
    assert sureness(found.target).endswith("% of the pixels")
    assert any("a class for each pixel" in note for note in found.notes)
    mask = Image.new("L", (32, 32))
    mask.paste(255, (4, 8, 12, 20))
    region = explain(network, targets.region("sea", torch.nn.functional.pad(torch.ones(12, 8), (4, 20, 8, 12))),
                     classes=["sky", "sea", "sand", "ship"])  # fmt: skip
    assert region.target.logit == pytest.approx(raw[0, 1, 8:20, 4:12].sum().item(), rel=1e-4)
    pixel = explain(network, "pixel:sea|5|9", classes=["sky", "sea", "sand", "ship"])
    assert pixel.target.logit == pytest.approx(raw[0, 1, 9, 5].item(), abs=1e-5)
    assert "sea at 9, 5" in pixel.target.name
    nowhere = [index for index in range(4) if share[index] == 0]
    for index in nowhere:
        with pytest.raises(TargetError, match="at no pixel"):
            explain(network, index)


def test_a_mask_in_a_file_is_a_region(tmp_path):
    network = seeded(nn.Conv2d(8, 4, 1))
    mask = Image.new("L", (32, 32))
    mask.paste(255, (4, 8, 12, 20))
    mask.save(tmp_path / "mask.png")
    raw = network(PLAIN(photo())[None]).detach()
    found = explain(network, f"region:class 2|{tmp_path / 'mask.png'}")
    assert found.target.logit == pytest.approx(raw[0, 2, 8:20, 4:12].sum().item(), rel=1e-4)
    Image.new("L", (16, 16)).save(tmp_path / "small.png")
    with pytest.raises(TargetError, match="16 x 16 pixels, and the photo 32 x 32"):
        explain(network, f"region:class 2|{tmp_path / 'small.png'}")


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = seeded(nn.Conv2d(8, 3, 1))

    def forward(self, x):
        scores = self.body(x).softmax(1)
        boxes = torch.tensor([[0.0, 0, 8, 8], [16, 16, 32, 32]])
        return [{"boxes": boxes, "labels": torch.tensor([1, 2]), "scores": torch.stack([one[1, 4, 4], one[2, 20, 20]])}
                for one in scores]  # fmt: skip


def test_boxes():
    network = Detector().eval()
    scores = network(PLAIN(photo())[None])[0]["scores"].tolist()
    names = ["background", "cat", "dog"]
    found = explain(network, classes=names)
    best = max(range(2), key=scores.__getitem__)
    assert found.target.index == best
    assert found.target.probability == pytest.approx(scores[best], abs=1e-6)
    dog = explain(network, "dog", classes=names)
    assert dog.target.name == "dog at 16, 16, 32, 32"
    assert dog.target.logit == pytest.approx(scores[1], abs=1e-6)
    assert dog.heatmap.abs().sum() > 0
    same = explain(network, "box:17|17|30|31", classes=names)
    torch.testing.assert_close(same.attribution, dog.attribution)
    assert [one.index for one in explain(network, "top2", classes=names).target] == sorted(
        range(2), key=lambda i: -scores[i]
    )
    with pytest.raises(TargetError, match="no background is detected"):
        explain(network, "background", classes=names)
    with pytest.raises(TargetError, match="there is no detection 7"):
        explain(network, 7, classes=names)


@pytest.mark.parametrize(("outputs", "said", "words"), [
    (3, {"task": "binary"}, "a binary network has one output, and Sequential has 3"),
    (1, {"classes": ["a", "b", "c"]}, "3 class names for Sequential, which has one output of two classes"),
    (1, {"activation": "softmax"}, "softmax of the one output"),
    (3, {"task": "guessing"}, "task is 'guessing'"),
    (3, {"activation": "relu"}, "activation is 'relu'"),
    (3, {"task": "multi-label", "threshold": 2.0}, "threshold is 2.0"),
])  # fmt: skip
def test_what_does_not_fit_is_one_sentence(outputs, said, words):
    with pytest.raises(OptionError) as caught:
        explain(pooled(outputs), **said)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("target", "words"), [
    ("contrast:a", "contrast:NAME|NAME"), ("contrast:a|a", "between two classes"),
    ("contrast:a|x", "no class called 'x'"),
    ("pixel:a|1|2", "no class for each pixel"), ("pixel:a|one|2", "pixels of the photo, not 'one'"),
    ("box:1|2|3", "box:LEFT|TOP|RIGHT|BOTTOM"), ("box:1|2|3|4", "a detector returns"), ("region:a", "for each pixel"),
    ("similarity:absent.png", "absent.png: no such file"), ("group:", "group:NAME"),
    ("negative:x", "no class called 'x'"),
])  # fmt: skip
def test_targets_in_words_that_cannot_be(target, words):
    with pytest.raises(EquipoiseError) as caught:
        explain(pooled(3), target, classes=["a", "b", "c"])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_with_a_colon_are_names():
    found = explain(pooled(2), "class:1", classes=["class:1", "b"])
    assert found.target.index == 0


def test_the_record_says_task_and_activation():
    record = explain(pooled(1), 0, task="regression", unit="m").record
    assert (record["model"]["task"], record["target"]["unit"]) == ("regression", "m")


def test_one_channel_and_four():
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    ).eval()
    found = equipoise.explain(photo(), network, "ae")
    assert found.attribution.shape == (1, 224, 224)
    assert "in gray" in found.notes[0]
    gray = photo().convert("L")
    exact = load(network, preprocess=Preprocessing((32, 32), (32, 32), "squash", mean=(0.0,), std=(1.0,)))
    pixels = torch.frombuffer(bytearray(gray.tobytes()), dtype=torch.uint8).view(1, 1, 32, 32) / 255
    torch.testing.assert_close(View.of(photo(), exact).logits, network(pixels)[0].detach())
    four = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
    with pytest.raises(EquipoiseError, match="takes 4 channels, and a photo has three"):
        equipoise.explain(photo(), four, "ae")


def test_bgr_and_values_to_255():
    network = pooled(3)
    said = Preprocessing((32, 32), (32, 32), "squash", mean=(100.0, 110.0, 120.0), std=(1.0,) * 3, value_range=(0, 255),
                         color_order="BGR")  # fmt: skip
    image = photo()
    pixels = (
        torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(32, 32, 3).permute(2, 0, 1).float().flip(0)
    )
    right = pixels - torch.tensor([100.0, 110, 120]).view(3, 1, 1)
    torch.testing.assert_close(said(image), right, rtol=1e-5, atol=1e-3)
    low, high = said.bounds()
    assert (low.tolist(), high.tolist()) == ([-100, -110, -120], [155, 145, 135])
    assert load(network, preprocess=said).spec.preprocessing.words.endswith("of values from 0 to 255")


@pytest.mark.parametrize("method", [["ae", "gradient"], 3, None])
def test_a_method_is_one(method):
    with pytest.raises(OptionError, match="a method is one name"):
        explain(pooled(2), method=method)
    with pytest.raises(OptionError, match="a method is one name"):
        equipoise.attribute(pooled(2), torch.zeros(1, 3, 32, 32), method=method)
