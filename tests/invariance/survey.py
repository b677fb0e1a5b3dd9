"""What every method makes of every spelling, as a table: ``python tests/invariance/survey.py``.

.  the same map     r  refused     !  crashed     a number: how far the map is off, in percent
b  an image alone gets another map than in a batch     -  the method does not fit the base spelling

A row of the base says whether the methods give a map at all. Below a row stands what else is wrong with a spelling.
"""

from __future__ import annotations

import argparse
import os
import pickle
import sys
import time
from collections import Counter
from pathlib import Path
from pprint import pformat

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from catalogue import FAMILIES
from comparing import EXPORTED, FEW, RUNS, TAPE, TOGETHER, TOLERANCE, Outcome, Row, Study

from equipoise.methods import METHODS

WIDTH = 6
KINDS = {".": "same", "r": "refused", "-": "unfit", "!": "crashed"}
GROUPS = {"all": METHODS.names(), "tape": TAPE, "few": FEW, "runs": RUNS}


def shown(outcome: Outcome | None, tolerance: float) -> str:
    """A cell of the table."""
    if outcome is None:
        return "-"
    if outcome.crash or outcome.refusal:
        return "!" if outcome.crash else "r"
    if not outcome.bad(tolerance):
        return "."
    percent = 100 * max(outcome.error, outcome.alone)
    return ("b" if outcome.error <= tolerance else "") + f"{percent:.{1 if percent < 1e-3 or percent > 99 else 2}g}"


def half(number: int) -> list[str]:
    """AE and every other of the few methods, the ones or the others in turn."""
    return [FEW[0], *FEW[1 + number % 2 :: 2]]


def default_rows() -> list[Row]:
    """What the tests ask by default: every spelling in float64, some in float32 and by the other methods.

    A spelling is read on the tape in one place, whatever the method, so of the few methods every spelling is asked by
    half: neighbors by the one and the other, so that each method meets every family.
    """
    rows: list[Row] = []
    others = tuple(method for method in METHODS.names() if method not in FEW)
    for number, family in enumerate(FAMILIES.values()):
        study = Study(family, FEW)
        rows += [study.examine(s, alone=["ae"], methods=half(i)) for i, s in enumerate(family.spellings)]
        rows.append(study.exported(half(len(family.spellings))))
        names = sorted(family.spellings)
        single = Study(family, half(number), torch.float32)
        rows.append(single.examine(names[-1 - number % len(names)]))
        if number % 3 == 0:
            rest = Study(family, [m for m in others if m not in RUNS or not family.integers])
            rows.append(rest.examine(names[number % len(names)]))
    return rows


def every_row(dtype: torch.dtype) -> list[Row]:
    """Every spelling by every method; equal maxima have no one gradient, so methods that run the network skip them."""
    rows = []
    for family in FAMILIES.values():
        study = Study(family, TAPE if family.integers else METHODS.names(), dtype)
        rows += [study.examine(spelling, alone=TAPE) for spelling in family.spellings]
    return rows


PLANS = {
    "default": default_rows,
    "float64": lambda: every_row(torch.float64),
    "float32": lambda: every_row(torch.float32),
}


def exceptions(rows: list[Row]) -> str:
    """The source of ``exceptions.py``: what is refused, and what is explained differently, by methods of the tape."""
    refused: dict[str, dict[str, None]] = {}
    different: dict[str, dict[str, dict[str, None]]] = {}
    for row in rows:
        for method, found in row.outcomes.items():
            if found.refusal and method in TAPE:
                refused.setdefault(row.family, {})[row.spelling] = None
            elif not found.crash and found.bad(TOLERANCE[row.dtype]):
                different.setdefault(row.family, {}).setdefault(row.spelling, {})[method] = None
    lists = {name: tuple(spellings) for name, spellings in refused.items()}
    tables = {name: {s: tuple(sorted(m)) for s, m in found.items()} for name, found in different.items()}
    return EXCEPTIONS.format(refused=pformat(lists, width=116), different=pformat(tables, width=116))


