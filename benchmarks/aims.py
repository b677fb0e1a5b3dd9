"""What was aimed at, beside what was measured: the first table of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

Results = Mapping[str, Any]
"""Name of a result file without ``.json`` to what is in it; ``"gpu"`` to the list of those of all devices."""

AE_CASES = (("vgg16", 3.4), ("resnet50", 4.0), ("efficientnet_lite0", 5.0))
"""Network to the most that AE may cost, in units of one forward and backward pass."""


BOUNDS = {
    "of the authors' loop": (
        "The loop takes nine convolutions a layer (the forward pass, and four terms forward and back), AE six: 1.5 "
        "times as many. Channels last brings the rest of what is measured. Convolutions are most of AE's time on "
        "VGG-16 (`weights`, below): were everything else free, the ratio would still not be 2.5. The loop is our own, "
        "as lean as its description allows; the authors' program was not run."
    ),
    "channels last: resnet50": (
        "ResNet-50 with the channels last: its 1x1 convolutions are so cheap that the passes over the activations "
        "between them (`weights`, below) weigh as much as they do, and at batch 8 each passes through memory."
    ),
    "at the same precision": (
        "On a GPU: of a small batch AE's time is the host's, which writes the tape down and starts many small "
        "operations one by one; a gradient is an eighth of them, started by torch's own engine. Of a large batch in "
        "TF32 or bfloat16 the unit's convolutions run on tensor cores, while AE's passes over activations in float32 "
        "are bound by memory, and relevance stays in float32 where the unit works in bfloat16."
    ),
    "peak memory of AE": (
        "Memory: the allocator leaves holes between freed blocks, others in each process; AE frees and takes blocks of "
        "more sizes than the gradient does."
    ),
    "bringing them into order": (
        "Rows in order: the keys of all results are sorted, and each is looked up among the sorted, which takes a few "
        "more steps the more there are."
    ),
}
"""Part of an aim's name to what bounds it, for the page to say where it is missed."""


@dataclass(frozen=True)
class Aim:
    """One row.

    Args:
        what: The quantity, and of what.
        floor: The least that it can be; empty where there is none.
        limit: What is aimed at.
        find: From the results to the number, a `measuring.spread`, or what ``{"fails": why}`` says; a missing
            key means that it was not measured.
        at_most: Whether ``limit`` is the most; else the least.
        unit: What a number is written with: ``""``, ``"x"``, ``"%"``.
    """

    what: str
    floor: str
    limit: float
    find: Callable[[Results], Any]
    at_most: bool = True
    unit: str = ""

    def judge(self, results: Results) -> tuple[str, bool | None]:
        """What was measured, as text, and whether the median reaches the aim; ``None``: not measured."""
        try:
            found = self.find(results)
        except (KeyError, TypeError):  # no such part, or no such file
            return "not measured", None
        if isinstance(found, Mapping) and "fails" in found:
            return f"fails: {found['fails']}", False
        found = {"median": found} if not isinstance(found, Mapping) else found
        text = self.written(found["median"])
        if "quartiles" in found:
            low, high = found["quartiles"]
            text += f" [{self.written(low)}, {self.written(high)}]"
        return text, found["median"] <= self.limit if self.at_most else found["median"] >= self.limit

    def written(self, value: float) -> str:
        """A number of this row."""
        return f"{value:.1%}" if self.unit == "%" else f"{value:.2f}{self.unit and ' ' + self.unit}"


def table(results: Results) -> list[str]:
    """The table, and how many aims are reached, in Markdown."""
    lines = ["| what | floor | aim | measured | reached |", "|---|---|---|---|---|"]
    verdicts = []
    for aim in aims(results):
        text, reached = aim.judge(results)
        verdicts.append(reached)
        word = {True: "yes", False: "**no**", None: ""}[reached]
        sign = "<=" if aim.at_most else ">="
        lines.append(f"| {aim.what} | {aim.floor} | {sign} {aim.written(aim.limit)} | {text} | {word} |")
    missed = [aim.what for aim, reached in zip(aims(results), verdicts, strict=True) if reached is False]
    bounds = [f"- {why}" for part, why in BOUNDS.items() if any(part in what for what in missed)]
    bounds = ["", "What bounds those that are missed:", "", *bounds] if bounds else []
    counts = f"Of {len(verdicts)} aims {verdicts.count(True)} are reached, {verdicts.count(False)} are not, and "
    return [f"{counts}{verdicts.count(None)} are not measured.", "", *lines, *bounds]


def aims(results: Results) -> list[Aim]:
    """Every row; the results say only which GPUs there are rows for."""
    return [*_ae(), *_others(), *_rows(), *_runs(), *_gpu(results.get("gpu") or [])]


def at(*path: str) -> Callable[[Results], Any]:
    """What lies under these keys, one in the other."""
    return lambda results: reduce(lambda place, key: place[key], path, results)


