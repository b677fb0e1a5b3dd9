"""Rank accuracy of CLEVR-XAI: by hand, ties, laws, Quantus; mass accuracy is the energy."""

import math

import numpy as np
import pytest
import quantus
import torch
from hypothesis import given
from hypothesis import strategies as st

from equipoise.metrics import METRICS, EnergyPointingGame, energy_pointing, relevance_rank_accuracy

SEEDS = st.integers(0, 2**31)


def scene(seed, values=None):
    generator = torch.Generator().manual_seed(seed)
    heat = torch.randn(3, 6, 7, generator=generator, dtype=torch.float64)
    if values:
        heat = torch.randint(0, values, (3, 6, 7), generator=generator).double()
    return heat, torch.rand(3, 6, 7, generator=generator) < 0.3


def quantus_scores(metric, heat, masks):
    return metric(
        model=None, x_batch=heat[:, None].numpy(), y_batch=np.zeros(len(heat), int), a_batch=heat[:, None].numpy(),
        s_batch=masks[:, None].numpy(), device="cpu",
    )  # fmt: skip


@given(SEEDS)
def test_ranks_and_masses_equal_quantus(seed):
    heat, masks = scene(seed)
    rank = quantus.RelevanceRankAccuracy(abs=False, normalise=False, disable_warnings=True)
    assert relevance_rank_accuracy(heat, masks).tolist() == pytest.approx(
        quantus_scores(rank, heat, masks), nan_ok=True
    )
    mass = quantus.RelevanceMassAccuracy(abs=False, normalise=False, disable_warnings=True)
    positive = heat.clamp(min=0)  # the authors' maps have no negative values
    assert energy_pointing(heat, masks).tolist() == pytest.approx(quantus_scores(mass, positive, masks), nan_ok=True)


@given(SEEDS, st.integers(1, 4))
def test_ties_are_the_mean_over_all_ways_to_break_them(seed, values):
    """Exactly for a loop that counts each tied pixel by the chance that it is taken."""
    heat, masks = scene(seed, values)
    for one, mask, found in zip(heat, masks, relevance_rank_accuracy(heat, masks), strict=True):
        size = int(mask.sum())
        if size == 0:
            assert found.isnan()
            continue
        last = one.flatten().sort(descending=True).values[size - 1]
        chance = (size - int((one > last).sum())) / int((one == last).sum())
        taken = (one > last).double() + chance * (one == last).double()
        assert found.item() == pytest.approx(float((taken * mask).sum()) / size)


@given(SEEDS)
def test_only_the_order_matters(seed):
    heat, masks = scene(seed)
    expected = relevance_rank_accuracy(heat, masks)
    assert torch.allclose(relevance_rank_accuracy(heat.exp() * 3, masks), expected, equal_nan=True)


def test_by_hand():
    heat = torch.tensor([[[4.0, 3.0], [2.0, 1.0]]]).expand(3, 2, 2).clone()
    masks = torch.tensor([[[1, 0], [1, 0]], [[0, 0], [0, 0]], [[1, 1], [1, 1]]], dtype=torch.bool)
    found = relevance_rank_accuracy(heat, masks)
    assert (found[0], found[2]) == (0.5, 1)
    assert found[1].isnan()
    heat[0, 0, 0] = math.nan
    assert relevance_rank_accuracy(heat, masks)[0].isnan()
    assert relevance_rank_accuracy(torch.zeros(1, 2, 2), masks[:1]).item() == 0.5


def test_mass_accuracy_is_the_energy_by_another_name():
    assert METRICS["relevance_mass_accuracy"] is METRICS["relevance mass accuracy"] is EnergyPointingGame


@given(SEEDS, st.floats(0.01, 0.9))
def test_the_positive_part_is_the_same_where_it_fills_the_places(seed, quantile):
    heat, masks = scene(seed)
    heat = heat - heat.flatten(1).quantile(quantile, dim=1)[:, None, None]
    signed, positive = (relevance_rank_accuracy(one, masks) for one in (heat, heat.clamp(min=0)))
    filled = (heat > 0).sum((1, 2)) >= masks.sum((1, 2))
    assert torch.equal(signed[filled].nan_to_num(-1), positive[filled].nan_to_num(-1))


def test_places_that_the_positive_part_leaves_go_to_the_highest_of_the_others():
    heat = torch.tensor([[[2.0, -1.0], [-2.0, -3.0]]])
    masks = torch.tensor([[[True, True], [False, False]]])
    assert relevance_rank_accuracy(heat, masks).item() == 1
    assert relevance_rank_accuracy(heat.clamp(min=0), masks).item() == pytest.approx((1 + 1 / 3) / 2)
