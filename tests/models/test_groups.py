"""Everyday words for many ImageNet classes."""

import json
import re
import runpy
from pathlib import Path

import pytest
import torch
from PIL import Image
from timm.data import ImageNetInfo

from equipoise import models
from equipoise._vocabularies import COCO, VOC, VOC_TO_COCO
from equipoise.answers import Answers
from equipoise.models import ModelSpec, Preprocessing
from equipoise.models.categories import category_groups
from equipoise.models.groups import COCO_GROUPS, GROUPS, VOC_GROUPS, imagenet_group
from equipoise.models.labels import imagenet_classes
from equipoise.network import Network
from equipoise.view import Photo, View
from equipoise.wanted import Top, parse_target

ROOT = Path(__file__).parents[2]


def test_the_ranges_end_where_the_families_end():
    names = imagenet_classes()
    ends = {group: [(names[part[0]], names[part[-1]]) for part in ranges] for group, ranges in GROUPS.items()}
    assert ends == {
        "dog": [("Chihuahua", "Mexican hairless")],
        "cat": [("tabby", "Egyptian cat")],
        "bird": [("cock", "great grey owl"), ("black grouse", "black swan"), ("white stork", "albatross")],
    }
    assert imagenet_group("Dog ") == tuple(range(151, 269))
    assert imagenet_group("zebra") is None


def test_a_group_is_its_highest_class_in_the_photo():
    spec = ModelSpec("any", "own", "any", imagenet_classes(), Preprocessing(), "own", "")
    target = parse_target("dog", spec)
    assert target == Top(1, imagenet_group("dog"))
    logits = torch.zeros(1000)
    logits[[3, 243, 282]] = torch.tensor([9.0, 5.0, 7.0])
    photo = Photo(Image.new("RGB", (4, 4)), None, "")
    network = Network(torch.nn.Identity(), spec)
    view = View(network, photo, torch.zeros(1, 3, 4, 4), Answers(spec, logits), (0.0, 0.0, 4.0, 4.0))
    assert view.targets([target, parse_target("cat", spec), Top(1)]) == [243, 282, 3]


# For each category words of which every member's line of synonyms holds one, and how many members there are.
WORDS = {
    "bicycle": ("bicycle|bike|tricycle|unicycle", 2),
    "car": ("car|wagon|cab|convertible|jeep|limousine|minivan|Model T", 9),
    "motorcycle": ("moped|scooter", 2),
    "airplane": ("airliner|warplane", 2),
    "bus": (r"\w*bus", 3),
    "train": ("train|locomotive|freight car|passenger car|streetcar", 6),
    "truck": ("truck|van|pickup", 6),
    "boat": (r"\w*boat|canoe|ship|pirate|gondola|liner|schooner|\w*maran|yawl|aircraft carrier", 13),
    "traffic light": ("traffic light", 1), "stop sign": ("street sign", 1), "parking meter": ("parking meter", 1),
    "bench": ("bench", 1), "horse": ("sorrel", 1), "sheep": ("ram|sheep", 2), "cow": ("ox", 1),
    "elephant": ("elephant|tusker", 3), "bear": ("bear", 4), "zebra": ("zebra", 1), "backpack": ("backpack", 1),
    "umbrella": ("umbrella", 1), "handbag": ("purse", 1), "tie": ("tie", 3), "skis": ("ski", 1),
    "sports ball": ("baseball|basketball|ball|volleyball", 9), "tennis racket": ("racket", 1),
    "bottle": ("bottle", 5), "wine glass": ("goblet", 1), "cup": ("cup|mug", 2), "knife": ("cleaver", 1),
    "spoon": ("spoon", 1), "bowl": ("bowl", 2), "banana": ("banana", 1), "apple": ("Granny Smith", 1),
    "sandwich": ("cheeseburger", 1), "orange": ("orange", 1), "broccoli": ("broccoli", 1),
    "hot dog": ("hot dog", 1), "pizza": ("pizza", 1), "chair": ("chair|throne", 4), "couch": ("couch", 1),
    "potted plant": ("flowerpot", 1), "bed": ("four-poster", 1), "dining table": ("dining table", 1),
    "toilet": ("toilet seat", 1), "tv": ("monitor|screen|television", 3), "laptop": ("laptop|notebook", 2),
    "mouse": ("computer mouse", 1), "remote": ("remote control", 1), "keyboard": ("computer keyboard", 1),
    "cell phone": ("cellphone", 1), "microwave": ("microwave", 1), "oven": ("stove", 1), "toaster": ("toaster", 1),
    "sink": ("washbasin", 1), "refrigerator": ("refrigerator", 1), "book": ("book|book jacket", 2),
    "clock": ("clock", 3), "vase": ("vase", 1), "teddy bear": ("teddy bear", 1), "hair drier": ("hair dryer", 1),
}  # fmt: skip
NONE = ["person", "fire hydrant", "giraffe", "suitcase", "frisbee", "snowboard", "kite", "baseball bat",
        "baseball glove", "skateboard", "surfboard", "fork", "carrot", "donut", "cake", "scissors",
        "toothbrush"]  # fmt: skip


