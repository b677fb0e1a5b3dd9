"""docs/benchmarks.md from every JSON in benchmarks/results: ``python benchmarks/render.py``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aims import Results, table

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
UNIT, CHANNELS_LAST = "gradient", "gradient, channels last"
_NO_SUBJECTS = ("where", "further_class", "ae_to_channels_last", "fine_to_paper")

_HEAD = """<!-- made by benchmarks/render.py from benchmarks/results; do not edit -->
# What Attribution Equilibrium costs

How it is measured is in `benchmarks/README.md`; `make bench` measures it again. Medians of interleaved rounds,
quartiles in brackets; random weights, photos of noise.

## Aims
"""

Result = Mapping[str, Any]


def load(folder: Path = HERE / "results") -> dict[str, Any]:
    """What is in the folder; quick runs are not for quoting and left out."""
    found: dict[str, Any] = {"gpu": []}
    for path in sorted(folder.glob("*.json")):
        if path.stem.endswith("_quick"):
            continue
        data = json.loads(path.read_text(encoding="utf-8"))
        kind = path.stem.partition("_")[0]
        if kind in ("gpu", "precision"):
            found.setdefault(kind, []).append(data)
        else:
            found[path.stem] = data
    return found


def page(results: Results) -> str:
    """The page as Markdown."""
    lines = [_HEAD, *table(results)]
    sections = {"ae_cost": _ae_cost, "authors_loop": _authors_loop, "whole_runs": _whole_runs, "start_up": _start_up}
    sections |= {"rows": _rows, "attribute_runs": _attribute_runs, "map_formats": _map_formats}
    sections |= {"against_commit": _against_commit}
    for name, section in sections.items():
        if name in results:
            lines += ["", *section(results[name])]
    if results.get("precision"):
        lines += ["", *_precision(results["precision"])]
    lines += ["", "## On a GPU", ""]
    for data in results.get("gpu") or []:
        lines += [*_gpu(data), ""]
    if not results.get("gpu"):
        lines.append(
            "No GPU numbers have been taken: `benchmarks/gpu.py` has run on a CPU alone, to see that it works."
        )
    return "\n".join(lines).rstrip() + "\n"


def taken(data: Result) -> str:
    """On what, when the machine was how busy, and of which commits."""
    machine, parts = data["machine"], data["measured"].values()
    commits = ", ".join(dict.fromkeys(part["commit"] for part in parts if part["commit"])) or "unknown"
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    rounds = f"{data['rounds']} round{'s' * (data['rounds'] > 1)}"
    before, after = min(part["load"][0] for part in parts), max(part["load"][1] for part in parts)
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['torch threads']} torch threads; load from {before} "
        f"before to {after} after (the\nbenchmark itself included); Python {machine['python']}, {versions};\n"
        f"commit {commits}; {data['size']}x{data['size']} pixels, seed {data['seed']}, {rounds}."
    )


def written(found: Result, digits: int = 2) -> str:
    """Median and quartiles."""
    low, high = found["quartiles"]
    return f"{found['median']:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _table(head: str, rows: Iterator[str]) -> list[str]:
    return [head, "|---" * (head.count("|") - 1) + "|", *rows]


def _ae_cost(data: Result) -> Iterator[str]:
    cases = [(name, batch, result) for name, batches in data["models"].items() for batch, result in batches.items()]
    yield from ["## Time and memory", ""]
    yield "In units of one forward and backward pass to the pixels of the same network. On a CPU AE works with the"
    yield "channels last, whatever the network's layout, so the same unit with channels last is measured beside it."
    yield from ["", taken(data), ""]
    head = "| network | batch | method | units | seconds | peak memory, MiB |"
    peaks = data.get("memory", {})
    yield from _table(head, (row for case in cases for row in _times(*case, peaks.get(case[0], {}).get(case[1], {}))))
    yield from ["", "## A further class of the same image, the gradient with channels last, and the profile fine", ""]
    yield from ["Time of two classes less that of one, over that of one, and other ratios, within each round.", ""]
    head = "| network | batch | one more / first | AE / gradient, channels last | AE fine / AE |"
    yield from _table(head, map(_ratios, cases))
    yield from ["", "## Where AE's time goes", ""]
    yield "Share of the CPU time; `weights` are convolutions and matrix products, the forward pass among them."
    yield ""
    yield from _table("| network | batch | weights | convolution calls | largest operations |", map(_where, cases))


def _times(name: str, batch: str, result: Result, peaks: Result) -> Iterator[str]:
    subjects = [UNIT, CHANNELS_LAST, *(key for key in result if key not in (UNIT, CHANNELS_LAST, *_NO_SUBJECTS))]
    subjects = [subject for subject in subjects if subject in result]
    for subject in sorted(subjects, key=lambda subject: "fails" in result[subject]):
        found = result[subject]
        if "fails" in found:
            yield f"| {name} | {batch} | {subject} | does not run: {found['fails']} | | |"
        else:
            seconds = f"{found['seconds']['median']:.3f}"
            peak = written(peaks[subject], 0) if subject in peaks else "not measured"
            yield f"| {name} | {batch} | {subject} | {written(found['units'])} | {seconds} | {peak} |"


def _ratios(case: tuple[str, str, Result]) -> str:
    name, batch, result = case
    found = [result.get(ratio) for ratio in ("further_class", "ae_to_channels_last", "fine_to_paper")]
    return f"| {name} | {batch} | {' | '.join(written(one) if one else 'not measured' for one in found)} |"


def _where(case: tuple[str, str, Result]) -> str:
    name, batch, result = case
    where = result["where"]
    largest = ", ".join(f"{op['name'].removeprefix('aten::')} {op['share']:.0%}" for op in where["operations"][:6])
    return f"| {name} | {batch} | {where['share_of_weights']:.0%} | {where['convolution_calls']} | {largest} |"


def _authors_loop(data: Result) -> Iterator[str]:
    found = data["vgg16"]
    yield from ["## Beside the authors' loop", ""]
    yield f"VGG-16, {data['batch']} images, gamma {data['gamma']:g}: equipoise on the batch, the loop image by image."
    yield f"The two maps differ by {found['relative_error']:.0e} of the largest magnitude."
    yield from ["", taken(data), ""]
    names = {"equipoise": "equipoise", "loop": "the authors' loop, written again from the equations"}
    rows = (f"| {names[key]} | {written(each)} |" for key, each in found["images_per_second"].items())
    yield from _table("| what | images per second |", rows)
    yield from [
        "",
        f"Images per second of equipoise over those of the loop, within each round: {written(found['speedup'])}.",
    ]


def _whole_runs(data: Result) -> Iterator[str]:
    yield from ["## Composites, data sets, growth", "", taken(data), ""]
    head = "| network | composite | ours / zennit | ours, seconds | zennit, seconds |"
    yield from _table(
        head,
        (
            f"| {network} | {name} | {written(one['ours / zennit'])} | {one['seconds']['ours']['median']:.3f} "
            f"| {one['seconds']['zennit']['median']:.3f} |"
            for network, composites in data.get("composites", {}).items()
            for name, one in composites.items()
        ),
    )
    yield from ["", "A data set of photos, explained by AE, in one run:", ""]
    yield from _table(
        "| network | photos | seconds | outside the network and the method |",
        (
            f"| {network} | {one['images']} | {one['seconds']:.1f} | {one['outside']:.1%} |"
            for network, one in data.get("overhead", {}).items()
        ),
    )
    yield from ["", "Time at more images and more pixels, over that at one image (a few photos, for a data set):", ""]
    yield from _table(
        "| network | times as many images | in one batch, per image | as a data set, per image | 4 times the pixels |",
        (
            f"| {network} | {one['times as many']} | {written(one['a batch, per image'])} "
            f"| {written(one['a data set, per image'])} | {written(one['four times the pixels'])} |"
            for network, one in data.get("growth", {}).items()
        ),
    )


def _start_up(data: Result) -> Iterator[str]:
    yield from ["## Start-up", "", "CPU seconds of a process, until it has answered or refused.", "", taken(data), ""]
    torch = data["seconds"]["import torch"]["median"]
    yield from _table(
        "| what | CPU seconds | beyond importing torch |",
        (
            f"| `{name}` | {written(one)} | {max(0.0, one['median'] - torch):.2f} |"
            for name, one in data["seconds"].items()
        ),
    )
    yield from ["", "`list models` asks torchvision and timm for their names, and torchvision loads torch's compiler."]


def _rows(data: Result) -> Iterator[str]:
    yield from ["## Millions of rows", ""]
    yield f"{data['units']} photos, 10 methods, 5 networks, 4 metrics: the parts of a run brought into order, and the"
    yield "table of 600 numbers with their intervals, 540 differences and their tests. Seconds by the clock, and of all"
    yield "threads."
    yield from ["", taken(data), ""]
    yield from _table(
        "| step | rows | seconds | CPU seconds | peak memory, MiB | CPU seconds per row, to a tenth of the rows |",
        (
            f"| {name} | {one['rows']} | {written(one['seconds'], 1)} | {written(one['CPU seconds'], 1)} "
            f"| {written(one['MiB'], 0)} | {written(one['CPU seconds per row, to a tenth of the rows'])} |"
            for name, one in data["steps"].items()
        ),
    )


def _pairs(found: Result) -> str:
    return ", ".join(f"{key}: {value}" for key, value in found.items())


def _attribute_runs(data: Result) -> Iterator[str]:
    yield from ["## A whole data set", ""]
    yield "`equipoise attribute` on drawn JPEG files of 500x375 pixels, beside the bare method on tensors in memory at"
    yield "its best batch; each run a process of its own, in turns; rates count from the first task on, so the search"
    yield "for the batch, reading and writing are in them. `attribute` keeps the memory that a batch frees for the next"
    yield "one, which the bare method in a process of a user's own does not: the last ratio is to one that does."
    yield from ["", taken(data), ""]
    yield from _table(
        "| network | bare, images/s by batch | attribute, images/s | batch chosen | size / raw float32 | ratio "
        "| ratio where both keep memory |",
        (
            f"| {name} | {_pairs(one['bare, images per second by batch'])} "
            f"| {written(one['images per second'])} | {one['batch chosen']} "
            f"| {one['size / raw float32']:.3f} | {written(one['ratio to the bare method'])} "
            f"| {written(one['ratio to the bare method that keeps memory too'])} |"
            for name, one in data.get("beside", {}).items()
        ),
    )
    if "workers" in data:
        rates = data["workers"]["images per second"]
        yield from ["", *_table("| EfficientNet-Lite0, batch auto | images per second |",
                                (f"| {name} | {written(rate)} |" for name, rate in rates.items()))]  # fmt: skip
    if "growth" in data:
        found = data["growth"]
        yield from ["", f"A method that does nothing, on a tiny network, {found['photos']} photos of 32 pixels: "]
        yield f"{written(found['ms per image'])} ms per image, reading, rows and maps included."


def _map_formats(data: Result) -> Iterator[str]:
    shape = "x".join(map(str, data["shape"]))
    yield from ["## How maps are kept", ""]
    yield f"{data['maps']} maps of {shape} (AE of photos, rolled), float16 with a scale each: size beside raw float32,"
    yield "seconds to write all, milliseconds to read one at random from closed files. `attribute` keeps Parquet in row"
    yield "groups of one map, in steps of 2^-14 of its largest value."
    yield from ["", f"{data['machine']['cpu']}, {data['machine']['cores']} cores; commit {data['commit']}.", ""]
    yield from _table(
        "| format | values | size | write, s | random read, ms | 95 % |",
        (
            f"| {row['format']} | {row['values']} | {row['size / raw float32']:.3f} | {row['write, seconds']:.0f} "
            f"| {row['random read, median ms']:.2f} | {row['random read, 95 % ms']:.2f} |"
            for row in data["rows"]
        ),
    )


def _against_commit(data: Result) -> Iterator[str]:
    yield from [f"## Against commit {data['against']}", ""]
    yield "AE of one image: CPU seconds of two workers in turn, one for each source tree. Bringing the tape to the"
    yield "canonical vocabulary is part of it, once for each trace."
    yield from ["", taken(data), ""]
    yield from _table(
        "| network | before | now | now / before |",
        (
            f"| {name} | {written(one['before'], 3)} | {written(one['now'], 3)} | {written(one['now / before'], 3)} |"
            for name, one in data["models"].items()
        ),
    )


def _gpu(data: Result) -> Iterator[str]:
    yield from [f"{_device(data['device'])}. {taken(data)}", ""]
    peaks = ", ".join(f"{name} {one['tflop_per_second']:.1f}" for name, one in data.get("peak", {}).items())
    yield f"Peak of a matrix product, in TFLOP/s: {peaks}. The roofline is AE's operations over its time, over that"
    yield "peak. AE propagates in float32 whatever the network's precision. Its other layout is the one that it does"
    yield "not take by itself in that precision: channels first or last."
    yield ""
    waits = [f"{name} {one['waits']}" for name, one in data.get("waits", {}).items() if "waits" in one]
    yield f"How often one call of AE waits for the device: {', '.join(waits) or 'not measured'}."
    agree = [
        f"{name}: {', '.join(f'{method} {error:.0e}' for method, error in one.items())}"
        for name, one in data.get("agreement", {}).items()
        if "fails" not in one
    ]
    yield f"Maps in float32 beside a CPU's in float64, largest difference: {'; '.join(agree) or 'not measured'}."
    yield ""
    head = "| network | precision | batch | images | images per second | minutes of 50,000 images |"
    yield from _table(head, _data_sets(data.get("data set", {})))
    yield ""
    if "attribute" in data:
        found = data["attribute"]
        readers, cores = found["readers"], found["cores"]
        readers, cores = found["readers"], found["cores"]
        yield f"`equipoise attribute` on JPEG files, {readers} processes reading on {cores} cores. It is far from the"
        yield "bare method above, whose images are in memory: what hands photos over bounds it, not the device."
        yield "Since then reading processes send one block for several photos; that was not measured on a device."
        yield ""
        yield from _table(
            "| network, precision, kept | photos | images per second | of the second half | batch |",
            (
                f"| {name} | {one['photos']} | {one['images_per_second']} | {one['second half']} | {one['batch']} |"
                for name, one in found["runs"].items()
            ),
        )
        yield ""
    head = "| network | precision | batch | method | images per second | units | peak memory, MiB | roofline |"
    yield from _table(
        head,
        (
            _gpu_row(f"| {name} | {precision} | {batch} | {subject} |", found)
            for name, precisions in data.get("models", {}).items()
            for precision, batches in precisions.items()
            for batch, subjects in batches.items()
            for subject, found in (subjects.items() if "fails" not in subjects else [("all", subjects)])
        ),
    )


def _device(device: Result) -> str:
    """A device in words, each number with what it is."""
    words = {"memory, GiB": "memory {} GiB", "cuda": "CUDA {}", "cudnn": "cuDNN {}"}
    return ", ".join(words.get(key, "{}").format(value) for key, value in device.items())


def _data_sets(found: Result) -> Iterator[str]:
    """AE from the host's memory and back, all its costs among it; longer runs are extrapolated."""
    cases = [(name, precision, one) for name, each in found.items() for precision, one in each.items()]
    for name, precision, one in cases:
        if "fails" in one:
            yield f"| {name} | {precision} | does not run: {one['fails']} | | | |"
        else:
            yield (
                f"| {name} | {precision} | {one['batch']} | {one['images']} | {one['images_per_second']:.1f} | "
                f"{one['minutes of 50,000 images']:.1f} |"
            )
    if not cases:
        yield "| not measured | | | | | |"


