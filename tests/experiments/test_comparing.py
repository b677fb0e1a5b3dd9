"""Paired tests against scipy's, Holm's correction against the closed test that it is, verdicts by hand."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from equipoise.experiments.model.comparing import FLIPS, holm, sign_flips, verdict
from equipoise.experiments.model.statistics import Estimate


def permuted(parts, **options):
    """scipy's paired permutation test of the sum."""
    done = stats.permutation_test(
        (parts, np.zeros(len(parts))), lambda one, other, axis: (one - other).sum(axis), permutation_type="samples",
        vectorized=True, **options,
    )  # fmt: skip
    return done.pvalue


@pytest.mark.parametrize("count", [2, 5, 9, 13])
def test_few_images_are_flipped_in_every_way(count):
    parts = np.random.default_rng(count).normal(0.4, size=count)
    (found,) = sign_flips([parts])
    assert found == pytest.approx(permuted(parts, n_resamples=np.inf))


@pytest.mark.parametrize("mean", [0.0, 0.15, 0.35])
def test_many_images_are_flipped_at_random(mean):
    parts = np.random.default_rng(2).normal(mean, size=60)
    (found,) = sign_flips([parts])
    expected = permuted(parts, n_resamples=FLIPS, rng=np.random.default_rng(1))
    assert found == pytest.approx(expected, abs=4 * math.sqrt(max(found, 1e-3) / FLIPS))
    assert sign_flips([parts]) == [found]
    assert sign_flips([parts, np.zeros(60), -parts])[2] == found


def test_the_normal_limit_goes_on_where_random_flips_end():
    parts = np.random.default_rng(6).normal(0.03, size=8000)
    (found,) = sign_flips([parts])
    expected = permuted(parts, n_resamples=4000, rng=np.random.default_rng(1), batch=200)
    assert found == pytest.approx(expected, abs=4 * math.sqrt(found / 4000))


def test_no_difference_is_no_difference():
    assert sign_flips([np.zeros(9), np.zeros(0)]) == [1.0, 1.0]
    assert sign_flips([np.array([0.1, 0.2, -0.3])]) == [1.0], "a sum of rounding errors"
    assert sign_flips([np.array([1.0, 0.0, 0.0])]) == [1.0], "one image that differs shows nothing"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_test_of_bonferroni(ps):
    """Corrected p of one: the largest, over all sets with it, of the set's smallest p times its size."""
    sets = [some for size in range(1, len(ps) + 1) for some in itertools.combinations(range(len(ps)), size)]
    expected = [
        min(1.0, max(len(some) * min(ps[one] for one in some) for some in sets if place in some))
        for place in range(len(ps))
    ]
    assert holm(ps) == pytest.approx(expected)


def test_holm_leaves_out_what_was_not_tested():
    found = holm([0.01, math.nan, 0.04])
    assert found[0] == pytest.approx(0.02)
    assert math.isnan(found[1])
    assert found[2] == pytest.approx(0.04)
    assert holm([]) == []


@pytest.mark.parametrize(
    ("low", "high", "paper", "expected"),
    [
        (0.45, 0.54, 0.5, "agrees"),
        (0.45, 0.54, 0.55, "does not agree"),
        (0.30, 0.60, 0.5, "cannot be decided"),
        (0.30, 0.60, 0.7, "does not agree"),
        (0.45, 0.4996, 0.5, "agrees"),
        (math.nan, math.nan, 0.5, "cannot be decided"),
    ],
)
def test_the_verdict(low, high, paper, expected):
    assert verdict(Estimate(0.5, low, high, 9, 0, 9), paper) == expected
