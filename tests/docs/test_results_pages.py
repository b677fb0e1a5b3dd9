"""docs/results: one photo of each page is measured again, and gives the numbers that the page's run had."""

import json
import math
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from equipoise.experiments import RECIPES, Plan, run
from equipoise.experiments.protocols.base import Unit
from equipoise.experiments.protocols.grid import Tiles
from equipoise.experiments.protocols.planted import Planted

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
CHECKS = json.loads((RESULTS / "checks.json").read_text(encoding="utf-8"))
LONG = {page for page in CHECKS if page.startswith("difull")} | {"dipart-vgg16"}  # a network for each cell, or a minute


def protocol_of(check):
    """The recipe's, with the options that the page was made with."""
    usual = RECIPES[check["recipe"]].protocol
    said = json.loads(check["protocol"])
    assert said.pop("protocol") == usual.name
    options = {name: tuple(value) if isinstance(getattr(usual, name), tuple) else value for name, value in said.items()}
    assert set(options) == {one.name for one in fields(usual)}
    return replace(usual, **options)


def units_of(protocol, key):
    """A stand-in for `Protocol.units` that finds one unit without asking the networks about all photos."""

    def units(_self, samples, lab, models, _confidence):
        by_key = {sample.key: sample for sample in samples}
        if isinstance(protocol, Tiles):
            return [Unit(key, tuple(by_key[one] for one in key.split("+")))]
        if isinstance(protocol, Planted):
            classes = lab.subject(models[0]).classes(samples)
            return [unit for unit in protocol.candidates(samples, classes) if unit.key == key]
        return [Unit(key, (by_key[key],))]

    return units


@pytest.mark.data
@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[pytest.mark.slow] if page in LONG else []) for page in sorted(CHECKS)]
)
def test_a_photo_of_the_page_is_measured_again(page, request, tmp_path, monkeypatch):
    check = CHECKS[page]
    if check["dataset"] != "scenes":
        request.getfixturevalue("data")
    monkeypatch.syspath_prepend(str(ROOT))
    recipe, protocol = RECIPES[check["recipe"]], protocol_of(check)
    method = next(one for one in recipe.methods if one.label == check["method"])
    narrow = replace(
        recipe.measured_by(protocol), methods=(method,), pairs=((check["dataset"], check["model"]),), figure=None
    )
    monkeypatch.setattr(type(protocol), "units", units_of(protocol, check["unit"]))
    finished = run(Plan(narrow, tmp_path / "run"))
    assert finished.problems == []
    names = check["fields"]
    found = {tuple(row[name] for name in names[:-1]): [] for row in finished.rows}
    for row in finished.rows:
        found[tuple(row[name] for name in names[:-1])].append(row["value"])
    said = {tuple(row[:-1]): [] for row in check["rows"]}
    for row in check["rows"]:
        said[tuple(row[:-1])].append(row[-1])
    assert set(found) == set(said)
    for key, values in said.items():
        for here, there in zip(found[key], values, strict=True):
            assert (math.isnan(here) and math.isnan(there)) or here == pytest.approx(there, abs=0.005), key


def test_every_page_of_a_run_says_how_it_was_made_and_is_checked():
    assert all((RESULTS / f"{page}.md").exists() for page in CHECKS)
    for page in RESULTS.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        if page.stem in CHECKS:
            assert re.search(r"^Made by `equipoise reproduce ", text, re.MULTILINE), page.name
