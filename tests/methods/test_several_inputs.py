"""Networks of several inputs: a map of each, by every method; the others are held as they are."""

import pytest
import torch
from torch import nn

import equipoise
from equipoise import records, targets
from equipoise.errors import EquipoiseError, LayerError, NotFiniteError, OptionError, ShapeError, TargetError

CLASSES = 4
OPTIONS = {
    "rise": {"masks": 16}, "occlusion": {"window": 6, "stride": 6}, "lime": {"samples": 20},
    "kernel_shap": {"samples": 20}, "extremal_perturbation": {"steps": 2}, "smooth_grad": {"samples": 2},
    "integrated_gradients": {"steps": 4}, "gradient_shap": {"samples": 4}, "deep_lift_shap": {"baselines": 2},
}  # fmt: skip
EVERY = equipoise.METHODS.names()


def branch(channels):
    return nn.Sequential(
        nn.Conv2d(channels, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 6, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip


def seeded(network):
    generator = torch.Generator().manual_seed(3)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.4
    return network.eval()


class TwoBranches(nn.Module):
    """The scores depend on both inputs at once: their features are multiplied, too."""

    def __init__(self):
        super().__init__()
        self.one, self.other, self.head = branch(3), branch(1), nn.Linear(12, CLASSES)

    def forward(self, image, depth, *, scale=None, flag=True):
        assert flag
        features = torch.cat([self.one(image), self.other(depth)], 1)
        return self.head(features * (1 if scale is None else scale[:, None]))


class Siamese(nn.Module):
    """One encoder for both."""

    def __init__(self):
        super().__init__()
        self.encoder, self.head = branch(3), nn.Linear(6, CLASSES)

    def forward(self, a, b):
        return self.head(self.encoder(a) * self.encoder(b))


def pair(n=2):
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(n, channels, *size, generator=generator, dtype=torch.float64)
        for channels, size in ((3, (12, 16)), (1, (14, 10)))
    )


def twins(n=2):
    x = torch.randn(2 * n, 3, 12, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return x[:n], x[n:]


def options(method):
    known = records.method_options(method)
    return {key: value for key, value in OPTIONS.get(method, {}).items() if key in known}


def explain(network, inputs, target, method, **more):
    return equipoise.attribute(network, inputs, target, method=method, **options(method), **more)


class Held(nn.Module):
    """What the map of one input has to be: that of a network which has the other in a buffer."""

    def __init__(self, network, other, first):
        super().__init__()
        self.network = network
        self.first = first
        self.register_buffer("other", other)

    def forward(self, x):
        other = self.other.repeat(len(x), 1, 1, 1)
        return self.network(x, other) if self.first else self.network(other, x)


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize("kind", ["two branches", "siamese"])
def test_every_method_explains_both(kind, method):
    """As a network that holds the other input would be explained, and of each image alone."""
    network, inputs = (seeded(TwoBranches()), pair()) if kind == "two branches" else (seeded(Siamese()), twins())
    found = explain(network, inputs, 1, method)
    assert isinstance(found, tuple)
    for place, (one, x) in enumerate(zip(found, inputs, strict=True)):
        assert one.shape in {x.shape, (len(x), 1, *x.shape[2:])}
        assert (one.flatten(1).abs().sum(1) > 0).all()
        for row in range(2):
            other = inputs[1 - place][row : row + 1]
            right = explain(Held(network, other, first=place == 0), x[row : row + 1], 1, method)
            torch.testing.assert_close(one[row : row + 1], right)
    torch.testing.assert_close(explain(network, inputs, 1, method, wrt=1), found[1])


@pytest.mark.parametrize("network", [TwoBranches(), Siamese()], ids=["two branches", "siamese"])
def test_the_gradient_is_autograd_s(network):
    network = seeded(network)
    inputs = tuple(x.requires_grad_() for x in (pair() if isinstance(network, TwoBranches) else twins()))
    right = torch.autograd.grad(network(*inputs)[:, 2].sum(), inputs)
    found = explain(network, inputs, 2, "gradient")
    for one, gradient in zip(found, right, strict=True):
        torch.testing.assert_close(one, gradient)
        assert not one.requires_grad


def test_a_dict_is_called_by_its_keys():
    network, (image, depth) = seeded(TwoBranches()), pair()
    by_place = explain(network, (image, depth), None, "ae")
    by_name = explain(network, {"depth": depth, "image": image}, None, "ae")
    assert list(by_name) == ["depth", "image"]
    torch.testing.assert_close(by_name["image"], by_place[0])
    torch.testing.assert_close(by_name["depth"], by_place[1])
    torch.testing.assert_close(
        explain(network, {"image": image, "depth": depth}, None, "ae", wrt="depth"), by_place[1]
    )  # fmt: skip


@pytest.mark.parametrize("method", ["input_x_gradient", "integrated_gradients", "deep_lift"])
def test_the_maps_of_branches_that_meet_in_a_sum_add_up_to_the_score(method):
    network, inputs = seeded(TwoBranches()), pair()
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            parameter.data.zero_()
    found = explain(network, inputs, 1, method)
    total = sum(one.flatten(1).sum(1) for one in found)
    torch.testing.assert_close(total, network(*inputs)[:, 1].detach())


def test_what_is_no_image_is_passed_on():
    network, (image, depth) = seeded(TwoBranches()), pair()
    scale = torch.tensor([1.0, -2.0], dtype=torch.float64)
    found = explain(network, {"image": image, "depth": depth, "scale": scale, "flag": True}, 1, "gradient")
    plain = explain(network, {"image": image, "depth": depth}, 1, "gradient")
    assert found["scale"] is None
    assert found["flag"] is None
    torch.testing.assert_close(found["image"], plain["image"] * scale.reshape(-1, 1, 1, 1))


TARGETS = {
    "of each image": (torch.tensor([1, 3]), (2,)), "ints": ([1, 3], (2,)), "one": (torch.tensor(2), (2,)),
    "several": (torch.tensor([[1, 2], [3, 0]]), (2, 2)), "a function": (targets.contrast(1, 2), (2,)),
    "functions": ([targets.class_(1), targets.class_(2)], (2, 2)),
}  # fmt: skip


@pytest.mark.parametrize("form", TARGETS)
def test_a_target_of_any_form(form):
    """As of a network that puts the one input together from both."""
    target, shape = TARGETS[form]
    network, inputs = seeded(Siamese()), twins()

    class Joined(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, x):
            return self.network(x[:, :3], x[:, 3:])

    right = explain(Joined().eval(), torch.cat(inputs, 1), target, "gradient")
    found = explain(network, inputs, target, "gradient")
    assert found[0].shape[: len(shape)] == shape
    torch.testing.assert_close(torch.cat(found, -3), right)


def test_a_ragged_target():
    network, inputs = seeded(Siamese()), twins()
    first, second = explain(network, inputs, [[1, 2], [0]], "gradient", wrt=0)
    torch.testing.assert_close(first, explain(network, inputs, torch.tensor([[1, 2], [1, 2]]), "gradient", wrt=0)[0])
    assert second.shape == (1, 3, 12, 16)


def test_a_layer_goes_by_its_own_name():
    network, inputs = seeded(TwoBranches()), pair()
    by_name = explain(network, inputs, 1, "grad_cam", wrt=0, layer="one.0", relu=False)
    torch.testing.assert_close(
        explain(network, inputs, 1, "grad_cam", wrt=0, layer=network.one[0], relu=False), by_name
    )
    both = explain(network, inputs, 1, "grad_cam", wrt=0, layer=["one.0", network.one[1]], relu=False)
    assert not torch.allclose(both, by_name)
    with pytest.raises(LayerError, match="nowhere"):
        explain(network, inputs, 1, "grad_cam", wrt=0, layer="nowhere")


def test_the_network_and_the_inputs_stay_as_they_are():
    class Writes(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = TwoBranches()

        def forward(self, image, depth):
            return self.network(image, depth.mul_(2))

    network, inputs = seeded(Writes()), pair()
    network.network.one.train()
    kept, modes = [x.clone() for x in inputs], [module.training for module in network.modules()]
    state = {key: one.clone() for key, one in network.state_dict().items()}
    for method in ("ae", "gradient", "rise"):
        explain(network, inputs, 1, method)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(one, x) for one, x in zip(kept, inputs, strict=True))
    assert all(torch.equal(one, network.state_dict()[key]) for key, one in state.items())


def test_inputs_of_inference_mode_and_none_at_all():
    network = seeded(TwoBranches())
    with torch.inference_mode():
        inputs = pair()
        found = explain(network, inputs, 1, "gradient")
    torch.testing.assert_close(found[0].clone(), explain(network, pair(), 1, "gradient")[0])
    nothing = explain(network, tuple(x[:0] for x in pair()), 1, "gradient")
    assert [one.shape for one in nothing] == [(0, 3, 12, 16), (0, 1, 14, 10)]


def test_a_callable_method():
    network, inputs = seeded(TwoBranches()), pair()

    def doubled(model, x, target):
        return 2 * equipoise.attribute(model, x, target, method="gradient")

    found = equipoise.attribute(network, inputs, 1, method=doubled, wrt=1)
    torch.testing.assert_close(found, 2 * explain(network, inputs, 1, "gradient", wrt=1))


A, B = pair()
WRONG = {
    "no such place": (((A, B), 1), {"wrt": 2}, OptionError, "wrt is 2, and the inputs are 0, 1"),
    "no such key": (({"image": A, "depth": B}, 1), {"wrt": "dept"}, OptionError, "did you mean 'depth'"),
    "one input": ((A, 1), {"wrt": 0}, OptionError, "a tuple or a dict, not one tensor"),
    "batch sizes": (((A, B[:1]), 1), {}, ShapeError, r"0 is \(2, 3, 12, 16\), 1 is \(1, 1, 14, 10\)"),
    "no tensor": (((A, "depth"), 1), {"wrt": 1}, ShapeError, "input 1 is str; a method explains"),
    "no positions": (((A, B[:, 0, 0]), 1), {"wrt": 1}, ShapeError, r"input 1 is \(2, 10\) of torch.float64"),
    "whole numbers": (((A, B.long()), 1), {"wrt": 1}, ShapeError, "of torch.int64; a method explains floating-point"),
    "nothing to explain": (((B[:, 0, 0], True), 1), {}, ShapeError, "none of the inputs 0, 1 is a floating-point"),
    "no inputs": (((), 1), {}, ShapeError, "none of the inputs of an empty tuple or dict"),
    "nan": (((A, B * torch.nan), 1), {"wrt": 0}, NotFiniteError, "input 1 holds nan"),
    "targets": (((A, B), [1, 2, 3]), {}, TargetError, "3 targets for a batch of 2 images"),
    "no such class": (((A, B), 7), {}, TargetError, "class 7 does not exist"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_in_a_sentence(case):
    (inputs, target), more, kind, words = WRONG[case]
    with pytest.raises(kind, match=words):
        explain(seeded(TwoBranches()), inputs, target, "gradient", **more)


def test_an_input_that_the_score_does_not_depend_on():
    class First(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = branch(3)

        def forward(self, image, _depth):
            return self.network(image)

    for method in ("ae", "gradient"):
        with pytest.raises(EquipoiseError, match="does not depend on"):
            explain(seeded(First()), pair(), 1, method)
