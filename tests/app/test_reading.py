"""Reading in a process of its own: the same as reading here, and nothing that a file does reaches the page."""

import os

import numpy as np
import pytest
import torch
from PIL import Image

from equipoise.app import decoder
from equipoise.app.reading import Reader
from equipoise.errors import ImageError, ShapeError
from equipoise.models import ArrayPreprocessing, Preprocessing
from equipoise.samples import sample_path
from equipoise.view import Photo

PHOTOS, VOLUMES = Preprocessing(), ArrayPreprocessing((4, 5, 6))


@pytest.fixture(scope="module")
def reader():
    made = Reader(count=1)
    yield made
    made.close()


@pytest.mark.parametrize("name", ["coffee.png", "grace_hopper.jpg"])
def test_a_photo_is_the_same(reader, name):
    path = str(sample_path(name))
    found, right = reader.photo(path, PHOTOS), Photo.read(path, PHOTOS)
    assert found.image.tobytes() == right.image.tobytes()
    assert (found.path, found.sha256, found.array) == (right.path, right.sha256, None)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int16", "uint16", "float16"])
def test_an_array_is_the_same(reader, tmp_path, dtype):
    path = str(tmp_path / "a.npz")
    values = np.linspace(0, 1, 120).astype(dtype).reshape(4, 5, 6)
    np.savez(path, a=values, b=values[::-1])
    assert reader.names(path) == ["a", "b"]
    found, right = (read(f"{path}#b", VOLUMES) for read in (reader.photo, Photo.read))
    torch.testing.assert_close(found.array, right.array, rtol=0, atol=0)
    assert (found.image.tobytes(), found.sha256, found.path) == (right.image.tobytes(), right.sha256, right.path)


def test_errors_are_those_of_reading_here(reader, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0broken")
    np.save(tmp_path / "flat.npy", np.zeros(3, "float32"))
    for name, takes, kind in (
        ("bad.jpg", PHOTOS, ImageError),
        ("absent.png", PHOTOS, ImageError),
        ("flat.npy", VOLUMES, ShapeError),
    ):
        errors = []
        for read in (reader.photo, Photo.read):
            with pytest.raises(kind) as caught:
                read(str(tmp_path / name), takes)
            errors.append(str(caught.value))
        assert errors[0] == errors[1]
    Image.new("RGB", (401, 2)).save(tmp_path / "strip.png")
    with pytest.raises(ImageError, match=r"strip\.png: is 401 x 2 pixels; at most 200 to 1"):
        reader.photo(str(tmp_path / "strip.png"), PHOTOS)


def test_a_visitors_photo_has_fewer_pixels(reader, tmp_path):
    path = tmp_path / "large.png"
    Image.new("L", (10_000, 5_001)).save(path)
    with pytest.raises(ImageError, match=r"large\.png: is 10000 x 5001 pixels; has more than 50 megapixels"):
        reader.photo(str(path), PHOTOS)


def test_a_visitors_array_has_fewer_values(monkeypatch, tmp_path):
    monkeypatch.setattr(decoder, "LARGEST_ARRAY", 11)
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((3, 4), "uint8"))
    head, data = decoder.answer({"kind": "array", "path": str(path)})
    assert head == {"error": f"{path}: the array is (3, 4); at most 11 values are read"}
    assert data == b""


def alive(reader):
    return [one.popen.pid for one in reader._all if one.lives]


@pytest.fixture
def stubborn(monkeypatch, tmp_path):
    monkeypatch.setenv("WRITTEN", str(tmp_path / "written"))
    made = Reader(limit=600, count=1, module="stubborn_decoder")
    yield made
    made.close()
    assert alive(made) == []


def test_a_file_that_takes_too_long(stubborn):
    assert stubborn.names("fine") == ["fine"]
    (before,) = alive(stubborn)
    stubborn._limit = 0.2
    with pytest.raises(ImageError, match=r"^hangs: takes more than 0\.2 seconds to read$"):
        stubborn.names("hangs")
    assert alive(stubborn) == []
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)
    stubborn._limit = 600
    assert stubborn.names("fine") == ["fine"]  # by another process


@pytest.mark.parametrize("how", ["crashes", "ends"])
def test_a_file_that_breaks_its_decoder(stubborn, how):
    with pytest.raises(ImageError, match=rf"^{how}: breaks what reads it"):
        stubborn.names(how)
    assert stubborn.names("fine") == ["fine"]
    assert len(alive(stubborn)) == 1


def test_a_file_that_fills_the_memory(stubborn):
    pytest.importorskip("resource", reason="no limits on this system")
    with pytest.raises(ImageError, match=r"^fills: (not enough memory|breaks what reads it)"):
        stubborn.names("fills")
    assert stubborn.names("fine") == ["fine"]


def test_a_decoder_writes_no_large_file_and_its_words_are_no_answer(stubborn, tmp_path):
    pytest.importorskip("resource", reason="no limits on this system")
    with pytest.raises(ImageError, match=r"^writes: "):
        stubborn.names("writes")
    assert all(one.stat().st_size <= decoder.WRITTEN for one in tmp_path.iterdir())
    assert stubborn.names("prints") == ["prints"]


def test_many_at_once_share_the_processes(reader):
    import threading

    path = str(sample_path("coffee.png"))
    found = []
    threads = [threading.Thread(target=lambda: found.append(reader.photo(path, PHOTOS).sha256)) for _ in range(12)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(found) == 12
    assert len(set(found)) == 1
    assert len(alive(reader)) == 1
