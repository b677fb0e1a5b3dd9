"""PASCAL VOC: splits, boxes from 1 with both ends included, objects that are marked difficult."""

import numpy as np
import pytest
from layouts import annotation, voc

from equipoise._vocabularies import VOC
from equipoise.datasets import open_dataset
from equipoise.datasets.boxes import Box, hard
from equipoise.datasets.voc import read_annotation
from equipoise.errors import DataError

DOG, PERSON, CAR = VOC.index("dog"), VOC.index("person"), VOC.index("car")


def test_categories_masks_and_difficult_objects(tmp_path):
    objects = [
        ("dog", (1, 1, 2, 1), False),
        ("dog", (4, 2, 4, 3), True),
        ("car", (5, 5, 9, 9), True),
        ("person", (1, 1, 40, 20), False),
    ]
    (sample,) = open_dataset("voc2007", voc(tmp_path, {"000007": objects}))
    assert sample.categories == (DOG, PERSON)
    assert sample.skipped == {CAR}
    assert sample.hard == {DOG}
    assert sample.has_masks
    assert np.argwhere(sample.mask(DOG)).tolist() == [[0, 0], [0, 1], [1, 3], [2, 3]]
    assert sample.mask(PERSON).shape == (20, 40)
    assert sample.mask(PERSON).all()
    assert sample.mask(CAR).sum() == 25
    with pytest.raises(DataError, match="no object of category 0"):
        sample.mask(0)


def test_a_photo_without_objects(tmp_path):
    (sample,) = open_dataset("voc2007", voc(tmp_path, {"000007": []}))
    assert (sample.categories, sample.has_masks) == ((), False)


def test_a_split_names_its_photos_and_their_group(tmp_path):
    folder = voc(tmp_path, {key: [("dog", (1, 1, 2, 2), False)] for key in ("000001", "000002", "000003")})
    lists = folder / "ImageSets" / "Main"
    (lists / "test_original.txt").write_text("000002\n")
    (lists / "test_restored.txt").write_text("000003  1\n\n")
    groups = {sample.key: sample.group for sample in open_dataset("voc2007", folder)}
    assert groups == {"000001": "", "000002": "original", "000003": "restored"}
    assert [sample.key for sample in open_dataset("voc2007_restored", folder)] == ["000003"]
    with pytest.raises(DataError, match="voc2007_trainval is not below"):
        open_dataset("voc2007_trainval", folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation>", "no annotation of PASCAL VOC"),
        ("<annotation/>", "no size/width"),
        (annotation((4, 4), [("unicorn", (1, 1, 2, 2), False)]), "no annotation of PASCAL VOC"),
        (annotation((4, 4), [("dog", ("a", 1, 2, 2), False)]), "no annotation of PASCAL VOC"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', "declares entities"),
        (" " * 1_000_001, "is longer than"),
    ],
)
def test_a_damaged_annotation_is_named(tmp_path, text, message):
    folder = voc(tmp_path, {"000001": [], "000002": []})
    (folder / "Annotations" / "000001.xml").write_text(text)
    data = open_dataset("voc2007", folder)
    assert [sample.key for sample in data] == ["000002"]
    (problem,) = data.problems
    assert "000001.xml" in problem
    assert message in problem


def test_a_missing_annotation_is_named(tmp_path):
    folder = voc(tmp_path, {"000001": [], "000002": []})
    (folder / "Annotations" / "000001.xml").unlink()
    assert "000001.xml: cannot be read (No such file" in open_dataset("voc2007", folder).problems[0]


def test_numbers_with_a_fraction_lose_it(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(annotation((9, 9), [("dog", ("1.9", 2, "3.2", 4), False)]))
    assert read_annotation(path) == ((9, 9), (Box(DOG, 0, 1, 3, 4),))


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "count"),
    [("voc2007", 64), ("voc2007_original", 15), ("voc2007_restored", 49), ("voc2007_multi_class", 27),
     ("voc2007_original_multi_class", 10), ("voc2007_trainval", 14)],
)  # fmt: skip
def test_the_splits_at_hand(data, name, count):
    found = open_dataset(name, data, strict=True)
    assert (len(found), found.vocabulary, found.classes) == (count, "voc", VOC)
    for sample in found:
        assert sample.mask(sample.categories[0]).shape == sample.image().size[::-1]


@pytest.mark.data
def test_the_rule_gives_the_published_difficult_list(data):
    published = {}
    for line in (data / "torchray" / "pointing_game_ebp_voc07_difficult.txt").read_text().splitlines():
        key, *flags = line.split()
        published[key] = {index for index, flag in enumerate(flags) if flag == "1"}
    found = {sample.key: sample.hard for sample in open_dataset("voc2007", data)}
    assert len(published) == 4952
    assert {key: published[key] for key in found} == found
    assert sum(map(len, found.values())) == 40


@pytest.mark.data
def test_what_the_photos_at_hand_do_not_decide_about_the_rule(data):
    """Overlapping boxes counted twice, or difficult objects not at all: the same pairs."""
    for sample in open_dataset("voc2007", data):
        (width, height), boxes = read_annotation(sample.path.parents[1] / "Annotations" / f"{sample.key}.xml")
        areas = {
            category: sum((box.right - box.left) * (box.bottom - box.top) for box in boxes if box.category == category)
            for category in sample.categories
        }
        if len({box.category for box in boxes}) > 1:
            assert {category for category, area in areas.items() if 4 * area < width * height} == sample.hard
        assert hard([box for box in boxes if not box.difficult], width, height) == sample.hard


@pytest.mark.data
def test_the_root_may_be_the_kit(data):
    assert len(open_dataset("voc2007", data / "voc2007" / "VOC2007")) == 64