def lines():
    return ImageNetInfo().label_descriptions()


@pytest.mark.parametrize(("name", "expected"), WORDS.items())
def test_every_member_of_a_category_is_called_what_it_should_be(name, expected):
    words, count = expected
    found = [lines()[index] for index in COCO_GROUPS[name]]
    assert len(found) == count
    for line in found:
        assert re.search(rf"\b(?:{words})\b", line), line


def test_every_category_is_accounted_for():
    assert [name for name, members in COCO_GROUPS.items() if not members] == NONE
    assert set(WORDS) | set(NONE) | {"bird", "cat", "dog"} == set(COCO)
    for name in ("bird", "cat", "dog"):
        assert COCO_GROUPS[name] == VOC_GROUPS[name] == imagenet_group(name)
    assert [name for name, members in VOC_GROUPS.items() if not members] == ["person"]


def test_where_voc_draws_the_line_elsewhere():
    coco = {name: COCO_GROUPS[VOC_TO_COCO.get(name, name)] for name in VOC}
    assert {name for name in VOC if coco[name] != VOC_GROUPS[name]} == {"bicycle", "train"}
    names = imagenet_classes()
    assert {names[index] for index in set(VOC_GROUPS["bicycle"]) - set(coco["bicycle"])} == {"tricycle", "unicycle"}
    assert {names[index] for index in set(coco["train"]) - set(VOC_GROUPS["train"])} == {"streetcar"}


@pytest.mark.parametrize("groups", [VOC_GROUPS, COCO_GROUPS])
def test_groups_share_no_class_and_are_in_order(groups):
    members = [index for group in groups.values() for index in group]
    assert len(set(members)) == len(members)
    assert all(0 <= index < 1000 for index in members)
    assert all(list(group) == sorted(group) for group in groups.values())


@pytest.mark.data
def test_the_groups_agree_with_the_labels_that_came_with_the_masks(data):
    manifest = json.loads((data / "segmentation" / "manifest.json").read_text())
    for entry in manifest:
        found = set(COCO_GROUPS[VOC_TO_COCO.get(entry["category"], entry["category"])])
        given = set(entry["imagenet_labels"])
        assert bool(found) == bool(given), entry["category"]
        assert len(found & given) * 2 >= len(found | given), entry["category"]


def spec(classes, synonyms=()):
    return models.ModelSpec("any", "any", "any", tuple(classes), models.Preprocessing(), "", "", synonyms=synonyms)


IMAGENET = spec(imagenet_classes(), tuple(lines()))


def test_categories_of_voc_and_coco_on_an_imagenet_network():
    assert category_groups("voc", VOC, IMAGENET) == tuple(VOC_GROUPS.values())
    assert category_groups("coco", COCO[2:4], IMAGENET) == (COCO_GROUPS["car"], COCO_GROUPS["motorcycle"])
    assert category_groups("voc", ("unicorn",), IMAGENET) == ((),)


def test_a_network_with_the_data_sets_own_classes():
    assert category_groups("voc", VOC, spec(VOC)) == tuple((index,) for index in range(20))
    assert category_groups("custom", ("x", "y"), spec(["x", "y"])) == ((0,), (1,))
    assert category_groups("imagenet", tuple(lines()), IMAGENET) == tuple((index,) for index in range(1000))


def test_a_network_of_the_other_data_set():
    found = category_groups("voc", VOC, spec(COCO))
    assert [COCO[index] for (index,) in found] == [VOC_TO_COCO.get(name, name) for name in VOC]
    back = category_groups("coco", COCO, spec(VOC))
    assert [VOC[index] for (index,) in filter(None, back)] == [
        {coco: voc for voc, coco in VOC_TO_COCO.items()}.get(name, name) for name in COCO if name in set(VOC) |
        set(VOC_TO_COCO.values())
    ]  # fmt: skip
    assert sum(map(bool, back)) == 20


def test_categories_of_ones_own_are_found_by_name_synonym_or_group():
    names = ("Goldfish", "Canis dingo", "dog", "car", "sofa", "kite", "unicorn")
    found = category_groups("custom", names, IMAGENET)
    assert found == ((1,), (273,), imagenet_group("dog"), COCO_GROUPS["car"], (831,), (21,), ())
    assert category_groups("custom", ("dog",), spec(["cat", "Dog", "dogs"])) == ((1,),)
    assert category_groups("imagenet", ("dalmatian",), IMAGENET) == ((251,),)
    assert category_groups("imagenet", ("goldfish", "dalmatian"), spec(["dalmatian", "b"])) == ((), (0,))


def test_the_page_is_what_the_tool_writes():
    tool = runpy.run_path(str(ROOT / "tools" / "class_groups_page.py"))
    assert (ROOT / "docs" / "class-groups.md").read_text() == tool["page"]()
