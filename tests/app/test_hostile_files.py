"""Hostile files by the way of the command and by that of the page: one line for each, and nothing is left."""

import gc
import os
import tempfile
import warnings
from pathlib import Path

import pytest

import hostile
from equipoise.app.reading import Reader
from equipoise.arrays import array_names
from equipoise.errors import EquipoiseError
from equipoise.models import ArrayPreprocessing, Preprocessing
from equipoise.view import Photo

WAYS = [("photos", hostile.PHOTOS, Preprocessing()), ("arrays", hostile.ARRAYS, ArrayPreprocessing((4, 5, 6)))]
GROWTH = 300 << 20  # bytes


def memory():
    """Bytes that this process holds; where the system does not say, none."""
    statm = Path("/proc/self/statm")
    gc.collect()
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.is_file() else 0


def handles():
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def told(read, path, takes):
    """What reading a file comes to: what was read, or the line that says why not."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a warning would be a line more
            found = read(str(path), takes)
    except EquipoiseError as error:
        line = str(error)
        assert line.isprintable(), repr(line)
        assert len(line) < 1000
        assert " at 0x" not in line
        assert path.name in line or "the array" in line
        return line
    assert found.image.mode == "RGB"
    return found.sha256


def names(read, path):
    try:
        return read(str(path))
    except EquipoiseError as error:
        line = str(error)
    assert line.isprintable()
    return line


def same(own, others):
    """Whether both ways say the same, or the page's says that there is more than it takes."""
    return own == others or any(words in others for words in ("memory", "the most", "at most"))


@pytest.fixture
def nothing_stays(tmp_path, monkeypatch, capfd, caplog):
    """No file, handle or memory more than before."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    before, opened = memory(), handles()
    yield
    assert list(temporary.iterdir()) == []
    assert tuple(capfd.readouterr()) == ("", "")
    assert caplog.records == []  # which would be printed where nobody listens
    assert "HOSTILE" not in os.environ  # no file ran its code
    assert handles() <= opened + 2
    assert memory() - before < GROWTH


def go(tmp_path, seed, count, kinds, takes):
    """Every file both ways; how many could be read."""
    reader = Reader(count=1)
    found = []
    try:
        for path in hostile.files(tmp_path, seed, count, kinds):
            own, others = told(Photo.read, path, takes), told(reader.photo, path, takes)
            assert same(own, others), path
            assert same(names(array_names, path), names(reader.names, path)), path
            found.append(own)
    finally:
        reader.close()
    assert len(found) == count
    return found


@pytest.mark.parametrize(("_name", "kinds", "takes"), WAYS, ids=[name for name, *_ in WAYS])
def test_a_sample(tmp_path, nothing_stays, _name, kinds, takes):
    found = go(tmp_path, 1, 110, kinds, takes)
    readable = [one for one in found if len(one) == 64]
    assert 1 <= len(readable) < 80  # some are only odd


@pytest.mark.slow
@pytest.mark.parametrize(("_name", "kinds", "takes"), WAYS, ids=[name for name, *_ in WAYS])
def test_ten_thousand(tmp_path, nothing_stays, _name, kinds, takes):
    go(tmp_path, 2, 5000, kinds, takes)
