"""docs/method.md: the tables of what makes maps smooth are those of the results."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_tables_are_made_of_the_results():
    found = importlib.util.spec_from_file_location("blur_page", ROOT / "tools" / "blur_page.py")
    tool = importlib.util.module_from_spec(found)
    found.loader.exec_module(tool)
    page = tool.PAGE.read_text()
    assert tool.render(page) == page, "run python tools/blur_page.py"
    assert len(list(tool.comparison())) > 2
    assert len(list(tool.looks())) > 20
