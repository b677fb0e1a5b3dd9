"""The rule of Attribution Equilibrium for one layer: against its equations, and its laws."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from equipoise.engine import Relevance, layout, record
from equipoise.engine.kernels.equilibrium import TERMS
from equipoise.engine.rule import Step
from equipoise.rules.ae import Equilibrium
from equipoise.rules.ae import equilibrium as plain_equilibrium
from helpers import dense_matrix, relative_error
from oracle import equilibrium

CONVOLUTIONS = {
    "3x3": lambda: nn.Conv2d(3, 4, 3, padding=1),
    "strided": lambda: nn.Conv2d(3, 4, 3, stride=2, padding=1),
    "dilated": lambda: nn.Conv2d(3, 4, 3, dilation=2),
    "grouped": lambda: nn.Conv2d(3, 6, 3, groups=3),
    "even": lambda: nn.Conv2d(3, 4, (2, 4), padding="same"),
    "1x1": lambda: nn.Conv2d(3, 4, 1),
    "transposed": lambda: nn.ConvTranspose2d(3, 4, 3, stride=2, output_padding=1),
    "1d": lambda: nn.Conv1d(3, 4, 3, padding=1),
    "3d": lambda: nn.Conv3d(3, 2, 2),
    "linear": lambda: nn.Linear(6, 4),
}
SHAPES = {"1d": (3, 7), "3d": (3, 3, 3, 4), "linear": (6,)}


class Pooled(nn.Module):
    """One layer, and a sum over positions so that it is a network."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x).flatten(2).sum(2) if x.dim() > 2 else self.layer(x)


def step_of(layer, x):
    trace = record(Pooled(layer.double()).eval(), x)
    return Step(trace.calls[0], trace), trace.calls[0].outputs[0].shape


def images(kind, n=3):
    x = torch.randn(n, *SHAPES.get(kind, (3, 6, 5)), dtype=torch.float64)
    return x.relu() if kind != "linear" else x


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("kind", CONVOLUTIONS)
@pytest.mark.parametrize("gamma", [1.0, 1.3, 2.0])
@pytest.mark.parametrize("weighed", [False, True], ids=["paper", "weighed"])
def test_equals_the_equations_on_the_dense_matrix(kind, gamma, weighed):
    layer, x = CONVOLUTIONS[kind](), images(kind)
    step, shape = step_of(layer, x)
    R = torch.randn(2, *shape, dtype=torch.float64)
    found = Equilibrium(gamma, weighed=weighed)(step, [Relevance(R)])[0].value
    with torch.no_grad():
        matrix = dense_matrix(layer, x.shape[1:])
    for k in range(2):
        for n in range(len(x)):
            pointwise = kind in ("1x1", "linear")
            expected = equilibrium(x[n].flatten(), matrix, R[k, n].flatten(), gamma, pointwise, weighed=weighed)
            assert relative_error(found[k, n].flatten(), expected) < 1e-10


@pytest.mark.parametrize("terms", ["C", "CS", "AU", "CAU", "CAUS", "A", "U"])
@pytest.mark.parametrize("weighed", [False, True], ids=["paper", "weighed"])
def test_the_ablation_leaves_out_what_it_says(terms, weighed):
    layer, x = CONVOLUTIONS["3x3"](), images("3x3", n=1)
    step, shape = step_of(layer, x)
    R = torch.randn(1, *shape, dtype=torch.float64)
    chosen = frozenset("shift" if term == "S" else term for term in terms)
    found = Equilibrium(2.0, chosen, weighed=weighed)(step, [Relevance(R)])[0].value
    with torch.no_grad():
        matrix = dense_matrix(layer, x.shape[1:])
    expected = equilibrium(x[0].flatten(), matrix, R.flatten(), 2.0, False, terms, weighed)
    assert relative_error(found.flatten(), expected) < 1e-10


KERNELS = {
    "conv1d": (nn.Conv1d, 1), "conv2d": (nn.Conv2d, 2), "conv3d": (nn.Conv3d, 3),
    "transposed1d": (nn.ConvTranspose1d, 1), "transposed2d": (nn.ConvTranspose2d, 2),
    "transposed3d": (nn.ConvTranspose3d, 3),
}  # fmt: skip


