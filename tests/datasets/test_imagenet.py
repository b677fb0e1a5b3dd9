"""ImageNet in its two layouts, and its segmentations in one HDF5 file."""

import builtins
import hashlib

import numpy as np
import pytest
from layouts import photo, segmentations
from scipy.io import savemat

from equipoise.datasets import imagenet_labels, open_dataset
from equipoise.errors import DataError, ImageError, MissingPackageError

GOLDFISH, DALMATIAN, TOILET_TISSUE = "n01443537", "n02110341", "n15075141"


def test_class_folders(tmp_path):
    photo(tmp_path / "imagenet" / "val" / GOLDFISH / "b.JPEG")
    photo(tmp_path / "imagenet" / "val" / GOLDFISH / "a.JPEG")
    photo(tmp_path / "imagenet" / "val" / DALMATIAN / "a.JPEG")
    photo(tmp_path / "imagenet" / "val" / "n00000001" / "a.JPEG")
    data = open_dataset("imagenet", tmp_path)
    assert [(sample.key, sample.categories) for sample in data] == [
        (f"{GOLDFISH}/a.JPEG", (1,)),
        (f"{GOLDFISH}/b.JPEG", (1,)),
        (f"{DALMATIAN}/a.JPEG", (251,)),
    ]
    assert (data.vocabulary, len(data.classes), data.classes[251]) == ("imagenet", 1000, "dalmatian")
    (problem,) = data.problems
    assert problem.endswith("n00000001 is no class of ILSVRC-2012")


def kit(folder):
    """A development kit whose own class numbers run the other way, and four photos' classes."""
    folder.mkdir(parents=True)
    synsets = np.zeros((3, 1), dtype=[("ILSVRC2012_ID", object), ("WNID", object)])
    for row, synset in enumerate((TOILET_TISSUE, DALMATIAN, GOLDFISH)):
        synsets[row, 0] = (np.array([[row + 1]]), synset)
    savemat(folder / "meta.mat", {"synsets": synsets})
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text("2\n3\n1\n3\n")


@pytest.mark.parametrize("place", ["ILSVRC2012_devkit_t12/data", "val/ILSVRC2012_devkit_t12/data"])
def test_the_published_layout(tmp_path, place):
    for number in (1, 2, 3, 5):
        photo(tmp_path / "val" / f"ILSVRC2012_val_{number:08}.JPEG")
    kit(tmp_path / place)
    data = open_dataset("imagenet", tmp_path)
    assert [(sample.key, sample.categories) for sample in data] == [
        ("ILSVRC2012_val_00000001.JPEG", (251,)),
        ("ILSVRC2012_val_00000002.JPEG", (1,)),
        ("ILSVRC2012_val_00000003.JPEG", (999,)),
    ]
    (problem,) = data.problems
    assert "ILSVRC2012_val_00000005.JPEG: the development kit says nothing" in problem


def test_without_a_development_kit(tmp_path):
    photo(tmp_path / "ILSVRC2012_val_00000001.JPEG")
    with pytest.raises(DataError, match="no classes are known"):
        open_dataset("imagenet", tmp_path)
    kit(tmp_path / "ILSVRC2012_devkit_t12" / "data")
    (tmp_path / "ILSVRC2012_devkit_t12" / "data" / "meta.mat").write_bytes(b"damaged")
    with pytest.raises(DataError, match="is no development kit"):
        open_dataset("imagenet", tmp_path)


@pytest.mark.data
def test_the_photos_at_hand(data):
    found = open_dataset("imagenet", data, strict=True)
    assert len(found) == 306
    lines = (data / "imagenet" / "synsets.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == list(imagenet_labels.imagenet_synsets())
    for sample in found:
        assert lines[sample.categories[0]].split()[0] == sample.path.parent.name


def pixels(height, width, seed):
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


def photos():
    first, second = np.zeros((6, 4), np.uint8), np.ones((6, 4), np.uint8)
    first[1:3, 2:4] = 1
    outside = np.zeros((3, 5), np.uint16)
    outside[0, 4] = 1
    return [
        ("n02110341_1", DALMATIAN, pixels(6, 4, 0), [first, second]),
        ("n00000001_2", "n00000001", pixels(3, 5, 1), [outside]),
    ]


def test_segmentations_in_one_file(tmp_path):
    path = segmentations(tmp_path / "imagenet_segmentation" / "gtsegs_ijcv.mat", photos())
    data = open_dataset("imagenet_segmentation", tmp_path)
    inside, outside = data
    assert (data.vocabulary, len(data.classes)) == ("imagenet", 1000)
    assert (inside.key, inside.categories, inside.path) == ("n02110341_1", (251,), path)
    assert (outside.key, outside.categories) == ("n00000001_2", ())
    assert np.array_equal(np.asarray(inside.image()), photos()[0][2])
    assert inside.image().size == (4, 6)
    expected = np.zeros((6, 4), bool)
    expected[1:3, 2:4] = True
    for category in (251, 7, None):  # one object a photo, whatever is explained
        assert np.array_equal(inside.mask(category), expected)
    assert np.argwhere(outside.mask()).tolist() == [[0, 4]]
    assert inside.sha256() == hashlib.sha256(b"(4, 6) " + photos()[0][2].tobytes()).hexdigest()
    assert inside.sha256() != outside.sha256()


def test_a_photo_that_does_not_fit_its_mask_is_left_out(tmp_path):
    good, bad = photos()
    segmentations(tmp_path / "gtsegs_ijcv.mat", [good, (*bad[:3], [np.ones((5, 3), np.uint8)])])
    data = open_dataset("imagenet_segmentation", tmp_path)
    assert [sample.key for sample in data] == ["n02110341_1"]
    (problem,) = data.problems
    assert "photo 1 cannot be read" in problem


def test_a_file_of_another_structure(tmp_path):
    (tmp_path / "gtsegs_ijcv.mat").write_bytes(b"MATLAB 5.0")
    with pytest.raises(DataError, match="is not the HDF5 file"):
        open_dataset("imagenet_segmentation", tmp_path)


def test_a_file_that_vanishes_is_named(tmp_path):
    path = segmentations(tmp_path / "gtsegs_ijcv.mat", photos())
    sample = open_dataset("imagenet_segmentation", tmp_path)[0]
    path.unlink()
    for method in (sample.image, sample.mask):
        with pytest.raises(ImageError, match=r"gtsegs_ijcv\.mat"):
            method()


@pytest.mark.parametrize(
    ("package", "extra", "opening"),
    [
        ("h5py", "imagenet-segmentation", "imagenet_segmentation"),
        ("scipy", "evaluate", "imagenet"),
        ("timm", "models", "imagenet_segmentation"),
        ("torchvision", "models", "cats_dogs"),
    ],
)
def test_a_missing_package_says_how_to_install_it(tmp_path, monkeypatch, package, extra, opening):
    segmentations(tmp_path / "gtsegs_ijcv.mat", photos())
    photo(tmp_path / "ILSVRC2012_val_00000001.JPEG")
    kit(tmp_path / "ILSVRC2012_devkit_t12" / "data")
    (tmp_path / "two_object").mkdir()
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    imagenet_labels.imagenet_names.cache_clear()
    imagenet_labels.imagenet_synsets.cache_clear()
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingPackageError, match=rf"pip install equipoise\[{extra}\]"):
        open_dataset(opening, tmp_path)
