"""Smoothing and resizing of maps against scipy and by hand."""

import pytest
import scipy.ndimage
import torch

from equipoise.errors import OptionError, ShapeError
from equipoise.metrics import resize_map, smooth
from shapes import unchecked


@pytest.mark.parametrize(("shape", "sigma"), [((40, 30), 0.02), ((17, 60), 0.05), ((3, 5), 0.4)])
def test_smoothing_equals_scipys_gaussian(shape, sigma):
    heat = torch.randn(2, 3, *shape, dtype=torch.float64)
    pixels = sigma * max(shape)
    radius = -int(-4 * pixels // 1)
    expected = scipy.ndimage.gaussian_filter(heat.numpy(), pixels, axes=(2, 3), mode="nearest", radius=radius)
    assert torch.allclose(smooth(heat, sigma), torch.from_numpy(expected), rtol=0, atol=1e-12)


def test_smoothing_keeps_constants_dtype_and_the_argument():
    heat = torch.full((1, 9, 7), 3.0, dtype=torch.float16)
    assert smooth(heat).dtype == torch.float16
    assert torch.allclose(smooth(heat), heat)
    assert torch.equal(smooth(heat, 0), heat)
    assert smooth(heat, 0) is not heat
    assert smooth(torch.zeros(0, 5, 5)).shape == (0, 5, 5)


def test_smoothing_refuses():
    with pytest.raises(OptionError, match="at least 0"):
        smooth(torch.zeros(1, 4, 4), -0.1)
    with pytest.raises(ShapeError, match=r"int64 \(4, 4\)"):
        unchecked(smooth)(torch.zeros(4, 4, dtype=torch.int64))


def test_resizing_by_hand():
    """Pixel centers of the doubled row lie at -1/4, 1/4, 3/4, 5/4 of the old ones."""
    heat = torch.tensor([[[0.0, 4.0]]])
    assert resize_map(heat, (1, 4)).tolist() == [[[0.0, 1.0, 3.0, 4.0]]]
    assert torch.equal(resize_map(heat[0], (1, 2)), heat[0])
    with pytest.raises(ShapeError, match="floating"):
        unchecked(resize_map)(torch.zeros(3), (1, 4))
