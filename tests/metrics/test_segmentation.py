"""Maps as segmentations: against scikit-learn and torchmetrics, by hand, and where nothing is defined."""

import math

import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as peers
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from equipoise.errors import ShapeError, UnknownNameError
from equipoise.metrics import (
    F1,
    MeanIoU,
    PixelAccuracy,
    PixelAP,
    f1,
    intersection_over_union,
    pixel_accuracy,
    pixel_average_precision,
)
from shapes import unchecked


def scene(seed, levels=None, n=3):
    """Maps, with many equal values if ``levels`` says so, and masks that hold both kinds of pixels."""
    generator = torch.Generator().manual_seed(seed)
    heat = torch.randn(n, 6, 7, generator=generator, dtype=torch.float64)
    if levels:
        heat = (heat * levels).round()
    masks = torch.rand(n, 6, 7, generator=generator) < 0.3
    masks[:, 0, :2] = torch.tensor([True, False])
    heat[:, 0, :2] = torch.tensor([9.0, -9.0], dtype=torch.float64)  # never constant
    return heat, masks


@given(st.integers(0, 2**31), st.sampled_from([None, 1, 3]))
def test_average_precision_equals_scikit_learns(seed, levels):
    heat, masks = scene(seed, levels)
    low, high = heat.amin((1, 2), keepdim=True), heat.amax((1, 2), keepdim=True)
    scaled, cut = (heat - low) / (high - low), (heat > heat.mean((1, 2), keepdim=True)).double()
    both = torch.stack([~masks, masks], 1)
    cases = {
        "foreground": (masks, heat),
        "two_channel": (both, torch.stack([1 - scaled, scaled], 1)),
        "hard": (both, torch.stack([1 - cut, cut], 1)),
    }
    for definition, (truth, score) in cases.items():
        expected = [
            average_precision_score(t.flatten().numpy(), s.flatten().numpy()) for t, s in zip(truth, score, strict=True)
        ]
        found = pixel_average_precision(heat, masks, definition, threshold="mean")
        assert found.tolist() == pytest.approx(expected, abs=1e-12)


def test_average_precision_equals_torchmetrics():
    heat, masks = scene(0)
    expected = [peers.binary_average_precision(h.flatten().sigmoid(), m.flatten().long()) for h, m in zip(heat, masks)]  # noqa: B905  # lengths are the scene's
    assert torch.allclose(pixel_average_precision(heat, masks), torch.stack(expected).double(), atol=1e-6)


def test_average_precision_by_hand():
    """Ranked 4 3 2 1: object, background, object, background: (1/1 + 2/3) / 2."""
    heat = torch.tensor([[[4.0, 3.0, 2.0, 1.0]]])
    mask = torch.tensor([[[True, False, True, False]]])
    assert pixel_average_precision(heat, mask).item() == pytest.approx(5 / 6)
    assert pixel_average_precision(torch.ones(1, 1, 4), mask[:, :, [0, 1, 1, 1]]).item() == 0.25
    # Cut at the mean, 2.5: right 1 0 / 0 1 twice, so a precision of 1/2 at recall 1/2 and at recall 1
    assert pixel_average_precision(heat, mask, "hard", threshold="mean").item() == 0.5
    assert pixel_average_precision(heat, mask, "hard").item() == 0.5


def test_two_channels_are_half_right_whatever_the_size():
    """A map that says nothing about a small object: its share of the image, or one half."""
    mask = torch.zeros(1, 20, 20, dtype=torch.bool)
    mask[0, :2, :5] = True
    heat = torch.zeros(1, 20, 20)
    heat[0, 0] = 1  # five of the object's ten pixels and fifteen of the others
    assert pixel_average_precision(torch.zeros(1, 20, 20), mask).item() == pytest.approx(10 / 400)
    assert pixel_average_precision(torch.zeros(1, 20, 20), mask, "hard").item() > 0.5
    assert pixel_average_precision(torch.zeros(1, 20, 20), mask, "two_channel").isnan().all()
    expected = 380 / 400 * 0.95 + (1 - 380 / 400) * 0.5
    assert pixel_average_precision(heat, mask, "two_channel").item() == pytest.approx(expected)


