"""How far a map moves while the image hardly does; how much more complex it is once the network knows nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TypeAlias

import torch
from torch import Tensor

from equipoise._typing import Float
from equipoise.errors import OptionError, ShapeError
from equipoise.metrics.base import MeanMetric, cataloged
from equipoise.metrics.maps import check_maps, finite, power_of_two, undefined_unless, wide

Explain: TypeAlias = Callable[[Float[Tensor, "n c h w"]], Tensor]
"""From inputs to their heat maps ``(n, h, w)``."""


def max_sensitivity(
    explain: Explain,
    inputs: Float[Tensor, "n c h w"],
    *,
    radius: float = 0.02,
    samples: int = 10,
    relative: bool = True,
    seed: int = 0,
) -> Float[Tensor, " n"]:
    r"""The farthest that a map moved as the input moved by at most ``radius``: lower is steadier.

    .. math:: \max_{\lVert \delta \rVert_\infty \le r}
              \lVert \Phi(x + \delta) - \Phi(x) \rVert_2 \; (/ \lVert \Phi(x) \rVert_2)

    The maximum is over ``samples`` draws, uniform in the cube, which bounds it from below: two numbers of different
    ``samples`` do not compare. A constant map has 0, so it says nothing of a map that it is steady.

    Args:
        explain: Called with as many inputs as ``inputs`` has; it has to explain the same class each time.
        inputs: ``(n, c, h, w)``, in the units in which ``radius`` is meant.
        radius: :math:`r`.
        samples: How many draws.
        relative: Whether to divide by the size of the map, so that no unit of a map matters.
        seed: Another seed, other draws; every image is moved by the same ones, so no batch matters. torch's own random
            state is not touched.

    Returns:
        ``(n,)``, at least 0; NaN where a map is not finite, or zero everywhere (``relative``).

    Raises:
        OptionError: If the radius is not positive and finite, or ``samples`` is below 1.
        ShapeError: If ``explain`` does not return one map for each input.

    References:
        Yeh et al. 2019 (*On the (In)fidelity and Sensitivity of Explanations*), definition 2.2.
    """
    if not 0 < radius < math.inf or samples < 1:
        raise OptionError(f"radius is {radius} and samples {samples}; they have to be above 0 and at least 1")
    before = _maps(explain, inputs)
    unit = power_of_two(before)
    size = (before / unit).flatten(1).norm(dim=1)
    farthest, defined = torch.zeros_like(size), finite(before)
    for moved in _moved(inputs, radius, samples, seed):
        after = _maps(explain, moved)
        farthest = torch.maximum(farthest, (after / unit - before / unit).flatten(1).norm(dim=1))
        defined &= finite(after)
    if relative:
        return undefined_unless(farthest / size, defined & (size > 0)).float()
    return undefined_unless(farthest * unit[:, 0, 0], defined).float()


def _maps(explain: Explain, inputs: Tensor) -> Float[Tensor, "n h w"]:
    heatmaps = wide(check_maps(explain(inputs)))
    if len(heatmaps) != len(inputs):
        raise ShapeError(f"one heat map for each of {len(inputs)} inputs, not {len(heatmaps)}")
    return heatmaps


def _moved(inputs: Float[Tensor, "n c h w"], radius: float, samples: int, seed: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(samples):
        drawn = torch.rand(inputs.shape[1:], generator=generator, dtype=torch.float64) * 2 - 1
        yield inputs + (radius * drawn).to(inputs)


def histogram_entropy(heatmaps: Float[Tensor, "n h w"], bins: int = 100) -> Float[Tensor, " n"]:
    """The entropy of the values of a map, in nats: how evenly they fill their range.

    Args:
        heatmaps: ``(n, h, w)``, signed.
        bins: Of equal width, from the lowest value of a map to its highest.

    Returns:
        ``(n,)`` from 0 to the logarithm of ``bins``; NaN for a map that is constant or not finite.

    Raises:
        OptionError: If there are fewer than 2 bins.
        ShapeError: If the heat maps are not floating ``(n, h, w)``.

    References:
        Hedström et al. 2024 (*Sanity Checks Revisited*), "discrete entropy".
    """
    heatmaps = check_maps(heatmaps)
    if bins < 2:
        raise OptionError(f"bins is {bins}; it has to be at least 2")
    flat = wide(heatmaps).flatten(1)
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    defined = finite(heatmaps) & (high > low)[:, 0].to(heatmaps.device)
    places = ((flat - low) / (high - low) * bins).nan_to_num(0).floor().clamp(0, bins - 1).long()
    counts = flat.new_zeros(len(flat), bins).scatter_add_(1, places, torch.ones_like(flat))
    shares = counts / flat.shape[1]
    return undefined_unless(-torch.special.xlogy(shares, shares).sum(1).to(heatmaps), defined)


def complexity_rise(
    before: Float[Tensor, "n h w"], after: Float[Tensor, "n h w"], *, bins: int = 100
) -> Float[Tensor, " n"]:
    r"""The efficient randomization test (eMPRT): how much more complex the maps of a fully random network are.

    .. math:: \frac{H(\Phi(x, f_{\mathrm{random}})) - H(\Phi(x, f))}{H(\Phi(x, f))}

    with :math:`H` the `histogram_entropy`. Above 0: the map is more complex once the network knows nothing. It needs
    one random network, such as the last of `cascade`, and no similarity.

    A warning: tests by randomization cannot rank methods (Binder et al. 2023, *Shortcomings of Top-Down
    Randomization-Based Sanity Checks for Evaluations of Deep Neural Network Explanations*). Large activations stay
    large in a random network, and what multiplies them stays alike; measures of similarity reward noise. Such a test
    can show that something is wrong, not who is better.

    Args:
        before: ``(n, h, w)``, maps of the network.
        after: ``(n, h, w)``, of the same photos and classes by the network with all its parameters drawn anew.
        bins: See `histogram_entropy`.

    Returns:
        ``(n,)``, at least -1; NaN where a map is constant or not finite.

    Raises:
        OptionError: If there are fewer than 2 bins.
        ShapeError: If the maps are not floating or their shapes differ.

    References:
        Hedström et al. 2024 (*Sanity Checks Revisited*), "efficient MPRT".
    """
    if before.shape != after.shape:
        raise ShapeError(f"two maps of one shape, not {tuple(before.shape)} and {tuple(after.shape)}")
    first, second = histogram_entropy(before, bins), histogram_entropy(after, bins)
    return (second - first) / first


@cataloged("max_sensitivity")
class MaxSensitivity(MeanMetric):
    """The mean of `max_sensitivity`."""

    def update(self, values: Float[Tensor, " n"]) -> None:
        """Take in one number per image."""
        self.add(values)


@cataloged("complexity_rise")
class ComplexityRise(MeanMetric):
    """The mean of `complexity_rise`."""

    def update(self, before: Float[Tensor, "n h w"], after: Float[Tensor, "n h w"]) -> None:
        """Take in maps of the network and of a random one."""
        self.add(complexity_rise(before, after))
