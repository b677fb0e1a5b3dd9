"""MS COCO: polygons and run lengths, crowds, boxes with fractions, ids with gaps."""

import builtins
import json

import numpy as np
import pytest
from layouts import coco
from pycocotools import mask as runs

from equipoise._vocabularies import COCO
from equipoise.datasets import open_dataset
from equipoise.datasets.boxes import Box
from equipoise.datasets.coco import _box, decode
from equipoise.errors import DataError, MissingPackageError

PIXELS = np.zeros((20, 40), dtype=np.uint8)
PIXELS[2:5, 10:14] = 1
COUNTS = [10 * 20 + 2, 3, 17, 3, 17, 3, 17, 3, 20 * 27 - 5]  # by hand: down the columns, outside first


def annotations():
    square = [[0.0, 0.0, 4.0, 0.0, 4.0, 3.0, 0.0, 3.0]]
    return [
        {"image_id": 5, "category_id": 3, "bbox": [0.4, 0.4, 3.9, 2.9], "iscrowd": 0, "segmentation": square},
        {"image_id": 5, "category_id": 3, "bbox": [10, 2, 4, 3], "iscrowd": 1,
         "segmentation": {"size": [20, 40], "counts": COUNTS}},
        {"image_id": 5, "category_id": 1, "bbox": [0, 0, 40, 20], "iscrowd": 0,
         "segmentation": [[0, 0, 40, 0, 40, 20, 0, 20]]},
    ]  # fmt: skip


def test_photos_categories_and_masks(tmp_path):
    data = open_dataset("coco2014", coco(tmp_path, annotations()))
    assert data.classes == ("person", "car")
    assert data.vocabulary == "coco"
    five, seven = data
    assert (five.key, five.categories, five.hard) == ("5", (0, 1), {1})
    assert (seven.key, seven.categories, seven.has_masks) == ("7", (), False)
    expected = PIXELS.copy()
    expected[:3, :4] = 1
    assert np.array_equal(five.mask(1), expected.astype(bool))
    assert five.mask(0).all()
    with pytest.raises(DataError, match="no object of category 2"):
        five.mask(2)


def test_an_object_with_a_box_alone_hides_no_other(tmp_path):
    bare = [one | {"segmentation": []} for one in annotations()[:2]]
    five = open_dataset("coco2014", coco(tmp_path / "some", [*annotations()[:1], *bare, *annotations()[2:]]))[0]
    assert np.array_equal(five.mask(1), np.pad(np.ones((3, 4), bool), ((0, 17), (0, 36))))
    assert five.mask(None).all()
    five = open_dataset("coco2014", coco(tmp_path / "none", [*bare, *annotations()[2:]]))[0]
    with pytest.raises(DataError, match="boxes, and no outline"):
        five.mask(1)


def test_a_box_in_whole_pixels():
    assert _box(1, 0.4, 1.6, 3.2, 2.0) == Box(1, 0, 2, 4, 4)


@pytest.mark.parametrize("kind", ["counted", "packed", "text"])
def test_run_lengths(kind):
    packed = runs.encode(np.asfortranarray(PIXELS))
    segmentation = {
        "counted": {"size": [20, 40], "counts": COUNTS},
        "packed": packed,
        "text": {**packed, "counts": packed["counts"].decode()},
    }[kind]
    assert np.array_equal(decode(segmentation, 40, 20), PIXELS.astype(bool))


@pytest.mark.parametrize("segmentation", [{"counts": 3}, [[1, 2]], {"size": [9, 9], "counts": [81]}, None])
def test_a_damaged_segmentation(segmentation):
    with pytest.raises(DataError, match="a segmentation of COCO"):
        decode(segmentation, 40, 20)


def test_without_pycocotools_masks_say_what_to_install(tmp_path, monkeypatch):
    five = open_dataset("coco2014", coco(tmp_path, annotations()))[0]
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("pycocotools"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingPackageError, match=r"pip install equipoise\[coco\]"):
        five.mask(0)


@pytest.mark.parametrize("text", ["{", "[]", '{"images": []}', json.dumps({"categories": [{"id": "a"}]})])
def test_annotations_that_are_none(tmp_path, text):
    folder = coco(tmp_path, [])
    (folder / "annotations" / "instances_val2014.json").write_text(text)
    with pytest.raises(DataError, match=r"instances_val2014\.json"):
        open_dataset("coco2014", folder)


def test_an_annotation_of_an_unknown_category(tmp_path):
    wrong = [{**annotations()[0], "category_id": 90}]
    with pytest.raises(DataError, match=r"holds no COCO annotations \(KeyError: 90\)"):
        open_dataset("coco2014", coco(tmp_path, wrong))


@pytest.mark.data
def test_the_photos_at_hand(data):
    found = open_dataset("coco2014", data, strict=True)
    assert len(found) == 60
    assert found.classes == COCO
    for sample in found:
        for category in sample.categories:
            mask = sample.mask(category)
            assert mask.shape == sample.image().size[::-1]
            assert mask.any()