def _precision(results: Sequence[Result]) -> Iterator[str]:
    yield from ["## Precisions", ""]
    yield "Heatmaps beside those in float64, of real photos and a trained network: of each photo the size of the"
    yield "difference over the size of the exact map, and the rank correlation of its pixels; and the worst photo's."
    for data in results:
        yield from ["", f"{_device(data['device'])}; {data['network']}, {data['images']} photos. {taken(data)}", ""]
        head = "| method | precision | relative error | worst | rank correlation | worst |"
        yield from _table(
            head,
            (
                _precision_row(f"| {method} | {name} |", one)
                for method, each in data["methods"].items()
                for name, one in each.items()
            ),
        )


def _precision_row(start: str, found: Result) -> str:
    if "fails" in found:
        return f"{start} {found['fails']} | | | |"
    error, alike = found["relative error"], found["rank correlation"]
    low, high = error["quartiles"]
    spread = f"{error['median']:.1e} [{low:.1e}, {high:.1e}]"
    return f"{start} {spread} | {error['worst']:.1e} | {written(alike, 5)} | {alike['worst']:.5f} |"


def _gpu_row(start: str, found: Result) -> str:
    if "fails" in found:
        return f"{start} does not run: {found['fails']} | | | |"
    units = written(found["units"]) if "units" in found else ""
    memory = "" if found["peak_mib"] is None else found["peak_mib"]
    share = f"{found['roofline']['median']:.0%}" if "roofline" in found else ""
    return f"{start} {written(found['images_per_second'], 1)} | {units} | {memory} | {share} |"


if __name__ == "__main__":
    PAGE.write_text(page(load()), encoding="utf-8")
