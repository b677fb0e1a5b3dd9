"""The propagation methods: laws, peers as differential oracles, every tiny network."""

import functools

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

import equipoise
from equipoise.errors import LayerError, OptionError, TargetError, UnknownNameError
from equipoise.methods.lrp import COMPOSITES, LayerRules
from equipoise.methods.propagation import Propagation
from helpers import NETWORKS, Plain, Residual, golden_image, golden_torchvision, make, relative_error
from registered import spread

OURS = [name for name, entry in equipoise.METHODS.items() if isinstance(entry, type) and issubclass(entry, Propagation)]
CONSERVING = {
    "eb": {}, "deep_taylor": {}, "lrp_alpha_beta": {"alpha": 2.0}, "lrp_composite": {"composite": "alpha1-beta0"},
    "rap": {},
}  # fmt: skip


def test_the_list_is_what_the_paper_compares():
    assert {"lrp_composite", "lrp_alpha_beta", "contrastive_lrp", "relevance_cam", "rsp", "agf", "rap", "eb",
            "contrastive_eb", "deep_taylor"} <= set(OURS)  # fmt: skip


@pytest.mark.parametrize(("method", "network"), spread(OURS, NETWORKS, each=2))
def test_every_method_on_every_network(method, network):
    model, x = make(network, n=2)
    entry = equipoise.METHODS[method]
    many = equipoise.attribute(model, x, torch.tensor([[0, 3], [1, 1]]), method=method)
    channels = 1 if entry.level == "map" else x.shape[1]
    assert many.shape == (2, 2, channels, *x.shape[2:])
    assert many.isfinite().all()
    assert many.abs().sum() > 0
    for n, row in enumerate([[0, 3], [1, 1]]):
        for k, target in enumerate(row):
            alone = equipoise.attribute(model, x[n : n + 1], target, method=method)[0]
            assert relative_error(many[n, k], alone) < 1e-10, "neither batch nor other targets matter"
    if not entry.signed:
        assert many.min() >= 0
    single = equipoise.attribute(model.float(), x.float(), 3, method=method)
    assert single.dtype == torch.float32
    assert single.isfinite().all()
    assert equipoise.attribute(model, x.float()[:0], method=method).shape[0] == 0


class Wide(nn.Module):
    """A residual network wide enough that no relevance falls on a neuron without contributions."""

    def __init__(self):
        super().__init__()
        self.stem, self.conv, self.norm = nn.Conv2d(3, 48, 3), nn.Conv2d(48, 48, 3, padding=1), nn.BatchNorm2d(48)
        self.pool, self.fc = nn.MaxPool2d(2), nn.Linear(48, 5)

    def forward(self, x):
        x = self.pool(self.stem(x).relu())
        return self.fc((self.norm(self.conv(x)) + x).relu().mean((2, 3)))


@pytest.mark.parametrize("method", CONSERVING)
def test_the_sum_is_kept_to_the_pixels(method):
    """Conservation: what starts at the logits arrives at the pixels, and every operation keeps it."""
    model, x = Wide().double().eval(), torch.randn(2, 3, 14, 14, dtype=torch.float64)
    bound = equipoise.METHODS[method](model, **CONSERVING[method])
    rows = bound.coverage(x, 2)
    assert rows[-1].call.inputs[0].pixels
    for row in rows:
        torch.testing.assert_close(row.left, row.arrived, rtol=1e-4, atol=1e-6)
    total = bound.attribute(x, 2).flatten(1).sum(1)
    torch.testing.assert_close(total, torch.ones(2, dtype=x.dtype), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("method", ["rap", "rsp"])
def test_the_uniform_shift_restores_the_sum(method):
    model, x = Wide().double().eval(), torch.randn(2, 3, 14, 14, dtype=torch.float64)
    rows = equipoise.METHODS[method](model).coverage(x, 2)
    layers = [row for row in rows if row.rule in ("RelativeAttribution", "RelativeSection")]
    assert layers
    for row in layers:
        torch.testing.assert_close(row.left, row.arrived, rtol=1e-9, atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999), width=st.integers(3, 8))
