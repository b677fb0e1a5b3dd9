"""Arrays that are no photos: files of every kind, the channels found, the range checked, each mistake in a sentence."""

import importlib

import numpy as np
import pytest
import torch

from equipoise.arrays import (
    ARRAY_EXTENSIONS,
    ARRAY_READERS,
    array_names,
    as_channels,
    as_tensor,
    is_array_file,
    read_array,
)
from equipoise.errors import EquipoiseError, ImageError, MissingPackageError, NotFiniteError, ShapeError
from equipoise.models.array_preprocessing import ArrayPreprocessing
from equipoise.models.preprocessing import Preprocessing

VOLUME = np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)


def dicom(path, stored, **tags):
    """A file as scanners write it."""
    pydicom = importlib.import_module("pydicom")
    uid = importlib.import_module("pydicom.uid")
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = uid.SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    file = pydicom.Dataset()
    file.file_meta = meta
    file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3"
    color = stored.ndim == 3 and stored.shape[-1] == 3
    file.Rows, file.Columns = stored.shape[-3:-1] if color else stored.shape[-2:]
    if stored.ndim == 3 and not color:
        file.NumberOfFrames = len(stored)
    bits = 8 * stored.itemsize
    file.SamplesPerPixel, file.PhotometricInterpretation = (3, "RGB") if color else (1, "MONOCHROME2")
    if color:
        file.PlanarConfiguration = 0
    file.BitsAllocated, file.BitsStored, file.HighBit = bits, bits, bits - 1
    file.PixelRepresentation = int(stored.dtype.kind == "i")
    file.PixelData = stored.tobytes()
    for tag, value in tags.items():
        setattr(file, tag, value)
    file.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.pt", "a.pth", "A.NPY"])
@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "uint8", "int16", "uint16", "bool", ">f4", "uint32", "float16"]
)
def test_a_file_gives_its_own_numbers(tmp_path, name, dtype):
    path, array = tmp_path / name, (VOLUME * 200).astype(dtype)
    if name.lower().endswith("npy"):
        with path.open("wb") as file:
            np.save(file, array)
    elif name.endswith("npz"):
        np.savez(path, scan=array)
    else:
        torch.save(as_tensor(array), path)
    assert is_array_file(path)
    found = read_array(path)
    np.testing.assert_array_equal(found.to(torch.float64).numpy(), array.astype(np.float64))
    assert read_array(str(path)).dtype == found.dtype
    if dtype in {"float32", "float64", "uint8", "int16", "uint16", "float16", "bool"}:
        assert str(found.dtype) == f"torch.{dtype}"


def test_one_of_several_arrays_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", t1=VOLUME, t2=2 * VOLUME)
    torch.save({"t1": torch.zeros(2), "t2": torch.ones(2), "epoch": 3}, tmp_path / "a.pt")
    torch.testing.assert_close(read_array(tmp_path / "a.npz#t2"), torch.from_numpy(2 * VOLUME))
    torch.testing.assert_close(read_array(tmp_path / "a.pt#t2"), torch.ones(2))
    for name in ("a.npz", "a.pt"):
        with pytest.raises(ImageError, match=rf"{name}: holds 2 arrays \(t1, t2\); name one after a #"):
            read_array(tmp_path / name)
        with pytest.raises(ImageError, match="has no array 't3'; did you mean t"):
            read_array(f"{tmp_path / name}#t3")
    np.save(tmp_path / "b#1.npy", VOLUME)
    assert read_array(tmp_path / "b#1.npy").shape == VOLUME.shape  # a name, not a key
    np.save(tmp_path / "c.npy", VOLUME)
    with pytest.raises(ImageError, match="one array and no names, so #t1"):
        read_array(tmp_path / "c.npy#t1")


