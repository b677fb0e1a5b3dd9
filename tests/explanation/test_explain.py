"""explain() reads, looks, explains and keeps: one photo, one or several classes."""

import hashlib
import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

import equipoise
from equipoise.errors import ImageError, ModelModeError, OptionError, ShapeError, TargetError, UnknownNameError
from equipoise.explaining import explain
from equipoise.explanation import Explanation
from equipoise.naming import slug


def red_left(width=80, height=40):
    image = Image.new("RGB", (width, height), (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, width // 2, height))
    return image


def test_the_whole_of_one_explanation(fakes, tmp_path):
    path = tmp_path / "photo.png"
    red_left().save(path)
    found = explain(path, fakes, "share", target="red thing")
    assert isinstance(found, Explanation)
    assert found.attribution.shape == (3, 32, 32)
    assert found.heatmap.shape == (32, 32)
    assert torch.equal(found.heatmap, found.attribution.sum(0))
    assert (found.heatmap[:, :15] > 0).all()
    assert (found.heatmap[:, 17:] < 0).all()
    assert (found.target.index, found.target.name) == (0, "red thing")
    assert [score.index for score in found.scores] == [1, 2, 3, 0]
    assert sum(score.probability for score in found.scores) == pytest.approx(1.0)
    assert found.image.size == (80, 40)
    assert found.box == (24.0, 4.0, 56.0, 36.0)
    assert found.notes == ("explained [[0]]",)
    picture = found.overlay()
    assert picture.size == (80, 40)
    left, right = picture.getpixel((28, 20)), picture.getpixel((52, 20))
    assert left[0] > left[2] + 60
    assert right[2] > right[0] + 60
    assert picture.getpixel((5, 20)) == (255, 0, 0)  # outside the network's view: the photo


def test_record(fakes, tmp_path):
    path = tmp_path / "photo.png"
    red_left().save(path)
    record = explain(path, fakes, "share", target=0, gamma=1.5).record
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["image"] == {
        "path": str(path),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "width": 80,
        "height": 40,
        "box": [24.0, 4.0, 56.0, 36.0],
    }
    assert record["model"] == {
        "name": "fake/rednet",
        "source": "fake",
        "weights": "pretrained",
        "weights_checksum": "ab" * 32,
        "task": "classification",
        "activation": None,
        "preprocessing": {
            "resize": [40, 40],
            "crop": [32, 32],
            "crop_mode": "center",
            "interpolation": "bilinear",
            "mean": [0.0, 0.0, 0.0],
            "std": [1.0, 1.0, 1.0],
            "value_range": [0.0, 1.0],
            "color_order": "RGB",
        },
    }
    assert record["method"] == {
        "name": "share",
        "level": "pixel",
        "signed": True,
        "options": {
            "gamma": 1.5,
            "layer": None,
            "terms": ["C", "A"],
            "input_bounds": [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]],
            "profile": "paper",
        },
    }
    assert record["target"]["index"] == 0
    assert record["target"]["logit"] == pytest.approx(0.0, abs=1e-6)
    sums = record["attribution"]
    assert sums["shape"] == [3, 32, 32]
    assert sums["positive_sum"] == pytest.approx(0.5, abs=0.02)
    assert sums["negative_sum"] == pytest.approx(-0.5, abs=0.02)
    assert sums["sum"] == pytest.approx(sums["positive_sum"] + sums["negative_sum"])
    assert sums["positive_ratio"] == pytest.approx(0.5, abs=0.05)
    assert record["versions"]["torch"] == torch.__version__
    assert record["versions"]["equipoise"] == equipoise.__version__
    assert set(record["versions"]) == {"python", "equipoise", "torch", "torchvision", "timm"}


def test_bounds_are_the_users_when_given_and_absent_for_reference(fakes):
    given = explain(red_left(), fakes, "share", input_bounds=(0.0, 2.0)).record["method"]["options"]
    assert given["input_bounds"] == [0.0, 2.0]
    reference = explain(red_left(), fakes, "share", profile="reference").record["method"]["options"]
    assert reference["input_bounds"] is None


@pytest.mark.parametrize(
    ("target", "indices", "several"),
    [
        (None, [1], False),
        ("top", [1], False),
        ("TOP", [1], False),
        (2, [2], False),
        ("2", [2], False),
        (np.int64(3), [3], False),
        ("tiger cat", [2], False),
        ("top3", [1, 2, 3], True),
        (["top1"], [1], True),
        ([0, "tabby", "top", 0], [0, 3, 1], True),
    ],
)
def test_targets(fakes, target, indices, several):
    found = explain(red_left(), fakes, "share", target=target)
    assert [one.index for one in found.targets] == indices
    assert isinstance(found.target, tuple) == several
    assert found.attribution.shape == ((len(indices), 3, 32, 32) if several else (3, 32, 32))


@pytest.mark.parametrize("target", [4, -1, "top9", "top0", True, 1.5, []])
def test_targets_that_are_no_class(fakes, target):
    with pytest.raises(TargetError):
        explain(red_left(), fakes, "share", target=target)


def test_class_name_miss_suggests(fakes):
    with pytest.raises(UnknownNameError, match="Egyptian cat"):
        explain(red_left(), fakes, "share", target="Egyptain cat")


def test_several_targets_are_the_single_ones(fakes, tmp_path):
    both = explain(red_left(), fakes, "share", target=[0, 1])
    for index, target in enumerate((0, 1)):
        one = explain(red_left(), fakes, "share", target=target)
        chosen = both.select(index)
        assert torch.equal(chosen.attribution, one.attribution)
        assert chosen.overlay().tobytes() == one.overlay().tobytes() == both.overlay(index).tobytes()
        assert {**chosen.record, "notes": 0} == {**one.record, "notes": 0}
    with pytest.raises(TargetError):
        both.overlay(2)
    with pytest.raises(TargetError):
        both.select(-1)


def test_photo_forms_agree(fakes, tmp_path):
    path = tmp_path / "photo.png"
    red_left().save(path)
    forms = [path, str(path), red_left(), np.asarray(red_left())]
    results = [explain(form, fakes, "share").attribution for form in forms]
    assert all(torch.equal(results[0], result) for result in results)
    with pytest.raises(ImageError):
        explain(3.5, fakes, "share")
    with pytest.raises(ShapeError, match=r"the array is \(4, 4\), and the network takes 3 channels"):
        explain(np.zeros((4, 4)), fakes, "share")


def test_exif_turns_before_the_network_looks(fakes, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.png"
    red_left().rotate(90, expand=True).save(path, exif=exif)
    found = explain(path, fakes, "share", target=0)
    assert found.image.size == (80, 40)
    assert torch.equal(found.attribution, explain(red_left(), fakes, "share", target=0).attribution)


def test_long_thin_photo_is_refused(fakes):
    assert explain(Image.new("RGB", (200, 1)), fakes, "share").image.size == (200, 1)
    with pytest.raises(ImageError, match="200 to 1"):
        explain(Image.new("RGB", (201, 1)), fakes, "share")


def test_any_callable_is_a_method(fakes):
    def mine(model, inputs, target, scale=1.0):
        return scale * inputs.abs() * (target + 1).view(-1, 1, 1, 1)

    one, two = explain(red_left(), fakes, mine, target=[0, 1], scale=3.0).attribution
    assert torch.equal(two, 2 * one)
    record = explain(red_left(), fakes, mine, scale=3.0).record["method"]
    assert record["name"].endswith("mine")
    assert record["options"] == {"scale": 3.0}
    with pytest.raises(ShapeError):
        explain(red_left(), fakes, lambda *given: given[1][:, 0])


def test_map_level_is_not_smoothed_again(fakes):
    photo = red_left()
    photo.paste((255, 255, 255), (0, 0, 50, 20))  # a map of the mean has an edge
    coarse = explain(photo, fakes, "coarse")
    assert coarse.attribution.shape == (1, 32, 32)
    assert coarse.overlay().tobytes() == coarse.overlay(smoothing=0).tobytes()
    fine = explain(red_left(), fakes, "share")
    assert fine.overlay().tobytes() != fine.overlay(smoothing=0).tobytes()


def test_train_mode_is_refused_and_nothing_changes(fakes):
    module, spec = fakes
    net = torch.nn.Sequential(torch.nn.BatchNorm2d(3), module).train()
    before = net[0].running_mean.clone()
    with pytest.raises(ModelModeError, match="BatchNorm2d"):
        explain(red_left(), (net, spec), "share")
    assert torch.equal(net[0].running_mean, before)


def test_not_finite_is_null_in_the_record_and_no_crash(fakes):
    found = explain(red_left(), fakes, lambda *given: given[1] * float("nan"))
    assert found.record["attribution"]["sum"] is None
    found.overlay()
    assert b"NaN" not in found.contents()[".json"]


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".safetensors", ".json"])
@pytest.mark.parametrize("target", [0, [0, 1]])
def test_save(fakes, tmp_path, ending, target):
    found = explain(red_left(), fakes, "share", target=target)
    path = tmp_path / "new" / f"why{ending}"
    assert found.save(path) == [path]
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    if ending == ".safetensors":
        with safe_open(path, "pt") as file:
            assert torch.equal(file.get_tensor("attribution"), found.attribution)
            assert json.loads(file.metadata()["record"]) == found.record
    elif ending == ".json":
        assert json.loads(path.read_text()) == found.record
    else:
        with Image.open(path) as picture:
            assert picture.size > (80, 40)
            picture.load()


