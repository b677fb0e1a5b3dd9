"""Attribution Equilibrium as a method: laws, targets, options, precision, degenerate input."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import equipoise
from equipoise.engine import record
from equipoise.errors import LayerError, OptionError, ShapeError, TargetError, UnknownOptionError
from equipoise.methods.layers import find_layer, list_layers
from helpers import NETWORKS, Functional, Plain, Residual, dense_matrix, make, relative_error
from oracle import equilibrium, zbox


def chain_by_hand(model, x, target, gamma):
    """The whole method on a small chain, layer by layer on dense matrices: Algorithm 1."""
    conv1, _, conv2, _, _, _, fc = model
    first = conv1(x[None])[0].relu()
    last = conv2(first[None])[0].relu()
    gradient = fc.weight[target] / last[0].numel()  # of the logit by each position, through the global mean
    G = last * gradient[:, None, None]
    R = G / G.sum().abs()
    w2 = dense_matrix(conv2, first.shape)
    R = equilibrium(first.flatten(), w2, R.flatten(), gamma, conv2.kernel_size == (1, 1))
    low, high = torch.full_like(x, x.min()), torch.full_like(x, x.max())
    return zbox(x.flatten(), dense_matrix(conv1, x.shape), R, low.flatten(), high.flatten()).reshape(x.shape)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("gamma", [1.0, 1.7])
def test_algorithm_1_on_a_small_network(kernel, gamma):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, kernel), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
                          nn.Flatten(), nn.Linear(3, 5)).double().eval()  # fmt: skip
    x = torch.randn(2, 3, 6, 7, dtype=torch.float64)
    found = equipoise.attribute(model, x, [4, 2], gamma=gamma)
    with torch.no_grad():
        for n, target in enumerate([4, 2]):
            assert relative_error(found[n], chain_by_hand(model, x[n], target, gamma)) < 1e-10


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("profile", ["paper", "reference", "fine"])
def test_an_image_never_depends_on_its_batch(network, profile):
    model, x = make(network, n=3)
    whole = equipoise.attribute(model, x, profile=profile)
    for n in range(3):
        assert relative_error(whole[n : n + 1], equipoise.attribute(model, x[n : n + 1], profile=profile)) < 1e-10
    assert torch.equal(whole, equipoise.attribute(model, x, profile=profile)), "deterministic"


@settings(max_examples=15, deadline=None)
@given(gamma=st.floats(1, 2), seed=st.integers(0, 999), kernel=st.integers(2, 3), stride=st.integers(1, 2))
def test_on_a_chain_the_sum_after_every_convolution_is_gamma_minus_two(gamma, seed, kernel, stride):
    torch.manual_seed(seed)
    width = 32  # wide enough that every receptive field holds active and inactive neurons
    model = nn.Sequential(
        nn.Conv2d(3, width, 3), nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU(),
        nn.Conv2d(width, width, kernel, stride), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(width, width, 3, padding=1),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 5),
    ).double().eval()  # fmt: skip
    rows = equipoise.AttributionEquilibrium(model, gamma=gamma).coverage(torch.randn(2, 3, 14, 14, dtype=torch.float64))
    layers = [row for row in rows if row.rule == "Equilibrium"]
    for row, expected in zip(layers, [gamma - 2, gamma - 2, 0.0], strict=True):
        torch.testing.assert_close(row.left, torch.full_like(row.left, expected), rtol=1e-9, atol=1e-9)
    for row in rows:
        if row.rule not in ("Equilibrium", "gradient"):
            torch.testing.assert_close(row.left, row.arrived, rtol=1e-6, atol=1e-6)


def test_relevance_does_not_scale_with_the_image_or_the_logit():
    """A bias-free network: the input's scale drops out; so does that of the explained score."""
    model = nn.Sequential(nn.Conv2d(3, 6, 3, bias=False), nn.ReLU(), nn.Conv2d(6, 6, 3, bias=False), nn.ReLU(),
                          nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)).double().eval()  # fmt: skip
    x = torch.randn(1, 3, 9, 9, dtype=torch.float64)
    expected = equipoise.attribute(model, x, 1)
    assert relative_error(equipoise.attribute(model, x * 37, 1), expected) < 1e-10
    assert relative_error(equipoise.attribute(model, x, lambda logits: 5 * logits[:, 1]), expected) < 1e-10


