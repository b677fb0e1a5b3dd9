"""Attribution Equilibrium on a GPU: images per second, memory, and the share of what the device can do.

    python benchmarks/gpu.py [--quick] [--device cuda] [--budget SECONDS] [--only MODEL] [--go-on] [--output FILE]

The network and its images are float32 (TF32 off), float32 with TF32, or bfloat16; `equipoise.engine.precision` says
what AE does in each. The file is written after every case, the most telling first; what the budget leaves no time for
is not measured, and ``--go-on`` takes it up. ``--device cpu --quick`` shows that the script runs, and no more. The
method is described in benchmarks/README.md.
"""

from __future__ import annotations

import copy
import re
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import isnan
from typing import Any

import torch
from ae_cost import CHANNELS_LAST, SUBJECTS, UNIT
from measuring import (
    RESULTS,
    ROUNDS,
    SEED,
    SIZE,
    Job,
    Record,
    clock,
    interleaved,
    parser,
    ratios,
    sentence,
    settle,
    spread,
)
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import equipoise
from equipoise.engine.entrance import out_of_memory
from equipoise.engine.precision import CHANNELS_LAST as LAST_IN
from equipoise.engine.precision import PRECISIONS, precision
from equipoise.methods.ae import AttributionEquilibrium
from equipoise.models import build

MODELS = ("resnet50", "efficientnet_lite0", "vgg16")
QUICK_MODEL = "resnet18"
BATCHES = (1, 32, 256, 8, 128)
"""In the order of what they tell: the launches, the middle, the device at its fullest."""
TOLD_FIRST = ("tf32", "bfloat16", "float32")
OTHER = "ae, other layout"
COMPARED = (UNIT, CHANNELS_LAST, "ae", OTHER, "zennit EpsilonGammaBox", "captum LRP")
DATA_SET, SAMPLE, DATA_BATCH = 50_000, 2_000, 128
CASE_SECONDS, FEWEST_ROUNDS = 8.0, 3
"""A case has as many rounds as fit in these seconds, at least that many."""
BUDGET = 540.0
AGREEING = ("ae", "lrp_composite", "eb", "full_grad", "gradient")
SMALL = 96
"""Pixels of the images on which the device's maps are compared with a CPU's."""


@contextmanager
def tf32(*, allowed: bool) -> Iterator[None]:
    """Whether convolutions and matrix products of float32 may use TF32."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def timer(device: torch.device) -> Callable[[Job], float]:
    """Seconds of one run on the device; not a number where its memory does not suffice."""

    def timed(run: Job) -> float:
        try:
            if device.type != "cuda":
                return clock(run)
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize(device)
            start.record()
            run()
            end.record()
            torch.cuda.synchronize(device)
            return start.elapsed_time(end) / 1000
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
        free(device)
        return float("nan")

    return timed


def free(device: torch.device) -> None:
    """Give back what was allocated for what is gone."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def peak_rate(dtype: torch.dtype, device: torch.device, side: int, rounds: int) -> float:
    """Floating-point operations per second of a product of two square matrices: the fastest of the rounds."""
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    timed = timer(device)
    timed(lambda: a @ b)
    return 2 * side**3 / min(timed(lambda: a @ b) for _ in range(rounds))


def memory(run: Job, device: torch.device) -> int | None:
    """Peak of the device's allocated memory above what was allocated before, in MiB; a CPU has no such count."""
    if device.type != "cuda":
        return None
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    run()
    torch.cuda.synchronize(device)
    return int(torch.cuda.max_memory_allocated(device) - before) // 2**20


def operations(run: Job) -> int:
    """Floating-point operations of the convolutions and matrix products of one run."""
    counter = FlopCounterMode(display=False)
    with counter:
        run()
    return counter.get_total_flops()


def ae(name: str, model: nn.Module, images: Tensor, *, other: bool = False) -> Job:
    """AE in a precision, in the layout that it takes there, or the other one.

    Args:
        name: The precision.
        model: In float32, on the device.
        images: Likewise.
        other: Whether in the other layout.
    """
    last = ((images.device.type, name) in LAST_IN) != other
    with precision(name, model, images.device, channels_last=last) as fast:
        network, laid = fast.model, fast.images(images)
    method = AttributionEquilibrium(network)

    def run() -> Any:
        with precision(name, network, images.device, channels_last=last):
            return method.attribute(laid, 0)

    return run


def prepare(subject: str, name: str, model: nn.Module, images: Tensor) -> Job:
    """A subject on its own copy of the network: AE's is float32, the others' has the precision's dtype."""
    if subject in ("ae", OTHER):
        return ae(name, model, images, other=subject == OTHER)
    dtype = PRECISIONS[name].dtype or images.dtype
    return SUBJECTS[subject](copy.deepcopy(model).to(dtype), images.to(dtype))


