"""Targets as people have them: arrays, one-hot rows, a thousand at once."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import equipoise
from equipoise.engine import layout, record
from equipoise.errors import TargetError
from helpers import relative_error
from registered import EVERY, explain, images, network

every = pytest.mark.parametrize("method", EVERY)


@every
def test_arrays_are_targets(method):
    model, x = network(), images()
    expected = explain(method, model, x, [1, 2])
    for target in (np.array([1, 2]), np.array([1, 2], dtype=np.int32), [np.int64(1), np.int64(2)], torch.tensor([1, 2]),
                   [torch.tensor(1), torch.tensor(2)]):  # fmt: skip
        assert torch.equal(explain(method, model, x, target), expected)
    both = explain(method, model, x, np.array([[1, 0], [2, 3]]))
    assert torch.equal(both, explain(method, model, x, torch.tensor([[1, 0], [2, 3]])))
    ragged = explain(method, model, x, [np.array([1]), torch.tensor([2, 3])])
    assert [len(rows) for rows in ragged] == [1, 2]


@pytest.mark.parametrize("target", [
    np.array([1.0, 2.0]), np.array([True, False]), np.array([[1], [2, 3]], dtype=object), np.array(["a", "b"]),
])  # fmt: skip
def test_arrays_of_anything_else_are_refused(target):
    with pytest.raises(TargetError):
        equipoise.attribute(network(), images(), target)


@every
def test_one_hot_rows_are_refused_with_the_way_out(method):
    rows = F.one_hot(torch.tensor([1, 3]), 4)
    for target in (rows, rows.tolist(), rows.numpy(), rows | F.one_hot(torch.tensor([0, 0]), 4)):
        with pytest.raises(TargetError, match=r"one-hot; pass target.argmax\(1\)"):
            explain(method, network(), images(), target)


def test_both_classes_of_two_and_all_of_several_are_lists_of_classes():
    model, x = network(), images()
    assert equipoise.attribute(model, x, torch.arange(4).expand(2, 4)).shape[:2] == (2, 4)
    model[6] = torch.nn.Linear(8, 2)
    assert equipoise.attribute(model, x, torch.tensor([[0, 1], [1, 0]])).shape[:2] == (2, 2)


@every
def test_targets_in_parts_are_those_at_once(method, monkeypatch):
    if method in {"lime", "kernel_shap", "extremal_perturbation"}:
        pytest.skip("takes its targets one at a time, and long")
    model, x = network(), images()
    target = torch.tensor([[0, 1, 2, 3, 1], [3, 3, 0, 1, 2]])
    expected = explain(method, model, x, target)
    widest = 2 * 8 * 10 * 10 * 4
    for at_once in (1, 2, 3):
        monkeypatch.setattr(layout, "TARGETS", at_once * widest)
        assert layout.targets_at_once(record(model, x)) == at_once
        found = explain(method, model, x, target)
        assert relative_error(found, expected) < 1e-5


def test_notes_of_targets_in_parts_count_on(monkeypatch):
    model, x = network(), images(1)
    with torch.no_grad():
        model[6].weight[3] = 0
    monkeypatch.setattr(layout, "TARGETS", 1)
    method = equipoise.AttributionEquilibrium(model)
    method.attribute(x, torch.tensor([[0, 1, 2, 3]]))
    assert any("target 3:" in note for note in method.notes)


def test_what_is_carried_together_never_grows_with_the_number_of_targets(monkeypatch):
    model, x = network(), images()
    monkeypatch.setattr(layout, "TARGETS", 3 * 2 * 8 * 10 * 10 * 4)
    largest = 0

    class Measures(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor) and result.dim() == 5 and result.shape[2] == 8:
                largest = max(largest, result.shape[0])
            return result

    with Measures():
        equipoise.attribute(model, x, torch.zeros(2, 50, dtype=torch.long), method="lrp_alpha_beta")
    assert 0 < largest <= 3
