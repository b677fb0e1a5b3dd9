"""Several classes that stand for one: what every method has to make of them."""

import pytest
import torch
from test_model_methods import CHEAP

import equipoise
from equipoise import ClassGroup
from equipoise.errors import TargetError
from equipoise.methods.targets import resolve_targets
from helpers import Plain, make, relative_error

METHODS = equipoise.METHODS.names()
CONTRASTS = ["contrastive_lrp", "relevance_cam", "agf"]


def explain(method, target, n=2):
    model, x = make(Plain, n=n)
    return equipoise.attribute(model, x, target, method=method, **CHEAP.get(method, {}))


@pytest.mark.parametrize("method", METHODS)
def test_a_group_of_one_class_is_that_class(method):
    assert relative_error(explain(method, ClassGroup((3,))), explain(method, 3)) < 1e-9


@pytest.mark.parametrize("method", METHODS)
def test_several_groups_equal_one_at_a_time(method):
    groups = [ClassGroup((0, 2)), ClassGroup((1, 3, 4))]
    many = explain(method, groups)
    assert many.shape[:2] == (2, 2)
    for k, group in enumerate(groups):
        assert relative_error(many[:, k], explain(method, group)) < 1e-6


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_the_members_does_not_matter(method):
    assert relative_error(explain(method, ClassGroup((4, 1))), explain(method, ClassGroup((1, 4)))) < 1e-9


@pytest.mark.parametrize("method", CONTRASTS)
def test_a_contrast_needs_to_know_the_others(method):
    group = ClassGroup((0, 2))
    as_function = explain(method, group.__call__) if method == "relevance_cam" else None
    if as_function is None:
        with pytest.raises(TargetError, match="function of the logits"):
            explain(method, group.__call__)
    else:
        assert relative_error(as_function, explain(method, group)) > 1e-3, "members are no others"


@pytest.mark.parametrize("variant", ["others", "clrp1", "sglrp"])
def test_no_member_is_held_against_its_group(variant):
    """The contrast of a group starts at the classes outside of it alone."""
    from equipoise.methods.contrastive_lrp import VARIANTS

    logits = torch.tensor([[1.0, 2.0, -0.5, 0.7]], dtype=torch.float64)
    targets = resolve_targets(ClassGroup((0, 2)), logits)
    own, others = VARIANTS[variant].starts(logits, targets.seeds, targets.others)
    assert own[0, 0, [1, 3]].abs().sum() == 0
    assert others[0, 0, [0, 2]].abs().sum() == 0
    assert (others[0, 0, [1, 3]] != 0).all()


def test_the_probability_of_a_group_is_the_sum_of_its_members():
    logits = torch.randn(3, 6, dtype=torch.float64)
    score = ClassGroup((1, 4))(logits) - logits.logsumexp(1)
    torch.testing.assert_close(score.exp(), logits.softmax(1)[:, [1, 4]].sum(1))


@pytest.mark.parametrize("members", [(), (1, 1)])
def test_a_group_names_each_member_once(members):
    with pytest.raises(TargetError, match="at least one"):
        ClassGroup(members)


def test_a_member_that_is_no_class():
    with pytest.raises(TargetError, match="class 5 does not exist: this network has classes 0 to 4"):
        explain("ae", ClassGroup((0, 5)))


def test_functions_that_name_classes_are_classes():
    logits = torch.tensor([[0.0, 3.0, 1.0], [5.0, 4.0, 1.0]])
    found = resolve_targets([lambda y: y.argmax(1), lambda y: y.argmin(1)], logits)
    assert found.indices.tolist() == [[1, 0], [0, 2]]