class TestDicom:
    def test_units(self, tmp_path):
        stored = np.arange(12, dtype=np.int16).reshape(3, 4) - 5
        path = dicom(tmp_path / "a.dcm", stored, RescaleSlope=2, RescaleIntercept=-1024)
        found = read_array(path)
        assert found.dtype == torch.float32
        np.testing.assert_array_equal(found.numpy(), 2.0 * stored - 1024)

    def test_where_low_values_are_bright(self, tmp_path):
        stored = np.arange(12, dtype=np.uint8).reshape(3, 4)
        found = read_array(dicom(tmp_path / "a.dcm", stored, PhotometricInterpretation="MONOCHROME1"))
        assert found.dtype == torch.uint8
        np.testing.assert_array_equal(found.numpy(), 255 - stored)
        twelve = {"BitsStored": 12, "HighBit": 11, "PhotometricInterpretation": "MONOCHROME1"}
        found = read_array(dicom(tmp_path / "b.dcm", stored.astype(np.uint16), **twelve))
        np.testing.assert_array_equal(found.numpy(), 4095.0 - stored)
        found = read_array(
            dicom(tmp_path / "c.dcm", stored.astype(np.int16), RescaleSlope=2, RescaleIntercept=0,
                  PhotometricInterpretation="MONOCHROME1")
        )  # fmt: skip
        np.testing.assert_array_equal(found.numpy(), 2 * (-1.0 - stored))

    def test_frames_and_colors(self, tmp_path):
        frames = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
        np.testing.assert_array_equal(read_array(dicom(tmp_path / "a.dcm", frames)).numpy(), frames)
        color = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
        np.testing.assert_array_equal(read_array(dicom(tmp_path / "b.dcm", color)).numpy(), color)

    def test_units_of_each_frame(self, tmp_path):
        pydicom = importlib.import_module("pydicom")

        def group(slope):
            unit, holder = pydicom.Dataset(), pydicom.Dataset()
            unit.RescaleSlope, unit.RescaleIntercept, unit.RescaleType = slope, 1, "US"
            holder.PixelValueTransformationSequence = [unit]
            return holder

        frames = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
        path = dicom(tmp_path / "a.dcm", frames, RescaleSlope=5, RescaleIntercept=0,
                     PerFrameFunctionalGroupsSequence=[group(2), group(3)])  # fmt: skip
        right = frames * np.array([2.0, 3.0]).reshape(2, 1, 1) + 1
        np.testing.assert_array_equal(read_array(path).numpy(), right)

    def test_twelve_bits_are_no_sixteen(self, tmp_path):
        """They come as numbers, so that nobody takes 65535 for their white."""
        stored = np.full((3, 4), 4095, dtype=np.uint16)
        assert read_array(dicom(tmp_path / "a.dcm", stored, BitsStored=12, HighBit=11)).dtype == torch.float32


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nifti(tmp_path, name):
    nibabel = importlib.import_module("nibabel")
    image = nibabel.Nifti1Image((VOLUME * 100).astype(np.int16), np.eye(4))
    nibabel.save(image, tmp_path / name)
    np.testing.assert_array_equal(read_array(tmp_path / name).numpy(), (VOLUME * 100).astype(np.int16))
    image.header.set_slope_inter(2, -7)
    nibabel.save(image, tmp_path / name)
    right = np.asarray(nibabel.load(tmp_path / name).dataobj)
    np.testing.assert_allclose(read_array(tmp_path / name).numpy(), right)


def broken(tmp_path):
    for ending in ARRAY_EXTENSIONS:
        (tmp_path / f"torn{ending}").write_bytes(b"\x93NUMPY\x01\x00 torn")
        (tmp_path / f"empty{ending}").write_bytes(b"")
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "text.npy", np.array(["a"]))
    np.save(tmp_path / "none.npy", np.zeros((0, 3)))
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    torch.save([1], tmp_path / "list.pt")
    torch.save(torch.zeros(2, dtype=torch.complex64), tmp_path / "complex.pt")
    (tmp_path / "folder.npy").mkdir()
    (tmp_path / "photo.png").write_bytes(b"x")
    return [*sorted(tmp_path.iterdir()), tmp_path / "absent.npy"]


def test_a_file_that_is_no_array_is_refused_in_one_line(tmp_path):
    said = {}
    for path in broken(tmp_path):
        with pytest.raises(ImageError) as caught:
            read_array(path)
        said[path.name] = str(caught.value)
        assert said[path.name].startswith(f"{path}: ")
        assert "\n" not in said[path.name]
    assert "no such file" in said["absent.npy"]
    assert "is a folder" in said["folder.npy"]
    assert "the names of arrays end in .npy, .npz" in said["photo.png"]
    assert "Python objects" in said["object.npy"]
    assert "was not written by torch.save" in said["torn.pt"]
    assert "holds more than tensors" in said["module.pt"]
    assert "(0, 3); it needs from 1 to" in said["none.npy"]
    assert "but a list" in said["list.pt"]


