"""Max-sensitivity and the efficient randomization test: by hand, laws, and Quantus."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from quantus.functions.complexity_func import discrete_entropy

from equipoise.errors import OptionError, ShapeError
from equipoise.metrics import complexity_rise, histogram_entropy, max_sensitivity
from shapes import unchecked

SEEDS = st.integers(0, 2**31)


def maps(x):
    return x.square().sum(1) + x[:, 0]


def test_it_is_the_largest_distance_of_its_draws():
    x = torch.randn(3, 2, 4, 5, dtype=torch.float64)
    generator = torch.Generator().manual_seed(9)
    draws = [torch.rand(2, 4, 5, generator=generator, dtype=torch.float64) * 2 - 1 for _ in range(4)]
    distance = torch.stack([(maps(x + 0.1 * d) - maps(x)).flatten(1).norm(dim=1) for d in draws]).amax(0)
    found = max_sensitivity(maps, x, radius=0.1, samples=4, relative=False, seed=9)
    assert torch.allclose(found, distance.float())
    relative = max_sensitivity(maps, x, radius=0.1, samples=4, seed=9)
    assert torch.allclose(relative, (distance / maps(x).flatten(1).norm(dim=1)).float())


@given(SEEDS)
def test_a_linear_map_moves_by_no_more_than_the_cube_allows(seed):
    """Sum over channels of x: each pixel moves by at most the radius times the channels, and nearly so once of many."""
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    found = max_sensitivity(lambda x: x.sum(1), x, radius=0.5, samples=20, relative=False, seed=seed)
    assert (found <= 0.5 * 3 * 4).all()
    assert (found > 0.5).all()
    more = max_sensitivity(lambda x: x.sum(1), x, radius=0.5, samples=40, relative=False, seed=seed)
    assert (more >= found).all()


def test_no_batch_no_unit_and_no_random_state_matters():
    x = torch.randn(3, 2, 4, 4)
    state = torch.get_rng_state()
    found = max_sensitivity(maps, x)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.allclose(max_sensitivity(maps, x[1:2]), found[1:2])
    assert torch.allclose(max_sensitivity(lambda x: 1000 * maps(x), x), found)


def test_constant_maps_are_steady_and_others_undefined():
    x = torch.zeros(3, 1, 2, 2)

    def explain(x):
        found = torch.ones(3, 2, 2)
        found[1], found[2] = 0, math.nan
        return found

    found = max_sensitivity(explain, x)
    assert found[0] == 0
    assert found.isnan().tolist() == [False, True, True]


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_map_that_breaks_as_the_image_moves_is_undefined(value, relative):
    """Not infinitely sensitive: one such number would take every mean with it."""
    x = torch.randn(3, 2, 4, 4)

    def broken(moved):
        found = maps(moved).clone()
        if not torch.equal(moved, x):
            found[1, 2, 3] = value
        return found

    found = max_sensitivity(broken, x, relative=relative)
    assert found.isnan().tolist() == [False, True, False]


def test_maps_of_any_size_have_a_sensitivity():
    x = torch.randn(2, 2, 4, 4, dtype=torch.float64)
    expected = max_sensitivity(maps, x)
    for scale in (1e-200, 1e200):
        assert torch.allclose(max_sensitivity(lambda moved, scale=scale: maps(moved) * scale, x), expected)


def test_sensitivity_refuses():
    x = torch.zeros(2, 1, 2, 2)
    with pytest.raises(OptionError, match="radius is 0"):
        max_sensitivity(maps, x, radius=0)
    with pytest.raises(OptionError, match="samples 0"):
        max_sensitivity(maps, x, samples=0)
    with pytest.raises(ShapeError, match="one heat map for each of 2"):
        max_sensitivity(lambda x: maps(x)[:1], x)


@given(SEEDS, st.integers(2, 120))
def test_entropy_equals_quantus(seed, bins):
    heat = torch.randn(2, 6, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    expected = [discrete_entropy(a=one.numpy(), x=np.zeros((1, 6, 7)), n_bins=bins) for one in heat]
    assert histogram_entropy(heat, bins).tolist() == pytest.approx(expected, abs=1e-9)


def test_entropy_by_hand():
    heat = torch.tensor([[[0.0, 0.1, 0.9, 1.0]], [[0.0, 0.0, 0.0, 1.0]]])
    expected = [math.log(2), -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))]
    assert histogram_entropy(heat, 2).tolist() == pytest.approx(expected)
    assert complexity_rise(heat[1:], heat[:1], bins=2).item() == pytest.approx(expected[0] / expected[1] - 1)


@given(SEEDS, st.floats(0.01, 100), st.floats(-5, 5))
def test_no_unit_of_either_map_matters(seed, scale, offset):
    heat = torch.randint(0, 64, (2, 5, 6), generator=torch.Generator().manual_seed(seed)).double() + 0.5
    heat[:, 0, 0], heat[:, 0, 1] = 0, 64  # values well within their bins
    before, after = heat[:1], heat[1:]
    expected = complexity_rise(before, after, bins=64)
    assert torch.allclose(complexity_rise(before * scale + offset, after, bins=64), expected)
    assert complexity_rise(before, before).item() == 0


def test_the_rise_is_undefined_for_constant_maps():
    heat = torch.rand(3, 4, 4)
    heat[0], heat[1, 0, 0] = 2, math.nan
    assert complexity_rise(heat, torch.rand(3, 4, 4)).isnan().tolist() == [True, True, False]
    assert complexity_rise(torch.rand(3, 4, 4), heat).isnan().tolist() == [True, True, False]
    with pytest.raises(OptionError, match="at least 2"):
        histogram_entropy(heat, 1)
    with pytest.raises(ShapeError, match="one shape"):
        unchecked(complexity_rise)(heat, heat[:2])
