"""Opening a data set: where it is looked for, what is left out, what a sample gives."""

import hashlib
import pickle

import numpy as np
import pytest
from layouts import photo, voc
from PIL import Image

from equipoise._vocabularies import COCO, VOC, VOC_TO_COCO
from equipoise.datasets import DATASETS, DataSet, Sample, open_dataset
from equipoise.errors import DataError, ImageError, UnknownNameError

PHOTOS = {"000001": [("dog", (1, 1, 10, 10), False)], "000002": [("cat", (1, 1, 40, 20), False)]}


def test_the_two_vocabularies():
    assert len(set(VOC)) == 20
    assert len(set(COCO)) == 80
    assert list(VOC) == sorted(VOC)
    assert set(VOC_TO_COCO) == set(VOC) - set(COCO)
    assert set(VOC_TO_COCO.values()) <= set(COCO)


@pytest.mark.parametrize("place", [".", "VOC2007", "VOCdevkit/VOC2007", "voc2007/VOC2007"])
def test_the_root_may_be_the_folder_itself_or_one_above(tmp_path, place):
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    voc(tmp_path / place, PHOTOS)
    assert [sample.key for sample in open_dataset("voc2007", tmp_path)] == ["000001", "000002"]


def test_the_root_comes_from_the_environment_or_is_data(tmp_path, monkeypatch):
    (tmp_path / "data" / "VOC2007").mkdir(parents=True)
    voc(tmp_path / "data" / "VOC2007", PHOTOS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EQUIPOISE_DATA", raising=False)
    assert len(open_dataset("voc2007")) == 2
    monkeypatch.setenv("EQUIPOISE_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(DataError, match="elsewhere"):
        open_dataset("voc2007")


@pytest.mark.parametrize("name", [name for name, entry in DATASETS.items() if entry.folders])
def test_an_absent_data_set_says_where_it_was_looked_for_and_how_to_get_it(tmp_path, name):
    with pytest.raises(DataError) as caught:
        open_dataset(name, tmp_path)
    entry = DATASETS[name]
    for part in [name, str(tmp_path), *entry.looked_for, entry.how_to_get]:
        assert part in str(caught.value)
    with pytest.raises(DataError):
        open_dataset(name, tmp_path / "nowhere")


def test_an_unknown_name_lists_near_ones(tmp_path):
    with pytest.raises(UnknownNameError, match="voc2007"):
        open_dataset("voc2017", tmp_path)


def test_a_sequence_in_a_fixed_order(tmp_path):
    data = open_dataset("voc2007", voc(tmp_path, PHOTOS))
    assert len(data) == 2
    assert data[-1].key == "000002"
    assert [sample.key for sample in data[:1]] == ["000001"]
    assert list(data) == [data[0], data[1]]
    assert data[1] in data
    assert list(open_dataset("voc2007", tmp_path)) == list(data)


def test_two_photos_of_one_key_are_refused(tmp_path):
    sample = Sample("a", tmp_path / "a.png")
    with pytest.raises(DataError, match="two photos are called 'a'"):
        DataSet("mine", (), "custom", (sample, sample))


def test_a_sample_reads_its_file(tmp_path):
    path = photo(tmp_path / "a.png", (5, 3), (1, 2, 3))
    sample = Sample("a", path)
    assert sample.image().mode == "RGB"
    assert np.asarray(sample.image())[2, 4].tolist() == [1, 2, 3]
    assert sample.sha256() == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not sample.has_masks
    with pytest.raises(DataError, match="a: this photo has no masks"):
        sample.mask(0)
    path.unlink()
    for method in (sample.image, sample.sha256):
        with pytest.raises(ImageError, match=r"a\.png: no such file"):
            method()


def test_a_photo_is_shown_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a.jpg"
    Image.new("RGB", (40, 20)).save(path, exif=exif)
    assert Sample("a", path).image().size == (20, 40)


def test_samples_travel_to_other_processes(tmp_path):
    data = open_dataset("voc2007", voc(tmp_path, PHOTOS))
    copy = pickle.loads(pickle.dumps(data[0]))  # noqa: S301  # made here
    assert np.array_equal(copy.mask(11), data[0].mask(11))


def damaged(tmp_path):
    """Of five photos of VOC one is cut off, one is empty, one is missing and one has the wrong size."""
    keys = ["000001", "000002", "000003", "000004", "000005"]
    folder = voc(tmp_path, {key: [("dog", (1, 1, 10, 10), False)] for key in keys}, size=(400, 200))
    images = folder / "JPEGImages"
    whole = (images / "000001.jpg").read_bytes()
    (images / "000001.jpg").write_bytes(whole[: len(whole) // 2])
    (images / "000002.jpg").write_bytes(b"")
    (images / "000003.jpg").unlink()
    photo(images / "000004.jpg", (300, 200))
    return folder


def test_what_is_missing_or_broken_is_named_and_left_out(tmp_path):
    data = open_dataset("voc2007", damaged(tmp_path))
    assert [sample.key for sample in data] == ["000005"]
    cut, empty, missing, other = data.problems
    assert "000001.jpg: is damaged or cut off" in cut
    assert "000002.jpg: is empty" in empty
    assert "000003.jpg: no such file" in missing
    assert "000004.jpg: is 300 x 200 pixels, but its annotation is of 400 x 200" in other


def test_strictly_the_first_problem_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"000001\.jpg: is damaged or cut off"):
        open_dataset("voc2007", damaged(tmp_path), strict=True)


def test_a_data_set_without_a_readable_photo_is_an_error(tmp_path):
    voc(tmp_path, PHOTOS)
    for path in (tmp_path / "JPEGImages").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"has no photo that can be read: .*000001\.jpg"):
        open_dataset("voc2007", tmp_path)


def test_letters_after_the_end_of_a_photo_do_no_harm(tmp_path):
    voc(tmp_path, PHOTOS)
    path = tmp_path / "JPEGImages" / "000001.jpg"
    path.write_bytes(path.read_bytes() + b"\0" * 10_000)
    assert open_dataset("voc2007", tmp_path).problems == ()


def test_photos_that_packages_bring_are_a_data_set_without_a_folder(monkeypatch):
    from equipoise.datasets import samples

    data = open_dataset("samples")
    assert [sample.key for sample in data] == list(samples.LABELED)
    assert all(sample.image().mode == "RGB" for sample in data)
    assert [data.classes[index] for index in data[1].categories] == ["espresso", "cup"]
    gone = samples.LABELED | {"coffee.png": ("no_such_package", "data/coffee.png", (967,))}
    monkeypatch.setattr(samples, "LABELED", gone)
    left = open_dataset("samples")
    assert [sample.key for sample in left] == ["chelsea.png", "grace_hopper.jpg", "motorcycle.png"]
    assert left.problems == ("coffee.png is not on this machine; pip install 'equipoise[demo]' brings it",)
