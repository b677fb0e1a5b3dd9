"""An operation without a rule is loud: name, shapes, place, neighbours, cure."""

import pytest
import torch
from torch import nn

import equipoise
from equipoise.engine import OPERATIONS, Composite, OpKind, register
from equipoise.engine.operations import operation_name
from equipoise.errors import DuplicateNameError, UnsupportedOperationError


class Odd(nn.Module):
    """Applies ``torch.erfinv``, which no network uses, between two convolutions."""

    def __init__(self, where="body"):
        super().__init__()
        self.first, self.second, self.fc = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 5)
        self.where = where

    def forward(self, x):
        x = self.first(x)
        if self.where == "body":
            x = torch.erfinv(x.tanh())
        x = self.second(x).relu()
        pooled = x.mean((2, 3))
        return self.fc(torch.erfinv(pooled.tanh()) if self.where == "head" else pooled)


def test_the_error_says_what_where_and_how():
    with pytest.raises(UnsupportedOperationError) as raised:
        equipoise.attribute(Odd().eval(), torch.randn(2, 3, 9, 9))
    text = str(raised.value)
    assert "erfinv(2x4x7x7) -> 2x4x7x7" in text
    assert "test_unsupported.py:" in text
    assert 'register("erfinv"' in text
    assert isinstance(raised.value, NotImplementedError)


def test_in_the_classification_stage_any_differentiable_operation_will_do():
    assert equipoise.attribute(Odd("head").eval(), torch.randn(2, 3, 9, 9)).abs().sum() > 0


def test_registering_a_word_is_enough(monkeypatch):
    monkeypatch.setattr(OPERATIONS, "_entries", dict(OPERATIONS._entries))
    register("erfinv", OpKind.ACTIVATION)
    assert equipoise.attribute(Odd().eval(), torch.randn(2, 3, 9, 9)).abs().sum() > 0
    with pytest.raises(DuplicateNameError, match="erfinv"):
        register("erfinv", OpKind.ACTIVATION)


def test_a_composite_without_a_rule_for_a_kind_says_so():
    from equipoise.engine import Relevance, propagate, record

    trace = record(Odd("none").eval(), torch.randn(1, 3, 9, 9))
    with pytest.raises(UnsupportedOperationError, match=r"'empty' has no rule for linear map.*in fc"):
        propagate(trace, {trace.output: Relevance(torch.ones(1, 1, 5))}, Composite("empty", {}))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

    def forward(self, x):
        y = self.conv(x).relu()
        tokens = y.flatten(2).mT
        mixed = nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
        return self.fc((y + mixed.mT.unflatten(2, y.shape[2:])).relu().mean((2, 3)))


def test_attention_is_refused():
    with pytest.raises(UnsupportedOperationError, match="scaled_dot_product_attention"):
        equipoise.attribute(Attention().eval(), torch.randn(1, 3, 7, 7))


@pytest.mark.parametrize(("function", "name"), [
    (torch.Tensor.add_, "add"), (torch.add, "add"), (torch.Tensor.__iadd__, "add"), (torch.Tensor.__rsub__, "rsub"),
    (torch.Tensor.__getitem__, "getitem"), (torch.nn.functional.relu_, "relu"), (torch.max_pool2d, "max_pool2d"),
])  # fmt: skip
def test_the_name_of_an_operation_is_one_for_all_its_spellings(function, name):
    assert operation_name(function) == name