@pytest.mark.parametrize("threshold", ["zero", "mean"])
def test_cut_maps_equal_torchmetrics(threshold):
    heat, masks = scene(1)
    for one, mask in zip(heat, masks, strict=True):
        said = (one > (one.mean() if threshold == "mean" else 0)).long().flatten()
        truth = mask.long().flatten()
        pair = (one.unsqueeze(0), mask.unsqueeze(0), threshold)
        assert pixel_accuracy(*pair).item() == pytest.approx(peers.binary_accuracy(said, truth).item())
        assert f1(*pair).item() == pytest.approx(peers.binary_f1_score(said, truth).item())
        peer = peers.multiclass_jaccard_index(said, truth, num_classes=2, average="macro")
        assert intersection_over_union(*pair).item() == pytest.approx(peer.item())


def test_cut_maps_by_hand():
    """Object 1 2, background 3 4; the map says 1 3."""
    heat = torch.tensor([[[1.0, -1.0], [2.0, 0.0]]])
    mask = torch.tensor([[[True, True], [False, False]]])
    assert pixel_accuracy(heat, mask).item() == 0.5
    assert intersection_over_union(heat, mask).item() == pytest.approx(1 / 3)
    assert f1(heat, mask).item() == 0.5
    assert pixel_accuracy(heat + 100, mask, "mean").item() == 0.5
    assert pixel_accuracy(heat + 100, mask, "zero").item() == 0.5


def test_what_neither_holds_is_left_out_or_undefined():
    empty, silent = torch.zeros(1, 2, 2, dtype=torch.bool), torch.zeros(1, 2, 2)
    assert intersection_over_union(silent, empty).item() == 1
    assert intersection_over_union(silent + 1, ~empty).item() == 1
    assert f1(silent, empty).isnan().all()
    assert f1(silent + 1, empty).item() == 0
    assert pixel_accuracy(silent, empty).item() == 1
    ramp = torch.arange(4.0).reshape(1, 2, 2)
    for definition in ("foreground", "two_channel", "hard"):
        assert pixel_average_precision(ramp, empty, definition).isnan().all()
        assert pixel_average_precision(ramp, ~empty, definition).isfinite().all()


@pytest.mark.parametrize("metric", [pixel_average_precision, pixel_accuracy, intersection_over_union, f1])
def test_maps_that_are_not_finite_are_undefined(metric):
    heat, masks = scene(2)
    heat[0, 1, 1], heat[2, 3, 3] = math.nan, math.inf
    assert metric(heat, masks).isnan().tolist() == [True, False, True]
    with pytest.raises(ShapeError, match="masks are bool"):
        unchecked(metric)(heat, masks.long())
    with pytest.raises(UnknownNameError, match="men"):
        metric(heat, masks, **({"definition": "men"} if metric is pixel_average_precision else {"threshold": "men"}))


def test_data_sets_sum_pixels_and_average_maps():
    """One map right on 4 of 4 pixels, one on 1 of 4; the third is not finite."""
    heat = torch.tensor([[[1.0, -1.0], [-1.0, -1.0]], [[-1.0, 1.0], [1.0, -1.0]], [[math.nan, 0.0], [0.0, 0.0]]])
    masks = torch.tensor([[[True, False], [False, False]]]).expand(3, 2, 2)
    accuracy, iou, score, precision = PixelAccuracy(), MeanIoU(), F1(), PixelAP()
    for metric in (accuracy, iou, score, precision):
        metric.update(heat, masks)
        assert metric.undefined_count.item() == 1
    assert accuracy.compute().item() == 5 / 8
    assert iou.compute().item() == pytest.approx(np.mean([1 / 4, 4 / 7]))
    assert score.compute().item() == 0.5
    assert precision.compute().item() == pytest.approx((1 + 1 / 4) / 2)
