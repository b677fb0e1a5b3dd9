"""Means and their intervals, by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.errors import UnknownNameError
from equipoise.experiments.model.statistics import DRAWS, LEVEL, STATISTICS, Cell, Design, estimate, estimates
from equipoise.experiments.model.statistics import per_image as contributions
from equipoise.experiments.model.statistics import value as number


def of_rows(statistic, weights, values, groups):
    """The statistic by its definition, from the weights of the rows ``(b, r)``."""
    with np.errstate(invalid="ignore"):
        if statistic == "mean":
            return weights @ values / weights.sum(1)
        classes = np.eye(groups.max() + 1)[groups]
        counts = weights @ classes
        means = (weights * values) @ classes / counts
        present = counts > 0
        return np.where(present, means, 0.0).sum(1) / present.sum(1)


def by_rows(values, groups, clusters, statistic="mean", draws=DRAWS, seed=0):
    """The oracle: value and interval row by row, every row weighed in every sample."""
    defined = [index for index, value in enumerate(values) if not math.isnan(value)]
    kept = np.array([values[index] for index in defined], dtype=np.float64)
    _, group = np.unique([groups[index] for index in defined], return_inverse=True)
    names, cluster = np.unique([clusters[index] for index in defined], return_inverse=True)
    dice = np.random.default_rng(seed)
    found = []
    for start in range(0, draws, 100):
        counts = dice.multinomial(len(names), np.full(len(names), 1 / len(names)), size=min(100, draws - start))
        found.append(of_rows(statistic, counts[:, cluster].astype(np.float64), kept, group))
    edge = 50 * (1 - LEVEL)
    low, high = np.nanpercentile(np.concatenate(found), [edge, 100 - edge])
    return of_rows(statistic, np.ones((1, len(kept))), kept, group)[0], low, high


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
    values = STATISTICS["class_mean"].of(np.array([[0.25], [0.0]]), np.array([[1.0], [0.0]]))
    assert values == pytest.approx([0.25])


@pytest.mark.parametrize("statistic", STATISTICS.names())
@pytest.mark.parametrize("seed", [0, 5])
def test_sums_give_the_numbers_of_the_rows(statistic, seed):
    """1,000 rows of 150 images with up to 40 classes, a tenth of them undefined: as if every row were weighed."""
    dice = np.random.default_rng(seed)
    values = np.where(dice.random(1000) < 0.1, np.nan, dice.normal(size=1000))
    groups, clusters = dice.integers(0, 40, 1000), [f"photo{one}" for one in dice.integers(0, 150, 1000)]
    found = estimate(values, groups, clusters, statistic=statistic, seed=seed)
    expected = by_rows(values, groups, clusters, statistic, seed=seed)
    assert (found.value, found.low, found.high) == pytest.approx(expected, abs=1e-12)
    assert found.images == len({one for one, value in zip(clusters, values, strict=True) if not math.isnan(value)})


def test_a_block_of_cells_gives_what_each_gives_alone():
    """Cells that every image has a row in are drawn as by `estimate`; the order of the cells does not matter."""
    dice = np.random.default_rng(3)
    image, group = np.repeat(np.arange(60), 2), dice.integers(0, 5, 120)
    design, pair = Design.of(image, group)
    columns = dice.normal(size=(70, 120))
    names = ["mean", "class_mean"] * 35
    cells = [Cell.of(design, pair, one, STATISTICS[name]) for one, name in zip(columns, names, strict=True)]
    for found, values, name in zip(estimates(design, cells), columns, names, strict=True):
        alone = estimate(values, group, image, statistic=name)
        assert (found.value, found.low, found.high) == pytest.approx((alone.value, alone.low, alone.high), abs=1e-12)


def test_an_image_alone_has_a_number_and_no_interval():
    found = estimate([0.0, 0.5], [0, 1], ["a", "a"])
    assert (found.value, found.images, found.rows) == (0.25, 1, 2)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


@pytest.mark.parametrize("statistic", STATISTICS.names())
def test_what_the_images_add_makes_the_number(statistic):
    dice = np.random.default_rng(4)
    design, pair = Design.of(dice.integers(0, 20, 200), dice.integers(0, 6, 200))
    cell = Cell.of(design, pair, dice.normal(size=200), STATISTICS[statistic])
    assert contributions(design, cell).sum() == pytest.approx(number(design, cell))


@pytest.mark.parametrize("statistic", STATISTICS.names())
def test_a_difference_is_that_of_the_numbers_on_what_both_know(statistic):
    dice = np.random.default_rng(5)
    image, group = np.arange(40) // 2, np.arange(40) % 7
    design, pair = Design.of(image, group)
    one, other = dice.normal(size=(2, 40))
    one[3] = other[8] = np.nan
    cells = [Cell.of(design, pair, values, STATISTICS[statistic]) for values in (one, other)]
    both = ~np.isnan(one + other)
    expected = [estimate(some[both], group[both], image[both], statistic=statistic).value for some in (one, other)]
    difference = cells[0].less(cells[1])
    assert number(design, difference) == pytest.approx(expected[0] - expected[1])
    assert difference.count.sum() == 38


def test_nothing_defined_is_undefined():
    found = estimate([math.nan, math.nan], [0, 1], ["a", "b"])
    assert math.isnan(found.value)
    assert math.isnan(found.low)
    assert (found.rows, found.undefined, found.images) == (0, 2, 0)


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
    assert min(values) - 1e-9 <= found.value <= max(values) + 1e-9
    if len(set(clusters)) == 1:
        assert math.isnan(found.low)
        return
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9
    turned = estimate(values[::-1], groups[::-1], clusters[::-1], statistic=statistic, draws=50)
    assert (turned.value, turned.low, turned.high) == pytest.approx((found.value, found.low, found.high), abs=1e-9)


def test_an_unknown_statistic_is_refused():
    with pytest.raises(UnknownNameError, match="class_mean"):
        estimate([1.0], [0], ["a"], statistic="clas_mean")
