"""The preprocessing equals torchvision's and timm's bit for bit, and its box lays the view back."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import timm
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from equipoise.errors import UnknownNameError
from equipoise.models import Preprocessing
from equipoise.models.zoo import find

SIZES = [(640, 427), (333, 500), (224, 224), (257, 256), (100, 37), (31, 500)]


def photo(width, height, mode="RGB"):
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise).convert(mode)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "name",
    [
        "resnet50.IMAGENET1K_V1",
        "resnet50.IMAGENET1K_V2",
        "inception_v3.IMAGENET1K_V1",
        "efficientnet_b1.IMAGENET1K_V2",
        "efficientnet_v2_s.IMAGENET1K_V1",
        "convnext_small.IMAGENET1K_V1",
    ],
)
def test_equals_torchvision(name, size):
    architecture, tag = name.split(".")
    reference = torchvision.models.get_model_weights(architecture)[tag].transforms()
    image = photo(*size)
    assert torch.equal(find(f"torchvision/{name}").preprocessing(image), reference(image))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "name",
    [
        "resnet50.a1_in1k",
        "resnet50.tv_in1k",
        "convnext_base.fb_in22k_ft_in1k_384",
        "inception_v3.tf_in1k",
        "dm_nfnet_f0.dm_in1k",
        "efficientnet_b1.ft_in1k",
        "test_resnet.r160_in1k",
    ],
)
def test_equals_timm(name, size):
    config = timm.data.resolve_data_config({}, pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    reference = timm.data.create_transform(**config)
    image = photo(*size)
    assert torch.equal(find(f"timm/{name}").preprocessing(image), reference(image))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("mode", "shape", "percent", "interpolation"),
    [
        *itertools.product(["center", "squash", "border"], [(64, 64), (48, 90)], [1.0, 0.9], ["bilinear"]),
        ("border", (64, 64), 0.875, "bicubic"),
        ("center", (65, 65), 1.1, "bilinear"),  # resized smaller than the crop: black borders
        ("center", (64, 64), 0.875, "lanczos"),
        ("center", (64, 64), 0.875, "nearest"),
    ],
)
def test_equals_timm_in_every_mode(mode, shape, percent, interpolation, size):
    config = {
        "input_size": (3, *shape),
        "crop_pct": percent,
        "crop_mode": mode,
        "interpolation": interpolation,
        "mean": (0.5, 0.4, 0.3),
        "std": (0.2, 0.3, 0.4),
    }
    image = photo(*size)
    expected = timm.data.create_transform(**config)(image)
    assert torch.equal(Preprocessing.from_timm(config)(image), expected)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_any_mode_of_image_is_read_as_rgb(mode):
    preprocessing = Preprocessing()
    image = photo(300, 280, mode)
    assert torch.equal(preprocessing(image), preprocessing(image.convert("RGB")))


def test_image_is_what_the_network_sees():
    preprocessing = Preprocessing(resize=(70, 70), crop=(60, 50))
    image = photo(200, 150)
    seen = preprocessing.image(image)
    assert (seen.mode, seen.size) == ("RGB", (50, 60))
    pixels = torchvision.transforms.functional.to_tensor(seen)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    torch.testing.assert_close(preprocessing(image), (pixels - mean) / std)


def test_result_is_float32_in_channels_height_width():
    result = Preprocessing(crop=(60, 50))(photo(200, 150))
    assert (result.dtype, result.shape) == (torch.float32, (3, 60, 50))
    assert result.is_contiguous()


def test_bounds_are_those_of_black_and_white():
    preprocessing = Preprocessing()
    low, high = preprocessing.bounds()
    for color, bound in (("black", low), ("white", high)):
        result = preprocessing(Image.new("RGB", (256, 256), color))
        assert torch.equal(result, bound.view(3, 1, 1).expand_as(result))


def test_box_by_hand():
    # 400 x 200 becomes 64 x 32; the crop of 24 leaves 20 columns and 4 rows on each side; 6.25 pixels each.
    preprocessing = Preprocessing(resize=(32, 32), crop=(24, 24))
    assert preprocessing.box(400, 200) == (125.0, 25.0, 275.0, 175.0)


def test_box_of_border_mode_reaches_beyond_the_image():
    preprocessing = Preprocessing(resize=(32, 32), crop=(32, 32), crop_mode="border")
    assert preprocessing.box(400, 200) == (0.0, -100.0, 400.0, 300.0)


def test_box_of_squash_mode_is_the_image():
    assert Preprocessing((32, 32), (32, 32), "squash").box(400, 200) == (0.0, 0.0, 400.0, 200.0)


@settings(max_examples=150, deadline=None)
@given(
    size=st.tuples(st.integers(60, 300), st.integers(60, 300)),
    crop=st.tuples(st.integers(30, 70), st.integers(30, 70)),
    resize=st.integers(70, 90),
    mode=st.sampled_from(["center", "squash", "border"]),
    where=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_a_mark_inside_the_box_is_seen_where_the_box_says(size, crop, resize, mode, where):
    width, height = size
    preprocessing = Preprocessing((resize, resize), crop, mode)
    left, top, right, bottom = preprocessing.box(width, height)
    across, down = (right - left) / crop[1], (bottom - top) / crop[0]  # image pixels per seen pixel
    side_x, side_y = max(3, round(6 * across)), max(3, round(6 * down))
    low_x, high_x = max(left, 0) + across, min(right, width) - across - side_x
    low_y, high_y = max(top, 0) + down, min(bottom, height) - down - side_y
    if high_x < low_x + 1 or high_y < low_y + 1:
        return  # no room for a mark
    x, y = round(low_x + where[0] * (high_x - low_x)), round(low_y + where[1] * (high_y - low_y))
    image = Image.new("RGB", (width, height))
    image.paste((255, 255, 255), (x, y, x + side_x, y + side_y))
    seen = np.asarray(preprocessing.image(image), dtype=np.float64)
    border = tuple(round(255 * value) for value in preprocessing.mean) if mode == "border" else (0, 0, 0)
    seen = np.where((seen == border).all(-1, keepdims=True), 0, seen).sum(-1)
    rows, columns = np.indices(seen.shape) + 0.5
    center_x, center_y = (columns * seen).sum() / seen.sum(), (rows * seen).sum() / seen.sum()
    assert center_x == pytest.approx((x + side_x / 2 - left) / across, abs=0.5)
    assert center_y == pytest.approx((y + side_y / 2 - top) / down, abs=0.5)


def test_unknown_crop_mode():
    with pytest.raises(UnknownNameError, match="no crop mode is called 'centre'; did you mean center"):
        Preprocessing(crop_mode="centre")


def test_every_pretrained_configuration_is_understood():
    modes = {find(f"timm/{name}").preprocessing.crop_mode for name in timm.list_pretrained("*convnext*")}
    assert modes == {"center", "squash"}
