"""The memory layout of what rules work on: fast for convolutions, unseen outside."""

import pytest
import torch
from torch import nn

import equipoise
from equipoise.engine.layout import in_turn, laid_out, rows_like, settled
from equipoise.engine.linear_map import Geometry, LinearMap

LAST = torch.channels_last
PLAIN = Geometry(stride=(1, 1), padding=(1, 1), dilation=(1, 1), output_padding=(0, 0))


@pytest.mark.parametrize("m", [1, 3])
def test_images_lie_with_the_channels_last_and_stay_the_same(m):
    x = torch.randn(m, 4, 5, 6)
    assert laid_out(x).is_contiguous(memory_format=LAST)
    assert torch.equal(laid_out(x), x)
    y = laid_out(x)
    assert laid_out(y).data_ptr() == y.data_ptr(), "no second copy"
    assert y.stride() == (120, 1, 24, 4)


@pytest.mark.parametrize("x", [torch.zeros(2, 3), torch.zeros(2, 3, 4), torch.zeros(2, 3, 4, 5).double()])
def test_what_is_no_float32_image_is_left(x):
    assert laid_out(x) is x
    assert settled(x) is x
    assert rows_like(x, 2).is_contiguous()


@pytest.mark.parametrize("m", [1, 2])
def test_neither_way_through_a_convolution_is_anything_reordered(m):
    """Torch takes a single image's layout from the stride of its only row; were it wrong, it would copy."""
    layer = LinearMap(torch.randn(4, 3, 3, 3), None, PLAIN, (3, 6, 6))
    x = rows_like(torch.zeros(m, 3, 6, 6), 1).normal_()
    z = layer(x[0])
    back = layer.adjoint(rows_like(z, 2).normal_())
    assert z.is_contiguous(memory_format=LAST)
    assert all(row.is_contiguous(memory_format=LAST) for row in back)
    assert not (m > 1 and z.is_contiguous())
    torch.testing.assert_close(z, torch.conv2d(x[0].contiguous(), layer.weight, padding=1))


def test_a_relevance_is_stacked_without_losing_its_layout():
    rows = rows_like(torch.zeros(2, 3, 4, 5), 2)
    assert rows.shape == (2, 2, 3, 4, 5)
    assert rows[1].is_contiguous(memory_format=LAST)


@pytest.mark.parametrize("method", ["ae", "lrp_composite", "excitation_backprop"])
def test_what_a_user_gets_lies_as_usual(method):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    assert equipoise.attribute(model, torch.randn(2, 3, 8, 8), 1, method=method).is_contiguous()


def test_slices_cover_all_once():
    assert list(in_turn(5, 2)) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert list(in_turn(2, 0)) == [slice(0, 1), slice(1, 2)]
    assert list(in_turn(0, 3)) == []
