"""Photos of one's own."""

import json

import numpy as np
import pytest
from layouts import mask, photo
from PIL import Image

from equipoise import images
from equipoise.datasets import open_dataset, problems
from equipoise.errors import DataError

HEAD = "image,class,left,top,right,bottom\n"


def own(tmp_path, table=None, names=("a.jpg", "b.png")):
    for name in names:
        photo(tmp_path / "images" / name)
    if table is not None:
        (tmp_path / "boxes.csv").write_text(table)
    return tmp_path


def test_class_folders(tmp_path):
    photo(tmp_path / "zebra" / "1.jpg")
    photo(tmp_path / "dog" / "old" / "2.png")
    photo(tmp_path / "3.png")
    data = open_dataset("folder", tmp_path)
    assert (data.classes, data.vocabulary) == (("dog", "zebra"), "custom")
    assert [(sample.key, sample.categories) for sample in data] == [
        ("3.png", ()),
        ("dog/old/2.png", (0,)),
        ("zebra/1.jpg", (1,)),
    ]


def test_a_table_of_boxes(tmp_path):
    table = HEAD + "b.png,dog,1,2,3,5\nb.png,cat,0,0,40,20\na.jpg,dog,,,,\n"
    a, b = open_dataset("folder", own(tmp_path, table))
    assert (a.key, a.categories, a.has_masks, a.hard) == ("a.jpg", (1,), False, frozenset())
    assert (b.key, b.categories, b.hard) == ("b.png", (0, 1), {1})
    assert np.argwhere(b.mask(1)).tolist() == [[2, 1], [2, 2], [3, 1], [3, 2], [4, 1], [4, 2]]
    assert b.mask(0).all()


def test_the_same_table_as_json(tmp_path):
    rows = [{"image": "b.png", "class": "dog", "left": 1, "top": 2, "right": 3, "bottom": 5}]
    (own(tmp_path) / "boxes.json").write_text(json.dumps(rows))
    a, b = open_dataset("folder", tmp_path)
    assert (a.categories, b.categories) == ((), (0,))
    assert b.mask(0).sum() == 6


def test_a_mask_goes_before_a_box(tmp_path):
    own(tmp_path, HEAD + "a.jpg,dog,1,2,3,5\n")
    mask(tmp_path / "masks" / "a.png", box=(0, 0, 10, 10))
    a, b = open_dataset("folder", tmp_path)
    assert a.mask(0).sum() == 100
    assert not b.has_masks


def test_a_category_without_a_box_leaves_the_difficult_rule_undecided(tmp_path):
    a, _ = open_dataset("folder", own(tmp_path, HEAD + "a.jpg,dog,1,2,3,5\na.jpg,cat,7,7,8,8\na.jpg,owl,,,,\n"))
    assert (a.categories, a.hard, a.has_masks) == ((0, 1, 2), frozenset(), False)


def test_a_photo_that_stands_on_its_side_and_its_mask(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(own(tmp_path) / "images" / "a.jpg", exif=exif)
    mask(tmp_path / "masks" / "a.png", size=(20, 40))
    a, _ = open_dataset("folder", tmp_path, strict=True)
    assert a.mask().shape == a.image().size[::-1] == (40, 20)


def test_a_photo_larger_than_what_is_read(tmp_path, monkeypatch):
    photo(own(tmp_path) / "images" / "a.jpg", (40, 21))
    for module in (images, problems):
        monkeypatch.setattr(module, "MAX_PIXELS", 800)
    data = open_dataset("folder", tmp_path)
    assert [sample.key for sample in data] == ["b.png"]
    assert "a.jpg: is 40 x 21 pixels; has more than" in data.problems[0]


@pytest.mark.parametrize("value", [1, 255])
def test_masks_without_a_table(tmp_path, value):
    mask(own(tmp_path) / "masks" / "a.png", value=value)
    a, _ = open_dataset("folder", tmp_path)
    assert a.categories == ()
    assert a.mask().sum() == 100


def test_a_mask_of_another_size_is_left_out_with_its_photo(tmp_path):
    mask(own(tmp_path) / "masks" / "a.png", size=(20, 40))
    data = open_dataset("folder", tmp_path)
    assert [sample.key for sample in data] == ["b.png"]
    assert "a.png: is 20 x 40 pixels, but its annotation is of 40 x 20" in data.problems[0]


def test_a_photo_that_is_listed_but_missing(tmp_path):
    data = open_dataset("folder", own(tmp_path, HEAD + "c.png,dog,1,2,3,5\n"))
    assert "c.png: no such file" in data.problems[0]
    with pytest.raises(DataError, match=r"c\.png"):
        open_dataset("folder", tmp_path, strict=True)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("a,b\n1,2\n", r"boxes\.csv, row 1: names no image or no class"),
        (HEAD + "a.jpg,dog,1,2,3,5\na.jpg,dog,1,2,3\n", "row 2: a box has left, top, right and bottom"),
        (HEAD + "a.jpg,dog,1,x,3,5\n", "row 1: a box has"),
        (HEAD + "a.jpg,dog,3,2,3,5\n", "row 1: the box .* has no pixels"),
        (HEAD + "a.jpg,dog,-1,2,3,5\n", "row 1: the box .* has no pixels"),
        (HEAD + 'a.jpg,"dog,1,2,3,5\n', "is no table"),
    ],
)
def test_a_table_that_is_none(tmp_path, table, message):
    with pytest.raises(DataError, match=message):
        open_dataset("folder", own(tmp_path, table))


@pytest.mark.parametrize("content", ["{}", "[3]", "["])
def test_json_that_is_no_table(tmp_path, content):
    (own(tmp_path) / "boxes.json").write_text(content)
    with pytest.raises(DataError, match=r"boxes\.json"):
        open_dataset("folder", tmp_path)
