"""docs/method.md says what the catalogue says."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import invariance_page  # noqa: E402  # found through the path set above

sys.path.remove(str(ROOT / "tools"))


def test_the_section_is_current():
    page = invariance_page.PAGE.read_text(encoding="utf-8")
    assert invariance_page.MARKS.search(page)
    assert page == invariance_page.render(page), "run: python tools/invariance_page.py"


def test_every_function_and_refusal_is_in_it():
    section = invariance_page.section()
    for name, family in invariance_page.FAMILIES.items():
        assert f"| {name} | {len(family.spellings)} |" in section
    for spellings in invariance_page.REFUSED.values():
        assert invariance_page.listed(spellings) in section
