"""Pictures of signals and volumes: what stands where, in which colors, on which scale."""

import numpy as np
import pytest
import torch
from PIL import Image

from equipoise import viz
from equipoise.array_pictures import CELL, SIGNAL_SIZE, most_relevant, overlay_of_signal, overlay_of_volume, picture_of
from equipoise.errors import OptionError, ShapeError, UnknownNameError

RANDOM = np.random.default_rng(0)


def pixels(picture):
    assert picture.mode == "RGB"
    return np.asarray(picture).astype(int)


def test_an_image_is_gray_in_color_or_the_mean_of_its_channels():
    array = np.linspace(0, 1, 60).reshape(3, 4, 5)
    color = pixels(picture_of(array))
    np.testing.assert_array_equal(color, np.floor(255 * array + 0.5).transpose(1, 2, 0))
    gray = pixels(picture_of(array[:1]))
    assert (gray == gray[..., :1]).all()
    np.testing.assert_array_equal(gray[..., 0], color[..., 0])
    four = np.concatenate([array, array[:1]])
    np.testing.assert_array_equal(pixels(picture_of(four))[..., 0], np.floor(255 * four.mean(0) + 0.5))
    np.testing.assert_array_equal(pixels(picture_of(torch.from_numpy(array))), color)


def test_the_range_is_black_and_white():
    array = np.array([[[-1000.0, 0.0, 1000.0, 3000.0]]])
    assert pixels(picture_of(array, (-1000, 1000)))[0, :, 0].tolist() == [0, 128, 255, 255]


@pytest.mark.parametrize("length", [10, 960, 50_000])
def test_column_x_of_a_signal_s_picture_is_sample_x(length):
    """A peak at a sample is drawn in its columns."""
    array = np.zeros((1, length))
    place = int(0.3 * length)
    array[0, place] = 1
    picture = picture_of(array)
    assert picture.size == SIGNAL_SIZE
    dark = pixels(picture).sum(2) < 400
    top = np.flatnonzero(dark[:40].any(0))
    middle = (place + 0.5) / length * SIGNAL_SIZE[0]
    assert abs(top.mean() + 0.5 - middle) < 2
    width = SIGNAL_SIZE[0] / length
    line = np.flatnonzero(dark.any(0))
    assert line[0] <= max(width / 2, 2)
    assert line[-1] >= SIGNAL_SIZE[0] - max(width / 2, 2) - 1


def test_each_channel_has_a_lane():
    array = np.zeros((3, 100))
    array[0] = 1
    dark = (pixels(picture_of(array)).sum(2) < 400).any(1)
    rows = np.flatnonzero(dark) / SIGNAL_SIZE[1] * 3
    assert {int(row) for row in rows} == {0, 1, 2}
    assert (rows[rows < 1] < 0.2).all(), "the first channel at the top"
    assert (rows[rows > 1] % 1 > 0.8).all(), "one scale for all"


def test_the_ground_of_a_signal_has_the_colors_of_its_map():
    white = Image.new("RGB", (400, 50), "white")
    heatmap = np.zeros(8)
    heatmap[2], heatmap[5] = 1.0, -1.0
    found = pixels(overlay_of_signal(white, heatmap, smoothing=0))
    assert (found == found[:1]).all(), "columns"
    red, blue = found[0, 125], found[0, 275]
    assert red[0] > red[2] + 40
    assert blue[2] > blue[0] + 40
    assert found[0, 10].tolist() == [255, 255, 255]
    assert pixels(overlay_of_signal(white, heatmap, smoothing=0, opacity=0)).min() == 255
    strong = pixels(overlay_of_signal(white, heatmap, smoothing=0, opacity=1))
    assert np.abs(strong[0, 125] - pixels(viz.heatmap_image(np.ones((1, 1))))[0, 0]).max() <= 2
    orange = pixels(overlay_of_signal(white, heatmap, smoothing=0, colors="orange_blue"))
    assert orange[0, 125, 1] > red[1]


def test_the_line_stays_to_be_seen():
    picture = picture_of(np.sin(np.linspace(0, 9, 300))[None])
    drawn = pixels(overlay_of_signal(picture, np.ones(300)))
    line = pixels(picture).sum(2) < 120
    assert line.any()
    assert (drawn.sum(2)[line] < drawn.sum(2)[~line].mean() - 100).all()


def test_tiny_and_long_maps():
    white = Image.new("RGB", SIGNAL_SIZE, "white")
    heatmap = np.zeros(2_000_000)
    heatmap[600_000:700_000] = 1e-60
    found = pixels(overlay_of_signal(white, heatmap))
    assert found[0, 312, 2] < 120
    assert found[0, 700].tolist() == [255, 255, 255]
    assert pixels(overlay_of_signal(white, np.zeros(5))).min() == 255


