"""Networks with random layers: which, in which order, how drawn, and that the network itself stays."""

import copy

import pytest
import torch
from torch import nn

from equipoise.errors import LayerError, ModelModeError, OptionError, UnknownNameError
from equipoise.metrics import INITIALIZERS, cascade, independent, randomize, stages


class Net(nn.Module):
    """Declared in another order than run; one layer runs twice, one never."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 5)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.stem = nn.Conv2d(3, 4, 3)
        self.twice = nn.Conv2d(4, 4, 1)
        self.never = nn.Linear(2, 2)

    def forward(self, x):
        x = self.twice(self.stem(x))
        x = self.twice(self.block(x))
        return self.head(x.mean((2, 3)))


@pytest.fixture
def net():
    return Net().eval()


X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
ORDER = ["head", "twice", "block.1", "block.0", "stem"]


def changed(model, other):
    old, new = dict(model.named_modules()), dict(other.named_modules())
    return {
        name
        for name, module in old.items()
        for key, value in module.named_parameters(recurse=False)
        if not torch.equal(value, new[name].get_parameter(key))
    }


def untouched(model, before):
    state = model.state_dict()
    return all(torch.equal(state[key], value) for key, value in before.items()) and not any(
        module._forward_hooks for module in model.modules()
    )


def test_stages_run_from_the_logits_down(net):
    before = copy.deepcopy(net.state_dict())
    assert stages(net, X) == ORDER
    assert untouched(net, before)


def test_stages_leave_nothing_behind_when_the_network_fails(net):
    with pytest.raises(RuntimeError):
        stages(net, X[:, :2])
    assert untouched(net, net.state_dict())
    with pytest.raises(ModelModeError):
        stages(net.train(), X)


def test_the_cascade_grows_and_keeps_what_it_drew(net):
    before, state = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    copies = list(cascade(net, X, seed=2))
    assert [name for name, _ in copies] == ORDER
    for index, (_, copied) in enumerate(copies):
        assert changed(net, copied) == set(ORDER[: index + 1])
        assert not changed(copied, copies[-1][1]) & set(ORDER[: index + 1])
        assert not copied.training
    assert untouched(net, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_one_layer_alone(net):
    for name, copied in independent(net, X, initializer="normal"):
        assert changed(net, copied) <= {name}  # a fresh batch norm has scales of 1 and biases of 0 already
        assert name == "block.1" or changed(net, copied)


def test_blocks_named_by_hand(net):
    (first, one), (second, two) = cascade(net, X, layers=["block", "stem"])
    assert (first, changed(net, one)) == ("block", {"block.0", "block.1"})
    assert (second, changed(net, two)) == ("stem", {"block.0", "block.1", "stem"})
    assert [name for name, _ in independent(net, X, layers=["stem"])] == ["stem"]
    net.blockade = nn.Linear(2, 2)  # begins alike, lies elsewhere
    assert changed(net, randomize(net, ["block"])) == {"block.0", "block.1"}
    del net.blockade
    assert changed(net, randomize(net, [""])) == {*ORDER, "never"}


def test_streams_are_the_names_own(net):
    one = randomize(net, ["stem"], seed=1)
    assert not changed(one, randomize(net, ["head", "stem"], seed=1)) & {"stem"}
    assert changed(one, randomize(net, ["stem"], seed=2)) == {"stem"}
    torch.manual_seed(99)
    assert not changed(one, randomize(net, ["stem"], seed=1))
    same = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    drawn = randomize(same, ["0", "1"])
    assert not torch.equal(drawn[0].weight, drawn[1].weight)


def test_the_papers_initializer():
    """Glorot: uniform within the root of 6 over fan in plus fan out; biases uniform in 0 to 1."""
    layer = randomize(nn.Sequential(nn.Conv2d(20, 30, 3)), ["0"])[0]
    bound = (6 / (20 * 9 + 30 * 9)) ** 0.5
    assert 0.99 * bound < layer.weight.abs().max() <= bound
    assert abs(layer.weight.mean()) < 0.05 * bound
    wide = randomize(nn.Sequential(nn.Linear(3, 2000)), ["0"])[0]
    assert 0 <= wide.bias.min() < 0.01
    assert 0.99 < wide.bias.max() <= 1
    assert wide.bias.mean().item() == pytest.approx(0.5, abs=0.02)


def test_normal_and_reset():
    layer = randomize(nn.Sequential(nn.Linear(400, 300)), ["0"], "normal")[0]
    assert layer.weight.std().item() == pytest.approx((2 / 400) ** 0.5, rel=0.02)
    assert not layer.bias.any()
    norm = nn.BatchNorm2d(3)
    nn.init.uniform_(norm.weight, 2, 3)
    norm.running_mean.fill_(7)
    assert (randomize(norm, [""], "normal").weight == 1).all()
    assert randomize(norm, [""], "normal").running_mean[0] == 7
    assert randomize(norm, [""], "reset").running_mean[0] == 0
    fresh = randomize(nn.Sequential(nn.Linear(400, 300)), ["0"], "reset")[0]
    assert 0.99 / 20 < fresh.weight.abs().max() <= 1 / 20  # torch's own: within 1 over the root of the fan in


@pytest.mark.parametrize("initializer", INITIALIZERS.names())
def test_copies_keep_dtype_and_gradients(net, initializer):
    net = net.double()
    net.stem.requires_grad_(False)
    copied = randomize(net, ["stem"], initializer)
    assert copied.stem.weight.dtype == torch.float64
    assert not copied.stem.weight.requires_grad
    assert copied.head.weight.requires_grad
    assert copied(X.double()).isfinite().all()


def test_randomizing_refuses(net):
    with pytest.raises(LayerError, match="no module 'stemm'"):
        randomize(net, ["stemm"])
    with pytest.raises(LayerError, match=r"'block\.2'"):
        randomize(net, ["block.2"])
    with pytest.raises(UnknownNameError, match="did you mean normal"):
        randomize(net, ["stem"], "norml")

    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.ones(3))

    with pytest.raises(OptionError, match="Scale has no reset_parameters"):
        randomize(Scale(), [""], "reset")
