"""The data sets that can be opened by name."""

from __future__ import annotations

from typing import Final

from equipoise.datasets.base import DATASETS, DataSetEntry
from equipoise.datasets.coco import ANNOTATIONS, read_coco
from equipoise.datasets.folder import read_folder
from equipoise.datasets.imagenet import read_imagenet
from equipoise.datasets.imagenet_segmentation import FILE, read_imagenet_segmentation
from equipoise.datasets.listed import read_cats_dogs, read_segmentation
from equipoise.datasets.samples import read_samples
from equipoise.datasets.scenes import read_scenes
from equipoise.datasets.voc import SPLITS, read_voc

_VOC_SUMMARIES: Final = {
    "voc2007": "photos of the VOC 2007 test split with boxes of 20 classes",
    "voc2007_original": "those of voc2007 whose files are the published ones",
    "voc2007_restored": "those of voc2007 put together from copies with boxes drawn on them",
    "voc2007_multi_class": "those of voc2007 that show several classes",
    "voc2007_original_multi_class": "those of voc2007_original that show several classes",
    "voc2007_trainval": "photos of the VOC 2007 trainval split with boxes of 20 classes",
}
_PUBLISHED_SPLITS: Final = frozenset({"test", "trainval"})


def _voc_entries() -> list[DataSetEntry]:
    return [
        DataSetEntry(
            name,
            summary=_VOC_SUMMARIES[name],
            folders=("voc2007/VOC2007", "VOCdevkit/VOC2007", "VOC2007", "."),
            signs=(f"ImageSets/Main/{split}.txt",),
            how_to_get="VOC 2007 is at http://host.robots.ox.ac.uk/pascal/VOC/voc2007/."
            if split in _PUBLISHED_SPLITS
            else f"Write photos' names into ImageSets/Main/{split}.txt of a VOC 2007 folder.",
            license="photos of flickr under their own terms",
            read=read_voc,
        )
        for name, split in SPLITS.items()
    ]


_OTHERS: Final = (
    DataSetEntry(
        "coco2014",
        summary="validation photos of MS COCO 2014 with segmentations of 80 classes",
        folders=("coco", "coco2014", "."),
        signs=(ANNOTATIONS,),
        how_to_get="COCO is at https://cocodataset.org (2014 val images, 2014 train/val annotations).",
        license="photos of flickr under their own terms, annotations CC BY 4.0",
        read=read_coco,
    ),
    DataSetEntry(
        "imagenet",
        summary="validation photos of ILSVRC-2012, one of 1000 classes each",
        folders=("imagenet/val", "val", "."),
        signs=("n[0-9]*/", "ILSVRC2012_val_*"),
        how_to_get="ImageNet is at https://image-net.org, after registration (validation images, development kit).",
        license="research and education, not commercial",
        read=read_imagenet,
    ),
    DataSetEntry(
        "imagenet_segmentation",
        summary="4276 photos of ImageNet, each with the mask of its object",
        folders=("imagenet_segmentation", "."),
        signs=(FILE,),
        how_to_get=f"Get {FILE} from http://calvin-vision.net/bigstuff/proj-imagenet/data/{FILE}.",
        license="research and education, not commercial",
        read=read_imagenet_segmentation,
    ),
    DataSetEntry(
        "segmentation",
        summary="photos of COCO and VOC, each with the mask of one category",
        folders=("segmentation", "."),
        signs=("masks/",),
        how_to_get="Make a folder of images, masks and a manifest.json as docs/datasets.md describes.",
        license="photos of flickr under their own terms",
        read=read_segmentation,
    ),
    DataSetEntry(
        "cats_dogs",
        summary="photos from papers on attribution: one object, two objects, a watermark",
        folders=("cats_dogs", "."),
        signs=("two_object/",),
        how_to_get="Make a folder of images and a manifest.json as docs/datasets.md describes.",
        license="as the sources say, which the manifest names",
        read=read_cats_dogs,
    ),
    DataSetEntry(
        "folder",
        summary="your own photos, with classes, boxes or masks if you have them",
        folders=(".",),
        signs=("images/", "*.*", "*/"),
        how_to_get="Give the folder of your photos.",
        license="yours",
        read=read_folder,
    ),
    DataSetEntry(
        "samples",
        summary="four photos that installed packages bring, with classes of ImageNet; figures may show them",
        folders=(),
        signs=(),
        how_to_get="pip install 'equipoise[demo]' brings them: nothing is looked for.",
        license="CC0 or public domain",
        read=read_samples,
    ),
    DataSetEntry(
        "scenes",
        summary="drawn scenes of 0 to 3 objects whose shapes are the classes, with masks",
        folders=(),
        signs=(),
        how_to_get="It is drawn, always the same: nothing is looked for.",
        license="as equipoise",
        read=read_scenes,
    ),
)


def register_all() -> None:
    """Fill `DATASETS`."""
    for entry in (*_voc_entries(), *_OTHERS):
        DATASETS.add(entry.name, entry)
