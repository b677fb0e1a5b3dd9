"""Everyday words for many ImageNet classes."""

import torch

from equipoise._seen import Look, Top, parse_target
from equipoise.models.groups import GROUPS, imagenet_group
from equipoise.models.labels import imagenet_classes


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
    spec = type("Spec", (), {"classes": imagenet_classes(), "name": "any", "group": staticmethod(imagenet_group)})
    target = parse_target("dog", spec)
    assert target == Top(1, imagenet_group("dog"))
    logits = torch.zeros(1000)
    logits[[3, 243, 282]] = torch.tensor([9.0, 5.0, 7.0])
    look = Look(image=None, inputs=None, logits=logits, box=None, path=None, sha256="", spec=spec)
    assert look.classes([target, parse_target("cat", spec), Top(1)]) == [243, 282, 3]
