"""What was found out about a weight holds until it changes."""

import gc

import pytest
import torch

from equipoise.engine.remembered import Remembered, of_usual_size, ordinary, without_zeros


@pytest.mark.parametrize("change", [
    lambda w: w.zero_(),
    lambda w: w.set_(torch.zeros(4, 4)),
    lambda w: setattr(w, "data", torch.zeros(4, 4)),
], ids=["in place", "other memory", "other data"])  # fmt: skip
def test_a_change_is_seen(change):
    weight = torch.linspace(-1, 1, 16).reshape(4, 4)
    assert ordinary(weight)
    assert ordinary(weight)
    assert without_zeros(weight)
    with torch.no_grad():
        change(weight)
    assert not ordinary(weight)
    assert not without_zeros(weight)


def test_nothing_is_kept_of_a_weight_that_is_gone():
    known = Remembered()
    weight = torch.ones(3)
    known.note(weight, fact=True)
    assert weight in known
    assert torch.ones(3) not in known
    del weight
    gc.collect()
    assert not known._known


def test_where_no_change_can_be_seen_nothing_is_remembered():
    known = Remembered()
    with torch.inference_mode():
        weight = torch.ones(3)
    for tensor in (weight, torch.ones(3, device="meta"), torch.ones(3).to_sparse()):
        known.note(tensor, fact=True)
        assert tensor not in known


def test_what_is_not_so_is_asked_once_too():
    known, asked = Remembered(), []
    weight = torch.zeros(3)
    for _ in range(2):
        assert known.of(weight, lambda one: asked.append(one) or 7) == 7
    weight += 1
    assert known.of(weight, lambda one: asked.append(one) or 8) == 8
    assert len(asked) == 2


def test_a_view_made_anew_is_known_again_but_no_other_view():
    known = Remembered()
    weight = torch.arange(6.0)
    known.note(weight[:3], fact="low")
    known.note(weight[3:], fact="high")
    assert known.of(weight[:3], lambda _: "asked") == "low"
    assert known.of(weight[3:], lambda _: "asked") == "high"
    assert weight not in known
    assert weight[:2] not in known
    weight[0] = 9
    assert weight[:3] not in known


def test_the_size_of_a_weight_is_known_of_what_lasts_alone():
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    assert of_usual_size(weight)
    assert of_usual_size(weight.reshape(1, 2))
    assert not of_usual_size(weight.detach() + 0), "made anew"
    with torch.no_grad():
        weight[1] = -1e30
    assert not of_usual_size(weight)
    with torch.inference_mode():
        assert not of_usual_size(torch.nn.Parameter(torch.ones(2)))
