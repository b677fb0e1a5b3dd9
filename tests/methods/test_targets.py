"""Every form of a target, and every mistake."""

import pytest
import torch

from equipoise.errors import ShapeError, TargetError
from equipoise.methods.targets import resolve_targets

LOGITS = torch.tensor([[0.0, 3.0, 1.0, 2.0], [5.0, 4.0, 1.0, 2.0]])


@pytest.mark.parametrize(("target", "classes"), [
    (None, [[1, 0]]),
    (2, [[2, 2]]),
    (torch.tensor(2), [[2, 2]]),
    ([3, 1], [[3, 1]]),
    ((3, 1), [[3, 1]]),
    (torch.tensor([3, 1]), [[3, 1]]),
    (torch.tensor([[3, 1, 0], [2, 2, 1]]), [[3, 2], [1, 2], [0, 1]]),
    ([[3], [2, 1]], [[3, 2], [3, 1]]),
    (lambda logits: logits.argmin(1), [[0, 2]]),
])  # fmt: skip
def test_classes_and_seeds(target, classes):
    found = resolve_targets(target, LOGITS)
    assert found.indices.tolist() == classes
    assert found.seeds.argmax(2).tolist() == classes
    assert found.seeds.sum(2).unique().tolist() == [1.0]
    expected = [[LOGITS[n, c].item() for n, c in enumerate(row)] for row in classes]
    assert found.scores.tolist() == expected


def test_a_function_of_the_logits_is_its_gradient():
    found = resolve_targets(lambda logits: logits[:, 1:3].logsumexp(1), LOGITS)
    assert found.indices is None
    torch.testing.assert_close(found.seeds[0, :, 1:3], LOGITS[:, 1:3].softmax(1))
    assert found.seeds[0, :, [0, 3]].abs().sum() == 0


@pytest.mark.parametrize(("target", "shape"), [
    (1, (2, 3, 4, 4)), (torch.tensor([[1, 2, 3], [0, 0, 0]]), (2, 3, 3, 4, 4)),
])  # fmt: skip
def test_shape_of_the_result(target, shape):
    found = resolve_targets(target, LOGITS)
    assert found.format(torch.zeros(len(found.seeds), 2, 3, 4, 4)).shape == shape


def test_a_ragged_list_gives_a_list():
    found = resolve_targets([[3], [2, 1]], LOGITS)
    result = found.format(torch.arange(2.0 * 2 * 3 * 4 * 4).reshape(2, 2, 3, 4, 4))
    assert [r.shape[0] for r in result] == [1, 2]


@pytest.mark.parametrize(("target", "error", "words"), [
    (4, TargetError, "class 4 does not exist.*0 to 3"),
    (-1, TargetError, "class -1"),
    ([0], TargetError, "1 targets for a batch of 2"),
    ("dog", TargetError, "not str"),
    (True, TargetError, "truth value"),
    (1.5, TargetError, "not float"),
    ([0.5, 1.0], TargetError, "whole numbers"),
    (["dog", "cat"], TargetError, "class indices"),
    ([[], [1]], TargetError, "at least one"),
    (torch.tensor([0.0, 1.0]), TargetError, "torch.long"),
    (torch.zeros(3, dtype=torch.long), ShapeError, r"\(3,\); expected \(2,\) or \(2, k\)"),
    (torch.zeros(2, 0, dtype=torch.long), ShapeError, r"\(2, 0\)"),
    (lambda logits: logits, ShapeError, r"\(2, 4\) to \(2,\)"),
    (lambda _logits: torch.zeros(2), TargetError, "do not depend"),
    (lambda _logits: 3, ShapeError, "int"),
])  # fmt: skip
def test_mistakes(target, error, words):
    with pytest.raises(error, match=words):
        resolve_targets(target, LOGITS)
