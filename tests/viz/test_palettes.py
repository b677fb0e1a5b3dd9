"""Palettes: white in the middle, even steps, signs that differ for every kind of color vision."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from equipoise.palettes import PALETTES, oklab

EVEN = [name for name in PALETTES if name.startswith("even_")]
# Machado, Oliveira and Fernandes 2009, of linear light: without long, middle or short cones.
BLIND = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def colors(name, count=255):
    return PALETTES[name].colormap()(np.linspace(0, 1, count))[:, :3]


def steps(name):
    return np.linalg.norm(np.diff(oklab(colors(name, 65)), axis=0), axis=1)


@pytest.mark.parametrize("name", PALETTES)
def test_zero_is_white_and_both_sides_grow_darker(name):
    assert colors(name)[127].tolist() == [1, 1, 1]
    lightness = oklab(colors(name))[:, 0]
    assert (np.diff(lightness[:128]) > -1e-3).all()
    assert (np.diff(lightness[127:]) < 1e-3).all()


def test_oklab_is_that_of_its_paper():
    lab = oklab(np.array([to_rgb("white"), to_rgb("red"), to_rgb("black")]))
    np.testing.assert_allclose(lab, [[1, 0, 0], [0.62796, 0.22486, 0.12585], [0, 0, 0]], atol=2e-4)


def test_there_are_even_palettes():
    assert len(EVEN) >= 3
    assert steps("red_blue").max() > 5 * steps("red_blue").min(), "or the law holds of any"


@pytest.mark.parametrize("name", EVEN)
def test_equal_steps_of_relevance_look_equal(name):
    assert steps(name).max() < 1.6 * steps(name).min()  # colors of 8 bits
    lightness = oklab(colors(name))[:, 0]
    assert np.abs(lightness - lightness[::-1]).max() < 0.02, "both signs are equally light"


@pytest.mark.parametrize("kind", BLIND)
@pytest.mark.parametrize("name", EVEN)
def test_the_signs_differ_for_every_kind_of_color_vision(name, kind):
    seen = colors(name)
    linear = np.where(seen <= 0.04045, seen / 12.92, ((seen + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.array(BLIND[kind]).T, 0, 1)
    lab = oklab(np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055))
    far = np.linalg.norm(lab - lab[::-1], axis=1)
    assert far[:64].min() > 0.1  # half of full relevance and more; a step is 0.02
