"""Average ranks against Demsar's own example and tables, and scipy's Friedman test; the figure is drawn."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from equipoise.errors import ShapeError
from equipoise.experiments.model.ranks import Ranks, average_ranks
from equipoise.experiments.presenting.figures.ranks import critical_differences

# Demsar 2006, Table 5 (a): q at 0.05 for 2 to 10 methods.
Q = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]


@pytest.mark.parametrize("methods", range(2, 11))
def test_the_critical_difference_is_that_of_the_published_table(methods):
    found = average_ranks([str(one) for one in range(methods)], np.random.default_rng(0).random((7, methods)))
    assert found.critical == pytest.approx(Q[methods - 2] * np.sqrt(methods * (methods + 1) / 42), rel=5e-4)


def test_four_methods_on_fourteen_data_sets_are_told_apart_at_the_published_difference():
    """The example of section 3.2.2: CD = 2.569 sqrt(4 * 5 / (6 * 14)) = 1.25."""
    assert average_ranks("abcd", np.random.default_rng(0).random((14, 4))).critical == pytest.approx(1.25, abs=0.005)


@pytest.mark.parametrize("ties", [False, True])
def test_the_p_is_that_of_friedmans_test(ties):
    values = np.random.default_rng(1).random((9, 5))
    values = values.round(1) if ties else values
    found = average_ranks("abcde", values)
    assert found.p == pytest.approx(stats.friedmanchisquare(*values.T).pvalue)


def test_the_best_has_rank_one_and_ties_share():
    values = np.array([[0.9, 0.5, 0.5], [0.8, 0.7, 0.1]])
    assert average_ranks("abc", values).average == pytest.approx((1.0, 2.25, 2.75))
    assert average_ranks("abc", values, higher_is_better=False).average == pytest.approx((3.0, 1.75, 1.25))
    same = average_ranks("abc", np.ones((3, 3)))
    assert same.average == (2.0, 2.0, 2.0)
    assert np.isnan(same.p)


def test_methods_nearer_than_the_critical_difference_form_a_clique():
    found = Ranks(tuple("abcd"), (1.0, 1.8, 2.6, 4.0), 1.0, 0.01, 9)
    assert found.cliques() == [(0, 1), (1, 2)]
    assert Ranks(tuple("abc"), (1.0, 1.2, 1.4), 1.0, 0.9, 9).cliques() == [(0, 1, 2)]


def test_too_few_are_refused():
    with pytest.raises(ShapeError, match="two by two"):
        average_ranks("a", np.ones((3, 1)))
    with pytest.raises(ShapeError, match="2 methods"):
        average_ranks("ab", np.ones((3, 3)))


def test_the_figure_is_drawn():
    ranks = average_ranks("abcdefgh", np.random.default_rng(2).random((6, 8)))
    image = Image.open(io.BytesIO(critical_differences({"PG": ranks, "PR": ranks})))
    assert min(image.size) > 200
    assert np.asarray(image.convert("L")).std() > 3
