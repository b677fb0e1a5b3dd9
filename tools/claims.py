"""Fill what README.md and docs/results/README.md say of the results, from the pages of docs/results.

python tools/claims.py
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filling import asked, filled
from result_tables import number, tables

from equipoise.records import write_atomically

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = ROOT / "docs" / "results"
PAGES: Final = (ROOT / "README.md", RESULTS / "README.md")

NETWORKS: Final = {
    "examples.vgg16:build": "VGG-16",
    "examples.resnet50:build": "ResNet-50",
    "examples.mobilenet_v2:build": "MobileNet-V2",
    "efficientnet_lite0": "EfficientNet-Lite0",
}
"""As the pages call them, and as people do."""

TABLES: Final = {
    "table1": "Table 1, VOC", "table1-coco": "Table 1, COCO", "table2": "Table 2", "table3": "Table 3",
}  # fmt: skip
FIG10: Final = ("fig10", "fig10-mobilenet_v2", "fig10-vgg16")
FIG9: Final = ("fig9", "fig9-efficientnet_lite0", "fig9-mobilenet_v2", "fig9-vgg16")


@dataclass(frozen=True)
class Row:
    """One row of a page's table.

    Attributes:
        network: As in `NETWORKS`.
        method: The label.
        targets: ``"L"`` or ``"P"``, or nothing.
        cells: Column to its text; behind a column that the paper has, ``paper COLUMN`` and ``verdict COLUMN``.
    """

    network: str
    method: str
    targets: str
    cells: Mapping[str, str]

    def number(self, column: str) -> float:
        """The number of a cell; NaN if it has none."""
        return number(self.cells.get(column, ""))


def rows(*pages: str) -> list[Row]:
    """The rows of the first table under each heading of these pages; those that are not there are passed over."""
    return [row for page in pages if (RESULTS / f"{page}.md").exists() for row in _rows(page)]


def _rows(page: str) -> Iterator[Row]:
    for name, first, lines in tables((RESULTS / f"{page}.md").read_text(encoding="utf-8")):
        network = NETWORKS.get(name)
        if network is None:
            continue
        heads, last = [], ""
        for head in first:
            last = last if head in {"paper", "difference", "verdict"} else head
            heads.append(head if head == last else f"{head} {last}")
        for line in lines:
            cells = dict(zip(heads, line, strict=True))
            yield Row(network, cells["method"], cells.get("targets", ""), cells)


def _next_best(found: list[Row], column: str, *, of: str = "AE") -> str:
    """The best number of another method, and its label."""
    others = [row for row in found if row.method != of and not math.isnan(row.number(column))]
    if not others:
        return ""
    best = max(others, key=lambda row: row.number(column))
    return f"{best.method} {best.number(column):.3f}"


def _of(found: list[Row], network: str, targets: str = "") -> list[Row]:
    return [row for row in found if row.network == network and row.targets in {"", targets}]


def _ae(found: list[Row], column: str, paper: bool = False) -> str:  # noqa: FBT001  # two kinds of one cell
    """Attribution Equilibrium's number, and the paper's where it has the network's architecture."""
    one = next((row for row in found if row.method == "AE"), None)
    if one is None or math.isnan(one.number(column)):
        return ""
    beside = one.cells.get(f"paper {column}", "") if one.cells.get(f"verdict {column}") and paper else ""
    return f"**{one.number(column):.3f}**" + (f" ({float(beside):.3f})" if beside else "")


def _against(pages: tuple[str, ...], network: str, column: str, targets: str = "") -> str:
    found = _of(rows(*pages), network, targets)
    mine = _ae(found, column)
    return f"{mine}, {_next_best(found, column)}" if mine else ""


def measured() -> str:
    """Networks by what Attribution Equilibrium is said to be good at."""
    heads = [
        "network",
        "[positive ratio](docs/results/table1.md)",
        "[pointing game](docs/results/table1.md)",
        "[relevance on the object](docs/results/table1.md)",
        "[in the right photo of a grid](docs/results/fig9.md)",
        "[named again from 20 % of the pixels](docs/results/fig10.md)",
    ]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for network in NETWORKS.values():
        voc = _of(rows("table1"), network, "L")
        cells = [
            _ae(voc, "ALL PR", paper=True),
            _ae(voc, "ALL PG", paper=True),
            _against(("table1",), network, "ALL energy", "L"),
            _against(FIG9, network, "GridPG"),
            _against(FIG10, network, "accuracy, 20 %"),
        ]
        lines.append("| " + " | ".join([network, *cells]) + " |")
    return "\n".join(lines)


def measured_here() -> str:
    """The same with links as docs/results has them."""
    return measured().replace("(docs/results/", "(")


def agreement() -> str:
    """Of every page with numbers of the paper, how many of ours agree: of all methods, and of AE."""
    lines = ["| page | network | of all methods | of AE |", "|---|---|---|---|"]
    for page, title in TABLES.items():
        for network in NETWORKS.values():
            found = _of(rows(page), network, "L") + [row for row in _of(rows(page), network, "P") if row.targets]
            every, mine = _counted(found), _counted([row for row in found if row.method == "AE"])
            if every:
                lines.append(f"| [{title}]({page}.md) | {network} | {every} | {mine} |")
    return "\n".join(lines)


def _counted(found: list[Row]) -> str:
    said = [text for row in found for head, text in row.cells.items() if head.startswith("verdict ") and text]
    if not said:
        return ""
    kinds = (("agrees", "agree"), ("does not agree", "do not"), ("cannot be decided", "undecided"))
    return ", ".join(f"{said.count(kind)} {word}" for kind, word in kinds)


BLOCKS: Final[dict[str, Callable[[], str]]] = {
    "measured": measured,
    "measured-here": measured_here,
    "agreement": agreement,
}


def main() -> int:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        write_atomically(page, filled(text, BLOCKS).encode())
        sys.stdout.write(f"{page.relative_to(ROOT)}: {', '.join(asked(text)) or 'nothing to fill'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