def measure(name: str, model: nn.Module, images: Tensor, rounds: int, peak: float) -> dict[str, Any]:
    """Every subject on one network, batch and precision, interleaved.

    Args:
        name: The precision.
        model: In float32, on the device.
        images: Likewise.
        rounds: How often each is timed, unless that takes too long.
        peak: What the device can do, in floating-point operations per second.
    """
    device, timed = images.device, timer(images.device)
    runs: dict[str, Job] = {}
    result: dict[str, Any] = {}
    once = 0.0
    for subject in COMPARED:
        try:
            run = prepare(subject, name, model, images)
            run()
            result[subject] = {"peak_mib": memory(run, device)}
            once += timed(run)
            runs[subject] = run
        except Exception as error:  # noqa: BLE001  # that it cannot is the result
            result[subject] = {"fails": _why(error)}
        free(device)
    if not isnan(once) and once > 0:
        rounds = min(rounds, max(FEWEST_ROUNDS, int(CASE_SECONDS / once)))
    seconds = interleaved(runs, rounds, timed) if runs else {}
    for subject, times in seconds.items():
        if any(isnan(one) for one in times):
            result[subject] = {"fails": "out of memory"}
            continue
        result[subject]["images_per_second"] = spread([len(images) / one for one in times])
        if UNIT in seconds and not any(isnan(one) for one in seconds[UNIT]):
            result[subject]["units"] = spread(ratios(times, seconds[UNIT]))
    if "fails" not in result["ae"]:
        count = operations(runs["ae"])
        result["ae"]["roofline"] = spread([count / one / peak for one in seconds["ae"]])
        result["ae"]["gflop"] = round(count / 1e9, 2)
    return result


def _why(error: Exception) -> str:
    return "out of memory" if out_of_memory(error) else sentence(error)


def data_set(name: str, model: nn.Module, batch: int, size: int, count: int) -> dict[str, Any]:
    """AE of the top class of images that lie in the host's memory, map by map back to it; the clock's seconds.

    Args:
        name: The precision.
        model: On the device.
        batch: How many at once; halved while the memory does not suffice.
        size: Of the images.
        count: How many images.
    """
    device = next(model.parameters()).device
    while True:
        images = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(SEED))
        images = images.pin_memory() if device.type == "cuda" else images
        try:
            with precision(name, model, device) as fast:
                method = AttributionEquilibrium(fast.model)
                _maps(method, fast.images(images))
                start, done = time.perf_counter(), 0
                while done < count:
                    _maps(method, fast.images(images))
                    done += batch
                seconds = time.perf_counter() - start
            break
        except RuntimeError as error:
            if batch == 1 or not out_of_memory(error):
                raise
        batch //= 2
        free(device)
    rate = done / seconds
    return {"batch": batch, "images": done, "seconds": round(seconds, 3), "images_per_second": round(rate, 2),
            "minutes of 50,000 images": round(DATA_SET / rate / 60, 3)}  # fmt: skip


def _maps(method: AttributionEquilibrium, images: Tensor) -> Tensor:
    found = method.attribute(images)
    assert isinstance(found, Tensor)
    return found.sum(1).cpu()


def waits(model: nn.Module, images: Tensor) -> dict[str, Any]:
    """How often one call of AE waits for the device, as CUDA's own check tells, and where."""
    method = AttributionEquilibrium(model)
    method.attribute(images, 0)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            method.attribute(images, 0)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    places = Counter(
        f"{'/'.join(one.filename.split('/')[-2:])}:{one.lineno}" for one in said if "synchroniz" in str(one.message)
    )
    return {"waits": sum(places.values()), "places": dict(places.most_common(10))}


def agreement(model: nn.Module, images: Tensor) -> dict[str, float]:
    """How far maps made on the device in float32 are from those of a CPU in float64: the largest difference over the
    largest magnitude, of methods that go different ways."""
    found = {}
    double = copy.deepcopy(model).double().cpu()
    for method in AGREEING:
        exact = equipoise.attribute(double, images.double().cpu(), 0, method=method)
        with precision("float32", model) as fast:
            mine = equipoise.attribute(fast.model, fast.images(images), 0, method=method)
        assert isinstance(exact, Tensor)
        assert isinstance(mine, Tensor)
        found[method] = float(f"{float((mine.cpu().double() - exact).abs().max() / exact.abs().max()):.3g}")
    return found