@st.composite
def layers(draw):
    """A layer of any kind and geometry, and images for it."""
    kind, n = draw(st.sampled_from([*KERNELS, "linear"])), draw(st.integers(1, 3))
    torch.manual_seed(draw(st.integers(0, 2**16)))
    if kind == "linear":
        return nn.Linear(5, draw(st.integers(1, 4))), torch.randn(n, 5, dtype=torch.float64)
    make, dims = KERNELS[kind]
    groups, kernel = draw(st.integers(1, 2)), draw(st.tuples(*[st.integers(1, 3)] * dims))
    stride, padding = draw(st.integers(1, 2)), draw(st.integers(0, 1)) * (min(kernel) > 1)
    layer = make(2 * groups, 2 * groups, kernel, stride, padding, groups=groups)
    x = torch.randn(n, 2 * groups, *[draw(st.integers(4, 6)) for _ in range(dims)], dtype=torch.float64)
    return layer, (x.relu() if draw(st.booleans()) else x)


@settings(max_examples=60, deadline=None)
@given(layers(), st.floats(1, 2), st.sets(st.sampled_from(TERMS), min_size=1), st.floats(0, 1), st.booleans())
def test_what_runs_is_what_is_written(made, gamma, terms, part, weighed):
    """The fused path against the plain equations, which cost twice as many convolutions."""
    layer, x = made
    step, shape = step_of(layer, x)
    R = torch.randn(2, *shape, dtype=torch.float64)
    share = torch.tensor([[1.0], [part]], dtype=torch.float64).expand(2, len(x))
    found = Equilibrium(gamma, frozenset(terms), weighed=weighed)(step, [Relevance(R, share)])[0].value
    written = plain_equilibrium(x, step.linear_map(), R, gamma=gamma, terms=terms, share=share, weighed=weighed)
    assert found.shape == written.shape
    # Relevance that a balance cancels leaves what rounding left of it: sums of it are compared with what came.
    scale = max(float(written.abs().max()), 1e-6 * float(R.abs().max()))
    assert float((found - written).abs().max()) < 1e-9 * scale


