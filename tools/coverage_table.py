"""Which convolutional networks Attribution Equilibrium, captum's LRP and zennit explain: measure and render.

python tools/coverage_table.py            measure, write docs/coverage.json and docs/coverage.md
python tools/coverage_table.py --render   docs/coverage.md from docs/coverage.json
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import captum.attr
import timm
import torch
import zennit.attribution
import zennit.canonizers
import zennit.composites
import zennit.torchvision
from coverage_page import page
from torch import Tensor, nn
from torchvision.models.resnet import ResNet

from equipoise.engine import OpCall, OpKind, Trace, record
from equipoise.methods.ae import AttributionEquilibrium
from equipoise.models import build, cnn_families, representative

DOCS = Path(__file__).parents[1] / "docs"
# Members of a torchvision module that have a name of their own, beside the module's smallest network.
VARIANTS = (
    "torchvision/vgg11_bn",
    "torchvision/resnext50_32x4d",
    "torchvision/wide_resnet50_2",
    "torchvision/mobilenet_v3_large",
    "torchvision/regnet_x_400mf",
    "torchvision/efficientnet_v2_s",
)
SIZE, CLASSES, TARGET = 96, 10, 3
COMPOSITES = ("EpsilonGammaBox", "EpsilonPlus")
# With no rule of its own, the gradient of these is what a rule for them would do.
_AS_A_RULE = frozenset({OpKind.VIEW, OpKind.IDENTITY, OpKind.CONCATENATE, OpKind.MAX_POOL, OpKind.MASK})


class NoResultError(Exception):
    """A library ran and returned something that is no explanation."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--render", action="store_true")
    if not parser.parse_args().render:
        (DOCS / "coverage.json").write_text(json.dumps(measure(), indent=1) + "\n")
    (DOCS / "coverage.md").write_text(page(json.loads((DOCS / "coverage.json").read_text())))


def measure() -> dict[str, Any]:
    """Everything the table says."""
    packages = ("torch", "torchvision", "timm", "captum", "zennit")
    return {
        "versions": {name: version(name).partition("+")[0] for name in packages},
        "size": SIZE,
        "families": {family: row(representative(family)) for family in cnn_families()},
        "variants": {name: row(name) for name in VARIANTS},
        "refusals": {name: refusal(name, *how) for name, how in _REFUSED.items()},
    }


def row(name: str) -> dict[str, Any]:
    """One network under the three libraries, each with a fresh copy."""
    print(name, flush=True)
    return {"network": name} | {key: attempt(run, name) for key, run in LIBRARIES.items()}


