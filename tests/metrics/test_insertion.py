"""Showing and hiding pixels: orders, canvases, curves and the numbers made of them."""

import math

import numpy as np
import pytest
import quantus
import scipy.ndimage
import torch
from hypothesis import given
from hypothesis import strategies as st

from equipoise.errors import OptionError, ShapeError, UnknownNameError
from equipoise.metrics import (
    CANVASES,
    INSERTION_SHARES,
    Deletion,
    Insertion,
    abpc,
    aopc,
    area,
    clustered_mask,
    deletion_auc,
    insertion_auc,
    perturb,
    perturbation_curve,
    ranking,
    rise_shares,
    scattered_mask,
    top_mask,
)
from equipoise.metrics.canvases import blur, gaussian
from shapes import unchecked


def scene(n=3, size=(6, 5)):
    return torch.rand(n, 3, *size, dtype=torch.float64), torch.randn(n, *size, dtype=torch.float64)


def brightness(images, index):
    return images.mean((1, 2, 3))


def test_rankings_are_stable():
    heat = torch.tensor([[[0.0, 2.0], [0.0, 2.0]]])
    assert ranking(heat).tolist() == [[1, 3, 0, 2]]
    assert ranking(heat, "LeRF").tolist() == [[0, 2, 1, 3]]
    drawn = ranking(torch.zeros(2, 8, 8), "random", seed=3)
    assert sorted(drawn[0].tolist()) == list(range(64))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn, ranking(torch.zeros(2, 8, 8), "random", seed=4))
    assert torch.equal(drawn, ranking(torch.zeros(2, 8, 8), "random", seed=3))
    with pytest.raises(UnknownNameError, match="did you mean"):
        ranking(heat, "most relevant")


def test_the_gaussian_canvas_is_the_papers():
    """255 exp(-r^2 / (2 * 64^2)) about (111.5, 111.5), at 224 by 224."""
    y, x = np.mgrid[:224, :224]
    expected = np.exp(-((y - 111.5) ** 2 + (x - 111.5) ** 2) / (2 * 64**2))
    canvas = gaussian(torch.rand(1, 3, 224, 224, dtype=torch.float64))
    assert np.abs(canvas[0].numpy() - expected).max() < 1e-12
    small = gaussian(torch.rand(1, 3, 56, 112))
    assert small[0, 0, 28, 56 + 32].item() == pytest.approx(math.exp(-(0.5**2 + 32.5**2) / (2 * 32**2)), rel=1e-4)


def test_the_blurred_canvas_is_rises():
    """Its kernel is a blurred impulse; the images are normalized when it meets them."""
    impulse = np.zeros((11, 11))
    impulse[5, 5] = 1
    kernel = scipy.ndimage.gaussian_filter(impulse, 5)
    images = torch.rand(2, 3, 20, 17, dtype=torch.float64)
    mean, std = np.array([0.485, 0.456, 0.406])[:, None, None], np.array([0.229, 0.224, 0.225])[:, None, None]
    for image, found in zip(images.numpy(), blur(images).numpy(), strict=True):
        channels = [scipy.ndimage.convolve(channel, kernel, mode="constant") for channel in (image - mean) / std]
        assert np.abs(np.stack(channels) * std + mean - found).max() < 1e-12


@pytest.mark.parametrize("name", CANVASES.names())
def test_canvases_keep_shape_and_range_and_do_not_mix_images(name):
    images = torch.rand(3, 3, 16, 12)
    before = images.clone()
    canvas = CANVASES[name](images)
    assert canvas.shape == images.shape
    assert canvas.dtype == images.dtype
    assert canvas.min() >= 0
    assert canvas.max() <= 1
    assert torch.allclose(CANVASES[name](images[1:2]), canvas[1:2], atol=1e-6)
    canvas.zero_()
    assert torch.equal(images, before)


def test_flat_canvases_by_hand():
    images = torch.tensor([0.1, 0.5]).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    assert CANVASES["mean"](images).flatten().tolist() == pytest.approx([0.3] * 6)
    assert CANVASES["zero"](images)[0, :, 0, 1].tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert not CANVASES["black"](images).any()


@pytest.mark.parametrize("order", ["most_relevant", "least_relevant", "random"])
def test_all_or_nothing(order):
    images, heat = scene()
    canvas = CANVASES["gaussian"](images)
    assert torch.equal(perturb(images, heat, 1, order=order), images)
    assert torch.equal(perturb(images, heat, 0, order=order), canvas)
    assert torch.equal(perturb(images, heat, 0, mode="deletion", order=order), images)
    assert torch.equal(perturb(images, heat, 1, mode="deletion", order=order), canvas)


