"""ROAD: the imputation against a dense solver and Quantus; the curve by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from quantus.functions.perturb_func import noisy_linear_imputation

from equipoise.errors import OptionError, ShapeError
from equipoise.metrics import METRICS, impute, ranking, road_curve
from shapes import unchecked

SEEDS = st.integers(0, 2**31)


def scene(seed, n=1, c=2, h=6, w=7, share=0.4):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(n, c, h, w, generator=generator, dtype=torch.float64)
    return images, torch.rand(n, h, w, generator=generator) < share


@given(SEEDS, st.floats(0.05, 0.95))
def test_every_removed_pixel_is_the_weighted_mean_of_its_neighbors(seed, share):
    """The definition, pixel by pixel; what is left stays as it is."""
    images, removed = scene(seed, share=share)
    removed[0, 2, 2] = False  # something is left
    found = impute(images, removed, noise=0.0)
    assert torch.equal(found.masked_select(~removed[:, None]), images.masked_select(~removed[:, None]))
    for y, x in removed[0].nonzero().tolist():
        near = [
            (found[0, :, y + a, x + b], 2 if 0 in (a, b) else 1)
            for a in (-1, 0, 1) for b in (-1, 0, 1)
            if (a, b) != (0, 0) and 0 <= y + a < 6 and 0 <= x + b < 7
        ]  # fmt: skip
        mean = sum(value * weight for value, weight in near) / sum(weight for _, weight in near)
        assert torch.allclose(found[0, :, y, x], mean, atol=1e-9)


@given(SEEDS)
def test_it_is_quantus_imputation(seed):
    images, removed = scene(seed)
    indices = removed[0].flatten().nonzero()[:, 0].numpy()
    if not 0 < len(indices) < 42:
        return
    expected = noisy_linear_imputation(images[0].numpy(), indices, noise=0.0)
    assert np.allclose(impute(images, removed, noise=0.0)[0].numpy(), expected, atol=1e-9)


@given(SEEDS)
def test_it_stays_between_what_is_left(seed):
    images, removed = scene(seed)
    left = images[:, 0][~removed]
    if len(left) == 0:
        return
    found = impute(images, removed, noise=0.0)[:, 0]
    assert found.min() >= left.min() - 1e-9
    assert found.max() <= left.max() + 1e-9


def test_noise_is_added_to_what_was_imputed_alone_and_no_batch_matters():
    images, removed = scene(0, n=3, h=40, w=40)
    state = torch.get_rng_state()
    found = impute(images, removed, noise=0.1, seed=4)
    assert torch.equal(torch.get_rng_state(), state)
    added = (found - impute(images, removed, noise=0.0)).movedim(1, -1)
    assert torch.equal(added[~removed], torch.zeros_like(added[~removed]))
    assert added[removed].std().item() == pytest.approx(0.1, rel=0.1)
    assert torch.equal(impute(images[1:2], removed[1:2], noise=0.1, seed=4), found[1:2])
    assert not torch.equal(impute(images, removed, noise=0.1, seed=5), found)


def test_nothing_removed_and_nothing_left():
    images, _ = scene(0)
    assert torch.equal(impute(images, torch.zeros(1, 6, 7, dtype=torch.bool)), images)
    assert torch.equal(impute(images, torch.ones(1, 6, 7, dtype=torch.bool), noise=0.0), torch.zeros_like(images))


def test_imputation_refuses():
    images, removed = scene(0)
    with pytest.raises(ShapeError, match=r"with torch.bool \(1, 6, 6\)"):
        unchecked(impute)(images, removed[:, :, 1:])
    with pytest.raises(OptionError, match="noise"):
        impute(images, removed, noise=-1.0)


def test_the_curve_scores_imputed_images_in_the_order_of_the_map():
    images, _ = scene(1, n=2, h=8, w=8)
    heat = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(2))
    seen = []

    def score(pixels, index):
        seen.extend(index.tolist())
        return pixels[:, 0].sum((1, 2)) + 100 * index

    curves = road_curve(score, images, heat, shares=(0.25, 0.5), chunk=3)
    for number in range(2):
        for step, count in enumerate((16, 32)):
            gone = torch.zeros(1, 64, dtype=torch.bool)
            gone[0, ranking(heat[number][None])[0, :count]] = True
            expected = impute(images[number][None], gone.reshape(1, 8, 8))[0, 0].sum() + 100 * number
            assert curves[number, step].item() == pytest.approx(expected.item())
    assert seen == [0, 0, 1, 1]
    least = road_curve(score, images, heat, shares=(0.25,), order="least_relevant")
    assert not torch.equal(least[:, 0], curves[:, 0])


def test_maps_that_are_not_finite_are_not_scored():
    images, _ = scene(0, n=2, h=8, w=8)
    heat = torch.rand(2, 8, 8)
    heat[0, 0, 0] = math.nan
    curves = road_curve(lambda _pixels, index: index + 1.0, images, heat)
    assert curves.isnan().all(1).tolist() == [True, False]
    metric = METRICS["ROAD"]()
    metric.update(curves)
    assert (metric.compute().item(), metric.undefined_count.item()) == (2, 1)


def test_the_curve_refuses():
    images, _ = scene(0, h=8, w=8)
    heat = torch.rand(1, 8, 8)
    with pytest.raises(OptionError, match="chunk"):
        road_curve(lambda pixels, _: pixels.sum((1, 2, 3)), images, heat, chunk=0)
    with pytest.raises(ShapeError, match="one number for each image"):
        road_curve(lambda pixels, _: pixels.sum((2, 3)), images, heat)
