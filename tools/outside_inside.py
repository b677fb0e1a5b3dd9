"""Table 3's outside-inside ratio, read in several ways from the kept maps of a run, each beside the paper's.

    python tools/outside_inside.py RUN

RUN is the folder of ``equipoise reproduce table3 --keep-maps 1000``. Eq. 14 does not say how a map with negative
values is scaled, nor how the photos' ratios become one number.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from equipoise.datasets import open_dataset
from equipoise.experiments import RECIPES
from equipoise.experiments.model.comparing import AGREES, DIFFERS, verdict
from equipoise.experiments.model.statistics import Estimate
from equipoise.experiments.protocols.base import resized_mask
from equipoise.experiments.running.store import Store
from equipoise.metrics import outside_inside_ratio

DRAWS: Final = 2000
LOWEST: Final = 0.05  # share of the pixels that is clipped

INTRODUCTION: Final = """\
Eq. 14 says neither how a map with negative values is scaled nor how the photos' ratios become one number. Read in six
ways, each with its 95 % interval over photos, beside the paper's number: + agrees (the interval holds it and is at most
0.1 wide), - does not, ? cannot be decided."""

Numbers = NDArray[np.float64]
Maps = torch.Tensor


def _clipped(maps: Maps, masks: Maps) -> Maps:
    low = torch.quantile(maps.flatten(1), LOWEST, dim=1)
    return outside_inside_ratio(torch.maximum(maps, low[:, None, None]), masks)


SCALED: Final[dict[str, Callable[[Maps, Maps], Maps]]] = {
    "min-max": outside_inside_ratio,
    "lowest 5 % clipped": _clipped,
    "positive alone": lambda maps, masks: outside_inside_ratio(maps, masks, normalization="positive"),
}
"""How a map is scaled before its mean outside is divided by that inside."""

POOLED: Final[dict[str, Callable[[Numbers], Numbers]]] = {
    "mean": lambda values: np.nanmean(values, -1),
    "median": lambda values: np.nanmedian(values, -1),
}
"""How the photos' ratios become one number."""

READINGS: Final = [(scaled, pooled) for scaled in SCALED for pooled in POOLED]


def maps_of(run: Path) -> Iterator[tuple[str, str, str, list[tuple[str, Maps]]]]:
    """Data set, network and method of a run, with the key and the map of each photo and class."""
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    import pyarrow.parquet as pq  # noqa: PLC0415  # the evaluation extra

    rows = pq.read_table(run / "rows.parquet", columns=["dataset", "model", "method", "unit", "key"]).to_pylist()
    store = Store(run, resume=True)
    try:
        for dataset, model in record["pairs"]:
            for method in (one["label"] for one in record["methods"]):
                these = {
                    row["key"]: row["unit"]
                    for row in rows
                    if (row["dataset"], row["model"], row["method"]) == (dataset, model, method)
                }
                found = [(unit, torch.as_tensor(one.heatmap)) for key, unit in these.items() for one in store.maps(key)]
                yield dataset, model, method, found
    finally:
        store.close()


def estimated(values: Numbers, pooled: str) -> Estimate:
    """A number of all photos, with a bootstrap interval over them."""
    of = POOLED[pooled]
    dice = np.random.default_rng(0)
    samples = of(values[dice.integers(0, len(values), (DRAWS, len(values)))])
    low, high = np.nanpercentile(samples, [2.5, 97.5])
    return Estimate(float(of(values)), float(low), float(high), len(values), int(np.isnan(values).sum()), len(values))


def readings(run: Path, data: Any = None) -> dict[tuple[str, str], dict[str, list[Estimate]]]:
    """By data set and network, by method: the number of each of `READINGS`."""
    found: dict[tuple[str, str], dict[str, list[Estimate]]] = {}
    for dataset, model, method, maps in maps_of(run):
        if not maps:
            continue
        samples = {sample.key: sample for sample in data or open_dataset(dataset)}
        masks = []
        for unit, one in maps:
            sample = samples[unit]
            height, width = one.shape
            parts = [resized_mask(sample.mask(category), (height, width)) for category in sample.categories or (None,)]
            masks.append(torch.stack(parts).any(0))
        stacked, inside = torch.stack([one for _, one in maps]).float(), torch.stack(masks)
        ratios = {scaled: of(stacked, inside).double().numpy() for scaled, of in SCALED.items()}
        numbers = [estimated(ratios[scaled], pooled) for scaled, pooled in READINGS]
        found.setdefault((dataset, model), {})[method] = numbers
    return found


def section(run: Path) -> str:
    """Markdown: a table for each network, and which reading gives how many of the paper's rows."""
    recipe = RECIPES["table3"]
    parts = [
        "## How the outside-inside ratio is read",
        INTRODUCTION,
    ]
    for (dataset, model), of_method in readings(run).items():
        heads = " | ".join(f"{scaled}, {pooled}" for scaled, pooled in READINGS)
        lines = [f"| method | n | paper | {heads} |", "|---" * (len(READINGS) + 3) + "|"]
        apart: dict[tuple[str, str], list[str]] = {reading: [] for reading in READINGS}
        agree = dict.fromkeys(READINGS, 0)
        known = 0
        for method, numbers in of_method.items():
            paper = recipe.paper_value(dataset, model, method, "", "Out/In")
            if paper is None:
                continue
            known += 1
            cells = []
            for reading, ours in zip(READINGS, numbers, strict=True):
                said = verdict(ours, paper)
                agree[reading] += said == AGREES
                if said == DIFFERS:
                    apart[reading].append(method)
                mark = "+" if said == AGREES else "-" if said == DIFFERS else "?"
                cells.append(f"{ours.value:.2f} [{ours.low:.2f}, {ours.high:.2f}] {mark}")
            lines.append(f"| {method} | {numbers[0].images} | {paper:.3f} | {' | '.join(cells)} |")
        possible = [f"{scaled}, {pooled}" for scaled, pooled in READINGS if not apart[scaled, pooled]]
        nearest = min(READINGS, key=lambda reading: (len(apart[reading]), -agree[reading]))
        whole = [f"{scaled}, {pooled}" for scaled, pooled in READINGS if agree[scaled, pooled] == known]
        if whole:
            told = f"All {known} rows agree by: {'; '.join(whole)}."
        elif possible:
            told = (
                f"**No reading is shown to give all {known} rows.** Not contradicted, but too wide to say more: "
                f"{'; '.join(possible)}."
            )
        else:
            told = (
                f"**No reading gives all {known} rows.** Nearest: {nearest[0]}, {nearest[1]}, which contradicts "
                f"{len(apart[nearest])} ({', '.join(apart[nearest])})."
            )
        place, alike = recipe.beside(dataset, model)
        beside = "" if place is None else f"Beside {place[1]}{'' if alike else ', for orientation'}. "
        parts += [f"### {dataset}, {model}", "\n".join(lines), beside + told]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    print(section(parser.parse_args().run))


if __name__ == "__main__":
    main()