@settings(max_examples=50, deadline=None)
@given(
    kernel=st.integers(1, 4), stride=st.integers(1, 3), groups=st.sampled_from([1, 2, 4]), size=st.integers(6, 9),
    gamma=st.floats(1, 2), share=st.floats(0.01, 1), seed=st.integers(0, 999), weighed=st.booleans(),
)  # fmt: skip
def test_the_sum_is_gamma_minus_two_times_the_share(kernel, stride, groups, size, gamma, share, seed, weighed):
    """Below Eq. 13: ``(gamma - 2) tau`` after every k > 1 convolution, 0 after a 1x1."""
    assume(groups < 4 or kernel > 1)  # a 1x1 kernel of one channel sees one neuron
    torch.manual_seed(seed)
    layer = nn.Conv2d(4, 4, kernel, stride, groups=groups)
    # Every receptive field holds active and inactive neurons, so no relevance falls on an empty one.
    x = torch.rand(2, 4, size, size, dtype=torch.float64) + 0.1
    if groups == 4:
        x[:, :, ::2] *= -1
    else:
        x[:, :: 4 // groups] *= -1
    step, shape = step_of(layer, x)
    R = torch.randn(1, *shape, dtype=torch.float64)
    R.view(1, 2, -1)[:, :, 0], R.view(1, 2, -1)[:, :, -1] = 1.0, -1.0
    shares = torch.full((1, 2), share, dtype=torch.float64)
    found = Equilibrium(gamma, weighed=weighed)(step, [Relevance(R, shares)])[0]
    expected = torch.zeros_like(shares) if kernel == 1 else (gamma - 2) * shares
    torch.testing.assert_close(found.value.sum((2, 3, 4)), expected, rtol=1e-9, atol=1e-9)
    assert torch.equal(found.share, shares)


@settings(max_examples=30, deadline=None)
@given(factor=st.sampled_from([1e-30, 1e-3, 7.0, 1e6, 1e30]), seed=st.integers(0, 99))
def test_the_scale_of_relevance_activations_and_weights_does_not_matter(factor, seed):
    """Each is normalized away: Eq. 6 by the sums, Eq. 2 by its denominator."""
    torch.manual_seed(seed)
    layer, x = CONVOLUTIONS["3x3"](), images("3x3")
    step, shape = step_of(layer, x)
    R = torch.randn(1, *shape, dtype=torch.float64)
    expected = Equilibrium(1.5)(step, [Relevance(R)])[0].value
    scaled, _ = step_of(layer, x * factor)
    assert relative_error(Equilibrium(1.5)(step, [Relevance(R * factor)])[0].value, expected) < 1e-10
    assert relative_error(Equilibrium(1.5)(scaled, [Relevance(R)])[0].value, expected) < 1e-10
    layer.weight.data.mul_(factor)
    assert relative_error(Equilibrium(1.5)(step_of(layer, x)[0], [Relevance(R)])[0].value, expected) < 1e-10


@pytest.mark.parametrize("x", [
    torch.zeros(2, 3, 5, 5), -torch.ones(2, 3, 5, 5), torch.ones(2, 3, 5, 5), torch.full((2, 3, 5, 5), 1e-38),
    torch.full((2, 3, 5, 5), 1e38),
])  # fmt: skip
@pytest.mark.parametrize("sign", [0.0, 1.0, -1.0])
@pytest.mark.parametrize("weighed", [False, True], ids=["paper", "weighed"])
def test_degenerate_layers_give_numbers(x, sign, weighed):
    """No active neuron, no inactive neuron, one-sided and zero relevance, values at the ends of float32."""
    torch.manual_seed(1)
    trace = record(Pooled(nn.Conv2d(3, 4, 3)).eval(), x)
    R = torch.rand(1, 2, 4, 3, 3) * sign
    share = (R != 0).any(-1).any(-1).any(-1).float()
    found = Equilibrium(weighed=weighed)(Step(trace.calls[0], trace), [Relevance(R, share)])[0].value
    assert found.isfinite().all()
    active = bool((x > 0).all())
    total = {(0.0, True): 0, (1.0, True): 1 + 1 - 1, (-1.0, True): -1 - 1, (1.0, False): 0, (-1.0, False): -1}
    expected = total.get((sign, active), 0.0)
    torch.testing.assert_close(found.sum((2, 3, 4)), torch.full((1, 2), float(expected)), rtol=1e-5, atol=1e-5)


def test_the_same_terms_for_every_target_share_their_denominators(monkeypatch):
    """``k`` targets cost one batch of two forward convolutions; each target adds transposed ones alone."""
    calls = []
    convolve = torch.conv2d
    layer, x = CONVOLUTIONS["3x3"](), images("3x3")
    step, shape = step_of(layer, x)
    from equipoise.engine import linear_map

    monkeypatch.setitem(linear_map._CONVOLUTIONS, 2, lambda *a: calls.append(a[0].shape[0]) or convolve(*a))
    transposed = torch.conv_transpose2d
    monkeypatch.setitem(linear_map._TRANSPOSED, 2, lambda *a: calls.append(-a[0].shape[0]) or transposed(*a))
    Equilibrium()(step, [Relevance(torch.randn(5, *shape, dtype=torch.float64))])
    # Two denominators for 3 images, an image of ones with one channel, three numerators for 5 x 3.
    assert calls == [6, 1, -45]
    calls.clear()
    Equilibrium(weighed=True)(step, [Relevance(torch.randn(5, *shape, dtype=torch.float64))])
    assert calls == [6, 1, -30]  # C and A are one
    calls.clear()
    monkeypatch.setattr(layout, "WORKING_SET", 1)
    Equilibrium()(step, [Relevance(torch.randn(5, *shape, dtype=torch.float64))])
    per_image = [1, 1, *[-1] * 15]  # each denominator; each term of each target
    assert calls == [1, *per_image * 3], "image by image; what depends on no image is computed once"


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("kind", CONVOLUTIONS)
@pytest.mark.parametrize("rule", [Equilibrium(1.5), Equilibrium(1.5, weighed=True)], ids=["paper", "weighed"])
def test_images_worked_on_in_turn_give_the_same(kind, rule, monkeypatch):
    layer, x = CONVOLUTIONS[kind](), images(kind, n=5)
    step, shape = step_of(layer, x)
    arrived = Relevance(torch.randn(2, *shape, dtype=torch.float64), torch.rand(2, 5, dtype=torch.float64) + 0.5)
    (together,) = rule(step, [arrived])
    widest = 8 * max(x[0].numel(), arrived.value[0, 0].numel())
    for rows in (1, 2, 3, 6, 12, 13):  # each term alone, its targets in turn, all terms of one image, of two
        monkeypatch.setattr(layout, "WORKING_SET", rows * widest)
        monkeypatch.setattr(layout, "STRIPE", max(1, rows * widest // 3))  # up to three stripes an image
        (apart,) = rule(step, [arrived])
        torch.testing.assert_close(apart.value, together.value, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("images", [1, 4])
@pytest.mark.parametrize("limit", [1, 2, 3, 6, 8, 100])
def test_no_intermediate_exceeds_the_working_set(limit, images, monkeypatch):
    """But one row, which is the least that can be worked on. The result and what depends on no image do not count."""
    layer, x = CONVOLUTIONS["3x3"](), torch.randn(images, 3, 12, 12, dtype=torch.float64)
    step, shape = step_of(layer, x)
    R = torch.randn(2, *shape, dtype=torch.float64)
    row = 8 * R[0, 0].numel()
    monkeypatch.setattr(layout, "WORKING_SET", limit * row)
    with Counted(1) as counted:
        Equilibrium()(step, [Relevance(R)])
    allowed = max(2 if limit < 3 else 3, limit) * row  # an image's two activities lie together
    sizes = [size for name, size in zip(counted.names, counted.sizes, strict=True) if not name.startswith("empty")]
    assert max(sizes) <= allowed
    assert limit < 100 or max(sizes) == 8 * 6 * x.numel(), "all terms of both targets together"


def test_an_accelerator_works_on_all_at_once():
    assert layout.Room.of(torch.zeros(1, 2**26, device="meta")) == layout.Room(2**31, 1)
    assert layout.Room.of(torch.zeros(1, 2**19), torch.zeros(1, 3)) == layout.Room(8, 1)
    assert layout.Room.of(torch.zeros(1, 2**24)) == layout.Room(1, 16)


class Counted(torch.utils._python_dispatch.TorchDispatchMode):
    """Counts the operations that write a tensor as large as a layer's input or output."""

    def __init__(self, least):
        super().__init__()
        self.least, self.names, self.sizes = least, [], []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        aliased = any(r.alias_info is not None and not r.alias_info.is_write for r in function._schema.returns)
        if isinstance(result, torch.Tensor) and result.numel() >= self.least and not aliased:
            self.names.append(str(function).split(".")[1])
            self.sizes.append(result.numel() * result.element_size())
        return result


def test_convolutions_of_a_layer_are_counted():
    """Three: of ones, of two denominators, of three numerators; nothing is copied or masked."""
    layer = nn.Conv2d(4, 4, 3, padding=1, bias=False)
    x = torch.randn(1, 4, 16, 16)
    trace = record(Pooled(layer).eval(), x)
    R = layout.rows_like(x, 1).normal_()
    with Counted(x.numel()) as counted:
        Equilibrium()(Step(trace.calls[0], trace), [Relevance(R)])
    assert not [name for name in counted.names if name in ("copy_", "clone", "where", "masked_fill_")], (
        "slow, or needless"
    )
    convolutions = [name for name in counted.names if "convolution" in name]
    assert len(convolutions) == 3


def test_all_terms_are_the_default():
    assert Equilibrium().terms == frozenset(TERMS)
