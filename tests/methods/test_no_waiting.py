"""On an accelerator nothing waits for the device layer by layer: how often a call does so does not grow with depth.

Counted on a CPU; `device` says how.
"""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import equipoise
from device import watched
from equipoise.engine import devices
from equipoise.errors import NotFiniteError, TargetError
from registered import CHEAP, EVERY, HOOKS, TAPE, spread

ASKS_OFTEN = {"lime", "kernel_shap", "gradient_shap", "deep_lift"}
"""captum's own loops, which ask once a sample."""
MOST = 4


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = (nn.Conv2d(8, 8, 3, padding=1, bias=False) for _ in range(2))
        self.m, self.n = nn.BatchNorm2d(8), nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.n(self.b(self.relu(self.m(self.a(x))))) + x)


class Inverted(nn.Module):
    def __init__(self):
        super().__init__()
        self.wide = nn.Sequential(
            nn.Conv2d(8, 16, 1, bias=False),
            nn.BatchNorm2d(16),
            nn.SiLU(inplace=True),
            nn.Conv2d(16, 16, 3, padding=1, groups=16),
            nn.BatchNorm2d(16),
            nn.SiLU(),
        )
        self.squeeze, self.excite = nn.Conv2d(16, 4, 1), nn.Conv2d(4, 16, 1)
        self.narrow = nn.Sequential(nn.Conv2d(16, 8, 1, bias=False), nn.BatchNorm2d(8))

    def forward(self, x):
        y = self.wide(x)
        gate = self.excite(torch.relu(self.squeeze(y.mean((2, 3), keepdim=True)))).sigmoid()
        return self.narrow(y * gate) + x


def resnet(depth):
    stem = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, *[Residual() for _ in range(depth)], *_head())


def vgg(depth):
    layers = [part for _ in range(depth) for part in (nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(inplace=True))]
    dense = [nn.Linear(8 * 36, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 5)]
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), *layers, nn.MaxPool2d(2), nn.Flatten(), *dense)


def efficientnet(depth):
    stem = [nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.SiLU()]
    return nn.Sequential(*stem, *[Inverted() for _ in range(depth)], *_head())


def _head():
    return nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)


KINDS = {"resnet": resnet, "vgg": vgg, "efficientnet": efficientnet}


def made(kind, depth, n=2):
    model = KINDS[kind](depth).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model, torch.randn(n, 3, 12, 12), torch.arange(n)


def waits(method, kind, depth, target=...):
    """Where a second call waits: the first asks the weights."""
    model, x, classes = made(kind, depth)
    bound = equipoise.METHODS[method](model, **CHEAP.get(method, {}))
    expected = bound.attribute(x, classes if target is ... else target)
    with watched(model, x, classes) as places:
        found = bound.attribute(x, classes if target is ... else target)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))
    return places


# captum's hooks see no function that is no module
@pytest.mark.parametrize(("method", "kind"), spread(EVERY, KINDS, but={(hooks, "efficientnet") for hooks in HOOKS}))
def test_waiting_does_not_grow_with_depth(method, kind):
    shallow, deep = waits(method, kind, 1), waits(method, kind, 3)
    if method in {"lime", "kernel_shap"}:  # they draw until they have enough
        assert len(deep) < 8 * CHEAP[method]["samples"]
    else:
        assert len(deep) == len(shallow)
    if method not in ASKS_OFTEN:
        assert len(deep) <= (3 if method in TAPE else MOST), deep


@pytest.mark.parametrize("target", [1, [1, 2], [[1, 2], [3]], None, lambda logits: logits[:, 1]])
def test_classes_that_lie_on_the_host_cost_no_waiting(target):
    assert len(waits("gradient", "vgg", 1, target)) == 1


def test_a_network_seen_first_is_asked_about_its_weights_at_once():
    model, x, _ = made("resnet", 3)
    with watched(model, x) as places:
        equipoise.METHODS["gradient"](model).attribute(x, 1)
    assert len(places) == 2, "the weights, then pixels and scores"