def test_lrp_epsilon_conserves_but_for_bias_and_stabilizer(seed, width):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(3, width, 3, bias=False), nn.ReLU(), nn.Flatten(),
                          nn.Linear(width * 16, 4, bias=False)).double().eval()  # fmt: skip
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    score = model(x).detach()[:, 1]
    assume(float(score.abs().min()) > 1e-3)  # the stabilizer of 1e-6 takes its part of a small activation
    found = equipoise.attribute(model, x, 1, method="lrp_composite", composite="epsilon-plus")
    torch.testing.assert_close(found.flatten(1).sum(1), score, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("variant", ["others", "clrp1", "clrp2", "sglrp"])
@pytest.mark.parametrize("network", [Plain, Residual])
def test_contrastive_maps_sum_to_zero(variant, network):
    model, x = make(network)
    found = equipoise.attribute(model, x, 1, method="contrastive_lrp", variant=variant)
    torch.testing.assert_close(found.flatten(1).sum(1), torch.zeros(2, dtype=x.dtype), rtol=0, atol=1e-8)


def test_with_two_classes_swapping_target_and_contrast_changes_the_sign():
    """CLRP1 is a difference of two normalized maps, so with two classes it is antisymmetric."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 2))
    model, x = model.double().eval(), torch.randn(2, 3, 8, 8, dtype=torch.float64)
    a, b = (equipoise.attribute(model, x, t, method="contrastive_lrp", variant="clrp1") for t in (0, 1))
    assert relative_error(a, -b) < 1e-10


def test_contrastive_eb_is_the_difference_of_two_excitations():
    """With the last layer's weights negated in the model, target and contrast swap and the sign changes."""
    model, x = make(Plain)
    found = equipoise.attribute(model, x, 1, method="contrastive_eb", interpolate=False)
    model[-1].weight.data.neg_()
    swapped = equipoise.attribute(model, x, 1, method="contrastive_eb", interpolate=False)
    assert relative_error(found, -swapped) < 1e-10
    assert found.min() < 0 < found.max()
    clamped = equipoise.attribute(model, x, 1, method="contrastive_eb", interpolate=False, profile="reference")
    assert clamped.min() == 0


class Rescaled(nn.Module):
    """A network that rescales its colors one by one before the first layer, as GoogLeNet does."""

    def __init__(self, body, scales):
        super().__init__()
        self.body, self.scales = body, scales

    def forward(self, x):
        return self.body(torch.cat([x[:, i : i + 1] * scale + 0.0 for i, scale in enumerate(self.scales)], 1))


@pytest.mark.parametrize("method", OURS)
def test_colors_may_be_rescaled_inside_the_network(method):
    """By 1 and a constant of 0 nothing changes but for stabilizers; by other scales the pixels are still reached."""
    body, x = make(Plain)
    expected = equipoise.attribute(body, x, 1, method=method)
    assert relative_error(equipoise.attribute(Rescaled(body, (1.0, 1.0, 1.0)), x, 1, method=method), expected) < 1e-3
    found = equipoise.attribute(Rescaled(body, (0.5, 2.0, 1.5)), x, 1, method=method)
    assert found.isfinite().all()
    assert found.abs().sum() > 0


@pytest.mark.parametrize("composite", COMPOSITES.names())
def test_composites_run_and_differ(composite):
    model, x = make(Residual)
    found = equipoise.attribute(model, x, 0, method="lrp", composite=composite.replace("-", "_"))
    assert found.isfinite().all()
    other = equipoise.attribute(model, x, 0, method="lrp")
    assert (relative_error(found, other) < 1e-12) == (composite == "epsilon-gamma-box")


@pytest.mark.parametrize(("method", "options", "error", "words"), [
    ("lrp_composite", {"composite": "gamma"}, UnknownNameError, "epsilon-gamma-box"),
    ("lrp_alpha_beta", {"alpha": 0.5}, OptionError, "at least 1"),
    ("contrastive_lrp", {"variant": "clrp3"}, UnknownNameError, "clrp1"),
    ("contrastive_eb", {"layer": "9", "contrast_layer": "2"}, LayerError, "does not lead to"),
    ("rap", {"profile": "authors"}, OptionError, "paper, reference"),
    ("eb", {"layer": "nowhere"}, LayerError, "no module is called"),
])  # fmt: skip
def test_options_that_make_no_sense(method, options, error, words):
    with pytest.raises(error, match=words):
        equipoise.attribute(*make(Plain), method=method, **options)


@pytest.mark.parametrize("method", ["contrastive_lrp", "agf"])
def test_a_function_of_the_logits_has_no_contrast(method):
    with pytest.raises(TargetError, match="function of the logits"):
        equipoise.attribute(*make(Plain), lambda logits: logits.logsumexp(1), method=method)


@functools.lru_cache(maxsize=1)
def zennits_network(architecture):
    model = golden_torchvision(architecture, seed=3, num_classes=11)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-12  # zennit leaves an epsilon in the batch norms it merges
    return model


@pytest.mark.parametrize("composite", [name for name in COMPOSITES.names() if name != "alpha1-beta0"])
@pytest.mark.parametrize("architecture", ["vgg11", "resnet18"])
def test_composites_equal_zennit(composite, architecture):
    """On a network where zennit applies: VGG as it is; ResNet with its canonizer and batch norms it leaves exact."""
    from zennit import composites
    from zennit.attribution import Gradient
    from zennit.torchvision import ResNetCanonizer

    model = zennits_network(architecture)
    x = golden_image(48, 48, seed=3).clamp(-3, 3).repeat(2, 1, 1, 1)
    x[1] *= 0.7
    found = equipoise.attribute(model, x, [4, 7], method="lrp", composite=composite, profile="reference")
    rules = getattr(composites, "".join(part.capitalize() for part in composite.split("-")))
    options = {"low": -3.0, "high": 3.0} if composite.endswith("box") else {}
    canonizers = [ResNetCanonizer()] if architecture == "resnet18" else []
    for i, target in enumerate([4, 7]):
        hot = torch.eye(11, dtype=x.dtype)[[target]]
        with Gradient(model=model, composite=rules(canonizers=canonizers, **options)) as attributor:
            _, expected = attributor(x[i : i + 1], hot)
        assert relative_error(found[i : i + 1], expected.detach()) < 1e-5


def test_epsilon_equals_captum():
    """captum's LRP with its epsilon rule, on a network without biases, where both are defined the same."""
    captum = pytest.importorskip("captum.attr")

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.relu = nn.Conv2d(3, 6, 3, bias=False), nn.ReLU()
            self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(6, 4, bias=False)

        def forward(self, x):
            return self.fc(self.pool(self.relu(self.conv(x))).flatten(1))

    model, x = Net().double().eval(), torch.randn(3, 3, 6, 6, dtype=torch.float64)
    expected = captum.LRP(model).attribute(x.clone().requires_grad_(), target=2)
    plain = COMPOSITES["epsilon-plus"].dense
    entry = equipoise.METHODS["lrp"](model)
    entry.layer_rules = LayerRules(plain, plain)
    # The pools differ in their stabilizer, 1e-6 here and 1e-9 there.
    assert relative_error(entry.attribute(x, 2), expected.detach()) < 1e-4