@pytest.mark.parametrize("network", NETWORKS)
def test_several_targets_of_one_pass_equal_one_at_a_time(network):
    model, x = make(network, n=2)
    many = equipoise.attribute(model, x, torch.tensor([[0, 3, 4], [1, 1, 2]]))
    assert many.shape == (2, 3, *x.shape[1:])
    for n, row in enumerate([[0, 3, 4], [1, 1, 2]]):
        for k, target in enumerate(row):
            assert relative_error(many[n, k], equipoise.attribute(model, x[n : n + 1], target)[0]) < 1e-10


def test_several_targets_run_the_network_once():
    model, x = make(Plain)
    calls = []
    model[0].register_forward_hook(lambda *_: calls.append(1))
    equipoise.attribute(model, x, torch.tensor([[0, 1, 2, 3], [0, 1, 2, 3]]))
    assert len(calls) == 1


@pytest.mark.parametrize("gamma", [0.99, 2.01, float("nan"), "much", None])
def test_gamma_outside_its_range(gamma):
    with pytest.raises(ValueError, match="between 1"):
        equipoise.attribute(*make(Plain), gamma=gamma)


@pytest.mark.parametrize(("options", "error", "words"), [
    ({"terms": "CAU"}, OptionError, "C, A, U and shift"),
    ({"terms": ["shift"]}, OptionError, "at least one"),
    ({"terms": ["C", "B"]}, OptionError, "C, A, U and shift"),
    ({"profile": "authors"}, OptionError, "paper, reference, fine"),
    ({"input_bounds": (1, 0)}, OptionError, "lowest, highest"),
    ({"input_bounds": 3}, OptionError, "lowest, highest"),
    ({"gama": 1}, UnknownOptionError, "did you mean 'gamma'"),
    ({"layer": "features"}, LayerError, "no module is called 'features'"),
    ({"layer": "7"}, None, ""),
    ({"layer": "10"}, LayerError, "no spatial positions"),
])  # fmt: skip
def test_options_that_make_no_sense(options, error, words):
    model, x = make(Plain)
    if error is None:
        assert equipoise.attribute(model, x, **options).shape == x.shape
        return
    with pytest.raises(error, match=words):
        equipoise.attribute(model, x, **options)


@pytest.mark.parametrize(
    "x", [torch.zeros(3, 8, 8, dtype=torch.long), torch.zeros(8, 8), torch.zeros(1, 3, 0, 8), [1.0]]
)
def test_inputs_that_make_no_sense(x):
    with pytest.raises(ShapeError):
        equipoise.attribute(make(Plain)[0], x)


def test_an_empty_batch_gives_an_empty_result():
    model, x = make(Plain, n=1)
    assert equipoise.attribute(model, x[:0]).shape == (0, *x.shape[1:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("network", [Plain, Residual, Functional])
@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 1e-38, 1e-30, 1e30, 1e37])
def test_constant_and_extreme_images_give_numbers(network, value, dtype):
    model, x = make(network, dtype=dtype)
    constant = equipoise.attribute(model, torch.full_like(x, value))
    scaled = equipoise.attribute(model, x * value)
    for result in (constant, scaled):
        assert result.dtype == dtype
        assert result.isfinite().all()


