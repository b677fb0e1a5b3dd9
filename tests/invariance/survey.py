"""What every method makes of every spelling, as a table: ``python tests/invariance/survey.py``.

.  the same map      r  refused      !  crashed      else: how far the map is off, in percent
-  the method does not fit the base spelling
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from catalogue import FAMILIES
from comparing import TAPE, TOLERANCE, Outcome, attempt, compare, difference
from equipoise.methods import METHODS
from families import Family

WIDTH = 6


def shown(outcome: Outcome | None, tolerance: float) -> str:
    """A cell of the table."""
    if outcome is None:
        return "-"
    if outcome.crash:
        return "!"
    if outcome.refusal:
        return "r"
    if not outcome.bad(tolerance):
        return "."
    return f"{100 * outcome.error:.2g}" if outcome.error < 10 else f"{100 * outcome.error:.0e}"


def survey(family: Family, methods: list[str], dtype: torch.dtype, only: str) -> dict[str, dict[str, Outcome | None]]:
    """Spelling to method to outcome; ``forward`` compares the logits themselves."""
    images = family.images(dtype=dtype)
    model = family.network(dtype=dtype)
    bases = {method: attempt(method, model, images) for method in methods}
    table: dict[str, dict[str, Outcome | None]] = {}
    table[""] = {m: base if isinstance(base, Outcome) else Outcome() for m, base in bases.items()}
    with torch.no_grad():
        logits = model(images)
    for name in family.spellings:
        if only not in name:
            continue
        odd = family.network(name, dtype)
        with torch.no_grad():
            row: dict[str, Outcome | None] = {"forward": Outcome(difference(odd(images), logits))}
        for method, base in bases.items():
            row[method] = None if isinstance(base, Outcome) else compare(method, base, odd, images)
        table[name] = row
    return table


def main() -> None:
    """Print the table and the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", default="", help="part of the name of the families wanted")
    parser.add_argument("--spelling", default="", help="part of the name of the spellings wanted")
    parser.add_argument("--methods", default=",".join(TAPE), help="names with commas between, or all")
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--wrong", action="store_true", help="only rows with a difference or a crash")
    parser.add_argument("--verbose", action="store_true", help="the sentences of refusals and crashes, too")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    dtype = torch.float32 if chosen.float32 else torch.float64
    methods = METHODS.names() if chosen.methods == "all" else chosen.methods.split(",")
    counts: Counter[str] = Counter()
    by_method: dict[str, Counter[str]] = {method: Counter() for method in methods}
    began = time.perf_counter()
    out = sys.stdout.write
    out(f"{'':52}" + "".join(f"{m[: WIDTH - 1]:>{WIDTH}}" for m in ["forward", *methods]) + "\n")
    for family in FAMILIES.values():
        if chosen.family not in family.name:
            continue
        table = survey(family, methods, dtype, chosen.spelling)
        out(f"{family.name}\n")
        for name, row in table.items():
            bad = any(o is not None and o.bad(TOLERANCE[dtype]) for o in row.values())
            cells = {m: shown(row.get(m), TOLERANCE[dtype]) for m in ["forward", *methods]}
            if not chosen.wrong or bad:
                out(f"  {name or '(base)':50}" + "".join(f"{cells[m]:>{WIDTH}}" for m in ["forward", *methods]) + "\n")
            for method in methods:
                kind = {".": "same", "r": "refused", "-": "unfit", "!": "crashed"}.get(cells[method], "different")
                if name:
                    counts[kind] += 1
                    by_method[method][kind] += 1
                outcome = row.get(method)
                if chosen.verbose and outcome is not None and (outcome.crash or outcome.refusal):
                    out(f"      {method}: {outcome.crash or outcome.refusal}\n")
    out("\n")
    for method, found in by_method.items():
        out(f"{method:24}" + "".join(f"{k:>12} {found[k]:4}" for k in ("same", "refused", "different", "crashed", "unfit")))
        out("\n")
    spellings = sum(len(family.spellings) for family in FAMILIES.values())
    out(f"\n{dict(counts)}; {len(FAMILIES)} families, {spellings} spellings; {time.perf_counter() - began:.0f} s\n")


if __name__ == "__main__":
    main()
