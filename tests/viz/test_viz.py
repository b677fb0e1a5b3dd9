"""Colors are signed and symmetric, the overlay lies where the network looked, the montage is a labelled grid."""

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from equipoise import viz
from equipoise.errors import OptionError, ShapeError, UnknownNameError

WHITE = (255, 255, 255)


def photo(width=120, height=80, color=(90, 160, 60)):
    return Image.new("RGB", (width, height), color)


def test_zero_is_white_red_is_for_and_blue_is_against():
    colors = np.asarray(viz.heatmap_image(np.array([[0.0, 0.5, -0.5, 1.0, -1.0]])))[0].astype(int)
    assert tuple(colors[0]) == WHITE
    assert colors[1].tolist() == pytest.approx([255, 0, 0], abs=3)
    assert colors[2].tolist() == pytest.approx([0, 0, 255], abs=3)
    seismic = colormaps["seismic"]
    assert np.abs(colors[3] - np.array(seismic(1.0, bytes=True)[:3], dtype=int)).max() <= 1
    assert np.abs(colors[4] - np.array(seismic(0.0, bytes=True)[:3], dtype=int)).max() <= 1


def test_colors_are_those_of_seismic():
    values = np.linspace(-1, 1, 255)[None]
    found = np.asarray(viz.heatmap_image(values))[0].astype(int)
    expected = (255 * colormaps["seismic"].resampled(4001)((values[0] + 1) / 2)[:, :3]).round().astype(int)
    assert np.abs(found - expected).max() <= 2


def test_the_other_palette_is_orange_for_and_blue_against():
    values = np.array([[1.0, 0.0, -1.0, 0.5, -0.5]])
    drawn = np.asarray(viz.heatmap_image(values, colors="orange_blue")).astype(int)[0]
    assert drawn[1].tolist() == [255, 255, 255]
    for red, _, blue in drawn[[0, 3]]:
        assert red > blue + 90
    for red, _, blue in drawn[[2, 4]]:
        assert blue > red + 90
    photo = Image.new("RGB", (50, 10), (90, 90, 90))
    laid = np.asarray(viz.overlay(photo, values, smoothing=0, opacity=1.0, colors="orange_blue")).astype(int)
    assert laid[5, 0].tolist() == [160, 64, 0]
    with pytest.raises(UnknownNameError, match="orange_blue"):
        viz.heatmap_image(values, colors="orange_blu")


@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1.0, 1e300])
def test_scale_is_symmetric_and_relative(scale):
    image = np.asarray(viz.heatmap_image(scale * np.array([[0.0, 0.1, -0.4]])))
    assert (image == np.asarray(viz.heatmap_image(np.array([[0.0, 0.1, -0.4]])))).all()
    flipped = np.asarray(viz.heatmap_image(-scale * np.array([[0.0, 0.1, -0.4]])))
    assert image[0, 2, 2] > image[0, 2, 0]
    assert flipped[0, 2, 0] > flipped[0, 2, 2]


def test_one_pixel_per_value_at_its_place():
    values = np.zeros((3, 5))
    values[1, 4] = 2.0
    image = viz.heatmap_image(values)
    assert image.size == (5, 3)
    assert image.getpixel((4, 1)) != WHITE
    assert [image.getpixel((x, y)) for x in range(5) for y in range(3)].count(WHITE) == 14


def test_percentile_and_limit():
    values = np.array([[1.0, 1.0, 1.0, 100.0]])
    pale = viz.heatmap_image(values).getpixel((0, 0))
    assert min(pale) > 240
    assert viz.heatmap_image(values, percentile=50).getpixel((0, 0)) == viz.heatmap_image(values).getpixel((3, 0))
    assert viz.heatmap_image(values, limit=1.0).getpixel((0, 0)) == viz.heatmap_image(values).getpixel((3, 0))
    assert viz.scale_limit(values) == 100.0
    assert viz.scale_limit(np.zeros((2, 2))) == 1.0
    assert viz.scale_limit(np.array([[0.0] * 99 + [3.0]]), 50) == 3.0  # a percentile of zero would divide by it


@pytest.mark.parametrize("percentile", [0.0, -1.0, 100.1, float("nan")])
def test_percentile_outside_its_range(percentile):
    with pytest.raises(OptionError):
        viz.heatmap_image(np.ones((2, 2)), percentile=percentile)


@pytest.mark.parametrize("options", [{"opacity": 1.1}, {"opacity": -0.1}, {"smoothing": 0.6}, {"smoothing": -1.0}])
def test_overlay_options_outside_their_range(options):
    with pytest.raises(OptionError):
        viz.overlay(photo(), np.ones((4, 4)), **options)
    with pytest.raises(OptionError):
        viz.heatmap_image(np.ones((2, 2)), limit=0.0)


