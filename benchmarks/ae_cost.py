"""What Attribution Equilibrium costs, in units of one forward and backward pass of the same model.

    python benchmarks/ae_cost.py [--quick] [--only MODEL] [--batch N] [--output benchmarks/results/ae_cost.json]

``--only`` and ``--batch`` measure a part and keep the rest of the file, if it is of the same machine.
The method is described in benchmarks/README.md; benchmarks/render.py makes docs/benchmarks.md of the result.
"""

from __future__ import annotations

import copy
import gc
import subprocess
import sys
import warnings
from argparse import SUPPRESS
from collections.abc import Callable
from pathlib import Path
from typing import Any

import captum.attr
import torch
import zennit.attribution
import zennit.canonizers
import zennit.composites
import zennit.torchvision
from measuring import RESULTS, ROUNDS, SEED, SIZE, Job, Record, interleaved, parser, ratios, sentence, settle, spread
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from equipoise.methods.ae import AttributionEquilibrium
from equipoise.models import build

MODELS = ("vgg16", "resnet50", "efficientnet_lite0")
BATCHES = (1, 8)
PEAKS = {"gradient": 5, "ae": 5}
"""How many processes the memory of a subject is measured in, where not in one."""
WARMUP = 1
UNIT = "gradient"
CHANNELS_LAST = "gradient, channels last"


def gradient(model: nn.Module, images: Tensor) -> Job:
    """The unit: forward, and backward to the pixels; parameters need no gradient."""

    def run() -> Tensor:
        leaf = images.clone().requires_grad_()
        scores = model(leaf)
        (found,) = torch.autograd.grad(scores[:, 0].sum(), leaf)
        return found

    return run


def gradient_channels_last(model: nn.Module, images: Tensor) -> Job:
    """The unit with weights and images laid out as oneDNN's convolutions like them, as AE's own work is."""
    model = copy.deepcopy(model).to(memory_format=torch.channels_last)
    return gradient(model, images.contiguous(memory_format=torch.channels_last))


def ae(model: nn.Module, images: Tensor) -> Job:
    """Attribution Equilibrium, profile ``paper``, one class per image."""
    method = AttributionEquilibrium(model)
    return lambda: method.attribute(images, 0)


def ae_fine(model: nn.Module, images: Tensor) -> Job:
    """The same by the profile ``fine``."""
    method = AttributionEquilibrium(model, profile="fine")
    return lambda: method.attribute(images, 0)


def ae_two_classes(model: nn.Module, images: Tensor) -> Job:
    """Profile ``paper`` for two classes of each image, from one forward pass."""
    method = AttributionEquilibrium(model)
    target = torch.tensor([[0, 1]] * len(images))
    return lambda: method.attribute(images, target)


def zennit_box(model: nn.Module, images: Tensor) -> Job:
    """zennit's EpsilonGammaBox between the images' own extremes."""
    return zennit_run("EpsilonGammaBox", model, images, float(images.min()), float(images.max()))


def zennit_run(name: str, model: nn.Module, images: Tensor, lowest: float, highest: float) -> Job:
    """One of zennit's composites, with the canonizer that it has for the network; a box rule gets the two bounds."""
    resnet = type(model).__name__ == "ResNet"
    canonizer = zennit.torchvision.ResNetCanonizer() if resnet else zennit.canonizers.SequentialMergeBatchNorm()
    bounds = {"low": torch.full_like(images, lowest), "high": torch.full_like(images, highest)}
    composite = getattr(zennit.composites, name)(canonizers=[canonizer], **(bounds if name.endswith("Box") else {}))
    seeds = images.new_zeros(len(images), 1000)
    seeds[:, 0] = 1

    def run() -> Tensor:
        with zennit.attribution.Gradient(model, composite) as attributor:
            return attributor(images, seeds)[1]

    return run


def captum_lrp(model: nn.Module, images: Tensor) -> Job:
    """captum's LRP with its default rules."""
    return lambda: captum.attr.LRP(model).attribute(images, 0)


SUBJECTS: dict[str, Callable[[nn.Module, Tensor], Job]] = {
    UNIT: gradient,
    CHANNELS_LAST: gradient_channels_last,
    "ae": ae,
    "ae, fine": ae_fine,
    "ae, two classes": ae_two_classes,
    "zennit EpsilonGammaBox": zennit_box,
    "captum LRP": captum_lrp,
}


def prepare(subject: str, model: nn.Module, batch: int, size: int) -> Job:
    """A subject on its own copy of the network and on images of noise; run once, so that failures show here."""
    images = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(SEED))
    own = copy.deepcopy(model).requires_grad_(requires_grad=False)
    run = SUBJECTS[subject](own, images)
    for _ in range(WARMUP):
        run()
    return run


