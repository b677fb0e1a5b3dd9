"""Pointing games, outside-inside ratio, positive ratio: by hand, at the edges of their definitions, against peers."""

import math

import numpy as np
import pytest
import quantus
import torch
from hypothesis import given
from hypothesis import strategies as st

from equipoise.errors import OptionError, ShapeError, UnknownNameError
from equipoise.metrics import (
    EnergyPointingGame,
    OutsideInsideRatio,
    PointingGame,
    PositiveRatio,
    center_map,
    energy_pointing,
    outside_inside_ratio,
    pointing_hit,
    positive_ratio,
)
from shapes import unchecked

NAN, INF = math.nan, math.inf


def peak(y, x, size=(40, 40)):
    heat = torch.zeros(1, *size)
    heat[0, y, x] = 1
    return heat


def pixel(y, x, size=(40, 40)):
    return peak(y, x, size).bool()


@pytest.mark.parametrize(
    ("down", "across", "hit"),
    [(0, 0, 1), (14, 0, 1), (15, 0, 0), (9, 12, 0), (9, 11, 1), (10, 11, 1), (12, 9, 0), (0, 14, 1), (0, 15, 0)],
)
def test_a_maximum_hits_below_fifteen_pixels(down, across, hit):
    """9, 12, 15 is a right triangle: exactly the tolerance, which is a miss."""
    assert pointing_hit(peak(20 - down, 20 - across), pixel(20, 20)).item() == hit
    assert pointing_hit(peak(20 + down, 20 + across, (60, 50)), pixel(20, 20, (60, 50))).item() == hit


def test_tolerance_one_is_the_object_itself():
    mask = pixel(3, 3)
    assert pointing_hit(peak(3, 3), mask, tolerance=1).item() == 1
    assert pointing_hit(peak(3, 4), mask, tolerance=1).item() == 0
    assert pointing_hit(peak(3, 4), mask, tolerance=1.1).item() == 1
    assert pointing_hit(peak(4, 4), mask, tolerance=1.5).item() == 1


def test_ties_share_or_the_first():
    heat = peak(1, 1) + peak(30, 30) + peak(31, 30) + peak(5, 5)
    mask = pixel(30, 30)
    assert pointing_hit(heat, mask, tolerance=3).item() == 0.5
    assert pointing_hit(heat, mask, tolerance=3, ties="first").item() == 0
    assert pointing_hit(heat, pixel(0, 0), tolerance=3, ties="first").item() == 1


def test_a_constant_map_is_as_good_as_chance():
    mask = pixel(50, 50, (100, 100))
    inside = sum(y * y + x * x < 225 for y in range(-14, 15) for x in range(-14, 15))
    assert pointing_hit(torch.zeros(1, 100, 100), mask).item() == pytest.approx(inside / 100**2)


@pytest.mark.parametrize("metric", [pointing_hit, energy_pointing, outside_inside_ratio])
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_maps_that_are_not_finite_and_empty_masks_are_undefined(metric, value):
    heat = torch.rand(3, 8, 8)
    heat[0, 2, 3] = value
    masks = torch.zeros(3, 8, 8, dtype=torch.bool)
    masks[:2, :4] = True
    assert metric(heat, masks).isnan().tolist() == [True, False, True]
    assert positive_ratio(heat).isnan().tolist() == [True, False, False]


def test_pointing_refuses():
    heat, mask = torch.zeros(1, 4, 4), torch.ones(1, 4, 4, dtype=torch.bool)
    with pytest.raises(ShapeError, match=r"\(1, 4, 5\)"):
        unchecked(pointing_hit)(heat, torch.ones(1, 4, 5, dtype=torch.bool))
    with pytest.raises(ShapeError, match="masks are bool"):
        unchecked(pointing_hit)(heat, mask.float())
    with pytest.raises(ShapeError, match=r"not torch.float32 \(4, 4\)"):
        unchecked(pointing_hit)(heat[0], mask[0])
    with pytest.raises(OptionError, match="more than 0"):
        pointing_hit(heat, mask, tolerance=0)
    with pytest.raises(OptionError, match="'share' or 'first'"):
        unchecked(pointing_hit)(heat, mask, ties="last")
    with pytest.raises(UnknownNameError, match="positive"):
        outside_inside_ratio(heat, mask, normalization="positiv")