def volume(depth=12):
    heatmap = np.zeros((depth, 10, 20))
    heatmap[7, 2:5, 3:8] = 1.0
    heatmap[2, 5:8, 12:17] = -0.5
    return RANDOM.random((1, depth, 10, 20)), heatmap


def test_the_slices_with_the_most_relevance_in_the_order_of_depth():
    _, heatmap = volume()
    assert most_relevant(heatmap, 2) == [2, 7]
    assert most_relevant(heatmap, 1) == [7]
    assert most_relevant(heatmap, 3) == [0, 2, 7]
    assert most_relevant(heatmap, 50) == list(range(12))


def test_the_slices_share_one_scale():
    """The same slice has the same colors, whichever others are shown; half the relevance is paler."""
    array, heatmap = volume()
    one = pixels(overlay_of_volume(array, heatmap, slices=1, smoothing=0))
    two = pixels(overlay_of_volume(array, heatmap, slices=2, smoothing=0))
    assert two.shape[1] > 2 * CELL
    assert one.shape[1] < 2 * CELL
    right = two[:, -one.shape[1] :]
    assert np.abs(one - right)[30:].mean() < 0.5
    against, evidence = two[:, : CELL + 8], two[:, CELL + 8 :]
    redness, blueness = (evidence[..., 0] - evidence[..., 2]).max(), (against[..., 2] - against[..., 0]).max()
    assert redness > 50
    assert blueness > 50
    own = pixels(overlay_of_volume(array[:, 2:3], heatmap[2:3], smoothing=0))
    cell = (slice(24, 24 + CELL // 2), slice(8, 8 + CELL))
    assert (own[cell].min(2) < two[cell].min(2)).sum() > 100, "alone it has the full color"


def test_a_volume_is_shown_as_a_grid_of_its_slices():
    array = np.zeros((1, 3, 8, 8))
    array[0, 1] = 1
    found = pixels(picture_of(array))
    assert found.shape[1] > 2 * CELL
    first, second = found[40:240, 20:220], found[40:240, CELL + 40 : CELL + 200]
    assert first.max() == 0
    assert second.min() == 255
    assert picture_of(np.zeros((2, 100, 8, 8))).size == picture_of(np.zeros((2, 9, 8, 8))).size


WRONG = {
    "a matrix": (lambda: picture_of(np.zeros(5)), ShapeError, r"not \(5,\)"),
    "nothing": (lambda: picture_of(np.zeros((1, 0, 5))), ShapeError, r"not \(1, 0, 5\)"),
    "a map of an image": (
        lambda: overlay_of_signal(Image.new("RGB", (9, 9)), np.zeros((3, 3))), ShapeError, r"\(l,\), not \(3, 3\)"),
    "another volume": (lambda: overlay_of_volume(np.zeros((1, 2, 3, 4)), np.zeros((2, 3, 5))), ShapeError,
                       r"volume is \(1, 2, 3, 4\) and its map \(2, 3, 5\)"),
    "no slices": (lambda: overlay_of_volume(*volume(), slices=0), OptionError, "slices is 0"),
    "opacity": (lambda: overlay_of_signal(picture_of(np.zeros((1, 3))), np.zeros(3), opacity=2), OptionError, "is 2"),
    "smoothing": (lambda: overlay_of_volume(*volume(), smoothing=2), OptionError, "smoothing is 2"),
    "percentile": (lambda: overlay_of_volume(*volume(), percentile=0), OptionError, "percentile is 0"),
    "palette": (lambda: overlay_of_volume(*volume(), colors="red"), UnknownNameError, "red"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said(case):
    call, kind, words = WRONG[case]
    with pytest.raises(kind, match=words):
        call()


def test_an_overlay_takes_a_limit_that_others_share():
    photo, heatmap = Image.new("RGB", (20, 20), (90, 160, 60)), np.ones((4, 4))
    own = viz.overlay(photo, heatmap, smoothing=0)
    assert viz.overlay(photo, heatmap, smoothing=0, limit=1.0).tobytes() == own.tobytes()
    pale = viz.overlay(photo, heatmap, smoothing=0, limit=4.0)
    assert pale.tobytes() == viz.overlay(photo, heatmap / 4, smoothing=0, limit=1.0).tobytes() != own.tobytes()
    with pytest.raises(OptionError, match="limit is 0"):
        viz.overlay(photo, heatmap, limit=0.0)
