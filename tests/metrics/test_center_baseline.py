"""The protocol of the pointing game without a network: the center, on the boxes of VOC 2007 at hand."""

import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import torch

from equipoise.metrics import PointingGame, center_map

pytestmark = pytest.mark.data

CLASSES = re.findall(
    r"\w+",
    """aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant
    sheep sofa train tvmonitor""",
)


def annotations(data):
    """Height, width, and by class the boxes as left, top, right, bottom (inclusive, from 0) and whether difficult."""
    folder = data / "voc2007" / "VOC2007"
    for name in (folder / "ImageSets" / "Main" / "test.txt").read_text().split():
        root = ET.parse(folder / "Annotations" / f"{name}.xml").getroot()  # noqa: S314  # a file of the data set
        boxes: dict = {}
        for thing in root.iter("object"):
            sides = [int(float(thing.findtext(f"bndbox/{side}"))) - 1 for side in ("xmin", "ymin", "xmax", "ymax")]
            boxes.setdefault(thing.findtext("name"), []).append((*sides, thing.findtext("difficult") == "1"))
        yield int(root.findtext("size/height")), int(root.findtext("size/width")), boxes


def center_hits_box(height, width, box):
    """How many of the pixels next to the center lie closer than 15 to a box, by its sides alone."""
    left, top, right, bottom, _ = box
    hits = []
    for y in {(height - 1) // 2, height // 2}:
        for x in {(width - 1) // 2, width // 2}:
            down, across = max(top - y, 0, y - bottom), max(left - x, 0, x - right)
            hits.append(down**2 + across**2 < 225)
    return np.array(hits)


def test_the_center_scores_what_geometry_says(data):
    game = PointingGame(num_classes=20)
    hits: dict = {name: [] for name in CLASSES}
    for height, width, classes in annotations(data):
        for name, boxes in classes.items():
            if all(box[-1] for box in boxes):
                continue
            mask = torch.zeros(1, height, width, dtype=torch.bool)
            for left, top, right, bottom, _ in boxes:
                mask[0, top : bottom + 1, left : right + 1] = True
            game.update(center_map((height, width)).unsqueeze(0), mask, torch.tensor([CLASSES.index(name)]))
            hits[name].append(np.any([center_hits_box(height, width, box) for box in boxes], axis=0).mean())
    expected = np.mean([np.mean(found) for found in hits.values() if found])
    assert sum(map(len, hits.values())) > 80
    assert game.compute().item() == pytest.approx(expected, abs=1e-9)
    assert 0.5 < expected < 0.9  # 0.696 over the whole test set
