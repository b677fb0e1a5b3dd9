"""What the values of an image add up to, for every method of which docs/which-method.md says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import equipoise


def network(*, bias: bool) -> nn.Module:
    """A chain wide enough that no relevance falls on a neuron without contributions."""
    torch.manual_seed(3)
    body = nn.Sequential(
        nn.Conv2d(3, 32, 3, bias=bias), nn.ReLU(), nn.Conv2d(32, 32, 3, bias=bias), nn.ReLU(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(32 * 16, 5, bias=bias),
    )  # fmt: skip
    return body.double().eval()


def image() -> Tensor:
    return torch.randn(2, 3, 12, 12, dtype=torch.float64)


def scores(model: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return model(x)[:, 2]


# Method: whether the law needs a network without biases; the expected sum; the relative tolerance.
LAWS = {
    "ae": (False, lambda _model, x: torch.full((len(x),), -1.0), 1e-9),
    "integrated_gradients": (False, lambda model, x: scores(model, x) - scores(model, 0 * x), 2e-2),
    "deep_lift": (False, lambda model, x: scores(model, x) - scores(model, 0 * x), 1e-6),
    "lrp_alpha_beta": (False, lambda _model, x: torch.ones(len(x)), 1e-6),
    "deep_taylor": (False, lambda _model, x: torch.ones(len(x)), 1e-6),
    "rap": (False, lambda _model, x: torch.ones(len(x)), 1e-6),
    "lrp_composite": (True, scores, 2e-3),
    "eb": (False, lambda _model, x: torch.ones(len(x)), 1e-6),
    "contrastive_lrp": (False, lambda _model, x: torch.zeros(len(x)), 1e-9),
    "input_x_gradient": (True, scores, 1e-9),
}


def test_every_promised_sum_has_its_law():
    page = (Path(__file__).parents[2] / "docs" / "which-method.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"\| method \| the values of an image add up to \|\n\|---\|---\|\n((?:\|.*\n)+)", page)
    assert set(LAWS) == set(re.findall(r"^\| \[`(\w+)`\]", table, re.MULTILINE))


@pytest.mark.parametrize("method", LAWS)
def test_the_values_add_up(method):
    without_bias, expected, tolerance = LAWS[method]
    model, x = network(bias=not without_bias), image()
    total = equipoise.attribute(model, x, 2, method=method).flatten(1).sum(1)
    torch.testing.assert_close(total, expected(model, x).to(total.dtype), rtol=tolerance, atol=1e-8)


@pytest.mark.parametrize("gamma", [1.0, 1.3, 2.0])
def test_the_sum_of_ae_follows_gamma(gamma):
    found = equipoise.attribute(network(bias=True), image(), 2, gamma=gamma).flatten(1).sum(1)
    torch.testing.assert_close(found, torch.full_like(found, gamma - 2), rtol=1e-9, atol=1e-9)


def test_deep_taylor_is_alpha_beta_at_one():
    model, x = network(bias=True), image()
    one, two = (equipoise.attribute(model, x, 2, method=name) for name in ("deep_taylor", "lrp_alpha_beta"))
    assert torch.equal(one, two)


@pytest.mark.parametrize("method", ["deep_taylor", "lrp_alpha_beta", "eb"])
def test_nothing_is_negative_for_a_positive_score(method):
    model, x = network(bias=True), image()
    classes = model(x).argmax(1)
    assert (model(x).amax(1) > 0).all()
    found = equipoise.attribute(model, x, classes, method=method)
    assert found.min() >= 0 < found.max()
