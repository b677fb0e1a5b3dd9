"""Which classes of a network mean a category of a data set.

No ImageNet class is called "dog", 118 breeds are; no class at all means "giraffe". The tables here say, for
each class of PASCAL VOC and MS COCO, which of the 1000 classes of ILSVRC-2012 are kinds of it. A class
belongs to a category if what its WordNet definition describes is an instance of it in the sense of the data
set's annotation guidelines; a part of it (a car wheel), a place of it (a bookshop) or a look-alike (a Dutch
oven) is not. The ranges follow the order of the ILSVRC-2012 classes, in which the synsets of an animal
family are neighbors.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from equipoise._vocabularies import COCO, VOC, VOC_TO_COCO

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUPS: Final = MappingProxyType(
    {
        "dog": (range(151, 269),),  # Chihuahua to Mexican hairless
        "cat": (range(281, 286),),  # tabby to Egyptian cat; the big cats are their own classes
        # cock to great grey owl, black grouse to black swan, white stork to albatross
        "bird": (range(7, 25), range(80, 101), range(127, 147)),
    }
)
"""Group to ranges of class indices of ImageNet-1k."""


def imagenet_group(name: str) -> tuple[int, ...] | None:
    """The class indices of a group, in order; ``None`` if there is no such group."""
    ranges = GROUPS.get(name.strip().casefold())
    return None if ranges is None else tuple(index for part in ranges for index in part)


# Categories of COCO without an entry have no class of ImageNet: among them person, giraffe, and kite, for the
# class of that name is a bird. ImageNet's three kinds of people (ballplayer, groom, scuba diver) are left out,
# since they stand for a role rather than for a person.
_COCO: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {
        "bicycle": (444, 671),
        "car": (436, 468, 511, 609, 627, 656, 661, 751, 817),
        "motorcycle": (665, 670),
        "airplane": (404, 895),
        "bus": (654, 779, 874),
        "train": (466, 547, 565, 705, 820, 829),
        "truck": (555, 569, 675, 717, 864, 867),
        "boat": (403, 472, 484, 510, 554, 576, 625, 628, 724, 780, 814, 871, 914),
        "traffic light": (920,),
        "stop sign": (919,),
        "parking meter": (704,),
        "bench": (703,),
        "bird": imagenet_group("bird") or (),
        "cat": imagenet_group("cat") or (),
        "dog": imagenet_group("dog") or (),
        "horse": (339,),
        "sheep": (348, 349),
        "cow": (345,),
        "elephant": (101, 385, 386),
        "bear": (294, 295, 296, 297),
        "zebra": (340,),
        "backpack": (414,),
        "umbrella": (879,),
        "handbag": (748,),
        "tie": (451, 457, 906),
        "skis": (795,),
        "sports ball": (429, 430, 522, 574, 722, 768, 805, 852, 890),
        "tennis racket": (752,),
        "bottle": (440, 720, 737, 898, 907),
        "wine glass": (572,),
        "cup": (504, 968),
        "knife": (499,),
        "spoon": (910,),
        "bowl": (659, 809),
        "banana": (954,),
        "apple": (948,),
        "sandwich": (933,),
        "orange": (950,),
        "broccoli": (937,),
        "hot dog": (934,),
        "pizza": (963,),
        "chair": (423, 559, 765, 857),
        "couch": (831,),
        "potted plant": (738,),
        "bed": (564,),
        "dining table": (532,),
        "toilet": (861,),
        "tv": (664, 782, 851),
        "laptop": (620, 681),
        "mouse": (673,),
        "remote": (761,),
        "keyboard": (508,),
        "cell phone": (487,),
        "microwave": (651,),
        "oven": (827,),
        "toaster": (859,),
        "sink": (896,),
        "refrigerator": (760,),
        "book": (917, 921),
        "clock": (409, 530, 892),
        "vase": (883,),
        "teddy bear": (850,),
        "hair drier": (589,),
    }
)

# Where VOC's guidelines draw the line elsewhere: tricycles and unicycles are bicycles, trams are no trains.
_VOC_DIFFERS: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {"bicycle": (444, 671, 870, 880), "train": (466, 547, 565, 705, 820)}
)

COCO_GROUPS: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType({name: _COCO.get(name, ()) for name in COCO})
"""Class of MS COCO to its class indices of ImageNet-1k, ascending; empty if there is none."""

VOC_GROUPS: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {name: _VOC_DIFFERS.get(name, COCO_GROUPS[VOC_TO_COCO.get(name, name)]) for name in VOC}
)
"""Class of PASCAL VOC to its class indices of ImageNet-1k, ascending; empty if there is none."""