@pytest.mark.parametrize("method", ["ae", "gradient", "occlusion"])
def test_what_is_wrong_is_named_as_on_a_cpu(method):
    model, x, classes = made("vgg", 1)
    bad = x.clone()
    bad[1, 2, 3, 4] = torch.nan
    bound = equipoise.METHODS[method](model, **CHEAP.get(method, {}))
    with watched(model, bad), pytest.raises(NotFiniteError, match=r"inputs\[1, 2, 3, 4\] is nan"):
        bound.attribute(bad, 1)
    with watched(model, x, classes), pytest.raises(TargetError, match="class 5 does not exist"):
        bound.attribute(x, classes + 5)
    model[2].bias.data[3] = torch.inf
    with watched(model, x), pytest.raises(NotFiniteError, match=r"the weight 2\.bias holds inf"):
        bound.attribute(x, 1)


def test_a_pixel_is_named_also_where_the_network_fails_because_of_it():
    class Asks(nn.Module):
        def forward(self, x):
            if x.isnan().any():
                raise ValueError("no numbers")
            return x.mean((2, 3))

    x = torch.full((1, 3, 4, 4), torch.nan)
    with watched(x), pytest.raises(NotFiniteError, match="is nan"):
        equipoise.METHODS["gradient"](Asks()).attribute(x, 1)


def test_the_count_sees_what_waits():
    x, mask = torch.arange(6.0), torch.tensor([True, False] * 3)
    here = torch.arange(3)
    with watched(x, mask) as places:
        assert not devices.free_to_ask(x)
        assert devices.free_to_ask(here)
        float(x.sum())
        bool((x > 3).any())
        x.tolist()
        x[mask]
        x.nonzero()
        torch.equal(x, x + 0)
        x.cpu()
        torch.tensor([1.0], device=x.device)
        x[here]
        x[:3] + here
        assert len(places) == 10, places
        x * 2 + torch.ones(6, device=x.device)
        (x + here.sum()).clamp(min=0).sum()
        x[:3] + here.to(x.device, non_blocking=True)
        here.tolist()
        assert len(places) == 10, places


class Counted(TorchDispatchMode):
    """Counts the operations that a device would be asked to start; a view is none."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        given = {one.untyped_storage()._cdata for one in tensors((args, kwargs))}
        made_anew = any(one.untyped_storage()._cdata not in given for one in tensors(made))
        self.count += (made_anew and "empty" not in func.__name__) or func._schema.is_mutable
        return made


def tensors(item):
    return [leaf for leaf in tree_leaves(item) if isinstance(leaf, torch.Tensor)]


def started(depth, monkeypatch):
    """Operations of one call of AE, as on an accelerator, and of one gradient."""
    model, x, _ = made("resnet", depth, n=1)
    model.requires_grad_(requires_grad=False)
    monkeypatch.setattr(devices, "free_to_ask", lambda _: False)
    monkeypatch.setattr("equipoise.engine.layout.channels_last", lambda _: False)
    bound = equipoise.METHODS["ae"](model)
    bound.attribute(x, 1)
    with Counted() as mine:
        bound.attribute(x, 1)
    leaf = x.clone().requires_grad_()
    with Counted() as unit:
        torch.autograd.grad(model(leaf)[:, 1].sum(), leaf)
    return mine.count, unit.count


def test_a_residual_block_costs_few_operations(monkeypatch):
    """Of a small batch their number is the time that a GPU takes."""
    shallow, deep = started(1, monkeypatch), started(3, monkeypatch)
    block, unit = ((deep[i] - shallow[i]) / 2 for i in range(2))
    assert block <= 120, "of two convolutions, their norms and activations, and a sum"
    assert block <= 9 * unit


@pytest.mark.parametrize("value", [0.0, 1e-38, 1e-30, 1e30, 1e37])
def test_extreme_images_give_the_same_numbers_unasked(value):
    model, x, _ = made("vgg", 2)
    x[1] = value * x[1].abs()
    bound = equipoise.METHODS["ae"](model)
    expected = bound.attribute(x, 1)
    with watched(model, x):
        found = bound.attribute(x, 1)
    assert found.isfinite().all()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
