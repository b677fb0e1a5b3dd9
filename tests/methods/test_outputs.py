"""Networks that return more than their class scores: what is taken, what is refused, and the option that chooses."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import equipoise
from equipoise.engine.outputs import pick_output
from equipoise.errors import OptionError, ShapeError
from registered import EVERY, explain, images, spread

every = pytest.mark.parametrize("method", EVERY)
Fields = namedtuple("Fields", "features logits")  # noqa: PYI024
Google = namedtuple("Google", "logits aux_logits2 aux_logits1")  # noqa: PYI024


class Mapped(OrderedDict):
    """A dictionary whose keys are attributes, too."""

    def __getattr__(self, name):
        return self[name]


@dataclass
class Plain:
    """An object with fields."""

    logits: torch.Tensor


class Net(nn.Module):
    """Features and logits, wrapped up by a function of both."""

    def __init__(self, wrap=lambda _features, logits: logits):
        super().__init__()
        torch.manual_seed(1)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(8, 4)
        self.wrap = wrap
        self.eval()

    def forward(self, x):
        features = self.body(x)
        return self.wrap(features, self.head(features))


TAKEN = {
    "field": (Fields, None),
    "googlenet": (lambda _f, y: Google(y, None, None), None),
    "mapped": (lambda f, y: Mapped(features=f, logits=y), None),
    "key": (lambda f, y: {"features": f, "logits": y}, None),
    "attribute": (lambda _f, y: Plain(y), None),
    "with a map": (lambda f, y: (y, f[:, :, None, None]), None),
    "list of one": (lambda _f, y: [y], None),
    "second by index": (lambda f, y: (f, y), 1),
    "last by index": (lambda f, y: (f, y), -1),
    "by key": (lambda f, y: {"f": f, "out": y}, "out"),
    "by attribute": (lambda _f, y: Plain(y), "logits"),
    "by field": (Fields, "logits"),
    "behind nothing": (lambda _f, y: (None, y), 1),
    "by a function": (lambda _f, y: {"deep": [{"y": y}]}, lambda result: result["deep"][0]["y"]),
}
REFUSED = {
    "two": (lambda f, y: (y, f), r"0: \(2, 4\), 1: \(2, 8\).*output=0 or output=1"),
    "key alone": (lambda _f, y: {"out": y}, "output='out'"),
    "none first": (lambda _f, y: (None, y), "0: NoneType.*output=1"),
    "nothing": (lambda f, _y: (f[:, :, None],), "none of it"),
    "empty": (lambda _f, _y: (), "nothing"),
    "text": (lambda _f, _y: "no", "str, not logits"),
    "whole numbers": (lambda _f, y: y.argmax(1), "int64"),
    "one number": (lambda _f, y: y.mean(), "one row for each image"),
    "squeezed": (lambda _f, y: y[0], "one row for each image"),
}


@pytest.mark.parametrize(("method", "kind"), spread(EVERY, TAKEN, each=2))
def test_what_is_taken(method, kind):
    wrap, output = TAKEN[kind]
    expected = explain(method, Net(), images())
    assert torch.allclose(explain(method, Net(wrap), images(), output=output), expected, rtol=1e-5, atol=1e-7)
    bound = equipoise.METHODS[method](Net(wrap), output=output)
    assert bound.output is output


@pytest.mark.parametrize(("method", "kind"), spread(EVERY, REFUSED, each=2))
def test_what_is_refused(method, kind):
    wrap, words = REFUSED[kind]
    with pytest.raises(ShapeError, match=words):
        explain(method, Net(wrap), images())


@every
def test_one_score_per_image_is_one_class(method):
    if method in {"contrastive_lrp", "contrastive_eb", "agf"}:
        pytest.skip("what these do with one class is theirs to say")
    found = explain(method, Net(lambda _f, y: y[:, 1]), images(), 0)
    assert torch.allclose(found, explain(method, Net(lambda _f, y: y[:, 1:2]), images(), 0), rtol=1e-5, atol=1e-7)


@every
def test_outputs_that_are_not_there_are_named(method):
    for output, words in (
        (5, "output is 5.*it returned: features, logits"), ("logit", "did you mean logits"),
        (1.5, "an index, a key, or a function"), (True, "an index"),
    ):  # fmt: skip
        with pytest.raises(OptionError, match=words):
            explain(method, Net(Fields), images(), output=output)
    with pytest.raises(OptionError, match="one tensor"):
        explain(method, Net(), images(), output=0)


def test_the_option_of_classes_callables_and_layers():
    model = Net(lambda f, y: (f, y))
    found = equipoise.AttributionEquilibrium(model, gamma=1.5, output=1).attribute(images(), 1)
    assert torch.allclose(found, equipoise.attribute(Net(), images(), 1, gamma=1.5))

    def score(model, inputs, target):
        return inputs * model(inputs)[:, target, None, None, None]

    by_hand = equipoise.attribute(model, images(), 1, method=score, output=1)
    assert torch.equal(by_hand, equipoise.attribute(Net(), images(), 1, method=score))
    with pytest.raises(equipoise.EquipoiseError, match="output"):
        equipoise.attribute(model, images(), 1, method="rise", outputs=1)


def test_a_batch_as_large_as_the_number_of_classes_is_a_batch():
    assert pick_output(torch.zeros(4), 4).shape == (4, 1)
    with pytest.raises(ShapeError, match=r"\(4,\)"):
        pick_output(torch.zeros(4), 1)