@pytest.mark.parametrize(("name", "package"), [("a.dcm", "pydicom"), ("a.nii.gz", "nibabel")])
def test_a_reader_that_is_not_installed(tmp_path, monkeypatch, name, package):
    (tmp_path / name).write_bytes(b"x")
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(MissingPackageError, match=rf"need {package}: pip install equipoise\[medical\]"):
        read_array(tmp_path / name)


def test_every_ending_has_a_reader():
    assert set(ARRAY_EXTENSIONS) == {".npy", ".npz", ".pt", ".pth", ".dcm", ".nii", ".nii.gz"}
    assert all(ARRAY_READERS[ending] for ending in ARRAY_EXTENSIONS)
    assert not is_array_file("photo.jpg")
    assert is_array_file("scans.NPZ#t1")


def pictures(channels):
    return Preprocessing(mean=(0.0,) * channels, std=(1.0,) * channels)


def signals(channels):
    return ArrayPreprocessing((24,), (0.0,) * channels, (1.0,) * channels)


def volumes(channels):
    return ArrayPreprocessing((6, 8, 10), (0.0,) * channels, (1.0,) * channels)


FITS = {
    "a gray picture": ((8, 10), pictures(1), (1, 8, 10)),
    "one channel first": ((1, 8, 10), pictures(1), (1, 8, 10)),
    "one channel last": ((8, 10, 1), pictures(1), (1, 8, 10)),
    "channels first": ((4, 8, 10), pictures(4), (4, 8, 10)),
    "channels last": ((8, 10, 4), pictures(4), (4, 8, 10)),
    "a batch of one": ((1, 4, 8, 10), pictures(4), (4, 8, 10)),
    "a batch of one that is told by it": ((1, 4, 8, 4), pictures(4), (4, 8, 4)),
    "a signal": ((24,), signals(1), (1, 24)),
    "twelve leads": ((12, 24), signals(12), (12, 24)),
    "twelve leads last": ((24, 12), signals(12), (12, 24)),
    "a volume": ((6, 8, 10), volumes(1), (1, 6, 8, 10)),
    "two of one scan": ((6, 8, 10, 2), volumes(2), (2, 6, 8, 10)),
    "two of one scan first": ((2, 6, 8, 10), volumes(2), (2, 6, 8, 10)),
}


@pytest.mark.parametrize("case", FITS)
def test_the_channels_are_found(case):
    shape, preprocessing, right = FITS[case]
    array = torch.rand(shape)
    found = as_channels(array, preprocessing)
    assert found.shape == right
    assert found.dtype == torch.float32
    plain = array.movedim(-1, 0) if "last" in case or case == "two of one scan" else array.reshape(right)
    torch.testing.assert_close(found, plain)
    assert preprocessing.of_array(found).shape == (preprocessing.channels, *preprocessing.space)


