"""Single deletion and SaCo: against loops that say the definitions, and where the answer is known."""

import math

import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from equipoise.errors import OptionError, ShapeError
from equipoise.metrics import METRICS, salience_faithfulness, single_deletion

SEEDS = st.integers(0, 2**31)


def scene(seed, n=2, side=8):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(n, 3, side, side, generator=generator, dtype=torch.float64)
    heat = torch.randn(n, side, side, generator=generator, dtype=torch.float64)
    return images, heat, torch.randn(3, side, side, generator=generator, dtype=torch.float64)


def linear(weight):
    return lambda pixels, _index: (pixels * weight).sum((1, 2, 3))


@given(SEEDS)
def test_single_deletion_is_its_definition(seed):
    images, heat, weight = scene(seed)
    score = linear(weight)
    found = single_deletion(score, images, heat, patches=4, canvas="black", chunk=5)
    for number in range(2):
        sums, lost = [], []
        for y in range(0, 8, 2):
            for x in range(0, 8, 2):
                without = images[number].clone()
                without[:, y : y + 2, x : x + 2] = 0
                sums.append(heat[number, y : y + 2, x : x + 2].sum().item())
                lost.append((score(images[number][None], 0) - score(without[None], 0)).item())
        assert found[number].item() == pytest.approx(scipy.stats.spearmanr(sums, lost).statistic, abs=1e-9)


@given(SEEDS)
def test_saco_is_its_definition(seed):
    images, heat, weight = scene(seed)
    score = linear(weight)
    found = salience_faithfulness(score, images, heat, groups=5, chunk=4)
    for number in range(2):
        order = heat[number].flatten().argsort(descending=True)
        groups = [order[i * 12 : (i + 1) * 12 if i < 4 else None] for i in range(5)]
        color = images[number].mean((1, 2))
        sizes, lost = [], []
        for group in groups:
            without = images[number].clone()
            without.view(3, -1)[:, group] = color[:, None]
            sizes.append(heat[number].flatten()[group].sum().item())
            lost.append((score(images[number][None], 0) - score(without[None], 0)).item())
        top = bottom = 0.0
        for i in range(5):
            for j in range(i + 1, 5):
                weighed = sizes[i] - sizes[j]
                top += weighed if lost[i] >= lost[j] else -weighed
                bottom += abs(weighed)
        assert found[number].item() == pytest.approx(top / bottom, abs=1e-9)


@given(SEEDS)
def test_the_exact_map_of_a_linear_network_is_right_and_its_negative_wrong(seed):
    """Each pixel's relevance is what the score loses without it."""
    images, _, weight = scene(seed)
    exact = (images * weight).sum(1)
    relative = ((images - images.mean((2, 3), keepdim=True)) * weight).sum(1)
    for sign in (1, -1):
        assert torch.allclose(
            single_deletion(linear(weight), images, sign * exact, patches=2, canvas="black"),
            torch.tensor(1.0 * sign).double(),
        )
        assert torch.allclose(
            salience_faithfulness(linear(weight), images, sign * relative), torch.tensor(1.0 * sign).double()
        )


@given(SEEDS, st.floats(0.1, 100))
def test_no_unit_of_the_map_matters(seed, scale):
    images, heat, weight = scene(seed)
    for function in (single_deletion, salience_faithfulness):
        expected = function(linear(weight), images, heat)
        assert torch.allclose(function(linear(weight), images, scale * heat), expected)
    offset = single_deletion(linear(weight), images, heat + 7)
    assert torch.allclose(offset, single_deletion(linear(weight), images, heat))


def test_what_is_not_defined():
    images, heat, weight = scene(0, n=3)
    heat[0, 0, 0], heat[1] = math.nan, 1.0
    for function in (single_deletion, salience_faithfulness):
        assert function(linear(weight), images, heat).isnan().tolist() == [True, True, False]
    assert single_deletion(lambda pixels, _: pixels.new_ones(len(pixels)), images, heat).isnan().all()
    broken = salience_faithfulness(lambda pixels, _: pixels.new_full((len(pixels),), math.nan), images, heat)
    assert broken.isnan().all()


def test_maps_that_are_not_finite_are_not_scored():
    images, heat, weight = scene(0, n=2)
    heat[0, 0, 0] = math.inf
    seen = []

    def score(pixels, index):
        seen.extend(index.tolist())
        return linear(weight)(pixels, index)

    single_deletion(score, images, heat, patches=2)
    assert seen == [1] * 5


def test_options_are_checked():
    images, heat, weight = scene(0)
    for patches in (1, 3):
        with pytest.raises(OptionError, match="do not divide 8 x 8"):
            single_deletion(linear(weight), images, heat, patches=patches)
    for groups in (1, 65):
        with pytest.raises(OptionError, match="between 2 and the 64 pixels"):
            salience_faithfulness(linear(weight), images, heat, groups=groups)
    with pytest.raises(OptionError, match="chunk"):
        single_deletion(linear(weight), images, heat, chunk=0)
    with pytest.raises(ShapeError, match="one number for each image"):
        single_deletion(lambda pixels, _: pixels.sum((2, 3)), images, heat)


def test_classes_are_means():
    for name in ("single deletion", "SaCo"):
        metric = METRICS[name]()
        metric.update(torch.tensor([0.5, math.nan, 1.0]))
        assert (metric.compute().item(), metric.undefined_count.item()) == (0.75, 1)
