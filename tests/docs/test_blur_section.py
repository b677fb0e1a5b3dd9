"""docs/method.md: the tables of what makes maps smooth are those of the results."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool():
    found = importlib.util.spec_from_file_location("blur_page", ROOT / "tools" / "blur_page.py")
    made = importlib.util.module_from_spec(found)
    sys.modules["blur_page"] = made  # where a dataclass looks for its types
    found.loader.exec_module(made)
    yield made
    del sys.modules["blur_page"]


def test_the_tables_are_made_of_the_results(tool):
    page = tool.PAGE.read_text()
    assert tool.render(page) == page, "run python tools/blur_page.py"
    assert len(list(tool.comparison())) > 2
    assert len(list(tool.ablation(many=False))) > 20
    of_many = list(tool.ablation(many=True))
    assert len(of_many) > 12
    assert len({line.replace("\\|", "").count("|") for line in of_many}) == 1  # a bar in a name is no border


def test_an_interval_of_ratios_holds_the_ratio(tool):
    base, values = [1.0, 2.0, 3.0, 4.0], [2.1, 3.9, 6.2, 7.8]
    low, high = tool.ratio_interval(values, base)
    assert low < sum(values) / sum(base) < high
    assert tool.ratio_interval([2 * one for one in base], base) == (2.0, 2.0)  # photo by photo, not by the spread
