"""What a command lacks is said in one line with the extra that brings it; the tables of packages are one."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import equipoise
from equipoise.cli import EXTRAS
from equipoise.cli.app import parse

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAMES = {"PIL": "pillow", "skimage": "scikit-image", "huggingface_hub": "huggingface-hub"}

WITHOUT = """
import sys
LACKING = set(sys.argv[1].split(","))
sys.argv = ["equipoise", *sys.argv[2:]]
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in LACKING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from equipoise.cli import main
sys.exit(main())
"""


def without(packages, *arguments):
    """A command where packages are not installed."""
    code = [sys.executable, "-W", "ignore", "-c", WITHOUT, packages, *arguments]
    return subprocess.run(code, capture_output=True, text=True, check=False)  # noqa: S603  # our own code


def brought(extra):
    """The distributions of an extra."""
    found = set()
    for text in PROJECT["optional-dependencies"][extra]:
        name, others = re.match(r"([\w.-]+)(?:\[(.*?)\])?", text).groups()
        if name == "equipoise":
            found |= {one for other in others.split(",") for one in brought(other)}
        else:
            found.add(name)
    return found


def test_the_lowest_versions_of_every_extra_are_tried(monkeypatch):
    pytest.importorskip("packaging", reason="the tool reads requirements by it")
    monkeypatch.syspath_prepend(ROOT / "tools")
    import check_lowest

    assert set(check_lowest.extras()) == set(check_lowest.PROBES)
    assert {*check_lowest.COMMANDS, *check_lowest.SCRIPTS} <= set(check_lowest.extras())
    assert check_lowest.within("app") == {"app", "demo", "cli", "models", "images"}
    for commands in check_lowest.COMMANDS.values():
        for command in commands:
            if "--help" not in command:
                assert callable(parse(command.split())), command


@pytest.mark.parametrize("package", EXTRAS)
def test_an_extra_brings_what_it_is_named_for(package):
    assert NAMES.get(package, package) in brought(EXTRAS[package])


@pytest.mark.parametrize(
    ("packages", "command", "words"),
    [
        ("typer", "--help", "typer: pip install 'equipoise[cli]'"),
        ("rich", "explain .", "rich: pip install 'equipoise[cli]'"),
        ("PIL", "explain a.jpg", "PIL: pip install 'equipoise[cli]'"),
        ("matplotlib", "explain .", "matplotlib: pip install 'equipoise[cli]'"),
        ("pyarrow", "attribute . --output b", "equipoise[dataset]"),
        ("pyarrow", "merge a --output b", "equipoise[dataset]"),
        ("pyarrow", "reproduce table1", "equipoise[evaluate]"),
        ("gradio", "serve", "equipoise[app]"),
    ],
)
def test_a_command_says_what_it_lacks(packages, command, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = without(packages, *command.split())
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    *before, line = done.stderr.splitlines()
    assert line.startswith("equipoise: ")
    assert words in line
    assert before == [] or "Traceback" not in done.stderr
    assert len(before) <= command.startswith("reproduce")  # it says first which network it takes


def test_a_module_of_ones_own_that_is_absent_is_no_extra(capsys):
    from equipoise.cli import _lacking

    assert _lacking("mynets.resnet", ["explain"]) is None
    assert "equipoise[dataset]" in _lacking("pyarrow.parquet", ["merge"])


def test_extras_by_need():
    assert not {"pycocotools", "h5py"} & (brought("evaluate") | brought("app") | brought("demo") | brought("dataset"))
    assert not {"pyarrow"} & (brought("app") | brought("demo"))
    assert {"pycocotools", "h5py"} <= brought("all") <= brought("test")
    assert PROJECT["dependencies"] == ["torch>=2.6,<3"]


def test_the_version_stands_in_one_place():
    assert "version" not in PROJECT
    assert PROJECT["dynamic"] == ["version"]
    citation = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert citation.group(1) == equipoise.__version__
    assert importlib.metadata.version("equipoise") == equipoise.__version__


def test_the_demo_installs_what_it_needs_and_no_more():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^demo: \$\(DEMO\)$", makefile, re.MULTILINE)
    assert "--editable '.[demo]'" in makefile
    assert not brought("demo") & {"pytest", "gradio", "torchmetrics", "pyarrow", "zennit", "captum"}
