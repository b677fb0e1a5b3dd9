"""Every geometry of a linear map: the same numbers as torch, and an adjoint that is one."""

import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from equipoise.engine.linear_map import Geometry, LinearMap
from helpers import dense_matrix


@st.composite
def maps(draw):
    """A random convolution of 1 to 3 dimensions, transposed or not, padded before or not."""
    d = draw(st.integers(1, 3))
    groups = draw(st.integers(1, 2))
    kernel = tuple(draw(st.lists(st.integers(1, 3), min_size=d, max_size=d)))
    stride = tuple(draw(st.lists(st.integers(1, 3), min_size=d, max_size=d)))
    dilation = tuple(draw(st.lists(st.integers(1, 2), min_size=d, max_size=d)))
    padding = tuple(draw(st.lists(st.integers(0, 2), min_size=d, max_size=d)))
    transposed = draw(st.booleans())
    output_padding = tuple(
        draw(st.integers(0, max(s, e) - 1)) if transposed else 0 for s, e in zip(stride, dilation, strict=True)
    )
    before = () if transposed else tuple(draw(st.lists(st.integers(0, 2), min_size=2 * d, max_size=2 * d)))
    size = tuple(draw(st.lists(st.integers(3, 5), min_size=d, max_size=d)))
    for i in range(d):
        extra = sum(before[2 * (d - 1 - i) : 2 * (d - 1 - i) + 2]) if before else 0
        reach = dilation[i] * (kernel[i] - 1) + 1
        if transposed:
            assume((size[i] - 1) * stride[i] - 2 * padding[i] + reach + output_padding[i] >= 1)
        else:
            assume(size[i] + extra + 2 * padding[i] >= reach)
    cin, cout = 2 * groups, 3 * groups
    shape = (cin, cout // groups, *kernel) if transposed else (cout, cin // groups, *kernel)
    return shape, (stride, padding, dilation, output_padding, groups, transposed, before), (cin, *size)


def build(spec):
    shape, geometry, in_shape = spec
    return LinearMap(torch.randn(*shape, dtype=torch.float64), None, Geometry(*geometry), in_shape)


@settings(max_examples=60, deadline=None)
@given(maps())
def test_adjoint_is_the_transposed_dense_matrix(spec):
    layer = build(spec)
    matrix = dense_matrix(layer, layer.in_shape)
    z = layer(torch.randn(1, *layer.in_shape, dtype=torch.float64))
    s = torch.randn(3, 2, *z.shape[1:], dtype=torch.float64)
    expected = (s.reshape(6, -1) @ matrix).reshape(3, 2, *layer.in_shape)
    torch.testing.assert_close(layer.adjoint(s), expected, rtol=1e-10, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(maps())
def test_of_ones_is_the_map_of_an_image_of_ones(spec):
    layer = build(spec)
    weight = layer.weight.abs()
    expected = layer(torch.ones(1, *layer.in_shape, dtype=torch.float64), weight)
    torch.testing.assert_close(layer.of_ones(weight).expand_as(expected), expected, rtol=1e-12, atol=1e-12)


def test_forward_is_torchs_convolution_after_the_pad():
    weight, x = torch.randn(4, 1, 3, 3, dtype=torch.float64), torch.randn(2, 2, 7, 6, dtype=torch.float64)
    layer = LinearMap(weight, None, Geometry((2, 1), (1, 0), (1, 2), (0, 0), 2, before=(1, 2, 0, 1)), (2, 7, 6))
    expected = F.conv2d(F.pad(x, (1, 2, 0, 1)), weight, None, (2, 1), (1, 0), (1, 2), 2)
    torch.testing.assert_close(layer(x), expected)


def test_a_linear_layer_is_a_pointwise_map_on_any_layout():
    weight, x = torch.randn(4, 3, dtype=torch.float64), torch.randn(2, 5, 6, 3, dtype=torch.float64)
    layer = LinearMap(weight, None, None, (5, 6, 3))
    assert layer.pointwise
    torch.testing.assert_close(layer(x), F.linear(x, weight))
    s = torch.randn(2, 5, 6, 4, dtype=torch.float64)
    torch.testing.assert_close((layer(x) * s).sum(), (x * layer.adjoint(s)).sum())
    torch.testing.assert_close(layer.of_ones(weight).expand(2, 5, 6, 4), layer(torch.ones_like(x)))


def test_an_output_padding_of_a_whole_stride_reaches_no_input():
    """Found by the property above: torch allows it where the dilation is larger than the stride."""
    geometry = Geometry((1, 1), (0, 0), (2, 1), (1, 0), 1, transposed=True)
    layer = LinearMap(torch.randn(2, 3, 1, 1, dtype=torch.float64), None, geometry, (2, 3, 3))
    s = torch.randn(1, *layer(torch.zeros(1, 2, 3, 3, dtype=torch.float64)).shape, dtype=torch.float64)
    expected = (s.reshape(1, -1) @ dense_matrix(layer, (2, 3, 3))).reshape(1, 1, 2, 3, 3)
    torch.testing.assert_close(layer.adjoint(s), expected)
