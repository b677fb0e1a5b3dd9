"""Write what is invariant and what is refused into docs/method.md, from the catalogue in tests/invariance.

python tools/invariance_page.py
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "method.md"
MARKS = re.compile("<!-- invariance -->.*?<!-- end -->", re.DOTALL)
sys.path.insert(0, str(ROOT / "tests" / "invariance"))
from catalogue import DIFFERENT, FAMILIES, NOT_ASKED, PAIRS, REFUSED  # noqa: E402  # found through the path set above
from families import Family  # noqa: E402  # found through the path set above

sys.path.remove(str(ROOT / "tests" / "invariance"))

SHOWN = 3
TEXT = """\
The same function gets the same map, however it is written, or the odd spelling is refused by a sentence that names
the operation. `tests/invariance` writes {functions} functions in {spellings} ways beside
their base spelling, and holds every method to it (relative difference at most 5e-5 in float64, 1e-4 in float32);
what `torch.export` makes of each function, too, and networks of random blocks in random spellings. A method that has
no rule for a function at all refuses its every spelling, which the tables do not show.

{tables}
{different}
Not the same network, so not promised:

| one | other | because |
|---|---|---|
{not_asked}"""


NOT_REACHED = """
Not reached yet: spellings that some methods explain differently, without a word.

| function | spelling | methods |
|---|---|---|
{}
"""


def section() -> str:
    """The whole section, without its heading."""
    titles = list(dict.fromkeys(family.section for family in FAMILIES.values()))
    not_asked = [f"| {pair.one} | {pair.other} | {pair.why} |" for pair in NOT_ASKED]
    different = [
        f"| {name} | {spelling} | {', '.join(methods)} |"
        for name, found in DIFFERENT.items()
        for spelling, methods in found.items()
    ]
    return TEXT.format(
        different=NOT_REACHED.format("\n".join(different)) if different else "",
        functions=len(FAMILIES),
        spellings=len(PAIRS),
        tables="\n\n".join(table(title) for title in titles),
        not_asked="\n".join(not_asked),
    )


def table(title: str) -> str:
    """The functions of one heading."""
    lines = [f"| {title.lower()} | other spellings | among them | refused |", "|---|---|---|---|"]
    lines += [row(family) for family in FAMILIES.values() if family.section == title]
    return "\n".join(lines)


def row(family: Family) -> str:
    """One function: its name, how many ways to write it, some of them, and those that are refused."""
    refused = REFUSED.get(family.name, ())
    same = [name for name in family.spellings if name not in refused]
    return f"| {family.name} | {len(family.spellings)} | {listed(same[:SHOWN])} | {listed(refused)} |"


def listed(names: list[str] | tuple[str, ...]) -> str:
    """Names of spellings; a bar would end the cell."""
    return "; ".join(names).replace("|", "\\|")


def render(page: str) -> str:
    """The page with its section."""
    return MARKS.sub(lambda _match: f"<!-- invariance -->\n\n{section()}\n\n<!-- end -->", page, count=1)


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
