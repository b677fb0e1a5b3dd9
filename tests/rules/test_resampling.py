"""Interpolation: whatever the signs of its weights, a map stays in proportion."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import equipoise
from equipoise.engine import Relevance, record
from equipoise.engine.rule import Step
from equipoise.methods import METHODS
from equipoise.rules.pooling import Pool
from equipoise.rules.resampling import Resampled, signed_weights
from equipoise.rules.structure import STRUCTURE
from helpers import dense_matrix, relative_error

SPELLINGS = {
    "twice as large": {"scale_factor": 2, "mode": "bicubic"},
    "corners aligned": {"size": (9, 11), "mode": "bicubic", "align_corners": True},
    "smaller": {"size": (3, 4), "mode": "bicubic"},
    "antialiased": {"size": (4, 3), "mode": "bicubic", "antialias": True},
    "bilinear": {"scale_factor": 1.5, "mode": "bilinear"},
    "nearest": {"scale_factor": 2},
}


class Net(nn.Module):
    """A resized map between two convolutions."""

    def __init__(self, **options) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.a, self.b, self.f = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 12, 3, padding=1), nn.Linear(12, 5)
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        return self.f(self.b(F.interpolate(self.a(x).relu(), **self.options)).relu().mean((2, 3)))


def step_of(model: nn.Module, x: Tensor) -> Step:
    trace = record(model, x)
    return Step(next(call for call in trace.calls if call.name == "interpolate"), trace)


@settings(max_examples=20, deadline=None)
@given(spelling=st.sampled_from(sorted(SPELLINGS)), seed=st.integers(0, 99))
def test_it_is_the_equation_on_the_dense_matrix(spelling, seed):
    torch.manual_seed(seed)
    step = step_of(Net(**SPELLINGS[spelling]).double().eval(), torch.randn(2, 3, 6, 5, dtype=torch.float64))
    x = step.data()
    R = torch.randn(3, *step.call.outputs[0].shape, dtype=torch.float64)
    found = Resampled(Pool())(step, [Relevance(R)])[0].value
    w = dense_matrix(lambda image: F.interpolate(image, **SPELLINGS[spelling]), (1, 6, 5)).abs()
    X = x.clamp(min=0).flatten(2) + 1e-9  # (m, c, in)
    expected = X * ((R.flatten(3) / (X @ w.T)) @ w)
    assert relative_error(found, expected.reshape(found.shape)) < 1e-10
    assert (signed_weights(step) is None) == (spelling in ("bilinear", "nearest"))
    torch.testing.assert_close(found.flatten(2).sum(2), R.flatten(2).sum(2))


def test_weights_of_one_sign_follow_the_method_s_own_rule():
    model = Net(scale_factor=2, mode="bilinear").double().eval()
    step = step_of(model, torch.randn(2, 3, 6, 5, dtype=torch.float64))
    R = [Relevance(torch.randn(1, *step.call.outputs[0].shape, dtype=torch.float64))]
    assert torch.equal(STRUCTURE[step.call.kind](step, R)[0].value, Pool()(step, R)[0].value)


@pytest.mark.parametrize("method", [name for name in METHODS.names() if hasattr(METHODS[name], "explain_trace")])
@pytest.mark.parametrize("profile", ["paper", "reference"])
def test_bicubic_maps_are_no_larger_than_bilinear_ones(method, profile):
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    options = {"profile": profile} if profile == "reference" else {}
    try:
        sizes = {
            mode: float(
                equipoise.attribute(Net(scale_factor=2, mode=mode).eval(), x, 1, method=method, **options).abs().max()
            )
            for mode in ("bilinear", "bicubic")
        }
    except equipoise.errors.UnknownOptionError:
        pytest.skip("this method has one profile")
    assert 0 < sizes["bicubic"] < 3 * sizes["bilinear"]
