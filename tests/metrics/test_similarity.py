"""Two maps alike: against scipy and scikit-image, by hand, and where nothing is defined."""

import math
import sys

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.feature import hog
from skimage.metrics import structural_similarity as peer_similarity

from equipoise.errors import MissingPackageError, ShapeError
from equipoise.metrics import (
    RankCorrelation,
    hog_correlation,
    rank_correlation,
    sensitivity_to_gamma,
    structural_similarity,
)
from shapes import unchecked

ALL = [rank_correlation, structural_similarity, hog_correlation]


def pair(n=3, size=(64, 80), seed=0):
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(n, *size, generator=generator, dtype=torch.float64)
    return a, a + torch.randn(n, *size, generator=generator, dtype=torch.float64)


@given(st.integers(0, 2**31), st.sampled_from([None, 1, 3]), st.booleans())
def test_rank_correlation_equals_scipys(seed, levels, absolute):
    a, b = pair(2, (5, 6), seed)
    if levels:
        a, b = (levels * a).round(), (levels * b).round()
    a[:, 0, 0], b[:, 0, 0] = 9, 7
    found = rank_correlation(a, b, absolute=absolute)
    for one, other, value in zip(a, b, found, strict=True):
        maps = [np.abs(m.numpy()) if absolute else m.numpy() for m in (one, other)]
        assert value.item() == pytest.approx(scipy.stats.spearmanr(maps[0].ravel(), maps[1].ravel()).statistic)


@pytest.mark.parametrize("absolute", [False, True])
def test_structure_and_gradients_equal_scikit_images(absolute):
    a, b = pair()
    for index, (one, other) in enumerate(zip(a.numpy(), b.numpy(), strict=True)):
        maps = [np.abs(m) if absolute else m for m in (one, other)]
        maps = [(m - m.min()) / (m.max() - m.min()) for m in maps]
        ssim = peer_similarity(*maps, gaussian_weights=True, data_range=1.0)
        assert structural_similarity(a, b, absolute=absolute)[index].item() == pytest.approx(ssim)
        histograms = [hog(m, pixels_per_cell=(16, 16)) for m in maps]
        expected = scipy.stats.spearmanr(*histograms).statistic
        assert hog_correlation(a, b, absolute=absolute)[index].item() == pytest.approx(expected)


@pytest.mark.parametrize("metric", ALL)
def test_a_map_is_like_itself_at_any_scale(metric):
    a, b = pair()
    assert metric(a, 3 * a + 2).tolist() == pytest.approx([1] * 3)
    assert torch.allclose(metric(a, b), metric(b, a))
    assert metric(a, b).max() < 0.99
    assert (metric(a, -a).max() < 0.2) == (metric is not hog_correlation)  # its orientations have no sign
    assert metric(a, -a, absolute=True).tolist() == pytest.approx([1] * 3)
    assert metric(a.float(), b.float()).dtype == torch.float32


@pytest.mark.parametrize("metric", ALL)
def test_constant_maps_and_maps_that_are_not_finite_are_undefined(metric):
    a, b = pair(5)
    a[0], b[1] = 3, 0
    a[2, 5, 5], b[3, 9, 0] = math.nan, math.inf
    assert metric(a, b).isnan().tolist() == [True] * 4 + [False]
    assert metric(a, b, absolute=True).isnan().tolist() == [True] * 4 + [False]


def test_rank_correlation_by_hand():
    a = torch.tensor([[[1.0, 2.0, 3.0, 40.0]], [[1.0, 2.0, 3.0, 40.0]], [[1.0, 1.0, 2.0, 2.0]]])
    b = torch.tensor([[[-9.0, 0.0, 0.5, 7.0]], [[4.0, 3.0, 2.0, 1.0]], [[1.0, 2.0, 1.0, 2.0]]])
    assert rank_correlation(a, b).tolist() == pytest.approx([1, -1, 0])
    assert rank_correlation(a, b, absolute=True)[0].item() == pytest.approx(-0.2)  # 1 - 6 * 12 / 60
    metric = RankCorrelation()
    metric.update(a, b)
    metric.update(torch.ones(1, 2, 2), torch.rand(1, 2, 2))
    assert (metric.compute().item(), metric.undefined_count.item()) == (pytest.approx(0), 1)


def test_similarities_refuse():
    a, b = pair()
    for metric in ALL:
        with pytest.raises(ShapeError, match=r"two maps of one shape, not \(3, 64, 80\) and \(2, 64, 80\)"):
            unchecked(metric)(a, b[:2])
    with pytest.raises(ShapeError, match="at least 11 by 11"):
        unchecked(structural_similarity)(a[:, :10], b[:, :10])
    with pytest.raises(ShapeError, match="at least 48 by 48"):
        unchecked(hog_correlation)(a[:, :47], b[:, :47])
    assert structural_similarity(a[:, :11, :11], b[:, :11, :11]).isfinite().all()
    assert hog_correlation(a[:, :48, :48], b[:, :48, :48]).isfinite().all()


@pytest.mark.parametrize("metric", ALL[1:])
def test_without_scikit_image_the_error_says_what_to_install(metric, monkeypatch):
    for name in ("skimage", "skimage.metrics", "skimage.feature"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPackageError, match=r"pip install equipoise\[evaluate\]"):
        metric(*pair())


def test_sensitivity_to_gamma():
    maps = torch.tensor([[[-1.0, 0.0, 1.0, 2.0]], [[-2.0, -1.0, 0.0, 1.0]], [[2.0, 1.0, 0.5, -1.0]], [[1.0] * 4]])
    found = sensitivity_to_gamma(maps)
    assert found.rank_correlation.tolist() == pytest.approx([1, 1, -1, math.nan], nan_ok=True)
    assert found.positive_ratio.tolist() == [0.5, 0.25, 0.75, 1]