def measure(name: str, batch: int, size: int, rounds: int) -> dict[str, Any]:
    """Every subject on one network, interleaved: one run of each in each round."""
    model = build(name)
    runs: dict[str, Job] = {}
    result: dict[str, Any] = {}
    for subject in SUBJECTS:
        try:
            runs[subject] = prepare(subject, model, batch, size)
        except Exception as error:  # noqa: BLE001  # that it cannot is the result
            result[subject] = {"fails": sentence(error)}
    seconds = interleaved(runs, rounds)
    for subject, times in seconds.items():
        result[subject] = {
            "seconds": spread(times),
            "units": spread(ratios(times, seconds[UNIT])),
        }
    first, both = seconds["ae"], seconds["ae, two classes"]
    result["further_class"] = spread([(two - one) / one for one, two in zip(first, both, strict=True)])
    result["ae_to_channels_last"] = spread(ratios(first, seconds[CHANNELS_LAST]))
    result["fine_to_paper"] = spread(ratios(seconds["ae, fine"], first))
    result["where"] = where(runs["ae"])
    return result


def memory(name: str, batch: int, size: int) -> dict[str, Any]:
    """The peak of every subject that runs, in MiB: several processes of the unit and of AE, one of each other.

    How a process's memory happens to lie changes the peak by a third, so one run of what is judged says little.
    """
    found: dict[str, Any] = {}
    for subject in SUBJECTS:
        try:
            found[subject] = spread([peak(subject, name, batch, size) for _ in range(PEAKS.get(subject, 1))])
        except subprocess.CalledProcessError as error:
            found[subject] = {"fails": error.stderr.strip().splitlines()[-1]}
    return found


def peak(subject: str, name: str, batch: int, size: int) -> int:
    """Peak resident memory of one run in a fresh process, above that of the built network, in MiB."""
    command = [sys.executable, __file__, "--peak", subject, name, str(batch), str(size)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])  # noqa: S603


def report_peak(subject: str, name: str, batch: int, size: int) -> None:
    """The inside of `peak`: Linux only, where the high-water mark of a process can be reset."""
    model = build(name).requires_grad_(requires_grad=False)
    images = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(SEED))
    run = SUBJECTS[subject](model, images)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    run()
    print((_status("VmHWM") - before) // 1024)


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


_WEIGHTS = ("conv", "addmm", "aten::mm", "aten::bmm")


def where(run: Job) -> dict[str, Any]:
    """Where the time of one run goes: calls and share of CPU time of each operation's own code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with profile(activities=[ProfilerActivity.CPU], record_shapes=False) as record:
            run()
    events = {event.key: event for event in record.key_averages()}
    total = sum(event.self_cpu_time_total for event in events.values())
    largest = sorted(events.values(), key=lambda event: -event.self_cpu_time_total)[:12]
    layers = sum(e.self_cpu_time_total for e in events.values() if any(word in e.key for word in _WEIGHTS))
    return {
        "share_of_weights": round(layers / total, 4),
        "operations": [
            {"name": e.key, "calls": e.count, "share": round(e.self_cpu_time_total / total, 4)} for e in largest
        ],
        "convolution_calls": sum(e.count for key, e in events.items() if key == "aten::_convolution"),
    }


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--only", choices=MODELS, help="measure one network, and keep what the file has of the others")
    options.add_argument("--batch", type=int, choices=BATCHES, help="measure one batch size, likewise")
    options.add_argument("--memory", action="store_true", help="measure the memory alone")
    options.add_argument("--peak", nargs=4, help=SUPPRESS)
    chosen = options.parse_args(arguments)
    settle()
    if chosen.peak:
        subject, name, batch, size = chosen.peak
        report_peak(subject, name, int(batch), int(size))
        return
    batches, size, rounds = ((1,), 64, 3) if chosen.quick else (BATCHES, SIZE, ROUNDS)
    output = chosen.output or RESULTS / ("ae_cost_quick.json" if chosen.quick else "ae_cost.json")
    settings = {"size": size, "seed": SEED, "rounds": rounds}
    record = Record(output, settings, go_on=chosen.memory or chosen.only is not None or chosen.batch is not None)
    for name in [chosen.only] if chosen.only else MODELS:
        for batch in [chosen.batch] if chosen.batch else batches:
            if not chosen.memory:
                with record.part("models", name, str(batch)) as found:
                    found.update(measure(name, batch, size, rounds))
            with record.part("memory", name, str(batch)) as found:
                found.update(memory(name, batch, size))


if __name__ == "__main__":
    main()