class Degenerate(nn.Module):
    """``kind`` says what the last map looks like."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.conv1, self.conv2, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, x):
        x = self.conv1(x).relu()
        x = {
            "zero": lambda y: y * 0.0, "dead": lambda y: (y - 1e9).relu(), "positive": lambda y: y.relu() + 1,
        }[self.kind](self.conv2(x))  # fmt: skip
        weight = self.fc.weight.abs() if self.kind == "positive" else self.fc.weight
        return F.linear(x.mean((2, 3)), weight)


@pytest.mark.parametrize("kind", ["zero", "dead", "positive"])
def test_degenerate_maps_give_numbers_and_say_so(kind):
    method = equipoise.AttributionEquilibrium(Degenerate(kind).eval())
    result = method.attribute(torch.randn(1, 3, 8, 8))
    assert result.isfinite().all()
    if kind == "positive":
        assert method.notes == ["image 0, target 0: the starting map has no negative part"]
        assert result.abs().sum() > 0
    else:
        assert method.notes == ["image 0, target 0: the starting map has no positive and no negative part"]
        assert not result.any()


def test_maps_of_one_position():
    """A network whose feature maps shrink to 1x1 before the pool: the last larger map is taken."""
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4, 3)
    ).eval()
    x = torch.randn(2, 3, 5, 5)
    trace = record(model, x)
    assert find_layer(model, trace, None).shape == (2, 4, 3, 3)
    assert equipoise.attribute(model, x).abs().sum() > 0
    with pytest.raises(LayerError, match="name a layer"):
        equipoise.attribute(nn.Sequential(nn.Flatten(), nn.Linear(75, 3)).eval(), x)


@pytest.mark.parametrize("network", [Plain, Residual, Functional])
def test_float32_is_close_to_float64(network):
    model, x = make(network)
    expected = equipoise.attribute(model, x, 1)
    found = equipoise.attribute(model.float(), x.float(), 1)
    assert found.dtype == torch.float32
    assert relative_error(found.double(), expected) < 1e-5


@pytest.mark.parametrize("network", [Plain, Residual])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_relevance_is_kept_in_float32(network, dtype):
    model, x = make(network, dtype=torch.float32)
    with torch.autocast("cpu", dtype=dtype):
        found = equipoise.attribute(model, x, 1)
        trace = record(model, x)
    assert trace.calls[0].outputs[0].dtype == dtype
    assert found.dtype == torch.float32
    expected = equipoise.attribute(model, x, 1)
    # Activity itself flips at the rounding of the forward pass, so single entries differ; the map does not.
    assert F.cosine_similarity(found.flatten(), expected.flatten(), dim=0) > 0.97
    assert torch.is_autocast_enabled("cpu") is False


@pytest.mark.parametrize("network", [Plain, Residual, Functional])
def test_channels_last(network):
    model, x = make(network)
    expected = equipoise.attribute(model, x)
    if network is not Functional:
        model = model.to(memory_format=torch.channels_last)
    found = equipoise.attribute(model, x.to(memory_format=torch.channels_last))
    assert relative_error(found, expected) < 1e-10


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("network", NETWORKS)
def test_on_a_gpu(network):
    model, x = make(network)
    expected = equipoise.attribute(model, x)
    found = equipoise.attribute(model.cuda(), x.cuda())
    assert found.device.type == "cuda"
    assert relative_error(found.cpu(), expected) < 1e-8


def test_bounds_are_carried_through_normalization_inside_the_model():
    """A model that normalizes its own input gets the bounds of what its first layer reads."""

    class Normalizing(nn.Module):
        def __init__(self, body):
            super().__init__()
            self.body = body
            self.register_buffer("mean", torch.tensor([0.5, 0.4, 0.3], dtype=torch.float64).view(3, 1, 1))

        def forward(self, x):
            return self.body((x - self.mean) / -0.25)

    body, _ = make(Plain)
    model = Normalizing(body)
    x = torch.rand(2, 3, 17, 19, dtype=torch.float64)
    inner = (x - model.mean) / -0.25
    low, high = ((1 - model.mean) / -0.25).flatten(), ((0 - model.mean) / -0.25).flatten()
    expected = equipoise.attribute(body, inner, 0, input_bounds=(low, high))
    assert relative_error(equipoise.attribute(model, x, 0, input_bounds=(0.0, 1.0)), expected) < 1e-10


def test_a_network_that_normalizes_color_by_color_gets_the_box_rule():
    """As torchvision's GoogLeNet and Inception do: slices of the image, each scaled, then concatenated."""

    class ByColor(nn.Module):
        def __init__(self, body):
            super().__init__()
            self.body = body

        def forward(self, x):
            return self.body(torch.cat([x[:, i : i + 1] * (2.0 + i) - 0.5 for i in range(3)], 1))

    body, x = make(Plain)
    scale = torch.tensor([2.0, 3.0, 4.0], dtype=x.dtype).view(3, 1, 1)
    bounds = ((scale * -3 - 0.5).flatten(), (scale * 3 - 0.5).flatten())
    expected = equipoise.attribute(body, x * scale - 0.5, 0, input_bounds=bounds)
    assert relative_error(equipoise.attribute(ByColor(body), x, 0, input_bounds=(-3.0, 3.0)), expected) < 1e-10


