"""Write docs/datasets.md from the data sets that can be opened: python tools/datasets_page.py."""

from __future__ import annotations

from pathlib import Path

from equipoise.datasets import DATASETS

PAGE = Path(__file__).parents[1] / "docs" / "datasets.md"

TEXT = """<!-- made by tools/datasets_page.py from equipoise.datasets.DATASETS; do not edit -->
# Data sets

Nothing is downloaded. `open_dataset(NAME, root=FOLDER)` looks below a folder of data sets, or in a data set's own
folder; without `root` in the folder that the environment variable `EQUIPOISE_DATA` names, or else in `./data`.

{table}

Where each is looked for, relative to the root (the first that exists counts), and where it comes from:

{places}

## What a photo is

A `DataSet` is a sequence of `Sample`, in the same order every time:

| | |
|---|---|
| `key` | unique within the data set, the same every time |
| `image()` | the photo, upright, in RGB |
| `categories` | indices into `DataSet.classes` of what is to be explained |
| `mask(category)` | where it is: `(height, width)` of the photo, true on the object |
| `hard` | those categories that are difficult, see below |
| `skipped` | categories all of whose objects VOC marks as difficult; they are not explained |
| `group` | a part of the data set to be reported on its own |
| `sha256()` | of the file |

A file that is missing, empty, cut off, no image or of another size than its annotation is left out and named in
`DataSet.problems`; `open_dataset(..., strict=True)` raises `DataError` instead. To notice a file that is cut off, its
end is looked at; damage in the middle shows when the photo is read.

## Your own photos

One folder per class, whose names are the classes:

```python
from pathlib import Path

from PIL import Image

from equipoise.datasets import open_dataset

for name in ("photos/dog/1.png", "photos/dog/2.png", "photos/zebra/3.png"):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48)).save(name)

data = open_dataset("folder", root="photos")
assert data.classes == ("dog", "zebra")
assert [sample.categories for sample in data] == [(0,), (0,), (1,)]
```

Or a folder `images`, with a table of boxes, masks, both or neither. `boxes.csv` has a row for each object: the photo's
file name, the class, and the box in pixels from 0, whose right and bottom are one past the object's last pixel. A row
without a box names a class alone. `boxes.json` is a list of objects with the same names. `masks/NAME.png` is the mask
of the photo `NAME`, black where the object is not; it goes before boxes.

```python
Path("mine/images").mkdir(parents=True)
Path("mine/masks").mkdir()
Image.new("RGB", (64, 48)).save("mine/images/a.jpg")
Image.new("RGB", (64, 48)).save("mine/images/b.jpg")
Image.new("L", (64, 48), 255).save("mine/masks/b.png")
Path("mine/boxes.csv").write_text(
    "image,class,left,top,right,bottom\\na.jpg,cat,0,0,8,6\\na.jpg,sofa,0,0,64,48\\nb.jpg,dog,,,,\\n"
)

data = open_dataset("folder", root="mine")
a, b = data
assert data.classes == ("cat", "dog", "sofa")
assert (a.categories, b.categories) == ((0, 2), (1,))
assert a.mask(0).sum() == 8 * 6
assert a.hard == {{0}}
assert b.mask(1).all()
```

Class names are looked up among a network's classes by name, by synonym, and in the tables of
[class groups](class-groups.md).

## Lists of photos

`segmentation` and `cats_dogs` are folders with a `manifest.json`, a list with an entry for each photo. For
`segmentation` an entry has `image` and `mask` (paths within the folder) and `category` (a class of COCO or VOC); for
`cats_dogs` it has `file` and `labels`, for each class that fits the photo its `index` in ImageNet.

```python
import json

Path("segmentation/masks").mkdir(parents=True)
Image.new("RGB", (64, 48)).save("segmentation/a.png")
Image.new("L", (64, 48), 255).save("segmentation/masks/a.png")
entry = {{"image": "a.png", "mask": "masks/a.png", "category": "sofa"}}
Path("segmentation/manifest.json").write_text(json.dumps([entry]))

(sample,) = data = open_dataset("segmentation", root=".")
assert data.classes[sample.categories[0]] == "couch"  # COCO's name
assert sample.mask().all()
```

## The difficult photos of the pointing game

A category is difficult in a photo if its boxes together cover less than a quarter of the photo and the photo shows
another category (Zhang et al., IJCV 2018). On the 64 photos of the VOC test split that the tests have, this gives
the same 40 pairs of photo and category as the list that TorchRay publishes. Whether boxes that overlap count once or
twice, and whether an object marked difficult counts, makes no difference on those photos; here they count once, and it
does. For COCO, whose list may not be passed on, the rule is applied to the boxes, crowds among them.

VOC 2007 photos in the group `restored` are put together from copies with boxes drawn on them and may keep traces of
these near the objects: report them apart from `original`.
"""


def table() -> str:
    """One row per data set."""
    rows = ["| Name | What | Terms |", "|---|---|---|"]
    rows += [f"| `{name}` | {entry.summary} | {entry.license} |" for name, entry in DATASETS.items()]
    return "\n".join(rows)


def places() -> str:
    """One item per data set."""
    return "\n".join(
        f"- `{name}`: {''.join(f'`{path}`, ' for path in entry.looked_for).removesuffix(', ') or 'nowhere'}. "
        f"{entry.how_to_get}"
        for name, entry in DATASETS.items()
    )


def page() -> str:
    """The whole page."""
    return TEXT.format(table=table(), places=places())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
