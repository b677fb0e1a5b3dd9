"""`equipoise attribute` and `equipoise merge`: what they print, and one line and status 2 for whatever is wrong."""

import errno
import importlib.util
import io
import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

import equipoise
from attribution_world import write_network, write_photos
from equipoise.attributions import leases
from equipoise.attributions.folder import Folder
from equipoise.attributions.leases import Owner
from equipoise.attributions.worker import Explainer
from equipoise.cli import main
from equipoise.cli.app import spelled_out

NETWORK = ("--model", "tinynet_attributions:build")
KEYS = ("index", "key", "label", "method", "target", "name", "sha256")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The current folder: a network, and a folder ``photos`` of 6 photos."""
    write_network(tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.syspath_prepend(str(tmp_path / "home"))
    write_photos(tmp_path / "home" / "photos", 6)
    for name in ("SLURM_ARRAY_TASK_ID", "SLURM_PROCID", "RANK"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path / "home"
    sys.modules.pop("tinynet_attributions", None)


@pytest.fixture
def attribute(home, capsys):
    """Run ``equipoise attribute photos --output out``, and more: status, stdout, stderr."""

    def run(*more, photos="photos", output="out", network=NETWORK):
        status = main(["attribute", photos, "--output", output, *network, *more])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def refused(ran, said):
    """One line on stderr that says it, status 2, nothing on stdout."""
    status, out, err = ran
    assert (status, out) == (2, "")
    assert err.startswith("equipoise: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert said in err


def rows(address="out"):
    found = equipoise.open_attributions(address)
    return [{key: row[key] for key in KEYS} for row in found.table().to_pylist()]


def test_a_folder_is_attributed(attribute, home):
    assert attribute("--method", "ae,grad_cam", "--target", "top2") == (0, "24 rows of 6 photos are in out\n", "")
    found = equipoise.open_attributions(home / "out")
    assert [entry.method for entry in found[:4]] == ["ae", "ae", "grad_cam", "grad_cam"]
    assert found[5].attribution.shape[1:] == (16, 16)
    status = json.loads((home / "out" / "status.json").read_text())
    assert (status["state"], status["done"], status["failed"]) == ("done", 6, 0)


def test_the_command_as_a_process(home):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(home)]), "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, "-m", "equipoise", "attribute", "photos", *NETWORK, "--output", "out", "--limit", "4"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    assert (done.returncode, done.stdout, done.stderr) == (0, "4 rows of 4 photos are in out\n", "")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--target", "zebra"), "tiny has no class called 'zebra'"),
        (("--target", "9"), "'9' is no class of tiny; its classes are 0 to 4"),
        (("--target", "top0"), "top0"),
        (("--target", ","), "no target is named"),
        (("--method", "grad_camm"), "no method is called 'grad_camm'; did you mean grad_cam"),
        (("--method", ","), "--method names no method"),
        (("--keep", "all"), "--keep is 'all'; choose from maps, sums, none"),
        (("--values", "int8"), "--values is 'int8'; choose from float16, float32"),
        (("--precision", "float8"), "no precision is called 'float8'"),
        (("--batch", "many"), "--batch is 'many'; give a number of photos from 1 on, or auto"),
        (("--batch", "0"), "--batch is '0'"),
        (("--memory", "lots"), "memory is 'lots'; give bytes, or such as 8G or 500M"),
        (("--shard", "3/3"), "--shard is '3/3'; give I/N"),
        (("--shard", "3"), "--shard is '3'; give I/N"),
        (("--shard",), "--shard auto needs SLURM_ARRAY_TASK_ID"),
        (("--workers", "0"), "workers is 0; it has to be at least 1"),
        (("--workers", "two"), "Invalid value for '--workers'"),
        (("--readers", "-1"), "readers is -1; it has to be at least 0"),
        (("--threads", "0"), "threads is 0; it has to be at least 1"),
        (("--limit", "0"), "limit is 0; it has to be at least 1"),
        (("--limit", "few"), "Invalid value for '--limit'"),
        (("--device", "tpu"), "no device is called 'tpu'"),
        (("--gama", "1"), "No such option"),
        (("--option", "gama=1"), "ae has no option 'gama'; did you mean 'gamma'?"),
        (("--model", "nonet"), "no model is called 'nonet'"),
        (("--ray", "127.0.0.1:9"), "no Ray cluster can be joined at 127.0.0.1:9"),
    ],
)
def test_a_wrong_argument_is_one_line_before_any_work(attribute, home, more, said):
    refused(attribute(*more), said)
    left = {path.name for path in (home / "out").glob("*")} if (home / "out").exists() else set()
    assert left <= {".lock", ".workers"}


@pytest.mark.parametrize(
    ("photos", "said"),
    [
        ("nowhere", "nowhere: no such file, folder or data set"),
        ("imagnet", "imagnet: no such file, folder or data set; did you mean the data set imagenet?"),
        ("empty", "there are no photos in this folder"),
    ],
)
def test_photos_that_are_not_there(attribute, home, photos, said):
    (home / "empty").mkdir()
    refused(attribute(photos=photos), said)
    assert not (home / "out").exists()


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("file", "file cannot be written (File exists)"),
        ("file/out", "file/out cannot be written (Not a directory)"),
        ("nothing://out", "nothing://out cannot be opened (Protocol not known: nothing)"),
    ],
)
def test_an_output_that_is_no_folder(attribute, home, output, said):
    (home / "file").write_text("")
    refused(attribute(output=output), said)


def test_an_output_without_permission(attribute, home, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.makedirs", denied)
    refused(attribute(), "out cannot be written (Permission denied)")


def test_a_folder_of_another_run_and_one_that_is_written_to(attribute, home):
    assert attribute()[0] == 0
    refused(attribute(), "out holds results of this run; --resume goes on with them, --output names another folder")
    refused(attribute("--target", "top2", "--resume"), "out holds another run (--target differs); --output names")
    assert attribute("--resume") == (0, "6 rows of 6 photos are in out\n", "")
    with closing(Owner(Folder.at("out"))):
        refused(attribute("--resume"), "another run is writing to out")


def test_a_folder_of_another_tool_is_refused(attribute, home):
    (home / "out").mkdir()
    (home / "out" / "run.json").write_text("{}")
    refused(attribute(), "out holds another run")


def test_a_run_that_ended_before_it_had_done_anything_is_in_nobody_s_way(attribute, home, monkeypatch):
    def refuse(*_):
        raise equipoise.EquipoiseError("this machine is too small")

    with monkeypatch.context() as patch:
        patch.setattr(Explainer, "_bound", refuse)
        refused(attribute(), "this machine is too small")
    assert attribute("--target", "top2")[0] == 0
    assert len(rows()) == 12


def test_a_broken_photo_is_named_and_the_rest_is_done(attribute, home):
    (home / "photos" / "003.png").write_bytes(b"no image")
    status, out, err = attribute("--workers", "1")
    assert status == 2
    assert out == "5 rows of 6 photos are in out, 1 photos could not be done (run.json says why)\n"
    assert err.count("\n") == 1
    assert err.startswith("equipoise: ")
    assert "003.png" in err
    assert [row["index"] for row in rows()] == [0, 1, 2, 4, 5]
    refused(attribute("--strict", output="strict"), "003.png")


def test_packages_that_are_missing_are_named(attribute, home, capsys, monkeypatch):
    find = importlib.util.find_spec
    for missing in ("pyarrow", "fsspec"):
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, *rest, m=missing: None if name == m else find(name, *rest)
        )
        refused(attribute(), f"this needs {missing}; pip install 'equipoise[dataset]'")
        assert main(["merge", "out", "--output", "whole"]) == 2
        assert f"this needs {missing}; pip install" in capsys.readouterr().err
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "ray" else find(name, *rest))
    refused(attribute("--ray"), "--ray needs Ray; pip install 'equipoise[ray]'")


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("a --ray", "a --ray local"),
        ("--ray photos --output o", "--ray local photos --output o"),
        ("--ray auto a", "--ray auto a"),
        ("--ray head-1:6379 a", "--ray head-1:6379 a"),
        ("--ray [::1]:6379", "--ray [::1]:6379"),
        ("--ray ray://head:10001", "--ray ray://head:10001"),
        ("--shard a", "--shard auto a"),
        ("--shard 3/16 --ray", "--shard 3/16 --ray local"),
        ("--shard 3/ a", "--shard 3/ a"),
        ("--shard --ray --limit 3", "--shard auto --ray local --limit 3"),
        ("--ray=head:1 --shard=0/2", "--ray=head:1 --shard=0/2"),
        ("a -- --ray", "a -- --ray"),
    ],
)
def test_options_that_may_stand_alone(typed, read):
    assert spelled_out(typed.split()) == read.split()


def test_shards_are_merged(attribute, home, capsys, monkeypatch):
    assert attribute("--target", "top2")[0] == 0

    def merge(*arguments):
        status = main(["merge", *arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    refused(merge("out", "--output", "whole"), "out is a whole run, not a shard of one")
    refused(merge("photos", "--output", "whole"), "photos holds no shards")
    refused(merge("nowhere", "--output", "whole"), "nowhere holds no shards")
    assert attribute("--target", "top2", "--shard", "0/2", output="parts")[0] == 0
    refused(merge("parts", "--output", "whole"), "shards are missing: 1/2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert attribute("--target", "top2", "--shard", output="parts")[0] == 0
    assert merge("parts", "--output", "whole") == (0, "12 rows are in whole\n", "")
    assert rows("whole") == rows("out")
    maps = [equipoise.open_attributions(name)[7].attribution for name in ("whole", "out")]
    assert float((maps[0] - maps[1]).abs().max()) < 1e-3
    assert merge("parts", "--output", "whole")[0] == 0  # the same again
    refused(merge("parts", "--output", "out"), "out holds another run; --output names another folder")
    assert len(rows("out")) == 12
    refused(merge("parts", "parts", "--output", "other"), "is named twice")


class Full(io.FileIO):
    """A file on a disk on which so many bytes are left, for all files together."""

    left = 0

    def write(self, data):
        size = memoryview(data).nbytes
        if size > Full.left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        Full.left -= size
        return super().write(data)


@pytest.mark.parametrize("room", [0, 3_000, 9_000, 30_000])
def test_a_full_disk_is_one_line_and_resume_finishes(attribute, home, monkeypatch, room):
    Full.left = room
    with monkeypatch.context() as patch:
        patch.setattr("equipoise.attributions.folder.open", lambda path, _: Full(path, "wb"), raising=False)
        patch.setattr("equipoise.attributions.run.FIRST", 2)
        patch.setattr("equipoise.attributions.run.SECONDS", 1e-9)
        refused(
            attribute("--values", "float32", "--method", "ae,gradient"),
            "out: the disk is full; what was written before is kept, and --resume goes on from there",
        )
    assert not [path for path in (home / "out").rglob(".*") if path.name not in {".lock", ".workers"}]
    done = len(list((home / "out").glob("rows/*")))
    assert done < 3
    status, out, _ = attribute("--values", "float32", "--method", "ae,gradient", "--resume")
    assert (status, out) == (0, "12 rows of 6 photos are in out\n")
    assert [row["index"] for row in rows()] == [index for index in range(6) for _ in range(2)]


class Vanishing(MemoryFileSystem):
    """A network drive that is gone after so many calls."""

    protocol = "vanishing"
    store: dict = {}  # noqa: RUF012  # of the whole drive, as its base has it
    pseudo_dirs = [""]  # noqa: RUF012
    left = 10**9
    kind = OSError

    @classmethod
    def _strip_protocol(cls, path):
        return MemoryFileSystem._strip_protocol(path.replace("vanishing://", "memory://"))

    def _count(self):
        Vanishing.left -= 1
        if Vanishing.left < 0:
            raise self.kind("the network path was not found")

    def pipe_file(self, *args, **more):
        self._count()
        return super().pipe_file(*args, **more)

    def cat_file(self, *args, **more):
        self._count()
        return super().cat_file(*args, **more)

    def ls(self, *args, **more):
        self._count()
        return super().ls(*args, **more)

    def exists(self, *args, **more):
        self._count()
        return super().exists(*args, **more)

    def _open(self, *args, **more):
        self._count()
        return super()._open(*args, **more)


class LibraryError(Exception):
    """As of a library that talks to a store, which is no `OSError`."""


@pytest.mark.parametrize("kind", [OSError, LibraryError])
def test_a_network_path_that_vanishes_is_one_line_and_resume_finishes(attribute, home, monkeypatch, kind):
    fsspec.register_implementation("vanishing", Vanishing, clobber=True)
    monkeypatch.setattr(leases, "PATIENCE", 0)
    monkeypatch.setattr("equipoise.attributions.run.FIRST", 2)
    monkeypatch.setattr("equipoise.attributions.run.SECONDS", 1e-9)
    monkeypatch.setattr(Vanishing, "kind", kind)
    more = ("--method", "gradient")
    calls, ended = 0, False
    before = 0
    while not ended:
        monkeypatch.setattr(Vanishing, "left", calls)
        ran = attribute(*more, "--resume", output="vanishing://out")
        ended = ran[0] == 0
        if not ended:
            refused(ran, "vanishing://out cannot be ")
            assert "(the network path was not found)" in ran[2]
        Vanishing.left = 10**9
        there = len(Folder.at("vanishing://out").names("rows"))
        assert there >= before  # nothing is lost
        before = there
        calls += 3
        assert calls < 200
    assert rows("vanishing://out") == [row for row in rows("vanishing://out") if row["method"] == "gradient"]
    assert [row["index"] for row in rows("vanishing://out")] == list(range(6))
    Vanishing.store.clear()


def test_a_photo_of_another_shape_and_one_that_is_no_photo(attribute, home):
    Image.new("L", (90, 7)).save(home / "photos" / "wide.png")
    (home / "photos" / "notes.txt").write_text("not a photo")
    assert attribute() == (0, "7 rows of 7 photos are in out\n", "")
    assert Path("out/rows.parquet").exists()
