"""Attribution Equilibrium on a GPU: images per second, memory, and the share of what the device can do.

    python benchmarks/gpu.py [--quick] [--device cuda] [--only MODEL] [--output benchmarks/results/gpu_DEVICE.json]

The network and its images are float32 (TF32 off), float32 with TF32, or bfloat16. AE runs the network as it is, and
propagates in float32 whatever the network's precision; with bfloat16, TF32 is on for that. The method is described
in benchmarks/README.md. ``--device cpu --quick`` shows that the script runs, and no more.
"""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isnan
from typing import Any

import torch
from ae_cost import SUBJECTS, UNIT
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

from equipoise.models import build

MODELS = ("vgg16", "resnet50")
QUICK_MODEL = "resnet18"
BATCHES = (1, 8, 32, 128)
COMPARED = (UNIT, "ae", "zennit EpsilonGammaBox", "captum LRP")
PRECISIONS = {"float32": (torch.float32, False), "tf32": (torch.float32, True), "bfloat16": (torch.bfloat16, True)}
"""Name to the dtype of network and images, and whether float32 products are rounded to TF32."""


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
        except torch.OutOfMemoryError:
            _free(device)
            return float("nan")

    return timed


def _free(device: torch.device) -> None:
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


def measure(model: nn.Module, images: Tensor, rounds: int, peak: float) -> dict[str, Any]:
    """Every subject on one network, batch and precision, interleaved.

    Args:
        model: On the device, in the precision.
        images: Likewise.
        rounds: How often each is timed.
        peak: What the device can do, in floating-point operations per second.
    """
    device, timed = images.device, timer(images.device)
    runs: dict[str, Job] = {}
    result: dict[str, Any] = {}
    for subject in COMPARED:
        try:
            run = SUBJECTS[subject](copy.deepcopy(model), images)
            run()
            result[subject] = {"peak_mib": memory(run, device)}
            runs[subject] = run
        except Exception as error:  # noqa: BLE001  # that it cannot is the result
            result[subject] = {"fails": _why(error)}
            _free(device)
    seconds = interleaved(runs, rounds, timed)
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
    return "out of memory" if isinstance(error, torch.OutOfMemoryError) else sentence(error)


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


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--device", default="cuda")
    options.add_argument("--only", choices=MODELS, help="measure one network, and keep what the file has of the others")
    chosen = options.parse_args(arguments)
    device = torch.device(chosen.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("there is no CUDA device here, so there is nothing to measure", file=sys.stderr)
        return
    settle()
    names, batches, size, rounds, side = (MODELS, BATCHES, SIZE, ROUNDS, 8192)
    if chosen.quick:
        names, batches, size, rounds, side = ((QUICK_MODEL,), (1,), 32, 1, 256)
    described = describe(device)
    slug = re.sub(r"[^a-z0-9]+", "-", described["name"].lower()).strip("-")
    output = chosen.output or RESULTS / f"gpu_{slug}{'_quick' if chosen.quick else ''}.json"
    settings = {"device": described, "size": size, "seed": SEED, "rounds": rounds}
    record = Record(output, settings, go_on=chosen.only is not None)
    for precision, (dtype, allowed) in PRECISIONS.items():
        with tf32(allowed=allowed):
            with record.part("peak", precision) as found:
                found["tflop_per_second"] = round(peak_rate(dtype, device, side, rounds) / 1e12, 4)
            peak = found["tflop_per_second"] * 1e12
            for name in [chosen.only] if chosen.only else names:
                model = build(name).requires_grad_(requires_grad=False).to(device, dtype)
                for batch in batches:
                    noise = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(SEED))
                    with record.part("models", name, precision, str(batch)) as found:
                        found.update(measure(model, noise.to(device, dtype), rounds, peak))


if __name__ == "__main__":
    main()
