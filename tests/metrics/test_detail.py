"""Detail, Gini index, entropy, grid patterns: by hand, against dense oracles, laws, and Quantus."""

import math

import numpy as np
import pytest
import quantus
import torch
from hypothesis import given
from hypothesis import strategies as st

from equipoise.errors import OptionError
from equipoise.metrics import METRICS, complexity, resize_map, sparseness, starting_detail, stride_energy
from equipoise.metrics.strides import dot_share

SEEDS = st.integers(0, 2**31)


def drawn(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# Detail beyond the starting grid.


@given(SEEDS, st.integers(1, 6), st.integers(1, 6))
def test_detail_is_what_a_dense_least_squares_leaves(seed, rows, columns):
    """All upsampled units as columns of one matrix, and numpy's solver."""
    size = (9, 7)
    rows, columns = min(rows, size[0]), min(columns, size[1])
    heat = drawn(seed, 2, *size)
    units = torch.eye(rows * columns, dtype=torch.float64).reshape(-1, rows, columns)
    basis = resize_map(units, size).flatten(1).T.numpy()
    for one, found in zip(heat, starting_detail(heat, (rows, columns)), strict=True):
        flat = one.flatten().numpy()
        rest = flat - basis @ np.linalg.lstsq(basis, flat, rcond=None)[0]
        assert found.item() == pytest.approx((rest**2).sum() / ((flat - flat.mean()) ** 2).sum(), abs=1e-9)


@given(SEEDS, st.floats(1e-30, 1e30), st.floats(-3, 3))
def test_a_class_activation_map_has_no_detail_and_no_unit_matters(seed, scale, offset):
    coarse, fine = drawn(seed, 1, 4, 5), drawn(seed + 1, 1, 24, 30)
    cam = resize_map(coarse, (24, 30))
    assert starting_detail(cam * scale, (4, 5)).item() < 1e-12
    assert starting_detail((fine + offset) * scale, (4, 5)).item() == pytest.approx(
        starting_detail(fine, (4, 5)).item(), rel=1e-6
    )


def test_detail_orders_what_one_sees():
    """A blob, a blob with stripes, noise."""
    blob = resize_map(drawn(0, 1, 7, 7), (56, 56))
    stripes = torch.ones(56, 56, dtype=torch.float64)
    stripes[::2] = -1
    values = [starting_detail(heat).item() for heat in (blob, blob + stripes, drawn(1, 1, 56, 56))]
    assert values[0] < 1e-12
    assert 0.3 < values[1] < values[2] < 1
    assert values[2] == pytest.approx(1 - 49 / 56**2, abs=0.01)


# Gini index and entropy.


@given(SEEDS)
def test_gini_and_entropy_equal_quantus(seed):
    heat = drawn(seed, 3, 1, 6, 8)
    arguments = {"model": None, "x_batch": heat.numpy(), "y_batch": np.zeros(3, int), "a_batch": heat.numpy()}
    peers = {
        "sparseness": quantus.Sparseness(disable_warnings=True, normalise=False),
        "complexity": quantus.Complexity(disable_warnings=True, normalise=False),
    }
    for function, peer in ((sparseness, peers["sparseness"]), (complexity, peers["complexity"])):
        expected = [float(score) for score in peer(**arguments, device="cpu")]
        assert function(heat[:, 0]).tolist() == pytest.approx(expected, abs=1e-5)  # it adds 1e-7 to each pixel


@given(SEEDS)
def test_gini_is_the_mean_difference_of_all_pairs(seed):
    """The other definition of the Gini index, in float64: half the mean difference over the mean."""
    heat = drawn(seed, 1, 3, 5)
    sizes = heat.abs().flatten()
    pairs = (sizes[:, None] - sizes).abs().mean() / (2 * sizes.mean())
    assert sparseness(heat).item() == pytest.approx(pairs.item(), abs=1e-12)


@given(SEEDS, st.floats(1e-30, 1e30))
def test_gini_and_entropy_forget_unit_sign_and_place(seed, scale):
    heat = drawn(seed, 1, 5, 6)
    moved = heat.flatten()[torch.randperm(30, generator=torch.Generator().manual_seed(seed))].reshape(1, 5, 6)
    for function in (sparseness, complexity):
        assert function(-scale * moved).item() == pytest.approx(function(heat).item(), rel=1e-9)


@pytest.mark.parametrize("count", [1, 2, 5, 16])
def test_equal_pixels_by_hand(count):
    heat = torch.zeros(1, 4, 4)
    heat.view(-1)[:count] = -2.0
    assert sparseness(heat).item() == pytest.approx(1 - count / 16)
    assert complexity(heat).item() == pytest.approx(math.log(count), abs=1e-6)


# Grid patterns.


def direct(heat, stride, width):
    """The definition, frequency by frequency, from a plain double sum in numpy."""
    part = heat.numpy() - heat.numpy().mean()
    h, w = part.shape
    inside = whole = 0.0
    for a in range(h):
        for b in range(w):
            wave = np.exp(-2j * np.pi * (a * np.arange(h)[:, None] / h + b * np.arange(w) / w))
            power = abs((part * wave).sum()) ** 2
            cycles = [min(a, h - a) / h, min(b, w - b) / w]
            if max(cycles) < 0.5 / stride:
                continue
            whole += power
            off = [abs(f - round(f * stride) / stride) * side for f, side in zip(cycles, (h, w), strict=True)]
            inside += power * (max(off) <= width + 1e-9)
    return inside / whole


@pytest.mark.parametrize(("stride", "width"), [(4, 1), (4, 0), (3, 1), (2, 2), (6, 0)])
def test_stride_energy_is_its_definition(stride, width):
    heat = drawn(3, 12, 24)
    assert stride_energy(heat[None], stride, width).item() == pytest.approx(direct(heat, stride, width), abs=1e-9)


def test_a_grid_pattern_is_found_and_noise_is_not():
    grid = torch.zeros(1, 64, 64, dtype=torch.float64)
    grid[:, ::8, ::8] = 1
    across = torch.arange(64, dtype=torch.float64)
    envelope = torch.exp(-((across - 30) ** 2) / 800)
    assert stride_energy(grid, 8).item() == pytest.approx(1)
    assert stride_energy(grid * envelope * envelope[:, None], 8).item() > 0.9
    assert stride_energy(drawn(0, 1, 64, 64), 8).item() == pytest.approx(9 / 64, abs=0.03)
    assert stride_energy(grid, 16).item() == pytest.approx(1)  # every multiple of 1/8 is one of 1/16
    assert stride_energy(grid, 7).item() < 0.5


@given(SEEDS, st.integers(0, 7), st.integers(0, 7))
def test_where_the_grid_begins_does_not_matter(seed, down, across):
    heat = drawn(seed, 1, 32, 24)
    rolled = heat.roll((down, across), (1, 2))
    assert stride_energy(rolled * 1e20 + 5, 8).item() == pytest.approx(stride_energy(heat, 8).item(), rel=1e-6)


def test_what_lies_beyond_the_last_stride_is_left_out():
    heat = drawn(0, 1, 35, 38)
    assert stride_energy(heat, 8).item() == stride_energy(heat[:, :32, :32], 8).item()


# Dots.


def by_hand(heat, period, size):
    """The definition, window by window."""
    (down, across), (tall, broad) = period, size
    rows, columns = heat.shape[0] // down, heat.shape[1] // across
    mean = np.zeros(period)
    for i in range(rows):
        for j in range(columns):
            cell = np.abs(heat.numpy()[i * down : (i + 1) * down, j * across : (j + 1) * across])
            mean += cell / cell.sum() / rows / columns
    return max(
        sum(mean[(a + y) % down, (b + x) % across] for y in range(tall) for x in range(broad))
        for a in range(down)
        for b in range(across)
    )


@pytest.mark.parametrize(("period", "size"), [((4, 6), (2, 3)), ((8, 8), (3, 3)), ((5, 4), (5, 1)), ((13, 26), (1, 1))])
def test_the_share_of_dots_is_its_definition(period, size):
    heat = drawn(4, 13, 26)
    assert dot_share(heat[None], period, size).item() == pytest.approx(by_hand(heat, period, size), abs=1e-9)


def test_dots_are_found_and_noise_and_one_bright_object_are_not():
    dots = torch.zeros(1, 64, 64, dtype=torch.float64)
    dots[:, 5::16, 15::16] = drawn(0, 4, 4)  # of any size and sign; a window may go around a cell's edge
    dots[:, 6::16, ::16] = 0.1 * dots[:, 5::16, 15::16].roll(1, 2)
    assert dot_share(dots, (16, 16), (8, 8)).item() == pytest.approx(1)
    assert dot_share(drawn(0, 1, 128, 128), (16, 16), (8, 8)).item() == pytest.approx(0.25, abs=0.02)
    bright = 1 + 1000 * torch.nn.functional.one_hot(torch.tensor(70 * 128 + 70), 128 * 128).reshape(1, 128, 128)
    assert dot_share(bright.double(), (16, 16), (8, 8)).item() < 0.27


def test_cells_and_windows_that_cannot_be_are_refused():
    with pytest.raises(OptionError, match="holds no cell of"):
        dot_share(drawn(0, 1, 8, 8), (9, 4), (2, 2))
    with pytest.raises(OptionError, match="a window lies in a cell"):
        dot_share(drawn(0, 1, 8, 8), (4, 4), (2, 5))


# At the edges.


def dots_of_eight(heat):
    return dot_share(heat, (8, 8), (4, 4))


@pytest.mark.parametrize("function", [starting_detail, sparseness, complexity, stride_energy, dots_of_eight])
def test_what_is_not_defined(function):
    heat = torch.rand(4, 224, 224)
    heat[0, 0, 0], heat[1, 5, 5], heat[2] = math.nan, -math.inf, 0
    found = function(heat)
    assert found.isnan().tolist() == [True, True, True, False]
    assert found.dtype == torch.float32


def test_constant_maps_have_no_detail_to_speak_of_but_are_as_spread_as_can_be():
    heat = torch.full((1, 96, 96), 0.1)
    assert starting_detail(heat).isnan().all()
    assert stride_energy(heat).isnan().all()
    assert sparseness(heat).item() == pytest.approx(0, abs=1e-6)
    assert complexity(heat).item() == pytest.approx(math.log(96**2))


def test_options_are_checked():
    heat = torch.rand(1, 32, 32)
    for grid in ((0, 3), (33, 3)):
        with pytest.raises(OptionError, match="starting grid"):
            starting_detail(heat, grid)
    for stride in (1, 0, 17):
        with pytest.raises(OptionError, match="fewer than two strides"):
            stride_energy(heat, stride)
    with pytest.raises(OptionError, match="between 0 and 1 cycles"):
        stride_energy(heat, 8, 2)


def test_classes_take_the_options():
    heat = drawn(0, 2, 32, 32)
    for name, options, function in (
        ("detail", {"grid": (3, 2)}, lambda: starting_detail(heat, (3, 2))),
        ("grid pattern", {"stride": 8, "width": 0}, lambda: stride_energy(heat, 8, 0)),
    ):
        metric = METRICS[name](**options)
        metric.update(heat)
        assert metric.compute().item() == pytest.approx(function().mean().item())
