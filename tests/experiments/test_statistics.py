"""Means and their intervals, by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.errors import UnknownNameError
from equipoise.experiments.model.statistics import STATISTICS, estimate


def test_the_mean_leaves_out_what_is_undefined_and_counts_it():
    found = estimate([1.0, 0.0, math.nan, 1.0], [0, 0, 0, 1], list("abcd"))
    assert found.value == pytest.approx(2 / 3)
    assert (found.rows, found.undefined) == (3, 1)


def test_the_class_mean_weighs_classes_alike():
    """Class 0: 1 of 4; class 1: 1 of 1. The pooled mean would be 2 / 5."""
    values, groups = [1.0, 0.0, 0.0, 0.0, 1.0], [0, 0, 0, 0, 1]
    assert estimate(values, groups, list("abcde"), statistic="class_mean").value == pytest.approx((0.25 + 1) / 2)
    assert estimate(values, groups, list("abcde")).value == pytest.approx(0.4)


def test_a_bootstrap_sample_without_a_class_counts_the_others():
    values = STATISTICS["class_mean"](np.array([[1.0, 0.0]]), np.array([0.25, 1.0]), np.array([0, 1]))
    assert values == pytest.approx([0.25])


def test_nothing_defined_is_undefined():
    found = estimate([math.nan, math.nan], [0, 1], ["a", "b"])
    assert math.isnan(found.value)
    assert math.isnan(found.low)
    assert (found.rows, found.undefined) == (0, 2)


def test_rows_of_one_image_are_drawn_together():
    """Ten copies of every row tell nothing new: the interval must not shrink."""
    dice = np.random.default_rng(1)
    values = dice.random(30).round(2)
    once = estimate(values, [0] * 30, [str(index) for index in range(30)])
    often = estimate(np.repeat(values, 10), [0] * 300, [str(index) for index in range(30) for _ in range(10)])
    assert (often.low, often.high) == pytest.approx((once.low, once.high), abs=1e-12)
    alone = estimate(np.repeat(values, 10), [0] * 300, [str(index) for index in range(300)])
    assert alone.high - alone.low < 0.6 * (once.high - once.low)


def test_the_interval_covers_a_normal_mean():
    """For 400 normal values the 95 % interval is about 1.96 standard errors to each side."""
    values = np.random.default_rng(2).normal(size=400)
    found = estimate(values, [0] * 400, [str(index) for index in range(400)])
    error = values.std() / 20
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.12)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-10, 10), st.integers(0, 3), st.sampled_from("abcd")), min_size=1, max_size=20),
    st.sampled_from(STATISTICS.names()),
)
def test_the_interval_lies_within_the_values_and_does_not_depend_on_their_order(rows, statistic):
    values, groups, clusters = (list(column) for column in zip(*rows, strict=True))
    found = estimate(values, groups, clusters, statistic=statistic, draws=50)
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9
    turned = estimate(values[::-1], groups[::-1], clusters[::-1], statistic=statistic, draws=50)
    assert (turned.value, turned.low, turned.high) == pytest.approx((found.value, found.low, found.high), abs=1e-9)


def test_an_unknown_statistic_is_refused():
    with pytest.raises(UnknownNameError, match="class_mean"):
        estimate([1.0], [0], ["a"], statistic="clas_mean")
