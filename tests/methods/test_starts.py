"""Where relevance starts: no constant, no squashing and no negative score turns a map over."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import equipoise
from equipoise.errors import TargetError
from equipoise.methods import METHODS
from equipoise.methods.targets import ClassGroup
from registered import spread

CLASSES = 4
SMALL = {
    "rise": {"masks": 60}, "smooth_grad": {"samples": 8}, "lime": {"samples": 60, "grid": 4},
    "kernel_shap": {"samples": 60, "grid": 4},
    "extremal_perturbation": {"steps": 12}, "gradient_shap": {"samples": 4},
}  # fmt: skip


class Shifted(nn.Module):
    """Another network's logits plus a constant."""

    def __init__(self, body: nn.Module, constant: float) -> None:
        super().__init__()
        self.body, self.constant = body, constant

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.constant


def trunk() -> list[nn.Module]:
    return [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]


HEADS = {
    "linear": lambda: [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES)],
    "flatten, linear": lambda: [nn.Flatten(), nn.Linear(8 * 36, CLASSES)],
    "1x1, pool": lambda: [nn.Conv2d(8, CLASSES, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()],
    "conv, pool": lambda: [nn.Conv2d(8, CLASSES, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()],
    "conv, maximum": lambda: [nn.Conv2d(8, CLASSES, 3), nn.MaxPool2d(4), nn.Flatten()],
}


def network(head: str, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    model = nn.Sequential(*trunk(), *HEADS[head]()).double().eval()
    with torch.no_grad():
        last_layer(model).weight *= 10  # LIME's penalty would take a small response for none
    return model


def images(n: int = 2) -> Tensor:
    return torch.randn(n, 3, 12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def raised(model: nn.Sequential, constant: float) -> nn.Sequential:
    """The same network with a constant added to the last layer's bias."""
    with torch.no_grad():
        last_layer(model).bias += constant
    return model


def last_layer(model: nn.Sequential) -> nn.Conv2d | nn.Linear:
    return [module for module in model if isinstance(module, nn.Conv2d | nn.Linear)][-1]


def alike(a: Tensor, b: Tensor) -> float:
    """The lowest correlation of two maps of one image and target."""
    rows = zip(a.flatten(0, a.dim() - 4).flatten(1), b.flatten(0, b.dim() - 4).flatten(1), strict=True)
    return min(1.0 if torch.equal(x, y) else float(torch.corrcoef(torch.stack([x, y]))[0, 1]) for x, y in rows)


@pytest.mark.parametrize(("method", "head"), spread(METHODS.names(), HEADS, each=2))
def test_a_constant_added_to_all_logits_turns_no_map_over(method, head):
    x, options = images(), SMALL.get(method, {})
    before = equipoise.attribute(network(head), x, 1, method=method, **options)
    assert before.abs().sum() > 0
    for constant in (-30.0, 30.0):
        for model in (raised(network(head), constant), Shifted(network(head), constant).eval()):
            after = equipoise.attribute(model, x, 1, method=method, **options)
            assert alike(before, after) > 0.99, (constant, type(model).__name__)


@settings(max_examples=20, deadline=None)
@given(
    method=st.sampled_from([name for name in METHODS.names() if hasattr(METHODS[name], "explain_trace")]),
    head=st.sampled_from(sorted(HEADS)),
    constant=st.floats(-100, 100),
    seed=st.integers(0, 99),
    target=st.integers(0, CLASSES - 1),
)
def test_no_constant_changes_more_than_the_scale(method, head, constant, seed, target):
    """As a law, and tighter, for what is carried along the tape."""
    x = images(1)
    a = equipoise.attribute(network(head, seed), x, target, method=method)
    b = equipoise.attribute(raised(network(head, seed), constant), x, target, method=method)
    scale = a.abs().max()
    assume(float(scale) > 0 and method != "full_grad")  # whose bias terms are part of the map
    assert (a / scale - b / b.abs().max()).abs().max() < 1e-6


@pytest.mark.parametrize("method", METHODS.names())
def test_nor_do_those_of_several_targets_of_one_image(method):
    x, options = images(1), SMALL.get(method, {})
    target = torch.tensor([[0, 2, 3]])
    before = equipoise.attribute(network("linear"), x, target, method=method, **options)
    after = equipoise.attribute(raised(network("linear"), -30.0), x, target, method=method, **options)
    assert alike(before, after) > 0.99


@pytest.mark.parametrize("method", ["lrp_composite", "lrp_alpha_beta", "deep_taylor", "contrastive_lrp", "rap", "agf"])
def test_the_plain_logit_stays_an_option_and_says_when_it_is_negative(method):
    x = images(1)
    for constant, expected in ((30.0, 0), (-30.0, 1)):
        bound = METHODS[method](raised(network("linear"), constant), start="logit")
        bound.attribute(x, 1)
        assert sum("negative" in note for note in bound.notes) == expected, bound.notes
    assert not METHODS[method](raised(network("linear"), -30.0)).notes
    with pytest.raises(equipoise.errors.OptionError, match="class"):
        METHODS[method](network("linear"), start="probability")


@pytest.mark.parametrize("method", ["lrp_alpha_beta", "lrp_composite", "rap", "eb", "contrastive_lrp", "relevance_cam"])
def test_a_mean_behind_the_last_layer_is_a_mean_before_it(method):
    """The same function, written with the convolution first or with the mean first."""
    torch.manual_seed(2)
    body, mean, flat, last = trunk(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Conv2d(8, CLASSES, 1)
    first, second = (nn.Sequential(*body, *order).double().eval() for order in ((last, mean, flat), (mean, last, flat)))
    a, b = (equipoise.attribute(model, images(), 1, method=method) for model in (first, second))
    assert (a - b).abs().max() <= 1e-4 * b.abs().max()  # the stabilizer of sums


ENDS = {
    "softmax": lambda: nn.Softmax(1), "log_softmax": lambda: nn.LogSoftmax(1), "sigmoid": nn.Sigmoid,
    "logsigmoid": nn.LogSigmoid, "softmax of maps": lambda: nn.Sequential(nn.Unflatten(1, (CLASSES, 1)), nn.Softmax(1),
                                                                          nn.Flatten()),
}  # fmt: skip
ON_THE_TAPE = [name for name in METHODS.names() if hasattr(METHODS[name], "explain_trace")]


@pytest.mark.parametrize(("method", "end"), spread(ON_THE_TAPE, ENDS))
def test_relevance_starts_before_a_squashing(method, end):
    x = images()
    squashed = nn.Sequential(*network("linear"), ENDS[end]()).eval()
    bound = METHODS[method](squashed)
    plain = equipoise.attribute(network("linear"), x, 1, method=method)
    assert torch.equal(bound.attribute(x, 1), plain)
    assert [note for note in bound.notes if "before" in note], bound.notes
    group = ClassGroup((0, 2))
    assert torch.equal(bound.attribute(x, group), equipoise.attribute(network("linear"), x, group, method=method))


def test_a_function_of_the_probabilities_is_explained_as_it_is():
    x, squashed = images(), nn.Sequential(*network("linear"), nn.Softmax(1)).eval()
    bound = METHODS["grad_cam"](squashed, relu=False)
    found = bound.attribute(x, lambda p: p[:, 1])
    by_hand = METHODS["grad_cam"](network("linear"), relu=False).attribute(x, lambda y: y.softmax(1)[:, 1])
    torch.testing.assert_close(found, by_hand)
    assert not bound.notes


def one_logit(*end: nn.Module, bias: float = -2.0) -> nn.Sequential:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1), *end)
    nn.init.constant_(model[4].bias, bias)
    return model.double().eval()


@pytest.mark.parametrize("method", [name for name in ON_THE_TAPE if name != "contrastive_lrp"])
def test_one_logit_is_explained_whatever_its_sign(method):
    x = torch.randn(1, 1, 12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    low, high, squashed = one_logit(), one_logit(bias=2.0), one_logit(nn.Sigmoid())
    a, b, c = (equipoise.attribute(model, x, 0, method=method) for model in (low, high, squashed))
    assert a.isfinite().all()
    assert a.abs().sum() > 0
    assert alike(a, b) > 0.99
    assert torch.equal(a, c)


def test_contrastive_lrp_says_that_one_class_has_no_contrast():
    x = torch.randn(1, 1, 12, 12, dtype=torch.float64)
    with pytest.raises(TargetError, match="contrastive_eb"):
        equipoise.attribute(one_logit(), x, 0, method="contrastive_lrp")
    with pytest.raises(TargetError, match="none is left"):
        equipoise.attribute(network("linear"), images(), ClassGroup(tuple(range(CLASSES))), method="contrastive_lrp")
    assert equipoise.attribute(one_logit(), x, 0, method="contrastive_lrp", variant="clrp2").abs().sum() > 0


class Ending(nn.Module):
    """A network whose scores an end makes probabilities of."""

    def __init__(self, end: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.body, self.end = network("linear"), end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.body(x))


@pytest.mark.parametrize("method", ["ae", "grad_cam"])
@pytest.mark.parametrize(
    "end",
    [
        lambda y: y.t().softmax(0).t(),
        lambda y: y.t().log_softmax(0).t(),
        lambda y: y.t().sigmoid().t(),
        lambda y: y[:, :, None].movedim(1, 0).softmax(0).movedim(0, 1)[:, :, 0],
    ],
    ids=["softmax", "log_softmax", "sigmoid", "an axis more"],
)
def test_a_squashing_of_moved_scores_is_left_out_too(end, method):
    x = images()
    expected = equipoise.attribute(network("linear"), x, 1, method=method)
    torch.testing.assert_close(equipoise.attribute(Ending(end).eval(), x, 1, method=method), expected)
