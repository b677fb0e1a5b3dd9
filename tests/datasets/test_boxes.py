"""Masks from boxes, and the rule of the difficult photos."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.datasets.boxes import Box, hard, split, union
from equipoise.errors import DataError

WIDTH, HEIGHT = 8, 6  # 48 pixels; a quarter is 12


def boxes(categories=3):
    side = st.integers(0, 5)
    return st.builds(
        lambda category, left, top, width, height, difficult: Box(
            category, left, top, left + width + 1, top + height + 1, difficult
        ),
        st.integers(0, categories - 1), side, side, side, side, st.booleans(),
    )  # fmt: skip


def test_a_mask_by_hand():
    found = union([Box(0, 1, 0, 3, 2), Box(0, 2, 1, 4, 2), Box(1, 0, 2, 1, 3)], 5, 3, category=0)
    assert found.astype(int).tolist() == [[0, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]]
    assert union([Box(0, 1, 0, 3, 2), Box(1, 0, 2, 1, 3)], 5, 3).sum() == 5


def test_a_box_beyond_the_photo_is_cut_off():
    assert union([Box(0, -3, -3, 2, 1)], 4, 4).astype(int).tolist() == [[1, 1, 0, 0]] + [[0] * 4] * 3
    assert not union([Box(0, -3, -3, -1, -1)], 4, 4).any()


def test_no_box_of_a_category():
    with pytest.raises(DataError, match="no object of category 2"):
        union([Box(0, 0, 0, 1, 1)], 4, 4, category=2)


def test_what_is_explained_and_what_is_skipped():
    found = split([Box(3, 0, 0, 1, 1), Box(1, 0, 0, 1, 1, difficult=True), Box(3, 0, 0, 1, 1, difficult=True)])
    assert found == ((3,), frozenset({1}))


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        ([Box(0, 0, 0, 1, 1)], set()),  # small, but alone
        ([Box(0, 0, 0, 1, 1), Box(0, 3, 3, 4, 4)], set()),  # two of one category are no other category
        ([Box(0, 0, 0, 1, 1), Box(1, 0, 0, 8, 6)], {0}),
        ([Box(0, 0, 0, 4, 3), Box(1, 0, 0, 8, 6)], set()),  # 12 pixels are a quarter, not less
        ([Box(0, 0, 0, 4, 3), Box(1, 0, 0, 1, 11)], {1}),
        ([Box(0, 0, 0, 4, 2), Box(0, 4, 0, 8, 2), Box(1, 0, 0, 1, 1)], {1}),  # 8 + 8 pixels together
        ([Box(0, 0, 0, 4, 2), Box(0, 0, 0, 4, 2), Box(1, 0, 0, 1, 1)], {0, 1}),  # 8 and the same 8
        ([Box(0, 0, 0, 1, 1), Box(1, 0, 0, 1, 1, difficult=True)], {0}),  # the other one is there all the same
        ([Box(0, 0, 0, 1, 1, difficult=True), Box(1, 0, 0, 1, 1, difficult=True)], set()),
    ],
)
def test_the_difficult_rule(objects, expected):
    assert hard(objects, WIDTH, HEIGHT) == expected


@given(st.lists(boxes(), max_size=6))
def test_the_difficult_rule_against_counting_pixels(objects):
    categories, skipped = split(objects)
    assert set(categories) | skipped == {box.category for box in objects}
    expected = set()
    for category in categories:
        covered = {
            (row, column)
            for box in objects if box.category == category
            for row in range(box.top, min(box.bottom, HEIGHT)) for column in range(box.left, min(box.right, WIDTH))
        }  # fmt: skip
        if 4 * len(covered) < WIDTH * HEIGHT and len(categories) + len(skipped) > 1:
            expected.add(category)
    assert hard(objects, WIDTH, HEIGHT) == expected


@given(st.lists(boxes(), min_size=1, max_size=6))
def test_a_mask_is_the_union_of_its_parts(objects):
    whole = union(objects, WIDTH, HEIGHT)
    parts = [union(objects, WIDTH, HEIGHT, category=category) for category in {box.category for box in objects}]
    assert np.array_equal(whole, np.logical_or.reduce(parts))
    assert whole.shape == (HEIGHT, WIDTH)
