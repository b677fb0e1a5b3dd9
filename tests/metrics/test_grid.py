"""The grid pointing game: tiles, cells, equal areas, and the aggregate of maps."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from equipoise.errors import OptionError, ShapeError
from equipoise.metrics import GridPointingGame, aggregate_attributions, grid_pointing, keep_top, tile
from shapes import unchecked


@pytest.mark.parametrize("side", [1, 2, 3])
def test_tiles_lie_row_by_row(side):
    images = torch.rand(side**2, 3, 4, 5)
    grid = tile(images, side)
    assert grid.shape == (3, 4 * side, 5 * side)
    for index, image in enumerate(images):
        row, column = divmod(index, side)
        assert torch.equal(grid[:, 4 * row : 4 * row + 4, 5 * column : 5 * column + 5], image)
    with pytest.raises(ShapeError, match=rf"{(side + 1) ** 2}, c, h, w"):
        unchecked(tile)(images, side + 1)


@pytest.mark.parametrize("cells", [2, 3])
def test_a_perfect_map_scores_one_and_a_uniform_one_its_share(cells):
    targets = torch.arange(cells**2)
    images = torch.zeros(cells**2, cells**2, 1, 4, 6)
    images[targets, targets] = 2.5
    perfect = torch.stack([tile(image, cells)[0] for image in images])
    assert grid_pointing(perfect, cells, targets).tolist() == [1] * cells**2
    assert grid_pointing(perfect, cells, targets.flip(0)).sum() == (cells % 2)  # the middle of 3x3 stays in place
    uniform = torch.full_like(perfect, 0.3)
    assert grid_pointing(uniform, cells, targets).tolist() == pytest.approx([1 / cells**2] * cells**2)


def test_negative_relevance_does_not_count():
    heat = torch.tensor([[[1.0, 3.0], [-5.0, 0.0]]])
    assert grid_pointing(heat, 2, torch.tensor([1])).item() == 0.75


def test_no_relevance_is_undefined():
    heat = torch.stack([torch.full((2, 2), value) for value in (-1.0, 0.0, 2e-8, 1e-7, math.nan, math.inf)])
    assert grid_pointing(heat, 2, torch.zeros(6, dtype=torch.long)).isnan().tolist() == [
        True,
        True,
        True,
        False,
        True,
        True,
    ]
    game = GridPointingGame(2)
    game.update(heat, torch.zeros(6, dtype=torch.long))
    assert (game.compute().item(), game.undefined_count.item()) == (0.25, 5)


def test_sums_that_float32_does_not_hold():
    heat = torch.full((1, 4, 4), 3e38)
    heat[0, :2, :2] = 0
    assert grid_pointing(heat, 2, torch.tensor([3])).item() == pytest.approx(1 / 3)


def test_equal_area_keeps_the_largest():
    heat = torch.tensor([[[4.0, 1.0], [2.0, -3.0]], [[4.0, 1.0], [2.0, -3.0]], [[1.0, 1.0], [1.0, 1.0]]])
    assert keep_top(heat, 0.5).tolist() == [[[4, 0], [2, 0]], [[4, 0], [2, 0]], [[1, 1], [0, 0]]]
    assert keep_top(heat, torch.tensor([0.25, 1, 0])).tolist() == [[[4, 0], [0, 0]], [[4, 1], [2, 0]], [[0, 0], [0, 0]]]
    target = torch.tensor([0, 0, 0])
    assert grid_pointing(heat, 2, target, keep=0.5).tolist() == pytest.approx([4 / 6, 4 / 6, 0.5])
    game = GridPointingGame(2)
    game.update(heat, target, keep=torch.tensor([0.25, 1, 0]))
    assert game.compute().item() == pytest.approx((1 + 4 / 7) / 2)


@given(st.integers(0, 2**31), st.floats(0, 1))
def test_kept_pixels_are_as_many_as_asked_and_no_less_than_those_left(seed, share):
    heat = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for one, kept in zip(heat, keep_top(heat, share), strict=True):
        positive = int((one > 0).sum())
        assert int((kept > 0).sum()) == min(positive, round(share * 40))
        left = one.clamp(min=0)[kept == 0]
        assert not len(left) or not kept.any() or left.max() <= kept[kept > 0].min()
        assert torch.equal(kept[kept > 0], one[kept > 0])


def test_the_grid_refuses():
    heat, target = torch.rand(2, 4, 6), torch.tensor([0, 3])
    with pytest.raises(ShapeError, match="3 by 3 cells do not divide maps of 4 by 6"):
        unchecked(grid_pointing)(heat, 3, target)
    with pytest.raises(ShapeError, match="one target for each of 2"):
        unchecked(grid_pointing)(heat, 2, target[:1])
    with pytest.raises(OptionError, match="0 to 3"):
        grid_pointing(heat, 2, target + 1)
    with pytest.raises(OptionError, match="between 0 and 1"):
        keep_top(heat, 1.01)
    with pytest.raises(ShapeError, match="one share"):
        unchecked(keep_top)(heat, torch.rand(3))


def test_aggregates_by_hand():
    """Ten maps whose value is their number; the best tenth, the next four, the rest."""
    maps = torch.arange(10.0).reshape(10, 1, 1).expand(10, 2, 2)
    scores = torch.tensor([0.5, 0.9, 0.5, math.nan, 0.1, 0.2, 0.3, 0.4, 0.5, 0.05])
    inside = torch.tensor([1.0, 0, 3, 9, 0, 0, 0, 0, 2, 0])
    found = aggregate_attributions(maps, scores, (0, 10, 50, 100), inside=inside)
    assert found[:, 0, 0].tolist() == pytest.approx([1, (2 + 8 + 0 + 7) / 4, (6 + 5 + 4 + 9 + 3) / 5])
    assert aggregate_attributions(maps, scores, (0, 10, 20, 100))[1, 0, 0] == 0  # the order given
    assert aggregate_attributions(maps, scores, (0, 9, 100))[0].isnan().all()
    assert len(aggregate_attributions(maps, scores)) == 6
    with pytest.raises(OptionError, match="rise"):
        aggregate_attributions(maps, scores, (0, 50, 50, 100))
    with pytest.raises(ShapeError, match="one score for each of 10"):
        unchecked(aggregate_attributions)(maps, scores[:3])
