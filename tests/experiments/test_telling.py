"""Curves are told apart: colors, marks, labels at their ends that do not meet, a legend that covers nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.text import Annotation

from equipoise.experiments.presenting.figures.base import COLORS, blank, style
from equipoise.experiments.presenting.figures.telling import APART, end_labels, legend_below, spread
from equipoise.palettes import oklab

NAMES = [f"method {number}" for number in range(10)]


@given(st.lists(st.floats(-3, 3), max_size=12), st.floats(0.01, 0.5))
def test_labels_keep_order_and_distance_and_move_little(places, apart):
    found = spread(places, apart)
    order = np.argsort(places, kind="stable")
    assert (np.diff(found[order]) >= apart - 1e-9).all()
    if len(places) and (np.diff(np.sort(places)) >= apart).all():
        np.testing.assert_allclose(found, places, atol=1e-9)
    if len(places):
        assert np.mean(found) == pytest.approx(np.mean(places), abs=1e-9)


def test_ten_methods_differ_in_color_and_mark_and_a_hundred_in_the_pair():
    colors = oklab(np.array([to_rgb(one) for one in COLORS]))
    far = np.linalg.norm(colors[:, None] - colors, axis=2) + np.eye(len(COLORS))
    assert far.min() > 0.08
    assert len({style(index)["marker"] for index in range(10)}) == 10
    assert len({(style(index)["color"], style(index)["marker"]) for index in range(100)}) == 100


@pytest.fixture
def figure():
    figure, axes = blank(1, 2)
    for axis in axes:
        for index, name in enumerate(NAMES):
            axis.plot([0, 1, 2], [0.1, 0.5, 0.9 + 0.001 * index], label=name, **style(index))
        axis.plot([0, 2], [0, 0], color="black")  # has no name
        end_labels(axis)
    legend_below(figure, axes)
    figure.canvas.draw()
    return figure


def test_the_legend_is_over_no_data(figure):
    (legend,) = figure.legends
    assert [one.get_text() for one in legend.get_texts()] == NAMES
    box = legend.get_window_extent()
    for axis in figure.axes:
        assert axis.get_legend() is None
        assert not box.overlaps(axis.get_window_extent())


def test_each_curve_has_its_label_at_its_end(figure):
    for axis in figure.axes:
        notes = [one for one in axis.texts if isinstance(one, Annotation)]
        assert [one.get_text() for one in notes] == NAMES
        assert [one.get_color() for one in notes] == [style(index)["color"] for index in range(10)]
        boxes = [one.get_window_extent() for one in notes]
        inside = axis.get_window_extent()
        assert all(one.x0 > inside.x1 - 90 for one in boxes)
        edges = sorted(one.get_position()[1] for one in notes)
        assert min(np.diff(edges)) > APART - 1e-9
        assert max(one.x1 for one in boxes) < figure.bbox.x1


def test_curves_of_nothing_and_error_bars():
    figure, (axis,) = blank(1, 1)
    end_labels(axis)
    legend_below(figure, [axis])
    assert not figure.legends
    axis.plot([np.nan], [np.nan], label="nothing")
    axis.errorbar([0, 1], [0, 1], yerr=[0.1, 0.1], label="bars")
    end_labels(axis)
    assert [one.get_text() for one in axis.texts] == ["bars"]
