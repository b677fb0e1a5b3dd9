"""The page on whole data sets runs as it stands, from its own text."""

import re
import shlex
from pathlib import Path

from equipoise.attributions.sources import SOURCES
from equipoise.cli import main
from equipoise.cli.app import app, parse
from equipoise.samples import write_samples

PAGE = Path(__file__).parents[2] / "docs" / "whole-data-sets.md"


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_samples(tmp_path / "photos")
    (command,) = blocks("sh")
    program, *words = shlex.split(command)
    assert program == "equipoise"
    assert main(words) == 0
    exec(compile("\n".join(blocks("python")), str(PAGE), "exec"), {"__name__": "page"})  # noqa: S102  # the page's own


def test_every_option_of_the_page_is_one_of_the_command():
    text = PAGE.read_text(encoding="utf-8").partition("## Tables of recipes")[0]
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) - {"--array", "--signal"}
    import typer

    command = typer.main.get_command(app).commands["attribute"]
    known = {option for parameter in command.params for option in parameter.opts}
    assert named <= known
    (script,) = blocks("text")
    line = script.strip().splitlines()[-1].removeprefix("exec equipoise ")
    assert callable(parse(shlex.split(line)))


def test_every_kind_of_source_is_on_the_page():
    text = PAGE.read_text(encoding="utf-8")
    for words in (
        "photos.csv",
        "train-{000..012}.tar",
        "hf:FOLDER#train",
        "imagenet",
        "package.module:build",
        "a folder",
    ):
        assert words in text
    assert len(SOURCES) == 6