EXCEPTIONS = '''"""What the law of invariance does not hold for today; written by ``survey.py --exceptions``.

A spelling that is mended should leave this list.
"""

REFUSED: dict[str, tuple[str, ...]] = {refused}
"""The spellings that a method refuses by name where it explains the base: family to spellings."""

DIFFERENT: dict[str, dict[str, tuple[str, ...]]] = {different}
"""The spellings that methods explain differently than the base: family to spelling to methods."""
'''


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", default="", help="part of the name of the families wanted")
    parser.add_argument("--spelling", default="", help="part of the name of the spellings wanted")
    parser.add_argument("--methods", default="tape", help=f"names with commas between, or {', '.join(GROUPS)}")
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--alone", action="store_true", help="an image alone, too, by methods that add up over images")
    parser.add_argument("--wrong", action="store_true", help="only rows with something wrong")
    parser.add_argument("--verbose", action="store_true", help="the sentences of refusals and crashes, too")
    parser.add_argument("--plan", choices=PLANS, help="what the tests ask; with --into")
    parser.add_argument("--into", type=Path, help="write the rows of the plan to this file")
    parser.add_argument("--exceptions", type=Path, nargs="+", help="write exceptions.py from files of rows")
    return parser.parse_args()


class Table:
    """Prints rows and counts what is in them."""

    def __init__(self, methods: list[str], tolerance: float, *, wrong: bool, verbose: bool) -> None:
        self.methods, self.tolerance, self.wrong, self.verbose = methods, tolerance, wrong, verbose
        self.counts = {method: Counter[str]() for method in methods}
        self.line("", dict(zip(methods, (m[: WIDTH - 1] for m in methods), strict=True)), "forw")

    def line(self, name: str, cells: dict[str, str], forward: str) -> None:
        """One line of the table."""
        sys.stdout.write(f"  {name:48}" + "".join(f"{c:>{WIDTH}}" for c in [forward, *cells.values()]) + "\n")

    def base(self, study: Study) -> None:
        """The row of the base spelling."""
        sys.stdout.write(f"{study.family.name}\n")
        if not self.wrong:
            bases = {m: b if isinstance(b, Outcome) else Outcome() for m, b in study.bases.items()}
            self.line("(base)", {m: shown(b, self.tolerance) for m, b in bases.items()}, "")
            self.say(bases)

    def row(self, row: Row) -> None:
        """The row of another spelling."""
        cells = {m: shown(row.outcomes.get(m), self.tolerance) for m in self.methods}
        for method, cell in cells.items():
            self.counts[method][KINDS.get(cell, "different")] += 1
        bad = any(o.bad(self.tolerance) for o in row.outcomes.values()) or row.wrong or row.forward > 1e-3
        if bad or not self.wrong:
            self.line(row.spelling, cells, shown(Outcome(row.forward), max(self.tolerance, 1e-9)))
            self.say(row.outcomes)
            sys.stdout.writelines(f"      {text}\n" for text in row.wrong)

    def say(self, outcomes: dict[str, Outcome]) -> None:
        """The sentences of refusals and crashes, if they are wanted."""
        for method, outcome in outcomes.items():
            if self.verbose and (outcome.crash or outcome.refusal):
                sys.stdout.write(f"      {method}: {outcome.crash or outcome.refusal}\n")

    def end(self) -> None:
        """The counts."""
        kinds = ("same", "refused", "different", "crashed", "unfit")
        for method, found in self.counts.items():
            sys.stdout.write(f"{method:24}" + "".join(f"{kind:>12} {found[kind]:4}" for kind in kinds) + "\n")
        whole = sum(self.counts.values(), Counter[str]())
        sys.stdout.write(f"{'':24}" + "".join(f"{kind:>11} {whole[kind]:5}" for kind in kinds) + "\n")


def main() -> None:
    """Print the table and the counts, or write the rows that the tests read."""
    chosen = _arguments()
    torch.set_num_threads(1)
    if chosen.exceptions:
        rows = [row for path in chosen.exceptions for row in pickle.loads(path.read_bytes())]  # noqa: S301  # our own
        Path(__file__).with_name("exceptions.py").write_text(exceptions(rows), encoding="utf-8")
        return
    if chosen.into:
        chosen.into.write_bytes(pickle.dumps(PLANS[chosen.plan]()))
        return
    began = time.perf_counter()
    dtype = torch.float32 if chosen.float32 else torch.float64
    methods = list(GROUPS.get(chosen.methods) or chosen.methods.split(","))
    table = Table(methods, TOLERANCE[dtype], wrong=chosen.wrong, verbose=chosen.verbose)
    for family in FAMILIES.values():
        if chosen.family not in family.name:
            continue
        study = Study(family, methods, dtype)
        table.base(study)
        for spelling in family.spellings:
            if chosen.spelling in spelling:
                table.row(study.examine(spelling, alone=TOGETHER if chosen.alone else ()))
        if chosen.spelling in EXPORTED:
            table.row(study.exported())
    table.end()
    count = sum(len(family.spellings) for family in FAMILIES.values())
    sys.stdout.write(f"{len(FAMILIES)} families, {count} spellings, {time.perf_counter() - began:.0f} s\n")


if __name__ == "__main__":
    main()
