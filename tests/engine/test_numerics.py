"""Rows of extreme size are brought near 1 by powers of two, and what rounding left of nothing is nothing."""

import math

import pytest
import torch

from equipoise.engine.numerics import _to_range, in_range, without_residue

SIZES = [0.0, 1e-45, 1e-38, 1e-30, 1e-13, 1e-12, 1e-3, 1.0, 7.0, 1e11, 1e12, 1e30, 3e38]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", SIZES)
def test_a_row_is_scaled_by_a_power_of_two_and_the_others_are_not(dtype, value):
    x = torch.rand(3, 4, dtype=dtype)
    x[1] *= value
    found = in_range(x.clone())
    assert torch.equal(found[::2], x[::2])
    if value and (value < 1e-12 or value > 1e12):
        assert 1e-8 < float(found[1].amax()) < 10
    factor = float(_to_range(x.amax(1))[1])
    assert torch.equal(found[1], x[1] * factor)
    assert factor == 2 ** round(math.log2(factor))


def test_what_is_not_extreme_comes_back_itself():
    x = torch.rand(2, 3, 4)
    assert in_range(x) is x
    assert torch.equal(_to_range(torch.tensor([1.0, torch.inf])), torch.tensor([1.0, 2.0**-126]))
    x[0] = 0
    assert in_range(x) is x


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_changes_nothing_beside_the_largest_of_its_sample_is_zero(dtype):
    C = torch.randn(2, 3, 4, 5, dtype=dtype)  # two targets of three images
    C[:, 1] *= 1e6
    largest = C.abs().amax((2, 3))
    C[0, 0, 0, 0] = -largest[0, 0] * torch.finfo(dtype).eps / 3
    C[0, 1, 0, 0] = largest[0, 1] * torch.finfo(dtype).eps
    C[1, 2] = 0
    found, expected = without_residue(C, 3), C.clone()
    expected[0, 0, 0, 0] = 0
    assert torch.equal(found, expected)
    assert torch.equal(without_residue(C.reshape(2, 1, 12, 5), 1)[..., 4:8, :], C.reshape(2, 1, 12, 5)[..., 4:8, :])
    assert without_residue(C[:, :0], 3).shape == (2, 0, 4, 5)
