"""Render the comparison of rules for branches, benchmarks/results/branches.json, into docs/method.md.

python tools/branches_page.py
"""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "method.md"
MARKS = re.compile("<!-- branches -->.*?<!-- end -->", re.DOTALL)


def table() -> str:
    """The markdown table, one row per network and rule."""
    found = json.loads((ROOT / "benchmarks" / "results" / "branches.json").read_text())
    lines = ["| network | rule or method | in the right cell | positive ratio |", "|---|---|---|---|"]
    for network, rows in found["results"].items():
        for name, row in rows.items():
            lines.append(f"| {network} | {name} | {row['in the right cell']:.3f} | {row['positive ratio']:.3f} |")
    points = next(iter(found["results"]["efficientnet_lite0"].values()))["points"]
    return "\n".join([*lines, "", f"{points} points: {found['grids']} grids of four photos each."])


def render(page: str) -> str:
    """The page with its table."""
    return MARKS.sub(lambda _match: f"<!-- branches -->\n\n{table()}\n\n<!-- end -->", page, count=1)


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text()))
