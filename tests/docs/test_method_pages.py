"""docs/methods and docs/which-method.md are what the tools write; their examples run; the measurements cover all."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from equipoise.methods import METHODS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "methods"
sys.path.insert(0, str(ROOT / "tools"))
import method_families  # noqa: E402  # found through the path set above
import method_pages  # noqa: E402  # found through the path set above
import which_method  # noqa: E402  # found through the path set above

sys.path.remove(str(ROOT / "tools"))

NAMES = METHODS.names()
FAMILIES = json.loads((FOLDER / "families.json").read_text())
COST = json.loads((ROOT / "benchmarks" / "results" / "method_cost.json").read_text())
CLASSES = json.loads((FOLDER / "classes.json").read_text())


def test_every_method_has_a_text_and_no_text_is_left_over():
    assert set(method_pages.TEXTS) == set(NAMES)


def test_every_page_is_what_the_tool_writes():
    pages = method_pages.pages()
    assert {path.name for path in FOLDER.glob("*.md")} == set(pages) | {"families.md"}
    stale = [name for name, text in pages.items() if (FOLDER / name).read_text() != text]
    assert stale == [], "run: python tools/method_pages.py"
    assert method_pages.COSTS.read_text(encoding="utf-8") == method_pages.costs_file()  # of the app
    assert (FOLDER / "families.md").read_text() == method_families.page(FAMILIES)
    assert which_method.PATH.read_text() == which_method.page()


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_run(name):
    (block,) = re.findall(r"```python\n(.*?)```", (FOLDER / f"{name}.md").read_text(), flags=re.DOTALL)
    assert f'method="{name}"' in block
    names: dict = {}
    exec(compile(block, f"{name}.md", "exec"), names)  # noqa: S102  # the page's own example
    assert names["found"].isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_every_option_of_a_text_exists(name):
    assert set(method_pages.TEXTS[name].example) <= {one.name for one in method_pages.parameters(name)}


def test_sources_are_links_to_papers():
    for name, text in method_pages.TEXTS.items():
        assert text.sources, name
        for source in text.sources:
            assert re.match(r"https://(arxiv\.org/abs/\d{4}\.\d{4,5}$|doi\.org/10\.\d+/|openaccess\.)", source.link)


def test_what_was_measured_covers_every_method():
    assert set(FAMILIES["methods"]) == set(NAMES)
    assert FAMILIES["families"] == {name: list(entry) for name, entry in method_families.FAMILIES.items()}
    assert all(set(row) == set(FAMILIES["families"]) for row in FAMILIES["methods"].values())
    for network, found in COST["models"].items():
        assert set(found) == {*NAMES, "unit", "forward"}, network
    assert set(CLASSES["methods"]) == set(NAMES)


def test_costly_is_what_measured_so():
    assert {name for name in NAMES if METHODS[name].costly} == {
        name for name in NAMES if which_method.worst(name) > 30
    }  # as equipoise.methods.base says


@pytest.mark.parametrize(("method", "family"), [
    ("ae", "functions"), ("agf", "branches"), ("rsp", "shuffle"), ("guided_backprop", "weight norm"),
    ("deep_lift", "residual"), ("deep_lift", "hardswish"), ("relevance_cam", "channels last"),
])  # fmt: skip
def test_a_cell_of_the_table_is_so(method, family):
    assert method_families.cell(method, family) == FAMILIES["methods"][method][family]


def test_no_place_of_a_machine_is_in_the_results():
    for path in [*FOLDER.iterdir(), which_method.PATH, ROOT / "benchmarks" / "results" / "method_cost.json"]:
        assert not re.search(r"/(home|work|usr|root|tmp)/", path.read_text()), path.name