def describe(device: torch.device) -> dict[str, Any]:
    """What the numbers depend on, beside the machine."""
    if device.type != "cuda":
        return {"name": device.type}
    properties = torch.cuda.get_device_properties(device)
    return {
        "name": properties.name,
        "memory, GiB": round(properties.total_memory / 2**30, 1),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def planned(names: Sequence[str], batches: Sequence[int]) -> Iterator[tuple[str, ...]]:
    """What is measured, as keys of the result, the most telling first: the last network comes after all others."""
    for name in PRECISIONS:
        yield "peak", name
    for model in names:
        yield "waits", model
        yield "agreement", model
    for models in [names[:-1], names[-1:]] if len(names) > 1 else [names]:
        yield from (("data set", model, name) for model in models for name in TOLD_FIRST[:2])
        for batch in batches:
            yield from (("models", model, name, str(batch)) for model in models for name in TOLD_FIRST)


class Run:
    """One run of the script: how each of its parts is measured.

    Args:
        record: Where results go.
        device: What is measured.
        size: Of images.
        rounds: At most.
        side: Of the matrices whose product is the peak.
        sample: Images of the data set.
    """

    def __init__(self, record: Record, device: torch.device, *, size: int, rounds: int, side: int, sample: int) -> None:
        self.record, self.device = record, device
        self.size, self.rounds, self.side, self.sample = size, rounds, side, sample
        self._models: dict[str, nn.Module] = {}

    def find(self, kind: str, first: str, name: str = "", batch: str = "") -> dict[str, Any]:
        """One part, by its keys."""
        if kind == "peak":
            return self._peak(first)
        model = self._model(first)
        if kind == "waits":
            return waits(model, self._images(1)) if self.device.type == "cuda" else {"fails": "there is no GPU"}
        if kind == "agreement":
            return agreement(model, self._images(1)[..., :SMALL, :SMALL])
        if kind == "data set":
            return data_set(name, model, min(DATA_BATCH, self.sample), self.size, self.sample)
        peak = self.record.data["peak"][name]["tflop_per_second"] * 1e12
        with tf32(allowed=PRECISIONS[name].tf32):
            return measure(name, model, self._images(int(batch)), self.rounds, peak)

    def _peak(self, name: str) -> dict[str, Any]:
        dtype = PRECISIONS[name].dtype or torch.float32
        with tf32(allowed=PRECISIONS[name].tf32):
            return {"tflop_per_second": round(peak_rate(dtype, self.device, self.side, self.rounds) / 1e12, 4)}

    def _model(self, name: str) -> nn.Module:
        """A network on the device; one at a time is kept."""
        if name not in self._models:
            self._models.clear()
            self._models[name] = build(name).requires_grad_(requires_grad=False).to(self.device)
        return self._models[name]

    def _images(self, batch: int) -> Tensor:
        """Noise on the device."""
        generator = torch.Generator().manual_seed(SEED)
        return torch.randn(batch, 3, self.size, self.size, generator=generator).to(self.device)


def within(run: Run, parts: Iterable[tuple[str, ...]], until: float, *, again: bool) -> None:
    """Measure parts in order; one is not begun where the longest yet would end after the budget.

    Args:
        run: What measures them.
        parts: Their keys.
        until: When the budget is spent, by `time.monotonic`.
        again: Whether what the file holds already is measured again.
    """
    longest = 0.0
    for keys in parts:
        start = time.monotonic()
        if not again and "/".join(keys) in run.record.data["measured"]:
            continue
        if start + longest > until:
            print(f"{', '.join(keys)}: not measured, the budget is spent", file=sys.stderr, flush=True)
            continue
        with run.record.part(*keys) as found:
            try:
                found.update(run.find(*keys))
            except Exception as error:  # noqa: BLE001  # one part must not cost the others
                found["fails"] = _why(error)
        free(run.device)
        longest = max(longest, time.monotonic() - start)


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--device", default="cuda")
    options.add_argument("--only", choices=MODELS, help="measure one network, and keep what the file has of the others")
    options.add_argument("--budget", type=float, default=BUDGET, help="seconds after which no part is begun")
    options.add_argument("--go-on", action="store_true", help="measure what the file does not have yet")
    chosen = options.parse_args(arguments)
    until = time.monotonic() + chosen.budget
    device = torch.device(chosen.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("there is no CUDA device here, so there is nothing to measure", file=sys.stderr)
        return
    settle()
    names, batches, size, rounds, side, sample = (MODELS, BATCHES, SIZE, ROUNDS, 8192, SAMPLE)
    if chosen.quick:
        names, batches, size, rounds, side, sample = ((QUICK_MODEL,), (1,), 32, 1, 256, 2)
    names = (chosen.only,) if chosen.only else names
    described = describe(device)
    slug = re.sub(r"[^a-z0-9]+", "-", described["name"].lower()).strip("-")
    output = chosen.output or RESULTS / f"gpu_{slug}{'_quick' if chosen.quick else ''}.json"
    settings = {"device": described, "size": size, "seed": SEED, "rounds": rounds}
    record = Record(output, settings, go_on=chosen.go_on or chosen.only is not None)
    run = Run(record, device, size=size, rounds=rounds, side=side, sample=sample)
    within(run, planned(names, batches), until, again=not chosen.go_on)


if __name__ == "__main__":
    main()
