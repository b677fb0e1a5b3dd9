"""Folders whose manifest lists the photos."""

import json

import numpy as np
import pytest
from layouts import mask, photo

from equipoise._vocabularies import COCO
from equipoise.datasets import open_dataset
from equipoise.errors import DataError


def segmentation(folder, entries):
    (folder / "masks").mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(entries))
    return folder


def test_photos_with_the_mask_of_one_category(tmp_path):
    photo(tmp_path / "images" / "voc2007_1.jpg")
    photo(tmp_path / "images" / "coco_2.jpg")
    entries = [
        {"image": "images/voc2007_1.jpg", "mask": "masks/1.png", "category": "sofa"},
        {"image": "images/coco_2.jpg", "mask": "masks/2.png", "category": "kite"},
    ]
    segmentation(tmp_path, entries)
    mask(tmp_path / "masks" / "1.png", box=(3, 1, 5, 4))
    mask(tmp_path / "masks" / "2.png")
    two, one = open_dataset("segmentation", tmp_path)
    assert (two.key, two.categories, two.group) == ("coco_2", (COCO.index("kite"),), "coco")
    assert (one.key, one.categories, one.group) == ("voc2007_1", (COCO.index("couch"),), "voc2007")
    expected = np.zeros((20, 40), bool)
    expected[1:4, 3:5] = True
    assert np.array_equal(one.mask(one.categories[0]), expected)
    assert np.array_equal(one.mask(), expected)


def test_a_mask_of_another_size(tmp_path):
    photo(tmp_path / "images" / "a.jpg")
    segmentation(tmp_path, [{"image": "images/a.jpg", "mask": "masks/a.png", "category": "cat"}])
    mask(tmp_path / "masks" / "a.png", size=(20, 40))
    (sample,) = open_dataset("segmentation", tmp_path)
    with pytest.raises(DataError, match=r"a\.png: is \(20, 40\) pixels, its photo \(40, 20\)"):
        sample.mask()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"mask": "masks/gone.png"}, r"gone\.png: no such file"),
        ({"image": "images/gone.jpg"}, r"gone\.jpg: no such file"),
        ({"category": "unicorn"}, "'unicorn' is no class of COCO"),
    ],
)
def test_an_entry_that_cannot_be_used_is_left_out(tmp_path, entry, message):
    photo(tmp_path / "images" / "a.jpg")
    photo(tmp_path / "images" / "b.jpg")
    good = {"image": "images/a.jpg", "mask": "masks/a.png", "category": "cat"}
    segmentation(tmp_path, [good, {**good, "image": "images/b.jpg", **entry}])
    mask(tmp_path / "masks" / "a.png")
    data = open_dataset("segmentation", tmp_path)
    assert [sample.key for sample in data] == ["a"]
    with pytest.raises(DataError, match=message):
        open_dataset("segmentation", tmp_path, strict=True)


@pytest.mark.parametrize("entries", [3, [3], [{"image": "a.jpg"}], [{"image": 1, "mask": 2, "category": "cat"}]])
def test_a_manifest_that_is_none(tmp_path, entries):
    with pytest.raises(DataError, match=r"manifest\.json: does not list photos"):
        open_dataset("segmentation", segmentation(tmp_path, entries))


@pytest.mark.parametrize("path", ["../a.jpg", "images/../../a.jpg", "/etc/hostname"])
def test_a_manifest_does_not_lead_out_of_its_folder(tmp_path, path):
    photo(tmp_path / "a.jpg")
    folder = segmentation(tmp_path / "data", [{"image": path, "mask": "masks/a.png", "category": "cat"}])
    with pytest.raises(DataError, match="leads out of the folder"):
        open_dataset("segmentation", folder)


def cats_dogs(folder, entries):
    for entry in entries:
        photo(folder / entry["file"])
    (folder / "two_object").mkdir(exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(entries))
    return folder


def test_photos_with_several_classes_in_groups(tmp_path):
    entries = [
        {"file": "two_object/a.png", "labels": [{"index": 282}, {"index": 243}]},
        {"file": "single/b.jpg", "labels": [{"index": 1}]},
    ]
    data = open_dataset("cats_dogs", cats_dogs(tmp_path, entries))
    assert [(sample.key, sample.categories, sample.group) for sample in data] == [
        ("single/b.jpg", (1,), "single"),
        ("two_object/a.png", (243, 282), "two_object"),
    ]
    assert data.classes[282] == "tiger cat"
    assert data.vocabulary == "imagenet"


def test_a_class_that_imagenet_does_not_have(tmp_path):
    entries = [{"file": "single/a.png", "labels": [{"index": 1000}]}, {"file": "single/b.png", "labels": []}]
    data = open_dataset("cats_dogs", cats_dogs(tmp_path, entries))
    assert [sample.key for sample in data] == ["single/b.png"]
    assert "a.png: (1000,) are not all classes of ImageNet" in data.problems[0]


@pytest.mark.data
def test_the_photos_at_hand(data):
    found = open_dataset("segmentation", data, strict=True)
    manifest = {entry["image"]: entry for entry in json.loads((data / "segmentation" / "manifest.json").read_text())}
    assert len(found) == len(manifest) == 60
    for sample in found:
        entry = manifest[f"images/{sample.path.name}"]
        assert sample.mask().mean() == pytest.approx(entry["mask_fraction"], abs=2e-3)
        assert sample.sha256() == entry["sha256"]
    groups = [sample.group for sample in open_dataset("cats_dogs", data, strict=True)]
    assert {name: groups.count(name) for name in groups} == {"single": 26, "two_object": 12, "watermark": 5}
