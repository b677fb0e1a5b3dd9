"""docs/datasets.md is what the tool writes, and its examples run."""

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "datasets.md"


def test_the_page_is_what_the_tool_writes():
    assert PAGE.read_text() == runpy.run_path(str(ROOT / "tools" / "datasets_page.py"))["page"]()


def test_the_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(blocks) == 3
    names = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)  # noqa: S102  # the page's own examples
