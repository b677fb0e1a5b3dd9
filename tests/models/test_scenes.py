"""Drawn scenes: what they promise, that one thing can be changed alone, and that the networks rest on the causes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.datasets.drawing import MOST, SHORTCUT, SIDE
from equipoise.errors import OptionError, UnknownNameError
from equipoise.scenes import SHAPES, TEXTURES, Bias, draw, load, normalized
from equipoise.scenes.interventions import effects, flips, logits
from equipoise.scenes.measuring import measured, of_method, table
from equipoise.scenes.networks import ARCHITECTURES, SEEDS, weights
from equipoise.scenes.training import accuracy, save, train

DRAWS = settings(max_examples=10)


@DRAWS
@given(st.integers(0, 2**40))
def test_scenes_are_what_they_say(seed):
    scenes = draw(40, seed)
    images, masks = scenes.images(), scenes.masks()
    assert images.shape == (40, 3, SIDE, SIDE)
    assert images.min() >= 0
    assert images.max() <= 1
    assert torch.equal(masks.flatten(2).any(2), scenes.shapes >= 0)  # every object is seen, nothing else is
    assert (masks.sum(1) <= 1).all(), "objects do not overlap"
    assert not (masks.any(1) & scenes.watermark & scenes.marked[:, None, None]).any()
    for shape in range(len(SHAPES)):
        assert torch.equal(scenes.labels[:, shape], scenes.causes(shape).flatten(1).any(1))


def test_scenes_hold_nothing_to_three_objects_evenly_and_chance_decides_the_rest():
    scenes = draw(4000, 3)
    numbers = (scenes.shapes >= 0).sum(1).bincount() / 4000
    assert torch.allclose(numbers, torch.full((MOST + 1,), 0.25), atol=0.03)
    circle = (scenes.shapes == 0).any(1)
    assert scenes.marked[circle].float().mean() == pytest.approx(0.5, abs=0.05)
    square = scenes.textures[scenes.shapes == SHAPES.names().index("square")].bincount(minlength=len(TEXTURES))
    assert (square / square.sum() - 0.25).abs().max() < 0.05


def test_a_bias_is_a_shortcut():
    scenes = draw(4000, 3, Bias(watermark=1.0, texture=1.0))
    assert torch.equal(scenes.marked, (scenes.shapes == 0).any(1))
    striped = scenes.textures == TEXTURES.names().index("stripes")
    there, square = scenes.shapes >= 0, scenes.shapes == SHAPES.names().index("square")
    assert torch.equal(striped[there], square[there])
    with pytest.raises(OptionError, match="probability"):
        Bias(watermark=1.2)
    with pytest.raises(OptionError, match="at least 0"):
        draw(-1)


def test_seeds_and_random_states():
    state = torch.get_rng_state()
    first, again, other = draw(5, 7).images(), draw(5, 7).images(), draw(5, 8).images()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@DRAWS
@given(st.integers(0, 2**40), st.integers(0, MOST - 1))
def test_one_thing_is_changed_and_nothing_else(seed, index):
    scenes = draw(20, seed)
    images, masks = scenes.images(), scenes.masks()

    def changed(others):
        return (others.images() != images).any(1)

    assert torch.equal(changed(scenes.without(index)), masks[:, index])
    other = scenes.with_watermark(marked=True)
    assert not (changed(other) & ~scenes.watermark).any()
    assert not (changed(scenes.textured(1)) & ~masks.any(1)).any()
    assert not (
        changed(scenes.on(draw(20, seed + 1))) & (masks.any(1) | (scenes.watermark & scenes.marked[:, None, None]))
    ).any()


PACKAGED = [(name, seed) for name in ARCHITECTURES.names() for seed in SEEDS]


@pytest.mark.parametrize(("name", "seed"), PACKAGED)
def test_packaged_networks_are_right_and_small(name, seed):
    assert weights(name, seed).stat().st_size < 200_000
    assert accuracy(load(name, seed), ARCHITECTURES[name].bias, 300) > 0.97


def test_all_weights_are_below_a_megabyte():
    assert sum(weights(*one).stat().st_size for one in PACKAGED) < 1_000_000


@pytest.mark.parametrize(("name", "seed"), PACKAGED)
def test_causes_are_verified_by_intervention(name, seed):
    """Taking the cause away turns the answer over; without shortcuts nothing else does."""
    found = flips(load(name, seed), draw(200, 99))
    if ARCHITECTURES[name].bias is SHORTCUT:
        assert found["watermark"] > 0.1  # it reads the watermark
        assert found["texture"] > 0.03  # and the stripes
    else:
        assert found["cause"] > 0.9
        assert max(found[key] for key in found if key != "cause") < 0.05


def test_effects_are_what_an_object_adds():
    network, scenes = load("plain"), draw(30, 5)
    found = effects(network, scenes)
    assert torch.equal(found.isnan().all(2), scenes.shapes < 0)
    expected = logits(network, scenes) - logits(network, scenes.without(1))
    known = scenes.shapes[:, 1] >= 0
    assert torch.equal(found[known, 1], expected[known])


def test_training_is_repeatable_and_saved_weights_come_back(tmp_path, monkeypatch):
    told = []
    first = train("plain", 0, 3, lambda step, loss: told.append((step, loss)))
    again = train("plain", 0, 3)
    assert [step for step, _ in told] == [1, 2, 3]
    x = torch.rand(2, 3, SIDE, SIDE)
    assert torch.equal(first(x), again(x))
    monkeypatch.setattr("equipoise.scenes.networks.FOLDER", tmp_path)
    save(first, weights("plain", 0))
    assert torch.allclose(load("plain")(x), first(x), atol=1e-2)


def test_what_is_not_there_is_refused():
    with pytest.raises(OptionError, match="write 'ae profile=fine'"):
        of_method("ae fine", load("plain"))
    with pytest.raises(UnknownNameError, match="aee"):
        of_method("aee", load("plain"))
    with pytest.raises(OptionError, match="there are weights of 0"):
        load("plain", 77)


def test_what_is_measured_of_a_perfect_map_and_of_none():
    """A map of the objects' effects; and the same turned over."""
    network, scenes = load("plain"), draw(60, 11)
    added, masks = effects(network, scenes).nan_to_num(0), scenes.masks().float()
    images = normalized(scenes.images())

    def perfect(sign):
        def explain(inputs, targets):
            rows = [int((images == one).flatten(1).all(1).nonzero()[0, 0]) for one in inputs]
            effect = torch.stack([added[row, :, target] for row, target in zip(rows, targets.tolist(), strict=True)])
            return sign * (masks[rows] * effect[..., None, None]).sum(1)

        return explain

    found = measured(perfect(1), network, scenes)
    assert set(found["sign"]) == {1.0}
    assert sum(found["mass"]) / len(found["mass"]) > 0.9
    assert sum(found["rank"]) / len(found["rank"]) > 0.9
    assert max(found["watermark"]) == 0
    seen = (logits(network, scenes) > 0) & scenes.labels
    assert len(found["mass"]) == len(found["rank"]) == seen.sum()
    assert set(measured(perfect(-1), network, scenes)["sign"]) == {0.0}


def test_the_table_has_a_row_for_each_network_and_method():
    lines = list(table(["ae", "grad_cam"], ["plain"], 20, 0))
    assert len(lines) == 4
    cells = [cell.strip() for cell in lines[2].split("|")[1:-1]]
    assert cells[:2] == ["plain", "ae"]
    assert all(0 <= float(cell) <= 1 for cell in cells[2:])
