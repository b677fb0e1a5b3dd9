"""Write docs/class-groups.md from the tables of `equipoise.models.groups`: python tools/class_groups_page.py."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from equipoise.models.groups import COCO_GROUPS, VOC_GROUPS
from equipoise.models.labels import imagenet_classes

PAGE = Path(__file__).parents[1] / "docs" / "class-groups.md"

TEXT = """<!-- made by tools/class_groups_page.py from src/equipoise/models/groups.py; do not edit -->
# Which ImageNet classes mean a class of VOC or COCO

A network trained on ImageNet has no class "dog" but 118 breeds, and no class at all for a giraffe. Where such a
network is measured on PASCAL VOC or MS COCO, a category stands for all the classes in its row, which are explained
together as one `equipoise.ClassGroup`. A category without a class is not evaluated.

A class belongs to a category if the object that its name means is one in the sense of the data set's annotation
guidelines. Parts of an object, places and look-alikes do not count: a car wheel, a bookshop, a Dutch oven, the
bird called kite. ImageNet has three kinds of people (ballplayer, groom, scuba diver); they stand for a role, so
"person" has no class.

## PASCAL VOC

{voc}

## MS COCO

{coco}
"""


def table(groups: Mapping[str, tuple[int, ...]]) -> str:
    """One row per category; long lists as ranges."""
    rows = ["| Category | Classes | Which |", "|---|---|---|"]
    rows += [f"| {name} | {len(members)} | {listed(members)} |" for name, members in groups.items()]
    return "\n".join(rows)


def listed(members: tuple[int, ...]) -> str:
    """The names and indices; runs of neighbors by their ends when there are many."""
    names = imagenet_classes()
    if len(members) <= 15:
        return ", ".join(f"{names[index]} ({index})" for index in members)
    runs = [[members[0]]]
    for index in members[1:]:
        if index == runs[-1][-1] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return ", ".join(f"{names[run[0]]} to {names[run[-1]]} ({run[0]} to {run[-1]})" for run in runs)


def page() -> str:
    """The whole page."""
    return TEXT.format(voc=table(VOC_GROUPS), coco=table(COCO_GROUPS))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
