"""``equipoise serve``: its options, what it refuses, and a server that starts and ends as a process."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import pytest

from equipoise.app import decoder, examples, reading, server, visitors
from equipoise.app.drawing import ENCLOSED, MODES
from equipoise.cli import main
from equipoise.errors import ImageError, OptionError
from equipoise.models import ArrayPreprocessing, Preprocessing
from patience import PATIENCE

OPEN = {"password_file": None, "origins": ()}
ENV = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}


@pytest.fixture
def asked(monkeypatch):
    """What the command passes on."""
    calls = []
    monkeypatch.setattr(server, "serve", lambda *given, **options: (calls.append((given, options)), 0)[1])
    return calls


def test_the_command_passes_its_options_on(asked):
    assert main(["serve"]) == 0
    assert (
        main(["serve", "--model", "resnet50, vgg16", "--model", "a", "--port", "0", "--host", "h", "--examples", "e"])
        == 0
    )
    assert all(callable(more.pop("loader")) for _, more in asked)
    assert asked == [
        ((["efficientnet_lite0"],), {"host": "127.0.0.1", "port": None, "examples": None} | OPEN),
        ((["resnet50", "vgg16", "a"],), {"host": "h", "port": 0, "examples": "e"} | OPEN),
    ]


def test_what_cannot_be_is_one_line(capsys, tmp_path):
    assert main(["serve", "--examples", str(tmp_path / "absent")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "is not a folder" in err
    assert main(["serve", "--model", "no_such_network"]) == 2
    assert "no_such_network" in capsys.readouterr().err


def test_without_gradio_it_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["serve"]) == 2
    assert "pip install equipoise[app]" in capsys.readouterr().err


@pytest.mark.parametrize("version", ["5.49.1", "6.26.0"])
def test_an_older_gradio_is_named(capsys, monkeypatch, version):
    gradio = pytest.importorskip("gradio")
    monkeypatch.setattr(gradio, "__version__", version)
    assert main(["serve"]) == 2
    assert f"this is gradio {version}" in capsys.readouterr().err


def test_the_oldest_gradio_is_that_of_the_extra():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (asked,) = [one for one in project["optional-dependencies"]["app"] if one.startswith("gradio")]
    assert asked.startswith(f"gradio>={'.'.join(map(str, server._OLDEST))},")


def test_examples(tmp_path):
    takes = {"": Preprocessing()}
    names = {one.name for one in examples.examples_of(None, takes)}
    assert names == {"chelsea.png", "coffee.png", "grace_hopper.jpg"}
    with pytest.raises(ImageError, match="holds no photos"):
        examples.examples_of(tmp_path, takes)
    for index in range(examples.SHOWN_EXAMPLES + 1):
        (tmp_path / f"{index:02}.png").write_bytes(b"")
    found = examples.examples_of(tmp_path, takes)
    assert len(found) == examples.SHOWN_EXAMPLES
    assert found[0].files == {"": (tmp_path / "00.png").resolve()}
    with pytest.raises(OptionError):
        examples.examples_of(tmp_path / "00.png", takes)


def test_examples_of_several_inputs(tmp_path):
    takes = {
        "image": Preprocessing(),
        "scan": Preprocessing(mean=(0.5,), std=(0.5,)),
        "heart": ArrayPreprocessing((9,)),
    }
    with pytest.raises(OptionError, match="image is not a folder; examples are looked for there"):
        examples.examples_of(tmp_path, takes)
    for name, files in (("image", "a.png b.jpg c.png"), ("scan", "a.nii.gz c.png b.npy"), ("heart", "b.npz c.npy")):
        (tmp_path / name).mkdir()
        for file in files.split():
            (tmp_path / name / file).touch()
    found = examples.examples_of(tmp_path, takes)
    assert [one.name for one in found] == ["b", "c"]  # nothing of the heart belongs to a
    assert {key: path.name for key, path in found[0].files.items()} == {
        "image": "b.jpg", "scan": "b.npy", "heart": "b.npz"
    }  # fmt: skip
    assert found[0].photo.name == "b.jpg"
    assert examples.examples_of(None, takes) == ()
    (tmp_path / "heart" / "b.npz").unlink()
    (tmp_path / "scan" / "c.png").unlink()
    with pytest.raises(ImageError, match="no files of one name are in the folders image, scan, heart"):
        examples.examples_of(tmp_path, takes)


@pytest.fixture
def taken():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


def start(tmp_path, *arguments):
    """The command as a process, since gradio leaves sockets unclosed where it cannot start."""
    command = [sys.executable, "-m", "equipoise", "serve", *arguments]
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell's background job ignores it, and so would a child
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=tmp_path, env=ENV | {"TMPDIR": str(tmp_path)}, **pipes)  # noqa: S603  # ourselves


@pytest.mark.parametrize("port", ["99999", "-1"])
def test_a_port_that_is_none(port, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["serve", "--port", port]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"equipoise: --port is {port}; it has to be between 0 and 65535\n"


def test_a_port_that_is_taken(tmp_path, taken):
    pytest.importorskip("gradio")
    process = start(tmp_path, "--port", str(taken))
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (2, "")
    assert err == f"equipoise: port {taken} of 127.0.0.1 cannot be had: is the address one of this machine, and free?\n"
    assert not list(tmp_path.glob("equipoise-*"))


def test_it_starts_answers_and_ends_with_ctrl_c(tmp_path):
    pytest.importorskip("gradio")
    process = start(tmp_path)
    line = process.stdout.readline()
    assert line.startswith("The page is at http://127.0.0.1:")
    with urllib.request.urlopen(line.split()[4]) as answer:  # noqa: S310  # the server under test
        assert "What did the network see?" in answer.read().decode()
    assert list(tmp_path.glob("equipoise-*"))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (130, "")
    assert not list(tmp_path.glob("equipoise-*"))  # what visitors sent is gone


DOCUMENT = (Path(__file__).parents[2] / "docs" / "app.md").read_text(encoding="utf-8")


def test_the_document_tells_the_truth(asked):
    lines = [line for line in DOCUMENT.splitlines() if line.startswith("equipoise serve")]
    assert len(lines) == 4
    for line in lines:
        assert main(shlex.split(line)[1:]) == 0
    assert asked[1][0] == (["efficientnet_lite0", "resnet50"],)
    assert asked[3][0] == (["mynet.toml"],)
    assert asked[2][1]["password_file"] == "password.txt"  # noqa: S105  # the name of a file
    assert asked[2][1]["origins"] == ["https://lab.example"]
    words = " ".join(DOCUMENT.split())
    assert words.count(f"up to {server.LARGEST_UPLOAD >> 20} MB") == 2
    assert f"and {decoder.LARGEST_PHOTO // 10**6} megapixels" in words
    assert f"and {decoder.LARGEST_ARRAY // 10**6} million values" in words
    assert f"{reading.TIME_LIMIT:g} seconds and {decoder.MEMORY >> 30} GB for each" in words
    assert f"{server.ALL_UPLOADS >> 30} GB in all; it is removed after two hours" in words
    assert f"at least {server.SHORTEST_PASSWORD} letters" in words
    assert (visitors.BUDGET, visitors.RECORDED) == (1 << 30, 2)  # "1 GB", "the two who worked last"
    assert ENCLOSED == 0.5  # "half of the evidence"
    for mode in MODES:
        assert mode.removesuffix("s") in DOCUMENT.casefold()
    pytest.importorskip("gradio")
    from equipoise.app.files import KEPT
    from equipoise.app.page import VIEWS

    assert KEPT == 2 * 3600
    for view in VIEWS:
        assert f"**{view}.**" in DOCUMENT