def _ae() -> Iterator[Aim]:
    cases = [(name, limit, batch) for name, limit in AE_CASES for batch in ("1", "8")]
    for what, key in (
        ("AE / forward + backward", "ae"),
        ("AE / forward + backward, channels last", "ae_to_channels_last"),
    ):
        for name, limit, batch in cases:
            place = at("ae_cost", "models", name, batch, key)
            yield Aim(f"{what}: {name}, batch {batch}", "3.0", limit, _units(place))
    for name, _, batch in cases:
        place = at("ae_cost", "models", name, batch, "further_class")
        yield Aim(f"a further class / the first: {name}, batch {batch}", "0.5", 0.55, place)
    for name, _, batch in cases:
        place = at("ae_cost", "memory", name, batch)
        yield Aim(f"peak memory of AE / of the gradient: {name}, batch {batch}", "1.0", 1.6, _memory(place))


def _units(place: Callable[[Results], Any]) -> Callable[[Results], Any]:
    """Of a subject its units; a ratio, and what says that it fails, as it is."""

    def find(results: Results) -> Any:
        found = place(results)
        return found if "median" in found or "fails" in found else found["units"]

    return find


def _memory(place: Callable[[Results], Any]) -> Callable[[Results], Any]:
    """AE's peak over the gradient's."""
    return lambda results: place(results)["ae"]["median"] / place(results)["gradient"]["median"]


def _others() -> Iterable[Aim]:
    yield Aim(
        "images per second of AE / of the authors' loop: vgg16, batch 8", "", 2.5,
        at("authors_loop", "vgg16", "speedup"), at_most=False, unit="x",
    )  # fmt: skip
    for name in ("vgg16", "resnet50"):
        for composite in ("epsilon-gamma-box", "epsilon-plus", "epsilon-alpha2-beta1"):
            place = at("whole_runs", "composites", name, composite, "ours / zennit")
            yield Aim(f"{composite} / zennit's: {name}", "", 0.7, place)
    networks = ("vgg16", "efficientnet_lite0")
    for name in networks:
        place = at("whole_runs", "overhead", name, "outside")
        yield Aim(f"share of a data set's time outside the network: {name}", "0%", 0.1, place, unit="%")
    for key, what, floor in (
        ("a batch, per image", "time per image at 10 times the images, in one batch", 1),
        ("a data set, per image", "time per image at 10 times the images, as a data set", 1),
        ("four times the pixels", "time at 4 times the pixels", 4),
    ):
        for name in networks:
            yield Aim(f"{what}: {name}", f"{floor}.0", 1.05 * floor, at("whole_runs", "growth", name, key))


def _rows() -> Iterator[Aim]:
    what = "11 million rows to a table with intervals"
    yield Aim(f"{what}: seconds", "", 90, at("rows", "steps", "table", "seconds"), unit="s")
    yield Aim(f"{what}: peak memory", "", 1430, at("rows", "steps", "table", "MiB"), unit="MiB")
    for name, step in (("table", "the table"), ("merge", "bringing them into order")):
        place = at("rows", "steps", name, "CPU seconds per row, to a tenth of the rows")
        yield Aim(f"CPU seconds per row at 10 times the rows: {step}", "", 1.05, place)


def _runs() -> Iterator[Aim]:
    for name in ("efficientnet_lite0", "torchvision/resnet50"):
        place = at("attribute_runs", "beside", name, "ratio to the bare method")
        yield Aim(f"images per second of attribute / of the bare method: {name}", "", 0.95, place, at_most=False)
        place = at("attribute_runs", "beside", name, "size / raw float32")
        yield Aim(f"size on disk of a map of 224 px / raw float32: {name}", "", 0.35, place)
    for key, what, limit in (
        ("two Ray workers / one process", "two Ray workers of one thread / one process of two threads", 1.0),
        ("one Ray worker / in process", "one Ray worker / in process, one thread", 0.93),
    ):
        place = at("attribute_runs", "workers", key)
        yield Aim(f"images per second of attribute: {what}", "", limit, place, at_most=False)
    for key, what, limit in (
        ("ms per image", "overhead of attribute per image of 32 px, 10,000 images, ms", 1.0),
        ("time per image at 10 times the images", "time per image of attribute at 10 times the images", 1.05),
        ("memory at 100 times the images", "memory of attribute at 100 times the images", 1.05),
    ):
        yield Aim(what, "", limit, at("attribute_runs", "growth", key))


def _gpu(devices: Sequence[Mapping[str, Any]]) -> Iterable[Aim]:
    what = "AE / forward + backward at the same precision"
    if not devices:
        yield Aim(f"{what}, on a GPU", "3.0", 3.5, at("gpu", "none"))
    for found in devices:
        for name, precisions in found.get("models", {}).items():
            for precision, batches in precisions.items():
                for batch, result in batches.items():
                    case = f"{found['device']['name']}, {name}, {precision}, batch {batch}"
                    yield Aim(f"{what}: {case}", "3.0", 3.5, _units(_just(result.get("ae", result))))


def _just(found: Any) -> Callable[[Results], Any]:
    return lambda _results: found
