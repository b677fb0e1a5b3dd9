"""docs/methods and docs/which-method.md are what the tools write, and their examples run.

A new method may have no page and no measurement yet; that none has been forgotten is asked by ``-m slow``.
"""

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
WITH_PAGE = method_pages.documented()
FAMILIES = json.loads((FOLDER / "families.json").read_text())
COST = json.loads((ROOT / "benchmarks" / "results" / "method_cost.json").read_text())
CLASSES = json.loads((FOLDER / "classes.json").read_text())


def test_no_text_is_left_over():
    assert set(method_pages.TEXTS) <= set(NAMES)


@pytest.mark.slow
def test_nothing_is_left_to_write_or_to_measure():
    assert set(method_pages.TEXTS) == set(NAMES)
    assert set(FAMILIES["methods"]) == set(CLASSES["methods"]) == set(NAMES)
    for network, found in COST["models"].items():
        assert set(found) == {*NAMES, "unit", "forward"}, network


def test_a_new_method_need_not_wait_for_its_page_or_its_measurements(monkeypatch):
    def without(path):
        found = json.loads(path.read_text())
        for rows in (found["methods"],) if "methods" in found else found["models"].values():
            del rows["agf"]
        return found

    monkeypatch.setattr(method_pages, "data", without)
    monkeypatch.setattr(which_method, "data", without)
    assert method_pages.pages()["agf.md"].count("Not measured yet") == 3
    assert "(methods/agf.md)" in which_method.page()
    monkeypatch.delitem(method_pages.TEXTS, "agf")
    pages = method_pages.pages()
    assert "agf.md" not in {*pages}
    assert "agf.md" not in pages["README.md"] + which_method.page()


def test_every_page_is_what_the_tool_writes():
    pages = method_pages.pages()
    assert {path.name for path in FOLDER.glob("*.md")} == set(pages) | {"families.md"}
    stale = [name for name, text in pages.items() if (FOLDER / name).read_text() != text]
    assert stale == [], "run: python tools/method_pages.py"
    assert method_pages.COSTS.read_text(encoding="utf-8") == method_pages.costs_file()  # of the app
    assert (FOLDER / "families.md").read_text() == method_families.page(FAMILIES)
    assert which_method.PATH.read_text() == which_method.page()


@pytest.mark.parametrize("name", WITH_PAGE)
def test_the_examples_run(name):
    (block,) = re.findall(r"```python\n(.*?)```", (FOLDER / f"{name}.md").read_text(), flags=re.DOTALL)
    assert f'method="{name}"' in block
    names: dict = {}
    exec(compile(block, f"{name}.md", "exec"), names)  # noqa: S102  # the page's own example
    assert names["found"].isfinite().all()


@pytest.mark.parametrize("name", WITH_PAGE)
def test_every_option_of_a_text_exists(name):
    assert set(method_pages.TEXTS[name].example) <= {one.name for one in method_pages.parameters(name)}


def test_sources_are_links_to_papers():
    for name, text in method_pages.TEXTS.items():
        assert text.sources, name
        for source in text.sources:
            assert re.match(r"https://(arxiv\.org/abs/\d{4}\.\d{4,5}$|doi\.org/10\.\d+/|openaccess\.)", source.link)


def test_what_was_measured_is_of_methods_and_families_that_there_are():
    assert set(FAMILIES["methods"]) | set(CLASSES["methods"]) <= set(NAMES)
    assert FAMILIES["families"] == {name: list(entry) for name, entry in method_families.FAMILIES.items()}
    assert all(set(row) == set(FAMILIES["families"]) for row in FAMILIES["methods"].values())
    for network, found in COST["models"].items():
        assert {"unit", "forward"} <= set(found) <= {*NAMES, "unit", "forward"}, network


def test_costly_is_what_measured_so():
    measured = [name for name in NAMES if method_pages.costs(name)]
    assert {name for name in measured if METHODS[name].costly} == {
        name for name in measured if which_method.worst(name) > 30
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