def test_explicit_padding_is_the_convolutions_own():
    """``F.pad`` then a convolution, and a padded convolution, are one network: padded positions are no neurons."""

    class Padded(nn.Module):
        def __init__(self, explicit):
            super().__init__()
            torch.manual_seed(3)
            self.explicit = explicit
            self.first = nn.Conv2d(3, 6, 3, padding=0 if explicit else 1)
            self.second = nn.Conv2d(6, 6, 3, stride=2, padding=0 if explicit else 1)
            self.pool = nn.MaxPool2d(3, 2, padding=0 if explicit else 1)
            self.fc = nn.Linear(6, 5)

        def forward(self, x):
            def pad(y, value=0.0):
                return F.pad(y, (1, 1, 1, 1), value=value) if self.explicit else y

            x = self.second(pad(self.first(pad(x)).relu()))
            return self.fc(self.pool(pad(x, float("-inf"))).mean((2, 3)))

    x = torch.randn(2, 3, 12, 12, dtype=torch.float64)
    a, b = (equipoise.attribute(Padded(explicit).double().eval(), x, 1) for explicit in (True, False))
    assert relative_error(a, b) < 1e-10


@pytest.mark.parametrize("network", NETWORKS)
def test_coverage_lists_every_operation_and_its_sums(network):
    model, x = make(network)
    rows = equipoise.AttributionEquilibrium(model).coverage(x)
    assert len(rows) == len(record(model, x).calls)
    reached = [row for row in rows if row.rule not in ("gradient", "not reached")]
    assert {row.rule for row in rows[: rows.index(reached[0])]} == {"gradient"}
    rows = reached
    assert rows[-1].call.inputs[0].pixels
    assert rows[-1].rule == "ZBox"
    assert rows[-1].shapes[0] == (tuple(x.shape),)
    assert str(rows[-1]).split()[:2] == [rows[-1].name, "ZBox"]
    assert repr(rows[-1]).startswith(f"Passage(OpCall({rows[-1].call.index:g}, {rows[-1].name}, ")
    assert all(len(repr(row)) < 400 and "\n" not in repr(row) for row in rows), "no weights are printed"
    total = equipoise.attribute(model, x).flatten(1).sum(1)
    torch.testing.assert_close(rows[-1].left[0], total)
    assert all(row.call.site.line > 0 for row in rows)


class ChannelsLast(nn.Module):
    """Keeps its maps ``(n, h, w, c)``, as MambaOut does; `first` says whether to move the last one back."""

    def __init__(self, first):
        super().__init__()
        torch.manual_seed(2)
        self.first, self.conv, self.mix, self.fc = first, nn.Conv2d(3, 6, 3), nn.Linear(6, 6), nn.Linear(6, 5)

    def forward(self, x):
        x = self.mix(self.conv(x).relu().permute(0, 2, 3, 1)).relu()
        x = x.permute(0, 3, 1, 2).contiguous().mean((2, 3)) if self.first else x.mean((1, 2))
        return self.fc(F.layer_norm(x, (6,)))


@pytest.mark.parametrize("method", ["ae", "grad_cam", "relevance_cam", "rsp"])
def test_maps_with_channels_last_are_averaged_over_positions(method):
    x = torch.randn(2, 3, 9, 8, dtype=torch.float64)
    last, first = (
        equipoise.attribute(ChannelsLast(flag).double().eval(), x, 1, method=method) for flag in (False, True)
    )
    assert relative_error(last, first) < 1e-9
    assert last.abs().sum() > 0


def test_list_layers_marks_the_default():
    model, x = make(Residual)
    rows = {row.name: row for row in list_layers(model, x)}
    assert set(rows) == {"stem", "relu", "conv1", "bn1", "conv2", "bn2"}
    assert [name for name, row in rows.items() if row.is_default] == ["relu"]
    assert rows["conv1"].shape == (2, 6, 17, 19)


def test_a_trace_serves_many_targets_and_options():
    """What the app does: one forward pass, then any class and any gamma."""
    model, x = make(Residual)
    trace = equipoise.AttributionEquilibrium(model).trace(x)
    for gamma, target in [(1.0, 0), (2.0, 0), (1.5, 3)]:
        method = equipoise.AttributionEquilibrium(model, gamma=gamma)
        assert torch.equal(method.attribute_trace(trace, target), equipoise.attribute(model, x, target, gamma=gamma))


def test_a_target_outside_the_classes():
    with pytest.raises(TargetError, match="classes 0 to 4"):
        equipoise.attribute(*make(Plain), 5)
