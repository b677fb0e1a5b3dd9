"""The network under test: its classes, its view of a photo, its methods, its loading."""

import pytest
import torch
from PIL import Image

import colors
from equipoise._references import resolve
from equipoise.errors import OptionError, ShapeError, UnsupportedModelError
from equipoise.experiments import READOUTS, MethodRun
from equipoise.experiments.subject import Classes, Lab
from equipoise.methods import METHODS, ClassGroup
from equipoise.metrics import smooth


@pytest.fixture
def subject():
    return Lab().subject("colors:build")


def test_a_category_is_a_class_a_group_or_nothing():
    classes = Classes(((3,), (1, 2), ()), own=False)
    assert classes.target(0) == 3
    assert classes.target(1) == ClassGroup((1, 2))
    assert classes.target(2) is None
    assert classes.target(7) is None


def test_a_network_of_other_classes_says_one_category():
    """Two classes of 1 together outweigh one of 1.5: log 2 + 1 > 1.5."""
    classes = Classes(((0,), (1, 2), ()), own=False)
    assert classes.predicted(torch.tensor([1.5, 1.0, 1.0])) == {1}
    assert classes.predicted(torch.tensor([2.5, 1.0, 1.0])) == {0}
    assert Classes(((), ()), own=False).predicted(torch.zeros(3)) == frozenset()


def test_a_network_of_the_data_sets_classes_says_all_that_are_likely():
    classes = Classes(((0,), (1,), (2,)), own=True)
    assert classes.predicted(torch.tensor([2.0, -1.0, 0.1])) == {0, 2}
    assert classes.predicted(torch.tensor([-2.0, -1.0, -3.0])) == {1}


@pytest.mark.parametrize("size", [(100, 60), (60, 100), (48, 48), (500, 48)])
def test_the_whole_photo_is_shown_at_the_networks_shorter_side(subject, size):
    shown = subject.whole(Image.new("RGB", size, (255, 0, 0)))
    scale = colors.SIDE / min(size)
    assert shown.shape == (3, round(size[1] * scale), round(size[0] * scale))
    assert torch.equal(shown[0], torch.ones_like(shown[0]))


def test_several_targets_share_one_forward_pass(subject):
    """Every method that takes several classes of an image at once watches the network once for all of them."""
    inputs = torch.rand(1, 3, 48, 48)
    calls = []
    subject.module.register_forward_hook(lambda *_: calls.append(1))
    for name in ("ae", "lrp_composite", "contrastive_eb", "relevance_cam", "rsp", "agf", "rap", "grad_cam", "gradient"):
        counts = []
        for targets in ([0], [0, 1, 2], [ClassGroup((0, 1)), 2]):
            calls.clear()
            maps = subject.bind(MethodRun(name, name)).heatmaps(inputs, targets)
            assert maps.shape == (len(targets), 48, 48)
            counts.append(len(calls))
        assert len(set(counts)) == 1, (name, counts)


@pytest.mark.parametrize("name", [name for name in METHODS if not METHODS[name].costly])
def test_groups_and_classes_together_are_each_explained(subject, name):
    inputs = torch.rand(1, 3, 48, 48)
    bound = subject.bind(MethodRun(name, name))
    together = bound.heatmaps(inputs, [ClassGroup((0, 1)), 2])
    alone = torch.cat([bound.heatmaps(inputs, [ClassGroup((0, 1))]), bound.heatmaps(inputs, [2])])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_readouts_by_hand():
    attribution = torch.tensor([[[1.0]], [[-3.0]], [[1.0]]])
    assert {name: READOUTS[name](attribution).item() for name in READOUTS} == {
        "sum": -1.0,
        "absolute_sum": 5.0,
        "largest": 3.0,
    }


def test_maps_are_smoothed_after_the_readout(subject):
    inputs = torch.rand(1, 3, 48, 48)
    sharp = subject.bind(MethodRun("x", "gradient", readout="largest")).heatmaps(inputs, [0])
    blurred = subject.bind(MethodRun("x", "gradient", readout="largest", smooth=0.05)).heatmaps(inputs, [0])
    torch.testing.assert_close(blurred, smooth(sharp, 0.05))


def test_a_method_starts_half_way_down(subject):
    run = MethodRun("x", "grad_cam", {"interpolate": False}, layer="middle")
    assert subject.bind(run).heatmaps(torch.rand(1, 3, 48, 48), [0]).shape == (1, 48, 48)


def test_a_method_of_the_wrong_shape_is_refused(subject):
    with pytest.raises(ShapeError, match=r"flat returned \(1, 48, 48\) for 1 targets"):
        subject.bind(MethodRun("mine", "test_subject:flat")).heatmaps(torch.rand(1, 3, 48, 48), [0])


def flat(_model, inputs, _target):
    return inputs[:, 0]


def test_the_lab_holds_one_network_at_a_time(monkeypatch):
    made = []
    build = colors.build
    monkeypatch.setattr(colors, "build", lambda: made.append(1) or build())
    lab = Lab()
    assert lab.subject("colors:build") is lab.subject("colors:build")
    made.clear()
    lab.subject("colors:build_other")
    lab.subject("colors:build")
    assert len(made) == 2, "build_other makes one for its spec; the first network had gone"
    assert len(set(lab.checksums.values())) == 2


def test_an_own_network_without_a_spec_gets_one(monkeypatch):
    monkeypatch.setattr(colors, "bare", colors.ColorNet, raising=False)
    subject = Lab().subject("colors:bare")
    assert len(subject.spec.classes) == 4
    assert not subject.module.training


@pytest.mark.parametrize("made", [lambda: 3, lambda: (3, None), lambda: ("net", 4)])
def test_what_is_no_network_is_refused(monkeypatch, made):
    monkeypatch.setattr(colors, "made", made, raising=False)
    with pytest.raises(UnsupportedModelError, match="colors:made"):
        Lab().subject("colors:made")


@pytest.mark.parametrize("reference", ["colors:nothing", "no_such_module_of_mine:fn", "colors:ColorNet.nothing"])
def test_a_reference_that_leads_nowhere_is_named(reference):
    with pytest.raises(OptionError, match=reference.split(":", maxsplit=1)[0]):
        resolve(reference)