def test_a_fifth_by_hand():
    """The largest 6 of 30 pixels, sharp."""
    images, heat = scene(1)
    top = heat[0] >= heat.flatten().topk(6).values[-1]
    shown, hidden = (
        perturb(images, heat, 0.2, canvas="black"),
        perturb(images, heat, 0.2, canvas="black", mode="deletion"),
    )
    assert torch.equal(shown[0], images[0] * top)
    assert torch.equal(hidden[0], images[0] * ~top)
    low = perturb(images, heat, 0.8, canvas="black", order="least_relevant", mode="deletion")
    assert torch.equal(low, shown)


def test_the_whole_image_scores_as_the_clean_one():
    images, heat = scene()
    found = perturbation_curve(brightness, images, heat, shares=(0, 1))
    assert torch.equal(found[:, 1], brightness(images, None))
    assert torch.allclose(found[:, 0], CANVASES["gaussian"](images).mean((1, 2, 3)))


@given(st.integers(1, 9), st.sampled_from(["insertion", "deletion"]), st.sampled_from(["MoRF", "LeRF", "random"]))
def test_curves_do_not_depend_on_chunks_or_batches(chunk, mode, order):
    images, heat = scene()
    options = {"mode": mode, "order": order, "shares": (0.1, 0.5, 0.55), "canvas": "mean", "seed": 5}
    found = perturbation_curve(brightness, images, heat, chunk=chunk, **options)
    for index in range(3):
        alone = perturbation_curve(brightness, images[index : index + 1], heat[index : index + 1], **options)
        assert torch.equal(found[index : index + 1], alone)
    for step, share in enumerate(options["shares"]):
        one = perturb(images, heat, share, mode=mode, order=order, canvas="mean", seed=5)
        assert torch.equal(found[:, step], brightness(one, None))


def test_several_numbers_of_one_run():
    images, heat = scene()
    seen, told = [], []

    def score(perturbed, index):
        seen.append(len(perturbed))
        return torch.stack([perturbed.mean((1, 2, 3)), index.double()], 1)

    found = perturbation_curve(
        score, images, heat, shares=(0.5, 1), chunk=4, progress=lambda done, total: told.append((done, total))
    )
    assert found.shape == (3, 2, 2)
    assert found[:, :, 1].tolist() == [[0, 0], [1, 1], [2, 2]]
    assert torch.equal(found[:, 1, 0], brightness(images, None))
    assert (seen, told) == ([4, 2], [(4, 6), (6, 6)])


def test_maps_that_are_not_finite_are_not_scored():
    images, heat = scene()
    heat[1, 0, 0] = math.nan
    found = perturbation_curve(brightness, images, heat, shares=(0.5, 1))
    assert found.isnan().tolist() == [[False] * 2, [True] * 2, [False] * 2]
    assert perturbation_curve(brightness, images[1:2], heat[1:2]).isnan().all()


def test_perturbations_refuse():
    images, heat = scene()
    with pytest.raises(OptionError, match="between 0 and 1"):
        perturb(images, heat, 1.1)
    with pytest.raises(OptionError, match="'insertion' or 'deletion'"):
        unchecked(perturb)(images, heat, 0.1, mode="insert")
    with pytest.raises(ShapeError, match="one heat map for each of 3"):
        unchecked(perturb)(images, heat[:1], 0.1)
    with pytest.raises(ShapeError, match=r"\(3, 6, 4\)"):
        unchecked(perturb)(images, heat[:, :, :4], 0.1)
    with pytest.raises(UnknownNameError, match="canvas"):
        perturb(images, heat, 0.1, canvas="white")
    with pytest.raises(OptionError, match="chunk"):
        perturbation_curve(brightness, images, heat, chunk=0)
    with pytest.raises(ShapeError, match="score returns"):
        unchecked(perturbation_curve)(lambda images, index: (images + len(index)).mean(), images, heat)


def test_deletion_equals_quantus_pixel_flipping():
    """Quantus' curve begins after the first step, ours at whichever share is asked for.

    They differ on images of several channels, whose values quantus ranks one by one, on equal relevance, which
    it does not sort stably, and on "black", which there is the image's own darkest value.
    """
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 4), torch.nn.Softmax(1)).eval()
    images, heat = torch.rand(3, 1, 8, 8), torch.randn(3, 8, 8)
    labels = torch.tensor([0, 3, 1])
    with torch.no_grad():
        peer = quantus.PixelFlipping(
            features_in_step=16, perturb_baseline=0.0, abs=False, normalise=False, disable_warnings=True
        )
        expected = peer(
            model=model,
            x_batch=images.numpy(),
            y_batch=labels.numpy(),
            a_batch=heat.unsqueeze(1).numpy(),
            device="cpu",
        )
    found = perturbation_curve(
        lambda seen, index: model(seen).gather(1, labels[index].unsqueeze(1))[:, 0],
        images,
        heat,
        shares=(0.25, 0.5, 0.75, 1),
        mode="deletion",
        canvas="black",
    )
    assert np.allclose(found.numpy(), np.array(expected), atol=1e-5)