@given(st.integers(0, 2**31), st.integers(1, 6))
def test_pointing_equals_a_plain_loop(seed, tolerance):
    """Few different values, so that maxima tie."""
    generator = torch.Generator().manual_seed(seed)
    heat = torch.randint(0, 4, (2, 7, 9), generator=generator).double()
    masks = torch.rand(2, 7, 9, generator=generator) < 0.1
    for one, mask, found in zip(
        heat.numpy(), masks.numpy(), pointing_hit(heat, masks, tolerance=tolerance), strict=True
    ):
        ys, xs = np.nonzero(mask)
        maxima = np.argwhere(one == one.max())
        hits = [bool((((ys - y) ** 2 + (xs - x) ** 2) < tolerance**2).any()) for y, x in maxima]
        expected = np.mean(hits) if len(ys) else NAN
        assert found.item() == pytest.approx(expected, nan_ok=True)


def test_pointing_on_the_object_itself_equals_quantus():
    """Quantus knows no tolerance, and no mask smaller than the map; there the definitions agree."""
    heat = torch.randn(6, 1, 12, 12)
    masks = torch.rand(6, 1, 12, 12) < 0.4
    peer = quantus.PointingGame(abs=False, normalise=False, disable_warnings=True)
    scores = peer(
        model=None,
        x_batch=heat.numpy(),
        y_batch=np.zeros(6, int),
        a_batch=heat.numpy(),
        s_batch=masks.numpy(),
        device="cpu",
    )
    assert pointing_hit(heat[:, 0], masks[:, 0], tolerance=1).tolist() == [float(score) for score in scores]
    assert 0 < sum(scores) < 6


def test_energy_by_hand():
    heat = torch.tensor([[[3.0, 1.0], [-9.0, 0.0]]])
    mask = torch.tensor([[[True, False], [True, False]]])
    assert energy_pointing(heat, mask).item() == 0.75
    assert energy_pointing(-heat.abs(), mask).isnan().all()
    assert energy_pointing(heat.half(), mask).dtype == torch.float32


def test_outside_inside_by_hand():
    heat = torch.tensor([[[3.0, 1.0], [-1.0, -1.0]]])
    mask = torch.tensor([[[True, False], [True, False]]])
    assert outside_inside_ratio(heat, mask).item() == 0.5  # (1/2 + 0) / (1 + 0)
    assert outside_inside_ratio(heat, mask, normalization="positive").item() == pytest.approx(1 / 3)
    assert outside_inside_ratio(heat, ~mask).item() == 2


@pytest.mark.parametrize("normalization", ["min_max", "positive"])
def test_outside_inside_is_undefined(normalization):
    """Full masks, and nothing inside."""
    heat, mask = peak(0, 0, (4, 4)), torch.ones(1, 4, 4, dtype=torch.bool)
    assert outside_inside_ratio(heat, mask, normalization=normalization).isnan().all()
    assert outside_inside_ratio(heat, pixel(1, 1, (4, 4)), normalization=normalization).isnan().all()
    assert outside_inside_ratio(torch.zeros(1, 4, 4), pixel(1, 1, (4, 4)), normalization=normalization).isnan().all()


@given(st.integers(0, 2**31), st.floats(0.01, 100), st.floats(-5, 5))
def test_min_max_forgets_scale_and_offset(seed, scale, offset):
    generator = torch.Generator().manual_seed(seed)
    heat = torch.randn(2, 5, 6, generator=generator, dtype=torch.float64)
    mask = torch.zeros(2, 5, 6, dtype=torch.bool)
    mask[:, 1:3, 2:4] = True
    expected = outside_inside_ratio(heat, mask)
    assert torch.allclose(outside_inside_ratio(scale * heat + offset, mask), expected, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e30, 3e38])
