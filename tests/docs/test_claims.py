"""README and the overview of results carry the numbers of the pages of results, and no others."""

import math
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import claims  # noqa: E402  # found through the path set above
import filling  # noqa: E402

PAGE = """# T

## voc2007, examples.resnet50:build

9 photos.

| method | targets | n | PG | paper | difference | verdict | energy |
| --- | --- | --- | --- | --- | --- | --- | --- |
| B | L | 9 | 0.500 [0.100, 0.900] | 0.400 | +0.100 | cannot be decided | 0.250 |
| AE | L | 9 | **0.700** [0.600, 0.800] | 0.650 | +0.050 | agrees | **0.750** |
| AE | P | 9 | undefined | 0.100 |  |  | 0.125 |

### Difference to AE

| method | targets | PG |
| --- | --- | --- |
| B | L | -0.200 |

## voc2007, nobodys_network

| method | targets | n | PG |
| --- | --- | --- | --- |
| AE | L | 9 | 0.111 |
"""


@pytest.fixture
def page(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "RESULTS", tmp_path)
    (tmp_path / "table1.md").write_text(PAGE, encoding="utf-8")


@pytest.mark.parametrize("path", claims.PAGES, ids=lambda path: path.parent.name)
def test_a_page_carries_what_the_results_say(path):
    text = path.read_text(encoding="utf-8")
    assert filling.asked(text)
    assert filling.filled(text, claims.BLOCKS) == text, "python tools/claims.py"


def test_rows_are_those_of_the_first_table_of_known_networks(page):
    found = claims.rows("table1", "there is no such page")
    assert [(row.network, row.method, row.targets) for row in found] == [
        ("ResNet-50", "B", "L"), ("ResNet-50", "AE", "L"), ("ResNet-50", "AE", "P"),
    ]  # fmt: skip
    assert [row.number("PG") for row in found[:2]] == [0.5, 0.7]
    assert math.isnan(found[2].number("PG"))
    assert found[1].cells["paper PG"] == "0.650"


def test_a_claim_names_the_paper_where_it_has_the_network_and_the_best_of_the_others(page, monkeypatch):
    found = claims.rows("table1")
    labeled = [row for row in found if row.targets == "L"]
    assert claims._ae(labeled, "PG", paper=True) == "**0.700** (0.650)"
    assert claims._ae(labeled, "energy", paper=True) == "**0.750**"
    assert claims._against(("table1",), "ResNet-50", "energy", "L") == "**0.750**, B 0.250"
    assert claims._against(("table1",), "VGG-16", "energy", "L") == ""
    assert (
        "| [Table 1, VOC](table1.md) | ResNet-50 | 1 agree, 0 do not, 1 undecided | 1 agree, 0 do not, 0 undecided |"
        in (claims.agreement())
    )


def test_every_page_of_results_is_linked_from_the_overview_and_the_site():
    overview = (ROOT / "docs" / "results" / "README.md").read_text(encoding="utf-8")
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", overview))
    pages = {path.name for path in (ROOT / "docs" / "results").glob("*.md")} - {"README.md"}
    assert linked & pages == pages
    assert {name for name in pages if f"results/{name}" not in site} == set()
