"""What a network hides from autograd: the map is that of the function it computes, or the method says why not."""

import functools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import equipoise
from equipoise.errors import EquipoiseError, NetworkError, UnsupportedModelError
from registered import EVERY, GRADIENTS, TAPE, explain, images, spread

every = pytest.mark.parametrize("method", EVERY)


class Frozen(nn.Module):
    """A backbone that hides itself from the gradient, as transfer learning does, and a head."""

    def __init__(self, how=None):
        super().__init__()
        torch.manual_seed(1)
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(),
                                      nn.AdaptiveAvgPool2d(1), nn.Flatten())  # fmt: skip
        self.head = nn.Linear(8, 4)
        self.how = how or (lambda backbone, x: backbone(x))

    def forward(self, x):
        return self.head(self.how(self.backbone, x))


def within(context):
    def how(backbone, x):
        with context():
            return backbone(x)

    return how


def decorated(decorator):
    @functools.wraps(decorator)
    def how(backbone, x):
        return decorator()(backbone)(x)

    return how


def switched(backbone, x):
    before = torch.is_grad_enabled()
    torch.set_grad_enabled(False)
    x = backbone(x)
    torch.set_grad_enabled(before)
    return x


def in_the_middle(backbone, x):
    x = backbone[:2](x)
    with torch.no_grad():
        x = x.detach().requires_grad_(False)
    return backbone[2:](x)


HIDING = {
    "no_grad": within(torch.no_grad),
    "no_grad, decorator": decorated(torch.no_grad),
    "set_grad_enabled": within(lambda: torch.set_grad_enabled(False)),
    "switched": switched,
    "inference_mode": within(torch.inference_mode),
    "inference_mode, decorator": decorated(torch.inference_mode),
    "detach": lambda backbone, x: backbone(x).detach(),
    "detach_": lambda backbone, x: backbone(x).clone().detach_(),
    "data": lambda backbone, x: backbone(x).data,
    "in the middle": in_the_middle,
    "of the image": lambda backbone, x: backbone(x.data),
}


@pytest.mark.parametrize(("method", "how"), spread(EVERY, HIDING, each=2))
def test_the_map_is_that_of_the_same_function_written_openly(method, how):
    x = images()
    expected = explain(method, Frozen().eval(), x)
    found = explain(method, Frozen(HIDING[how]).eval(), x)
    assert expected.any()
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-6 * expected.abs().max().item())
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(("method", "how"), spread(EVERY, ["no_grad", "inference_mode", "detach"]))
def test_nothing_of_it_is_left_and_the_callers_modes_do_not_matter(method, how):
    x = images()
    model = Frozen(HIDING[how]).eval()
    expected = explain(method, model, x)
    with torch.inference_mode():
        assert torch.equal(explain(method, model, x.clone()), expected)
    with torch.no_grad():
        assert torch.equal(explain(method, model, x), expected)
        assert not torch.is_grad_enabled()
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


@every
def test_weights_made_in_inference_mode(method):
    x = images()
    with torch.inference_mode():
        model = Frozen().eval()
    expected = explain(method, Frozen().eval(), x)
    assert torch.allclose(explain(method, model, x), expected, rtol=1e-5, atol=1e-7)
    assert all(parameter.is_inference() for parameter in model.parameters()), "the model is as it was"


def one_hot(backbone, x):
    return F.one_hot(backbone(x).argmax(1), 8).float()


def by_a_mask(backbone, x):
    y = backbone[:3](x)
    return backbone[3:]((y > 0).to(y.dtype))


def as_numbers(backbone, x):
    return torch.tensor(backbone(x).tolist())


CAMS = {"grad_cam", "grad_cam_plus_plus", "relevance_cam"}  # they go no further than the last map


@pytest.mark.parametrize(("method", "cut"), [
    *[(method, cut) for method in sorted(GRADIENTS | TAPE - {"score_cam"}) for cut in (one_hot, as_numbers)],
    *[(method, by_a_mask) for method in sorted(GRADIENTS | TAPE - {"score_cam", *CAMS})],
])  # fmt: skip
def test_a_score_that_nothing_differentiable_reaches_is_refused_by_name(method, cut):
    reasons = r"does not depend on|out of torch's sight|turned into torch\.(bool|int64)|doesn't require gradient"
    with pytest.raises(EquipoiseError, match=reasons):
        explain(method, Frozen(cut).eval(), images())


@every
def test_leaving_torch_inside_is_refused_or_harmless(method):
    def leaves(backbone, x):
        return torch.from_numpy(backbone(x).detach().numpy())

    model = Frozen(leaves).eval()
    if method in GRADIENTS | TAPE:
        with pytest.raises(EquipoiseError):
            explain(method, model, images())
    else:
        assert explain(method, model, images()).isfinite().all()


class Overwrites(torch.autograd.Function):
    """A function that autograd cannot go back through."""

    @staticmethod
    def forward(_context, x):
        return x * 2

    @staticmethod
    def backward(_context, _gradient):
        raise RuntimeError("no way back")


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "gradient_shap", "extremal_perturbation"])
def test_what_autograd_cannot_do_is_a_sentence(method):
    model = Frozen(lambda backbone, x: Overwrites.apply(backbone(x))).eval()
    with pytest.raises(UnsupportedModelError, match=r"no way back.*without gradients"):
        explain(method, model, images())


def test_a_network_that_clamps_its_own_weights_without_gradients_still_can():
    def clamped(backbone, x):
        with torch.no_grad():
            backbone[0].weight.clamp_(-1, 1)
        return backbone(x)

    expected = explain("gradient", Frozen().eval(), images())
    assert torch.equal(explain("gradient", Frozen(clamped).eval(), images()), expected)


def _by_out(y):
    made = torch.empty(0)
    torch.maximum(y, 0.5 * y, out=made)
    return made


def _parts_doubled(y):
    z = y.clone()
    for part in z.chunk(2, 1):
        part.mul_(2)
    return z


def _first_tripled(y):
    z = y.clone()
    z.unbind(1)[0].mul_(3)
    return z


WRITTEN = {
    "out=": (_by_out, lambda y: torch.maximum(y, 0.5 * y)),
    "into parts": (_parts_doubled, lambda y: 2 * y),
    "into one of all": (_first_tripled, lambda y: torch.cat([3 * y[:, :1], y[:, 1:]], 1)),
}


@pytest.mark.parametrize("how", WRITTEN)
def test_what_is_written_has_the_gradient_of_what_is_not(how):
    class Net(nn.Module):
        def __init__(self, body):
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.body = nn.Conv2d(3, 4, 3), body

        def forward(self, x):
            return self.body(self.conv(x)).square().mean((2, 3))

    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    one, other = (equipoise.attribute(Net(body).eval(), x, 1, method="gradient") for body in WRITTEN[how])
    torch.testing.assert_close(one, other)


def test_a_write_that_autograd_cannot_follow_is_named():
    class Net(nn.Module):
        def forward(self, x):
            y = torch.zeros(len(x), 4, 8, 8)
            for part in y.chunk(2, 1):
                part.copy_(x[:, :2])
            return y.mean((2, 3))

    with pytest.raises(NetworkError, match=r"copy_ writes where autograd cannot follow.*cat"):
        equipoise.attribute(Net().eval(), torch.randn(1, 3, 8, 8), 1, method="gradient")