def test_areas_by_hand():
    curve = torch.tensor([[1.0, 0.5, 0.25], [1.0, 1.0, 0.0]])
    assert aopc(curve).tolist() == pytest.approx([(0 + 0.5 + 0.75) / 3, 1 / 3])
    assert abpc(curve[0], curve[1]).item() == pytest.approx((0 + 0.5 - 0.25) / 3)
    assert area(curve, (0, 0.5, 1)).tolist() == [0.5625, 0.75]
    assert area(curve, (0, 0.1, 0.4)).tolist() == pytest.approx(
        [np.trapezoid(row, [0, 0.1, 0.4]) / 0.4 for row in curve.numpy()]
    )
    with pytest.raises(ShapeError, match="one share for each of 3"):
        unchecked(area)(curve, (0, 1))
    for shares in ((0, 0.5, 0.5), (1, 0.5, 0)):
        with pytest.raises(OptionError, match="rising"):
            area(curve, shares)


def test_rises_steps_are_rows():
    assert rise_shares((224, 224)) == pytest.approx([row / 224 for row in range(225)])
    assert rise_shares((2, 3), 4) == (0, 4 / 6, 1)
    assert rise_shares((2, 3), 6) == (0, 1)
    with pytest.raises(OptionError, match="at least 1 pixel"):
        rise_shares((2, 3), 0)


def test_rises_areas_equal_a_plain_loop():
    images, heat = scene(2, (6, 6))
    for function, canvas, start in ((insertion_auc, "blur", "canvas"), (deletion_auc, "zero", "image")):
        found = function(brightness, images, heat)
        for image, one, value in zip(images, heat, found, strict=True):
            back = CANVASES[canvas](image.unsqueeze(0))[0]
            current, target = (back, image) if start == "canvas" else (image, back)
            current, scores = current.clone().flatten(1), []
            order = np.argsort(-one.flatten().numpy())
            for step in range(7):
                scores.append(current.mean().item())
                pixels = order[6 * step : 6 * step + 6]
                current[:, pixels] = target.flatten(1)[:, pixels]
            expected = (sum(scores) - scores[0] / 2 - scores[-1] / 2) / 6
            assert value.item() == pytest.approx(expected)


@given(st.integers(0, 30), st.integers(0, 1000))
def test_masks_hold_as_many_pixels_as_asked(k, seed):
    for mask in (scattered_mask((5, 6), k, seed), clustered_mask((5, 6), k, seed), top_mask(torch.rand(5, 6), k)):
        assert (mask.shape, mask.dtype, int(mask.sum())) == ((5, 6), torch.bool, k)


def test_clusters_are_discs_and_scatter_is_not():
    disc, noise = clustered_mask((224, 224), 4000, 1), scattered_mask((224, 224), 4000, 1)
    points = disc.nonzero().double()
    radius = (points - points.mean(0)).norm(dim=1).max().item()
    assert radius == pytest.approx(math.sqrt(4000 / math.pi), abs=1)
    assert (noise.nonzero().double() - 111.5).norm(dim=1).max() > 140
    assert not torch.equal(disc, clustered_mask((224, 224), 4000, 2))
    assert not torch.equal(noise, scattered_mask((224, 224), 4000, 2))
    state = torch.get_rng_state()
    assert torch.equal(noise, scattered_mask((224, 224), 4000, 1))
    assert torch.equal(disc, clustered_mask((224, 224), 4000, 1))
    assert torch.equal(torch.get_rng_state(), state)


def test_the_top_pixels():
    heat = torch.tensor([[1.0, 5.0, 5.0], [5.0, 0.0, 9.0]])
    assert top_mask(heat, 3).tolist() == [[False, True, True], [False, False, True]]
    assert int(top_mask(torch.rand(224, 224)).sum()) == 4000
    with pytest.raises(OptionError, match="between 0 and the 6 pixels"):
        top_mask(heat)
    with pytest.raises(ShapeError, match=r"\(1, 2, 3\)"):
        unchecked(top_mask)(heat.unsqueeze(0), 2)


def test_the_metrics_are_areas_under_mean_curves():
    curves = torch.tensor([[0.0, 0.5, 1.0], [1.0, 1.0, math.nan], [0.0, 0.0, 0.0]])
    for kind in (Insertion, Deletion):
        metric = kind(shares=(0, 0.5, 1))
        metric.update(curves)
        assert metric.curve().tolist() == [0, 0.25, 0.5]
        assert (metric.compute().item(), metric.undefined_count.item()) == (0.25, 1)
    assert Insertion.higher_is_better is True
    assert Deletion.higher_is_better is False
    assert Insertion().shares == INSERTION_SHARES == tuple(np.arange(1, 21) / 100)
    with pytest.raises(ShapeError, match=r"\(n, 20\)"):
        unchecked(Insertion)().update(curves)