def test_save_into_a_folder(fakes, tmp_path):
    found = explain(red_left(), fakes, "share", target=["red thing", 1])
    names = {path.name for path in found.save(tmp_path / "folder")}
    kinds = (".overlay.png", ".heatmap.png", ".safetensors", ".json")
    assert names == {f"{stem}{kind}" for stem in ("red_thing-0", "egyptian_cat-1") for kind in kinds}
    with pytest.raises(OptionError, match=r"\.safetensors"):
        found.save(tmp_path / "why.pgn")


def test_notebook_shows_a_picture_of_bearable_size(fakes):
    import io

    one = explain(red_left(4000, 2000), fakes, "share")
    with Image.open(io.BytesIO(one._repr_png_())) as picture:
        assert picture.size == (1024, 512)
    with Image.open(io.BytesIO(explain(red_left(), fakes, "share", target=[0, 1])._repr_png_())) as picture:
        assert picture.height > 2 * 240  # one below the other


def test_models_by_name_are_kept(fakes, monkeypatch):
    from equipoise import loading, models

    calls = []
    monkeypatch.setattr(models, "load_model", lambda name, **_: calls.append(name) or fakes)
    loading.kept.cache_clear()
    explain(red_left(), "a", "share")
    explain(red_left(), "a", "share")
    assert calls == ["a"]
    loading.kept.cache_clear()


def test_slug():
    assert slug("Egyptian cat") == "egyptian_cat"
    assert slug("../../etc: x") == "etc_x"
    assert slug("漢字") == "class"
    assert len(slug("long name " * 30)) <= 40
