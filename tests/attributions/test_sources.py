"""Every stream gives the same photos under its own keys, in the same order every time, and says what is wrong."""

import csv
import io
import json
import pickle
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import webdataset
from PIL import Image

import datasets as hf
from equipoise.attributions.sources import SOURCES, open_source
from equipoise.errors import DataError, EquipoiseError, ImageError, OptionError
from equipoise.view import Photo


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five photos of two classes."""
    home = tmp_path_factory.mktemp("streams") / "photos"
    dice = np.random.default_rng(0)
    for index in range(5):
        place = home / ("bee" if index % 2 else "ant")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(dice.integers(0, 255, (12, 9, 3), dtype=np.uint8)).save(place / f"{index}.png")
    return home


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


def of_folder(folder, _):
    return str(folder)


def of_csv(folder, home):
    path = folder / "photos.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Path", "Label"])
        writer.writerows([one, one.split("/")[0]] for one in files(folder))
    return str(path)


def of_parquet(folder, home):
    path = folder / "photos.parquet"
    pq.write_table(pa.table({"image": files(folder), "class": [one.split("/")[0] for one in files(folder)]}), path)
    return str(path)


def of_tar(folder, home):
    with (
        webdataset.TarWriter(str(home / "photos-000.tar")) as first,
        webdataset.TarWriter(str(home / "photos-001.tar")) as last,
    ):
        for number, one in enumerate(files(folder)):
            sample = {"__key__": one.removesuffix(".png"), "png": (folder / one).read_bytes(), "txt": one.split("/")[0]}
            (first if number < 3 else last).write(sample)
    return str(home / "photos-{000..001}.tar")


def of_hugging_face(folder, home):
    made = hf.Dataset.from_dict(
        {"image": [str(folder / one) for one in files(folder)], "label": [int("bee" in one) for one in files(folder)]},
        features=hf.Features({"image": hf.Image(), "label": hf.ClassLabel(names=["ant", "bee"])}),
    )
    made.save_to_disk(str(home / "saved"))
    return f"hf:{home / 'saved'}"


class Torch(torch.utils.data.Dataset):
    def __init__(self, folder):
        self.folder, self.classes = folder, ["ant", "bee"]

    def __len__(self):
        return 5

    def __getitem__(self, index):
        one = files(self.folder)[index]
        return Image.open(self.folder / one), int("bee" in one)


def of_torch(folder, _):
    return Torch(folder)


@pytest.mark.parametrize("make", [of_folder, of_csv, of_parquet, of_tar, of_hugging_face, of_torch])
def test_every_stream_gives_the_same_photos(folder, tmp_path, make):
    source = open_source(make(folder, tmp_path))
    assert len(source) == 5
    assert len({source.key(index) for index in range(5)}) == 5
    again = pickle.loads(pickle.dumps(source))  # noqa: S301  # made here
    again.check()
    for index, one in enumerate(files(folder)):
        for side in (source, again):
            image = Photo.read(side.read(index)).image
            assert image.tobytes() == Image.open(folder / one).convert("RGB").tobytes()
            assert [side.label_name(label) for label in side.labels(index)] == [one.split("/")[0]]
    assert source.identity() == open_source(make(folder, tmp_path)).identity()


@pytest.mark.filterwarnings("ignore")  # of webdataset's open files
def test_tars_are_read_as_webdataset_reads_them(folder, tmp_path):
    text = of_tar(folder, tmp_path)
    source = open_source(text)
    theirs = list(webdataset.WebDataset(text, shardshuffle=False).decode("pil"))
    assert [one["__key__"] for one in theirs] == [source.key(index) for index in range(5)]
    for index, one in enumerate(theirs):
        assert Photo.read(source.read(index)).image.tobytes() == one["png"].tobytes()


def test_labels_of_tars(tmp_path):
    path = tmp_path / "one.tar"
    picture = io.BytesIO()
    Image.new("RGB", (3, 3)).save(picture, "PNG")
    with tarfile.open(path, "w") as tar:
        for name, data in (
            ("a.png", picture.getvalue()), ("a.cls", b"7"), ("b.seg.png", picture.getvalue()), ("b.txt", b"tabby cat"),
            ("c.png", picture.getvalue()), ("c.json", json.dumps({"label": 3}).encode()), ("d.txt", b"no photo"),
        ):  # fmt: skip
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    source = open_source(str(path))
    assert [source.labels(index) for index in range(len(source))] == [(7,), ("tabby cat",), (3,)]


def test_arrays_and_whole_numbers(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 8, 8), dtype="float32"))
    (tmp_path / "list.csv").write_text("file,label,id\nx.npy,12,first\n")
    source = open_source(str(tmp_path / "list.csv"))
    assert (source.key(0), source.labels(0), source.read(0)) == ("first", (12,), tmp_path / "x.npy")
    assert len(open_source(str(tmp_path))) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nowhere", "nowhere: no such file, folder or data set"),
        ("imagnet", "did you mean the data set imagenet"),
        ("{home}/empty", "there are no photos in this folder"),
        ("{home}/none.csv", "no column of paths; it is called one of path, image"),
        ("{home}/blank.csv", "row 2: names no photo"),
        ("{home}/twice.csv", "two photos are called 'a'"),
        ("{home}/bad.parquet", "is no table"),
        ("{home}/bad.tar", "is no tar file, or is damaged"),
        ("{home}/x-{000..001}.tar", "x-000.tar: no such file"),
        ("hf:{home}/empty", "no data set can be read there"),
        ("nothing:here", "cannot import nothing"),
    ],
)
def test_what_is_wrong_with_a_stream_is_one_sentence(tmp_path, text, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "none.csv").write_text("photo,label\na,b\n")
    (tmp_path / "blank.csv").write_text("path\na.png\n \n".replace(" ", '""'))
    (tmp_path / "twice.csv").write_text("path,key\na.png,a\nb.png,a\n")
    (tmp_path / "bad.parquet").write_bytes(b"no")
    (tmp_path / "bad.tar").write_bytes(b"no")
    with pytest.raises(EquipoiseError, match=said.replace("{", "[{]").replace("..", "[.][.]")):
        open_source(text.replace("{home}", str(tmp_path)))


def test_a_worker_without_the_data_says_so(folder, tmp_path):
    source = open_source(str(folder))
    source.root = tmp_path / "elsewhere"
    with pytest.raises(DataError, match=r"elsewhere is not on this machine .*, where a worker was to read it"):
        source.check()


def test_items_of_the_wrong_kind(folder):
    class Wrong(Torch):
        def __getitem__(self, index):
            if index == 0:
                return 5
            raise KeyError("gone")

    source = open_source(Wrong(folder))
    with pytest.raises(ImageError, match="item 0: holds no image but int"):
        source.read(0)
    with pytest.raises(ImageError, match="item 1: KeyError: 'gone'"):
        source.read(1)
    with pytest.raises(DataError, match="has no length"):
        open_source(iter([1]))
    with pytest.raises(OptionError, match="no photos are named"):
        open_source([])


def test_every_kind_has_an_example():
    assert all(kind.example for kind in SOURCES.values())
