"""docs/methods and docs/which-method.md are filled with what was measured, and their examples run.

A new method may have no page and no measurement yet; that none has been forgotten is asked by ``-m slow``.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from equipoise.methods import METHODS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "methods"
sys.path.insert(0, str(ROOT / "tools"))
import docstrings  # noqa: E402  # found through the path set above
import filling  # noqa: E402  # found through the path set above
import method_cards  # noqa: E402  # found through the path set above
import method_families  # noqa: E402  # found through the path set above
import method_pages  # noqa: E402  # found through the path set above
import trust  # noqa: E402  # found through the path set above
import which_method  # noqa: E402  # found through the path set above

sys.path.remove(str(ROOT / "tools"))

NAMES = METHODS.names()
WITH_PAGE = method_pages.documented()
CARDS = {path.stem: method_cards.card(path.stem) for path in method_cards.CARDS.glob("*.json")}


@pytest.mark.slow
def test_nothing_is_left_to_write_or_to_measure():
    assert set(WITH_PAGE) == set(CARDS) == set(NAMES)
    assert not [name for name, text in method_pages.pages().items() if method_pages.NOT_YET in text]
    for name, card in CARDS.items():
        assert tuple(card) == method_cards.SECTIONS, name
        assert set(card["cost"]) == set(method_cards.measured("cost")["networks"])


def test_a_new_method_need_not_wait_for_its_page_or_its_measurements(monkeypatch, tmp_path):
    monkeypatch.setattr(method_cards, "CARDS", tmp_path)  # nothing was measured
    monkeypatch.setattr(method_pages, "PICTURES", tmp_path)
    assert method_pages.pages()["agf.md"].count("Not measured yet") == 4
    assert "(methods/agf.md)" in which_method.page()
    for page in FOLDER.glob("*.md"):
        if page.stem != "agf":
            (tmp_path / page.name).write_text(page.read_text())
    monkeypatch.setattr(method_pages, "FOLDER", tmp_path)
    pages = method_pages.pages()
    assert "agf.md" not in {*pages}
    assert "agf.md)" not in pages["README.md"]
    assert "(methods/agf.md)" not in re.sub(r"<!-- end -->.*?<!-- fill", "", which_method.page(), flags=re.DOTALL)
    method_pages.start("agf")
    started = method_pages.pages()["agf.md"]
    assert started.startswith(f"# {METHODS['agf'].title}\n")
    assert "```math" in started


def test_every_page_is_filled():
    pages = method_pages.pages()
    assert {path.name for path in FOLDER.glob("*.md")} == set(pages) | {"families.md"}
    stale = [name for name, text in pages.items() if (FOLDER / name).read_text() != text]
    assert stale == [], "run: python tools/method_pages.py"
    assert method_pages.COSTS.read_text(encoding="utf-8") == method_pages.costs_file()  # of the app
    assert method_families.PATH.read_text() == method_families.page(), "run: python tools/method_families.py --render"
    assert which_method.PATH.read_text() == which_method.page(), "run: python tools/which_method.py"


def test_a_network_counts_once_by_the_page_of_most_images(tmp_path, monkeypatch):
    head = "## photos, {}\n\n| method | n | energy |\n| --- | --- | --- |\n"
    page = head + "| AE | {} | **{}** [0.1, 0.9] |\n| RISE | {} | {} |\n"
    for name, *cells in (
        ("one", "vgg", 40, 0.5, 3, "undefined"),
        ("few", "vgg", 8, 0.9, 8, 0.2),
        ("two", "resnet", 4, 0.7, 4, 0.4),
    ):
        (tmp_path / f"planted-{name}.md").write_text("# Planted\n\n" + page.format(*cells))
    monkeypatch.setattr(trust, "RESULTS", tmp_path)
    assert trust.over_networks("planted", "energy") == pytest.approx({"AE": 0.6, "RISE": 0.3})
    rows = "| RISE | 4 | 0.4 |"
    alone = (tmp_path / "planted-two.md").read_text().replace(rows + "\n", "")
    (tmp_path / "planted-two.md").write_text(alone)  # a mean of it with the other network would be over other methods
    assert trust.over_networks("planted", "energy") == pytest.approx({"AE": 0.5, "RISE": 0.2})


@pytest.mark.parametrize("name", WITH_PAGE)
def test_a_page_asks_for_all_that_is_known(name):
    """Nobody edits a block away, and the idea, the equation and the sources come from the class."""
    text = (FOLDER / f"{name}.md").read_text()
    assert filling.asked(text) == [*method_pages.SECTIONS]
    assert "```math" in docstrings.description(METHODS[name])
    for link in docstrings.sources(METHODS[name]):
        assert f"]({link})" in text
    assert docstrings.sources(METHODS[name])


def test_what_stands_outside_the_blocks_is_the_writers():
    page = "a <!-- fill n -->1<!-- end --> b\n\n<!-- fill table -->\n<!-- end -->\n\nc\n"
    blocks = {"n": lambda: "22", "table": lambda: "| x |"}
    once = filling.filled(page, blocks)
    assert once == "a <!-- fill n -->22<!-- end --> b\n\n<!-- fill table -->\n\n| x |\n\n<!-- end -->\n\nc\n"
    assert filling.filled(once, blocks) == once
    with pytest.raises(KeyError):
        filling.filled(page, {})


def test_a_measurement_leaves_the_others_as_they_are(monkeypatch, tmp_path):
    monkeypatch.setattr(method_cards, "CARDS", tmp_path / "cards")
    monkeypatch.setattr(method_cards, "MEASURED", tmp_path / "measured.json")
    method_cards.keep("classes", {"network": "n"}, {"ae": [0.5]})
    entry = {"how": "once", "units": 2.0}
    unit = {"unit": entry, "forward": entry}
    method_cards.keep_cost({"size": 64, "models": {"vgg16": {**unit, "ae": entry}}})
    assert method_cards.card("ae") == {"cost": {"vgg16": entry}, "classes": [0.5]}
    assert method_cards.measured("cost") == {"size": 64, "networks": {"vgg16": unit}}
    assert method_cards.measured("classes") == {"network": "n"}


@pytest.mark.parametrize("name", WITH_PAGE)
def test_the_examples_run(name):
    (block,) = re.findall(r"```python\n(.*?)```", (FOLDER / f"{name}.md").read_text(), flags=re.DOTALL)
    assert f'method="{name}"' in block
    names: dict = {}
    exec(compile(block, f"{name}.md", "exec"), names)  # noqa: S102  # the page's own example
    assert names["found"].isfinite().all()


def test_sources_are_links_to_papers():
    for name in NAMES:
        for link in docstrings.sources(METHODS[name]):
            assert re.match(r"https://(arxiv\.org/abs/\d{4}\.\d{4,5}$|doi\.org/10\.\d+/|openaccess\.)", link)


def test_what_was_measured_is_of_methods_and_families_that_there_are():
    assert set(CARDS) <= set(NAMES)
    families = method_cards.measured("networks")["families"]
    assert families == {name: list(entry) for name, entry in method_families.FAMILIES.items()}
    for name, card in CARDS.items():
        assert set(card) <= set(method_cards.SECTIONS), name
        assert set(card.get("networks", families)) == set(families), name
        assert set(card.get("cost", {})) <= set(method_cards.measured("cost")["networks"]), name


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
    assert method_families.cell(method, family) == method_cards.card(method)["networks"][family]


def test_no_place_of_a_machine_is_in_the_results():
    for path in [*FOLDER.rglob("*.*"), which_method.PATH]:
        assert not re.search(r"/(home|work|usr|root|tmp)/", path.read_text()), path.name