def test_shapes():
    for values in (np.ones(3), np.ones((1, 2, 3)), np.ones((0, 3))):
        with pytest.raises(ShapeError):
            viz.heatmap_image(values)
    with pytest.raises(ShapeError):
        viz.overlay(photo(), np.ones((4, 4)), (5, 5, 5, 9))


def test_not_finite_counts_as_zero():
    values = np.array([[np.nan, np.inf, -np.inf, 1.0, -1.0]])
    image = viz.heatmap_image(values)
    assert [image.getpixel((x, 0)) for x in range(3)] == [WHITE] * 3
    assert image.getpixel((3, 0)) == viz.heatmap_image(np.ones((1, 1))).getpixel((0, 0))
    viz.overlay(photo(), values)


def test_overlay_has_the_photos_size_and_lies_on_the_box():
    values = np.zeros((8, 8))
    values[:, :4] = 1.0  # the left half of what the network saw
    box = (30.0, 10.0, 90.0, 70.0)
    picture = viz.overlay(photo(), values, box, smoothing=0)
    assert picture.size == (120, 80)
    red = np.asarray(picture).astype(int)
    is_red = red[:, :, 0] - red[:, :, 2] > 60
    rows, columns = np.where(is_red)
    assert (rows.min(), rows.max()) == (10, 69)
    assert columns.min() == 30
    assert 56 <= columns.max() <= 63  # the map's edge is at 60, drawn over one of its pixels


@pytest.mark.parametrize(
    "box", [(30, 10, 90, 70), (0, 0, 60, 80), (40, 0, 120, 80), (-10, 20, 130, 60), (1, 1, 119, 79)]
)
def test_what_was_not_seen_stays_as_it_is_but_for_a_line(box):
    """Two lines of a pixel each, all around what was seen and outside of it."""
    noise = Image.fromarray(np.random.default_rng(0).integers(1, 255, (80, 120, 3), dtype=np.uint8))
    drawn, before = (np.asarray(one) for one in (viz.overlay(noise, np.ones((4, 4)), box), noise))
    rows, columns = np.mgrid[:80, :120]
    left, top, right, bottom = box
    far = np.maximum.reduce([left - columns, columns - right + 1, top - rows, rows - bottom + 1])
    assert (drawn[far > 2] == before[far > 2]).all()
    assert (drawn[far == 1] == 0).all()
    assert (drawn[far == 2] == 255).all()
    assert (drawn[far <= 0] != before[far <= 0]).any(axis=-1).all()


def test_the_line_is_as_wide_as_the_photo_is_large():
    drawn = np.asarray(viz.overlay(photo(1200, 900), np.zeros((4, 4)), (100, 0, 1000, 900)))
    assert (drawn[450, 92:100] == np.repeat([[255], [0]], 4, axis=0)).all()
    assert drawn[450, 91].tolist() == [90, 160, 60]


def test_a_photo_that_was_seen_whole_has_no_line():
    drawn = np.asarray(viz.overlay(photo(), np.zeros((4, 4)), (0, 0, 120, 80)))
    assert (drawn == np.asarray(viz.overlay(photo(), np.zeros((4, 4))))).all()
    assert (drawn == drawn[:1, :1]).all()


def test_without_relevance_the_gray_photo_shows():
    picture = np.asarray(viz.overlay(photo(), np.zeros((4, 4))))
    assert np.ptp(picture, axis=2).max() == 0
    assert not (picture == 255).any()


def test_signs_in_the_overlay():
    values = np.array([[1.0, -1.0]])
    picture = viz.overlay(photo(), values, smoothing=0)
    left, right = picture.getpixel((10, 40)), picture.getpixel((110, 40))
    assert left[0] > left[2] + 60
    assert right[2] > right[0] + 60


def test_opacity():
    clear = viz.overlay(photo(), np.ones((2, 2)), opacity=0.0)
    assert clear.tobytes() == viz.overlay(photo(), np.zeros((2, 2))).tobytes()
    full = viz.overlay(photo(), np.ones((2, 2)), opacity=1.0)
    assert full.getpixel((60, 40)) == viz.heatmap_image(np.ones((1, 1))).getpixel((0, 0))


def test_box_beyond_the_photo():
    values = np.zeros((10, 10))
    values[:, 5:] = 1.0
    picture = viz.overlay(photo(100, 50), values, (0, -25, 100, 75), smoothing=0)
    assert picture.size == (100, 50)
    assert picture.getpixel((90, 2))[0] > picture.getpixel((90, 2))[2] + 60
    assert np.ptp(picture.getpixel((10, 25))) == 0
    away = viz.overlay(photo(), values, (500, 500, 600, 600))
    assert away.getpixel((5, 5)) == (90, 160, 60)


