"""Attribution Equilibrium beside the loop that its authors describe: images per second.

    python benchmarks/authors_loop.py [--quick] [--output benchmarks/results/authors_loop.json]

The loop is written again from the equations: VGG-16, one image at a time, and for each convolution, from the last
down, four separate applications of

    J(x, w, R)_i = x_i sum_j w_ij R_j / sum_i' x_i' w_i'j,

each a forward and a backward convolution through autograd. It gives the same map as equipoise, which is checked
before anything is timed; but where the maxima of a pool's window tie, as in one without activity, the loop pays the
first of them, as torch does, and equipoise all: for the check, it is told to do as the loop does. The method of timing
is described in benchmarks/README.md.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from measuring import RESULTS, ROUNDS, SEED, SIZE, Record, interleaved, parser, ratios, settle, spread
from torch import Tensor, nn

from equipoise.engine import OpKind
from equipoise.methods.ae import AttributionEquilibrium
from equipoise.models import build
from equipoise.rules.pooling import Pool

GAMMA, BATCH, LAYER = 1.0, 8, "features.29"
TOLERANCE = 1e-3
"""Of float32; in float64 the maps agree to 1e-9."""
_FLOOR = 1e-9


def paying_the_first(method: AttributionEquilibrium) -> AttributionEquilibrium:
    """The same method with torch's winner where the maxima of a pool tie."""
    composite = method.profile.composite(method.options).replacing({OpKind.MAX_POOL: Pool()})
    alike = copy.copy(method)
    alike.profile = replace(method.profile, composite=lambda _options: composite)
    return alike


def explain(model: nn.Module, image: Tensor, target: int, gamma: float = GAMMA) -> Tensor:
    """The map of one image.

    Args:
        model: ``features`` of convolutions, ReLUs and max pools, the last of them a pool; ``avgpool``; ``classifier``.
        image: ``(1, 3, h, w)``.
        target: The class.
        gamma: How much evidence to keep, 1 to 2.

    Returns:
        ``(1, 3, h, w)``.

    Source: Nam & Lee 2024, Eq. 5 to 13 and Algorithm 1.
    """
    layers = list(model.features)[:-1]
    inputs, x = [], image
    with torch.no_grad():
        for layer in layers:
            inputs.append(x)
            # An in-place ReLU would overwrite the input that is kept.
            x = F.relu(x) if isinstance(layer, nn.ReLU) else layer(x)
    R = initial_map(model, x, target)
    for layer, x in zip(reversed(layers), reversed(inputs), strict=True):
        if isinstance(layer, nn.MaxPool2d):
            R = pool(layer, x, R)
        elif isinstance(layer, nn.Conv2d):
            R = zbox(layer, x, R) if x is image else equilibrium(layer, x, R, gamma)
    return R


def initial_map(model: nn.Module, x: Tensor, target: int) -> Tensor:
    """The activation before the last pool times its mean gradient, scaled to an absolute total of 1 (Eq. 5)."""
    leaf = x.detach().requires_grad_()
    score = model.classifier(torch.flatten(model.avgpool(model.features[-1](leaf)), 1))[0, target]
    (gradient,) = torch.autograd.grad(score, leaf)
    R = x * gradient.mean((2, 3), keepdim=True)
    return R / R.sum().abs()


def equilibrium(layer: nn.Conv2d, x: Tensor, R: Tensor, gamma: float) -> Tensor:
    """A convolution: four applications of J and the shift (Eq. 6 to 13)."""
    positive, negative = R.clamp(min=0), R.clamp(max=0)
    positive, negative = positive / _total(positive), negative / _total(negative)
    active = (x > 0).to(x.dtype)
    weight = layer.weight.abs()
    carried = hedge(layer, x.clamp(min=0), weight, gamma * positive) + hedge(layer, x.clamp(min=0), weight, negative)
    carried = carried + hedge(layer, active, weight, positive) + hedge(layer, 1 - active, weight, negative)
    return carried - active / active.sum().clamp(min=1)