MISFITS = {
    "ambiguous": ((4, 8, 4), pictures(4), r"the array is \(4, 8, 4\).*first or the last .* give \(1, 4, h, w\)"),
    "channels": ((3, 8, 10), pictures(4), r"\(3, 8, 10\), and the network takes 4 channels .*\(4, h, w\) or \("),
    "no channels": ((8, 10), pictures(2), r"takes 2 channels of \(h, w\)"),
    "gray": ((24, 2, 2), signals(1), r"takes 1 channel of \(l\): an array is \(l\), \(1, l\) or \(l, 1\)"),
    "several": ((2, 1, 8, 10), pictures(1), r"\(2, 1, 8, 10\)"),
    "a number": ((), volumes(1), r"the array is \(\)"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISFITS)
def test_a_shape_that_does_not_fit_is_said(case):
    shape, preprocessing, words = MISFITS[case]
    with pytest.raises(ShapeError, match=words):
        as_channels(torch.rand(shape), preprocessing)


def test_unsigned_integers_are_scaled_by_their_type():
    gray = pictures(1)
    for dtype, full in ((torch.uint8, 255), (torch.uint16, 65535)):
        values = torch.tensor([[0, 51, full]]).to(dtype)
        torch.testing.assert_close(as_channels(values, gray)[0], torch.tensor([[0, 51 / full, 1]]))
    torch.testing.assert_close(as_channels(torch.tensor([[True, False]]), gray)[0], torch.tensor([[1.0, 0.0]]))
    own = Preprocessing(mean=(0.0,), std=(1.0,), value_range=(0.0, 255.0))
    torch.testing.assert_close(
        as_channels(torch.tensor([[0, 51]], dtype=torch.uint8), own)[0], torch.tensor([[0.0, 51]])
    )


def test_values_outside_the_range_are_refused():
    scan = torch.tensor([[-1000.0, 500.0]])
    with pytest.raises(
        ImageError, match=r"from -1000 to 500, and the network takes 0 to 1; set preprocessing.value_range"
    ):
        as_channels(scan, pictures(1))
    with pytest.raises(ImageError, match=r"from 0\.5 to 2, and"):
        as_channels(torch.tensor([[0.5, 2.0]]), pictures(1))
    with pytest.raises(ImageError, match="from -1000 to 500"):
        as_channels(scan.to(torch.int16), pictures(1))
    hounsfield = Preprocessing(mean=(0.0,), std=(1.0,), value_range=(-1024.0, 3071.0))
    torch.testing.assert_close(as_channels(scan.to(torch.int16), hounsfield)[0], scan)
    for wrong in (torch.nan, torch.inf):
        with pytest.raises(NotFiniteError, match="holds nan or infinity"):
            as_channels(torch.tensor([[0.5, wrong]]), pictures(1))


def test_arrays_in_memory():
    torch.testing.assert_close(as_tensor(VOLUME), torch.from_numpy(VOLUME))
    leaf = torch.rand(3, requires_grad=True)
    assert not as_tensor(leaf).requires_grad
    array = np.zeros(3)
    as_tensor(array).add_(1)
    assert array.sum() == 0
    for wrong in (np.array(["a"]), np.zeros(2, complex), torch.zeros(2, dtype=torch.complex64), np.zeros(0), None):
        with pytest.raises(EquipoiseError):
            as_tensor(wrong)


def test_the_names_of_the_arrays_in_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("two.npz", t1=VOLUME, t2=VOLUME + 1)
    np.savez("one.npz", t1=VOLUME)
    np.save("plain.npy", VOLUME)
    torch.save({"a": torch.ones(2), "b": torch.zeros(2), "step": 3}, "two.pt")
    torch.save(torch.ones(2), "plain.pt")
    assert array_names("two.npz") == ["t1", "t2"]
    assert array_names("two.pt") == ["a", "b"]
    for one in ("one.npz", "plain.npy", "plain.pt", "two.npz#t1", "photo.png"):
        assert array_names(one) == []
    for name in array_names("two.npz"):
        assert torch.equal(read_array(f"two.npz#{name}"), torch.from_numpy(VOLUME + (name == "t2")))
    (tmp_path / "torn.npz").write_bytes(b"nothing")
    for name, words in (("torn.npz", "is damaged"), ("absent.npz", "no such file")):
        with pytest.raises(ImageError, match=f"^{name}: {words}"):
            array_names(name)


def test_what_a_damaged_header_says_is_the_same_every_time(tmp_path):
    """No address of an object in memory, and no warning of how old a header's writing is."""
    header = b"{'descr': whatever, 'fortran_order': False, 'shape': (1,), }\n"
    path = tmp_path / "odd.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(ImageError) as raised:
        read_array(path)
    assert "what is no literal" in str(raised.value)
    assert "0x" not in str(raised.value)


def test_what_a_reader_warns_of_is_not_printed(tmp_path, recwarn):
    """A header as Python 2 wrote it, whose lengths are long integers."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 2L), }".ljust(117) + b"\n"
    path = tmp_path / "old.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 16)
    assert read_array(path).shape[-2:] == (2, 2)
    assert not recwarn.list
