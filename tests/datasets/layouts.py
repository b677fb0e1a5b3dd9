"""Small data sets written in the layouts that the readers take."""

import json

import numpy as np
from PIL import Image


def photo(path, size=(40, 20), color=(200, 30, 30)):
    """A photo of one color, ``size`` is width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)
    return path


def mask(path, size=(40, 20), box=(0, 0, 10, 10), value=255):
    """A mask that is black but for a box of left, top, right and bottom."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("L", size)
    image.paste(value, box)
    image.save(path)
    return path


def annotation(size, objects):
    """An annotation of VOC; an object is a name, xmin, ymin, xmax, ymax and perhaps whether it is difficult."""
    parts = [
        f"<object><name>{name}</name><difficult>{int(difficult)}</difficult><bndbox><xmin>{box[0]}</xmin>"
        f"<ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"
        for name, box, difficult in objects
    ]
    width, height = size
    return f"<annotation><size><width>{width}</width><height>{height}</height></size>{''.join(parts)}</annotation>"


def voc(folder, photos, size=(40, 20), split="test"):
    """A development kit; ``photos`` maps a key to its objects."""
    for key, objects in photos.items():
        photo(folder / "JPEGImages" / f"{key}.jpg", size)
        (folder / "Annotations").mkdir(exist_ok=True)
        (folder / "Annotations" / f"{key}.xml").write_text(annotation(size, objects))
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / f"{split}.txt").write_text("".join(f"{key}\n" for key in photos))
    return folder


def coco(folder, annotations, categories=((3, "car"), (1, "person")), size=(40, 20)):
    """Photos 7 and 5 and two categories, neither in the order of their ids."""
    images = [
        {"id": number, "file_name": f"COCO_val2014_{number:012}.jpg", "width": size[0], "height": size[1]}
        for number in (7, 5)
    ]
    for image in images:
        photo(folder / "val2014" / image["file_name"], size)
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in categories],
    }
    (folder / "annotations").mkdir(parents=True)
    (folder / "annotations" / "instances_val2014.json").write_text(json.dumps(content))
    return folder


def segmentations(path, photos):
    """A file as ``gtsegs_ijcv.mat``: ``photos`` are (id, WordNet id, pixels (h, w, 3), masks (h, w))."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:

        def stored(name, value):
            return file.create_dataset(f"#refs#/{name}", data=value).ref

        def text(name, value):
            return stored(name, np.array([[ord(letter)] for letter in value], dtype=np.uint16))

        columns = {"id": [], "target": [], "img": [], "gt": []}
        for row, (name, synset, pixels, masks) in enumerate(photos):
            columns["id"].append(text(f"id{row}", name))
            columns["target"].append(text(f"target{row}", synset))
            columns["img"].append(stored(f"img{row}", pixels.transpose(2, 1, 0)))
            cell = file.create_dataset(f"#refs#/gt{row}", (len(masks), 1), dtype=h5py.ref_dtype)
            for index, one in enumerate(masks):
                cell[index, 0] = stored(f"gt{row}_{index}", one.T)
            columns["gt"].append(cell.ref)
        for name, references in columns.items():
            column = file.create_dataset(f"value/{name}", (len(references), 1), dtype=h5py.ref_dtype)
            for row, reference in enumerate(references):
                column[row, 0] = reference
    return path