def hedge(layer: nn.Conv2d, x: Tensor, weight: Tensor, R: Tensor) -> Tensor:
    """One application of J: relevance in proportion to ``x * weight``, of which none is negative."""
    leaf = x.detach().requires_grad_()
    z = _convolve(layer, leaf, weight)
    (carried,) = torch.autograd.grad(z, leaf, R / _no_zeros(z.detach()))
    return x * carried


def pool(layer: nn.MaxPool2d, x: Tensor, R: Tensor) -> Tensor:
    """A max pool: in proportion to activity, so the winner takes all."""
    leaf = (x.clamp(min=0) + _FLOOR).requires_grad_()
    made = layer(leaf)
    (carried,) = torch.autograd.grad(made, leaf, R / made.detach())
    return leaf.detach() * carried


def zbox(layer: nn.Conv2d, x: Tensor, R: Tensor) -> Tensor:
    """The layer of the pixels, between the image's own extremes (Montavon et al. 2017, deep Taylor decomposition)."""
    low, high = torch.full_like(x, float(x.min())), torch.full_like(x, float(x.max()))
    parts = [(x, layer.weight, 1), (low, layer.weight.clamp(min=0), -1), (high, layer.weight.clamp(max=0), -1)]
    leaves = [value.detach().clone().requires_grad_() for value, _, _ in parts]
    made = [_convolve(layer, leaf, weight) for leaf, (_, weight, _) in zip(leaves, parts, strict=True)]
    s = R / _no_zeros((made[0] - made[1] - made[2]).detach())
    carried = torch.autograd.grad(made, leaves, [s] * len(made))
    return sum(sign * value * c for (value, _, sign), c in zip(parts, carried, strict=True))


def _convolve(layer: nn.Conv2d, x: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(x, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)


def _no_zeros(z: Tensor) -> Tensor:
    """1 in place of 0: a sum of what is nowhere negative is 0 only where each summand is, so nothing comes of it."""
    return z + (z == 0)


def _total(part: Tensor) -> Tensor:
    total = part.sum().abs()
    return total + (total == 0)


def measure(size: int, rounds: int) -> dict[str, Any]:
    """Images per second of both, and the largest difference of their maps over the largest magnitude."""
    model = build("vgg16").requires_grad_(requires_grad=False)
    images = torch.randn(BATCH, 3, size, size, generator=torch.Generator().manual_seed(SEED))
    method = AttributionEquilibrium(copy.deepcopy(model), gamma=GAMMA, layer=LAYER)
    runs = {
        "equipoise": lambda: method.attribute(images, 0),
        "loop": lambda: torch.cat([explain(model, image[None], 0) for image in images]),
    }
    runs["equipoise"]()  # this warms it up, and the check the loop
    ours, theirs = paying_the_first(method).attribute(images, 0), runs["loop"]()
    error = float((ours - theirs).abs().max() / theirs.abs().max())
    if not error < TOLERANCE:
        raise RuntimeError(
            f"the two maps differ by {error:.1e} of the largest magnitude, so times would compare nothing"
        )
    seconds = interleaved(runs, rounds)
    per_second = {name: spread([BATCH / one for one in times]) for name, times in seconds.items()}
    return {
        "images_per_second": per_second,
        "speedup": spread(ratios(seconds["loop"], seconds["equipoise"])),
        "relative_error": error,
    }


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__).parse_args(arguments)
    settle()
    size, rounds = (64, 2) if options.quick else (SIZE, ROUNDS)
    output = options.output or RESULTS / ("authors_loop_quick.json" if options.quick else "authors_loop.json")
    settings = {"size": size, "seed": SEED, "rounds": rounds, "batch": BATCH, "gamma": GAMMA}
    record = Record(output, settings, go_on=False)
    with record.part("vgg16") as found:
        found.update(measure(size, rounds))


if __name__ == "__main__":
    main()