def test_no_unit_of_a_map_is_too_large_or_small(scale):
    """Sums of numbers that float32 just holds are no longer such numbers."""
    heat = torch.rand(3, 12, 12, generator=torch.Generator().manual_seed(0)) * 2 - 1
    heat[:, 0, :2] = torch.tensor([1.0, -1.0])
    masks = torch.zeros(3, 12, 12, dtype=torch.bool)
    masks[:, 2:7, 3:11] = True
    for measure in (
        energy_pointing,
        outside_inside_ratio,
        lambda maps, masks: outside_inside_ratio(maps, masks, normalization="positive"),
    ):
        torch.testing.assert_close(measure(heat * scale, masks), measure(heat, masks))


def test_one_negative_pixel_moves_every_other():
    """A perfect map, and the same with one pixel far below: the scale to 0..1 then says almost nothing."""
    mask = torch.zeros(1, 10, 10, dtype=torch.bool)
    mask[0, :5] = True
    heat = mask.float()
    assert outside_inside_ratio(heat, mask).item() == 0
    heat[0, 9, 9] = -99
    assert outside_inside_ratio(heat, mask).item() == pytest.approx(0.99 * 49 / 50)
    assert outside_inside_ratio(heat, mask, normalization="positive").item() == 0


def test_positive_ratio_by_hand():
    heat = torch.tensor([[[3.0, 0.0], [-1.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]]])
    assert positive_ratio(heat).tolist() == [0.5, 0.0]


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (4, 6), (5, 4)])
def test_the_center_map_peaks_at_the_center(size):
    heat = center_map(size)
    assert torch.equal(heat, heat.flip(0))
    assert torch.equal(heat, heat.flip(1))
    maxima = (heat == heat.max()).nonzero()
    assert len(maxima) == (2 - size[0] % 2) * (2 - size[1] % 2)
    assert torch.allclose(maxima.float().mean(0), torch.tensor([(size[0] - 1) / 2, (size[1] - 1) / 2]))
    assert heat[0, 0] == (1 if size == (1, 1) else 0)


def test_the_pointing_game_is_the_mean_over_classes():
    """Class 0: 1 of 3; class 2: 1 of 1; class 1 has no map; class 3 only an empty mask."""
    game = PointingGame(num_classes=4)
    heat = torch.cat([peak(0, 0), peak(39, 39), peak(0, 39), peak(5, 5), peak(1, 1)])
    masks = torch.cat([pixel(0, 0)] * 3 + [pixel(5, 5), torch.zeros(1, 40, 40, dtype=torch.bool)])
    game.update(heat, masks, torch.tensor([0, 0, 0, 2, 3]))
    assert game.compute().item() == pytest.approx((1 / 3 + 1) / 2)
    assert game.undefined_count.item() == 1
    assert game.per_class().tolist() == pytest.approx([1 / 3, NAN, 1, NAN], nan_ok=True)
    with pytest.raises(OptionError, match="0 to 3"):
        game.update(heat[:1], masks[:1], torch.tensor([4]))
    with pytest.raises(ShapeError, match="one class for each of 5"):
        unchecked(PointingGame.update)(game, heat, masks, torch.tensor([1]))


def test_means_leave_out_what_is_undefined():
    heat = torch.tensor([[[3.0, 1.0], [-9.0, 0.0]], [[-1.0, -1.0], [-1.0, -2.0]], [[1.0, 0.0], [1.0, 2.0]]])
    mask = torch.tensor([[[True, False], [True, False]]]).expand(3, 2, 2)
    energy, ratio, positive = EnergyPointingGame(), OutsideInsideRatio(normalization="positive"), PositiveRatio()
    energy.update(heat, mask)
    ratio.update(heat, mask)
    positive.update(heat)
    assert (energy.compute().item(), energy.undefined_count.item()) == (pytest.approx((0.75 + 0.5) / 2), 1)
    assert (ratio.compute().item(), ratio.undefined_count.item()) == (pytest.approx((1 / 3 + 1) / 2), 1)
    assert (positive.compute().item(), positive.undefined_count.item()) == (pytest.approx((0.5 + 0 + 0.75) / 3), 0)