def test_small_photo_and_large_map():
    rng = np.random.default_rng(0)
    assert viz.overlay(photo(1, 1), rng.normal(size=(224, 224))).size == (1, 1)
    assert viz.overlay(photo(3, 500), rng.normal(size=(224, 224)), (0.0, 100.2, 3.0, 103.4)).size == (3, 500)


def test_smoothing_keeps_the_place_and_spreads():
    values = np.zeros((100, 100))
    values[30, 70] = 1.0
    sharp = np.asarray(viz.overlay(photo(100, 100), values, smoothing=0)).astype(int)
    soft = np.asarray(viz.overlay(photo(100, 100), values, smoothing=0.03)).astype(int)
    redness = soft[:, :, 0] - soft[:, :, 2]
    rows, columns = np.where(redness > 30)
    assert (round(rows.mean()), round(columns.mean())) == (30, 70)
    assert (redness > 30).sum() > 10 * ((sharp[:, :, 0] - sharp[:, :, 2]) > 30).sum()


def test_montage():
    pictures = [[photo(), photo(40, 300)], [photo(10, 10), photo(800, 100, (200, 0, 0))]]
    grid = viz.montage(pictures, ["tabby\n12.0 %", "$\\frac$ 漢"], ["photo", "ae"], title="two", cell=100)
    assert grid.mode == "RGB"
    assert grid.width == 150 + 2 * 112 + 12
    pixels = np.asarray(grid).reshape(-1, 3)
    assert (pixels == (90, 160, 60)).all(axis=1).sum() > 5000
    assert (pixels == (200, 0, 0)).all(axis=1).sum() > 800
    labels = np.asarray(grid.crop((0, 100, 145, grid.height))).reshape(-1, 3)
    assert (labels < 100).all(axis=1).any()  # letters at the left


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("bundled/efficientnet_lite0", ["bundled/", "efficientnet_", "lite0"]),
        ("n01443537_goldfish\nmap", ["n01443537_", "goldfish", "map"]),
        ("Relevance-CAM", ["Relevance-CAM"]),
        ("Grad-CAM, middle layer", ["Grad-CAM, middle", "layer"]),
        ("a" * 20, ["a" * 16, "aaaa"]),
    ],
)
def test_a_label_breaks_where_a_name_has_parts(text, lines):
    assert viz._wrapped(text, 16).splitlines() == lines


def test_montage_needs_a_label_for_each():
    for rows, sides, tops in (
        ([], [], []),
        ([[photo()]], [], ["a"]),
        ([[photo()]], ["a"], ["a", "b"]),
        ([[]], ["a"], []),
    ):
        with pytest.raises(ShapeError):
            viz.montage(rows, sides, tops)


def test_montage_leaves_pyplot_alone():
    import sys

    before = "matplotlib.pyplot" in sys.modules
    viz.montage([[photo()]], ["a"], ["b"])
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_a_montage_says_something_below_each_picture():
    pictures = [[photo(), photo()], [photo(), photo()]]
    plain = viz.montage(pictures, ["a", "b"], ["c", "d"], cell=100)
    said = [["", "tabby"], ["a very long name that no picture is wide enough for", ""]]
    grid = viz.montage(pictures, ["a", "b"], ["c", "d"], cell=100, captions=said)
    assert grid.width == plain.width
    assert grid.height > plain.height
    dark = (np.asarray(grid.convert("L")) < 100).sum()
    silent = viz.montage(pictures, ["a", "b"], ["c", "d"], cell=100, captions=[["", ""], ["", ""]])
    assert silent.size == grid.size
    assert (np.asarray(silent.convert("L")) < 100).sum() < dark
    with pytest.raises(ShapeError, match="captions of"):
        viz.montage(pictures, ["a", "b"], ["c", "d"], captions=[["one"]])


def test_a_montage_has_a_color_bar_below():
    plain = viz.montage([[photo()]], ["a"], ["b"], cell=100)
    grid = viz.montage([[photo()]], ["a"], ["b"], cell=100, bar=("against", "for"), colors="orange_blue")
    assert grid.width == plain.width
    assert grid.crop((0, 0, *plain.size)).tobytes() == plain.tobytes()
    row = np.asarray(grid)[(plain.height + grid.height) // 2].astype(int)
    scale = row[grid.width // 2 - grid.width // 6 + 2 : grid.width // 2 + grid.width // 6 - 2]
    assert scale[0, 2] > scale[0, 0] + 20
    assert scale[-1, 0] > scale[-1, 2] + 60


def test_a_long_name_breaks_behind_an_underline():
    assert viz._wrapped("beacon\nefficientnet_lite0", 16) == "beacon\nefficientnet_\nlite0"
    assert viz._wrapped("ae, a_b", 16) == "ae, a_b"