def attempt(run: Callable[[nn.Module, Tensor], dict[str, Any]], name: str) -> dict[str, Any]:
    """What ``run`` reports, or why it could not."""
    model, image = network(name), _image(1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return {"runs": True, **run(model, image)}
    except Exception as error:  # noqa: BLE001  # a failure is what is measured
        return {"runs": False, "why": reason(error)}


def network(name: str) -> nn.Module:
    """Random weights; branches that start switched off (layer scales, last batch norms) are switched on."""
    model = timm.create_model(name.partition("/")[2]).eval() if name in _NOT_BUILT else build(name, CLASSES)
    stream = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.numel() == max(parameter.shape, default=1) and float(parameter.abs().max()) < 1e-3:
                parameter.uniform_(0.1, 0.5, generator=stream)
    return model.requires_grad_(requires_grad=True)


def _image(n: int, size: int = SIZE) -> Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def ae(model: nn.Module, image: Tensor) -> dict[str, Any]:
    """Attribution Equilibrium, profile ``paper``; an operation without a rule would raise."""
    found = AttributionEquilibrium(model).attribute(image, TARGET)
    assert isinstance(found, Tensor)
    checked(found)
    return {"without_rule": {}}


def captum_lrp(model: nn.Module, image: Tensor) -> dict[str, Any]:
    """captum's LRP with its default rules."""
    checked(captum.attr.LRP(model).attribute(image, TARGET))
    clean = record(model.eval(), image)
    leaves = [name for name, module in model.named_modules() if not list(module.children())]
    return {"without_rule": dict(without_rule(clean, leaves))}


def zennit_lrp(model: nn.Module, image: Tensor) -> dict[str, Any]:
    """zennit's EpsilonGammaBox with the canonizer that fits; else without one; else the same with EpsilonPlus."""
    fitting = (
        zennit.torchvision.ResNetCanonizer()
        if isinstance(model, ResNet)
        else zennit.canonizers.SequentialMergeBatchNorm()
    )
    clean = canonical(copy.deepcopy(model), image, fitting)
    ways = [(composite, canonizer) for composite in COMPOSITES for canonizer in (fitting, None)]
    errors = []
    for name, canonizer in ways if clean else ways[1::2]:
        box = {"low": image.amin() * torch.ones_like(image), "high": image.amax() * torch.ones_like(image)}
        options = box if name == COMPOSITES[0] else {}
        composite = getattr(zennit.composites, name)(**options, canonizers=[canonizer] if canonizer else [])
        trial = copy.deepcopy(model)
        trace = clean if clean and canonizer else record(trial, image)
        hooked = [place for place, module in trial.named_modules() if composite.mapping({}, place, module)]
        # Modules that the canonizer adds are gone by now; their rule is known.
        hooked += [call.site.module for call in trace.recorded if call.site.module.endswith("canonizer_sum")]
        try:
            with zennit.attribution.Gradient(trial, composite) as attributor:
                checked(attributor(image, torch.eye(CLASSES)[[TARGET]])[1])
        except Exception as error:  # noqa: BLE001  # the next way may work; the first failure is reported
            errors.append(error)
            continue
        used = type(canonizer).__name__ if canonizer else None
        return {"without_rule": dict(without_rule(trace, hooked)), "composite": name, "canonizer": used}
    raise errors[0]


def canonical(model: nn.Module, image: Tensor, canonizer: zennit.canonizers.Canonizer) -> Trace | None:
    """The forward pass of the canonized network; ``None`` if it is another function than the network's."""
    with torch.no_grad():
        plain = model(image)
        try:
            canonizer.copy().apply(model)
            same = torch.allclose(model(image), plain, rtol=1e-2, atol=1e-3 * float(plain.abs().max()))
        except (RuntimeError, AttributeError, TypeError, KeyError):  # a norm without weights, a bias of another form
            return None
    return record(model, image) if same else None


def checked(attribution: Tensor) -> Tensor:
    """``attribution``, if it can be one."""
    if not bool(attribution.isfinite().all()):
        raise NoResultError("not finite")
    if not bool((attribution != 0).any()):
        raise NoResultError("zero everywhere")
    return attribution


def without_rule(trace: Trace, ruled: Iterable[str]) -> Counter[str]:
    """The operations on the way from the image to the scores that only get their derivative, by kind.

    Those called inside a module that has a rule have one. Of the others, those are left out whose derivative
    already does what a rule would: views, casts, concatenation, maximum pools, the addition of a constant, ReLU
    (where it stops the signal, no relevance arrives).
    """
    names = set(ruled)
    on_the_way = trace.ancestors(trace.output)
    calls = [call for call in trace.recorded if any(value in on_the_way for value in call.outputs)]
    return Counter(_kind(call) for call in calls if not _has_rule(call, names) and not _harmless(call))


def _has_rule(call: OpCall, ruled: set[str]) -> bool:
    parts = call.site.module.split(".")
    return any(".".join(parts[: i + 1]) in ruled for i in range(len(parts)))


def _harmless(call: OpCall) -> bool:
    constant = call.kind is OpKind.ADD and len(call.inputs) == 1
    return constant or call.name == "relu" or call.kind in _AS_A_RULE


def _kind(call: OpCall) -> str:
    return call.kind.value if call.kind else call.name


def reason(error: Exception) -> str:
    """Why, in one short sentence without places."""
    text = str(error)
    if missing := re.search(r"Module of type <class '([\w.]+)'> has no rule", text):
        return f"no rule for {missing[1].rpartition('.')[2]}"
    text = re.sub(r" in [\w.]+ \(\S+:\d+\)", "", " ".join(text.split()))
    return f"{type(error).__name__}: {text.partition(';')[0][:160]}" if not isinstance(error, NoResultError) else text


def refusal(name: str, images: int, size: int) -> str:
    """What the library says of a network that it does not explain."""
    try:
        AttributionEquilibrium(network(name)).attribute(_image(images, size), 0)
    except Exception as error:  # noqa: BLE001  # a refusal is what is measured
        return reason(error)
    return "runs"


_NOT_BUILT = ("timm/test_vit", "timm/edgenext_xx_small")  # refused by name before they could be given as a module
# Name: images, pixels.
_REFUSED = {"timm/tf_efficientnet_cc_b0_4e": (2, SIZE), "timm/test_vit": (1, 160), "timm/edgenext_xx_small": (1, SIZE)}
LIBRARIES: dict[str, Callable[[nn.Module, Tensor], dict[str, Any]]] = {
    "ae": ae,
    "captum": captum_lrp,
    "zennit": zennit_lrp,
}


if __name__ == "__main__":
    main()
