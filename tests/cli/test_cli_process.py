"""The command as a process: signals, pipes, and the real network."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from patience import PATIENCE, until

HERE = Path(__file__).parent
ENV = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}

# The command with the fake network; each attribution takes a moment, and files are written slowly.
DRIVER = f"""
import os, sys, time
sys.path.insert(0, {str(HERE.parent / "explanation")!r})
import fake_net
from equipoise import models
from equipoise.cli import main
from equipoise.methods import METHODS
models.load_model = lambda *_, **__: fake_net.model()
METHODS.add("share", fake_net.InputTimesWeight)
sync = os.fsync
os.fsync = lambda descriptor: (time.sleep(0.02), sync(descriptor))
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""


def start(arguments, tmp_path, **options):
    command = [sys.executable, "-c", DRIVER, *arguments]
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell's background job ignores it, and so would a child
    return subprocess.Popen(command, cwd=tmp_path, env=ENV, text=True, **options)  # noqa: S603


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for index in range(40):
        Image.new("RGB", (60, 60), (255, 6 * index, 0)).save(tmp_path / "in" / f"{index:02}.png")
    return tmp_path


def wait_for_files(process, folder, count):
    until(lambda: len(list(folder.glob("*.json"))) >= count, process)


def check_whole(folder):
    names = [path for path in folder.iterdir() if not (path.name.startswith(".") and path.suffix == ".part")]
    for path in names:
        if path.suffix == ".png":
            with Image.open(path) as image:
                image.load()
        elif path.suffix == ".json":
            assert json.loads(path.read_text())["target"]
        else:
            header = int.from_bytes(path.read_bytes()[:8], "little")
            size = json.loads(path.read_bytes()[8 : 8 + header])["attribution"]["data_offsets"][1]
            assert path.stat().st_size == 8 + header + size
    return names


def test_killed_half_way_leaves_whole_files(folder):
    process = start(["explain", "in", "--method", "share"], folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_for_files(process, folder / "equipoise-out", 3)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    names = check_whole(folder / "equipoise-out")
    assert 12 <= len(names) < 160


def test_interrupted(folder):
    process = start(["explain", "in", "--method", "share"], folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_for_files(process, folder / "equipoise-out", 2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert err == ""
    assert len(check_whole(folder / "equipoise-out")) == len(list((folder / "equipoise-out").iterdir()))


def test_closed_pipe(folder):
    read, write = os.pipe()
    process = start(["explain", "in", "--method", "share", "--json"], folder, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    os.close(read)
    _, err = process.communicate(timeout=PATIENCE)
    assert err == ""
    assert process.returncode == 1


def test_progress_is_quiet_off_a_terminal_and_shown_on_one(folder):
    for path in sorted((folder / "in").iterdir())[3:]:
        path.unlink()
    plain = start(["explain", "in", "--method", "share"], folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert plain.communicate(timeout=PATIENCE)[1] == ""
    ours, theirs = os.openpty()
    process = start(["explain", "in", "--method", "share", "--json"], folder, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    out, _ = process.communicate(timeout=PATIENCE)
    shown = b""
    with io.open(ours, "rb", buffering=0) as terminal:  # noqa: UP020  # a descriptor, not a path
        try:
            while block := terminal.read(65536):
                shown += block
        except OSError:  # Linux says so when the other end of a terminal is closed
            pass
    assert "3/3" in shown.decode()
    assert [json.loads(line)["image"]["path"] for line in out.splitlines()] == ["in/00.png", "in/01.png", "in/02.png"]


def test_real_network(tmp_path):
    """``python -m equipoise`` on a real photo with the bundled network: the cat is found, on the cat."""
    from equipoise.samples import sample_path

    command = [sys.executable, "-m", "equipoise", "explain", str(sample_path("chelsea.png")), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=ENV, check=True)  # noqa: S603
    assert done.stderr == ""
    document = json.loads(done.stdout)
    assert {score["name"] for score in document["scores"][:3]} == {"tabby", "tiger cat", "Egyptian cat"}
    (entry,) = document["explanations"]
    assert entry["method"]["name"] == "ae"
    assert entry["method"]["options"]["gamma"] == 1.0
    assert 0.05 < entry["attribution"]["positive_ratio"] < 0.6
    assert len(document["model"]["weights_checksum"]) == 64
    with Image.open(tmp_path / entry["files"]["overlay"]) as overlay:
        assert overlay.width == document["image"]["width"]
        assert overlay.height > document["image"]["height"]  # the words above, the color bar below
