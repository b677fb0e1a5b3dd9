"""Occlusion, RISE, extremal perturbation, the random baseline, and the loop under them."""

import logging
import sys
import time

import pytest
import torch
import torch.nn.functional as F
from captum.attr import Occlusion as CaptumOcclusion
from torch import nn

import equipoise
from equipoise.errors import OptionError
from equipoise.methods import evaluate
from equipoise.methods.evaluate import Progress
from equipoise.methods.extremal import Blur, SmoothMask, gaussian_blur
from equipoise.methods.masks import RandomMasks, Windows
from equipoise.records import method_options
from helpers import NETWORKS, Plain, Residual, make, relative_error
from registered import CHEAP


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("window", "stride"), [(3, 3), (4, 2), (5, 3), (6, 1)])
def test_occlusion_equals_captums(network, window, stride):
    model, x = make(network)
    fill = torch.randn(3, *[1] * (x.dim() - 2), dtype=x.dtype)
    found = equipoise.attribute(model, x, [1, 4], method="occlusion", window=window, stride=stride, fill=fill)
    space = x.dim() - 2
    expected = CaptumOcclusion(model).attribute(
        x, (3, *[window] * space), (3, *[stride] * space), fill.expand_as(x), [1, 4]
    )
    assert relative_error(found.expand_as(x), expected) < 1e-6  # captum averages in float32


def test_windows_cover_every_pixel_and_are_cut_at_the_border():
    holes = Windows((7, 5), (3, 2), (2, 2))
    made = holes(torch.arange(len(holes)))
    assert (made.sum(0) > 0).all()
    assert made.shape == (3 * 3, 1, 7, 5)
    assert made[-1, 0].nonzero().tolist() == [[4, 4], [5, 4], [6, 4]]


def test_the_default_window_is_a_seventh():
    model, x = make(Plain)
    x = x[:, :, :14, :14]
    expected = equipoise.attribute(model, x, 1, method="occlusion", window=2, stride=1)
    assert torch.equal(equipoise.attribute(model, x, 1, method="occlusion"), expected)


@pytest.mark.parametrize(("score", "turn"), [("probability", lambda y: y.softmax(1)), ("logit", lambda y: y)])
def test_rise_is_eq_6(score, turn):
    model, x = make(Residual)
    options = {"masks": 25, "grid": 4, "keep": 0.3, "seed": 3, "score": score}
    found = equipoise.attribute(model, x, [1, 4], method="rise", **options)
    masks = RandomMasks(25, x.shape[2:], 4, 0.3, 3)(torch.arange(25)).double()
    expected = torch.zeros_like(x[:, :1])
    with torch.no_grad():
        for mask in masks:
            scores = turn(model(x * mask))[torch.arange(2), torch.tensor([1, 4])]
            expected += scores.reshape(2, 1, 1, 1) * mask / (25 * 0.3)
    assert relative_error(found, expected) < 1e-6  # masks are float32


def test_the_masks_of_rise():
    size, keep = (30, 44), 0.4
    masks = RandomMasks(400, size, 5, keep, seed=1)
    made = masks(torch.arange(400))
    assert made.shape == (400, 1, 30, 44)
    assert made.min() >= 0
    assert made.max() <= 1 + 1e-6
    assert abs(float(made.mean()) - keep) < 0.02
    mean = made.mean((0, 1))
    assert (mean - keep).abs().max() < 0.12, "no place is kept more often than another"
    assert torch.equal(made[[7, 3]], masks(torch.tensor([7, 3]))), "a mask is known by its number"
    for number, (down, right) in enumerate(masks.shift[:5].tolist()):
        large = F.interpolate(masks.cells[number : number + 1].float(), size=(6 * 6, 6 * 9), mode="bilinear")
        assert torch.equal(made[number], large[0, :, down : down + 30, right : right + 44])
    assert len({tuple(shift) for shift in masks.shift.tolist()}) > 30, "shifted by parts of a cell"


def test_rise_finds_the_part_that_matters():
    """A network that looks at one corner alone."""

    class Corner(nn.Module):
        def forward(self, x):
            seen = x[:, :, :8, :8].abs().mean((1, 2, 3))
            return torch.stack([4 * seen, torch.zeros_like(seen)], 1)

    x = torch.ones(1, 3, 32, 32)
    # A random mask shows half of everything, so RISE stands out from a floor.
    for method, times in (("rise", 1.04), ("occlusion", 100), ("kernel_shap", 100)):
        options = {"masks": 400} if method == "rise" else {"grid": 4} if method == "kernel_shap" else {}
        found = equipoise.attribute(Corner(), x, 0, method=method, **options)[0, 0]
        outside = found.sum() - found[:12, :12].sum()
        assert found[:8, :8].mean() > times * outside / (32 * 32 - 12 * 12), method


class Window(nn.Module):
    """Class 0 looks at one square, class 1 at another."""

    def forward(self, x):
        a = x[:, :, 8:24, 8:24].square().mean((1, 2, 3))
        b = x[:, :, 40:56, 30:60].square().mean((1, 2, 3))
        return 10 * torch.stack([a, b], 1)


def test_extremal_perturbation_keeps_what_matters_and_the_area():
    x = torch.randn(1, 3, 64, 64)
    masks = equipoise.attribute(
        Window(), x, torch.tensor([[0, 1]]), method="extremal_perturbation", steps=60, area=0.12
    )[0, :, 0]
    for mask, inside in zip(masks, (masks[0, 8:24, 8:24], masks[1, 40:56, 30:60]), strict=True):
        assert abs(float(mask.mean()) - 0.12) < 0.03
        assert inside.mean() > 5 * mask.mean()
        assert 0 <= mask.min() <= mask.max() <= 1
    two = equipoise.attribute(Window(), x, 0, method="extremal_perturbation", steps=60, area=(0.05, 0.12))
    one = equipoise.attribute(Window(), x, 0, method="extremal_perturbation", steps=60, area=0.05)
    assert relative_error(two[0, 0], (one[0, 0] + masks[0]) / 2) < 1e-4


def test_the_smooth_mask_is_a_maximum_over_a_disk():
    smooth = SmoothMask((64, 48), torch.device("cpu"), torch.float64)
    assert smooth.step == 2
    assert smooth.cells == (32, 24)
    coarse = torch.zeros(1, 1, 32, 24, dtype=torch.float64)
    assert not smooth(coarse).any()
    coarse[0, 0, 10, 12] = 1
    made = smooth(coarse)[0, 0]
    assert made.shape == (64, 48)
    peak = (made == made.max()).nonzero().double().mean(0)
    assert ((peak - torch.tensor([20.5, 24.5])).abs() < 2.1).all(), "around the cell's centre"
    assert made[20:22, 24:26].min() > 0.95, "a cell alone fills its place"
    assert smooth(torch.ones_like(coarse)).min() > 0.95


def test_blur_goes_from_the_image_to_its_widest_blur():
    x = torch.randn(2, 3, 30, 40, dtype=torch.float64)
    blur = Blur(x)
    one = torch.ones(2, 1, 30, 40, dtype=torch.float64)
    assert torch.equal(blur(one), x)
    assert torch.equal(blur(0 * one), gaussian_blur(x, 40 * 20 / 224))
    flat = torch.full_like(x, 3.0)
    assert relative_error(Blur(flat)(torch.rand_like(one)), flat) < 1e-12
    constant = gaussian_blur(x, 3.0)
    assert constant.std() < 0.2 * x.std()
    assert gaussian_blur(x, 0) is x


FEWER = {
    "rise": {"masks": 20},
    "lime": {"samples": 20, "grid": 2, "penalty": 1e-4},
    "kernel_shap": {"samples": 20, "grid": 2},
}


WITH_CHUNK = [name for name in equipoise.METHODS.names() if "chunk" in method_options(name)]


@pytest.mark.parametrize("method", WITH_CHUNK)
def test_fewer_large_images_go_together(method, monkeypatch):
    """As much memory as the same number of usual ones; the result is the same."""

    class Counting(nn.Module):
        def __init__(self, body):
            super().__init__()
            self.body, self.sizes = body, []

        def forward(self, x):
            self.sizes.append(len(x))
            return self.body(x)

    body, x = make(Plain, n=1)
    model, options = Counting(body), {**CHEAP.get(method, {}), "chunk": 8}
    expected = equipoise.attribute(model, x, 1, method=method, **options)
    before = max(model.sizes)
    model.sizes.clear()
    monkeypatch.setattr(evaluate, "USUAL", -(-x[0, 0].numel() // 4))
    assert relative_error(equipoise.attribute(model, x, 1, method=method, **options), expected) < 1e-6
    assert max(model.sizes) == min(before, 2)
    assert before > 2 or method in {"random", "extremal_perturbation"}  # one pass, or one for each target


def test_no_more_small_images_go_together():
    sides = {16: 64, 224: 64, 225: 63, 448: 16, 5000: 1}
    assert {side: evaluate.at_once(64, torch.zeros(()).expand(2, 3, side, side)) for side in sides} == sides
    assert evaluate.at_once(64, torch.zeros(()).expand(1, 1, 64, 64, 64)) == 12


@pytest.mark.parametrize(
    "method", ["rise", "occlusion", "score_cam", "smooth_grad", "integrated_gradients", "lime", "kernel_shap"]
)
def test_memory_that_runs_out_halves_the_chunk(method, caplog):
    """Up to five images fit; the result is the same."""

    class Small(nn.Module):
        def __init__(self, body, error):
            super().__init__()
            self.body, self.error, self.sizes = body, error, []

        def forward(self, x):
            self.sizes.append(len(x))
            if len(x) > 5:
                raise self.error
            return self.body(x)

    body, x = make(Plain, n=3)
    options = FEWER.get(method, {})
    expected = equipoise.attribute(body, x, 1, method=method, **options)
    for error in (torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("[enforce fail] not enough memory: 1 B")):
        model = Small(body, error)
        with caplog.at_level(logging.INFO, "equipoise"):
            found = equipoise.attribute(model, x, 1, method=method, chunk=16, **options)
        # Two solvers iterate to a tolerance of their own.
        assert relative_error(found, expected) < (1e-6 if method in {"lime", "kernel_shap"} else 1e-10)
        tried = [size for size in model.sizes if size > 5]
        assert tried == [16, 8], "never again what did not fit"
        assert "out of memory; 4 images at once from here on" in caplog.text
    for error in (torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("some other mistake")):
        model = Always(error)
        with pytest.raises(RuntimeError, match=str(error)):
            equipoise.attribute(model, x, 1, method=method)
        if method != "score_cam":  # which is recorded first
            assert model.calls == (2 if "memory" in str(error) else 1), "three images, then one; or no second try"


class Always(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.error, self.calls = error, 0

    def forward(self, _):
        self.calls += 1
        raise self.error


@pytest.mark.parametrize(("method", "passes"), [
    ("Rise", 40), ("Occlusion", 2 * 5 * 6), ("ScoreCam", 18), ("Lime", 40), ("KernelShap", 40),
])  # fmt: skip
def test_the_number_of_forward_passes_is_said_first(method, passes, caplog):
    name = {"ScoreCam": "score_cam", "KernelShap": "kernel_shap"}.get(method, method.lower())
    options = {"window": 5, "stride": 3} if method == "Occlusion" else FEWER.get(name, {})
    model, x = make(Plain)
    counted = []
    with caplog.at_level(logging.INFO, "equipoise"):
        model.register_forward_pre_hook(lambda _, args: counted.append((len(args[0]), len(caplog.records))))
        equipoise.attribute(model, x, 1, method=name, chunk=4, **options)
    assert [record.getMessage() for record in caplog.records] == [f"{method}: {passes} forward passes"]
    assert sum(size for size, said in counted if said) == passes
    assert sum(size for size, said in counted if not said) == 2, "the images themselves, for the classes"


class Terminal:
    def __init__(self):
        self.text = ""

    def isatty(self):
        return True

    def write(self, text):
        self.text += text

    def flush(self):
        pass


@pytest.mark.parametrize("rich", [True, False])
def test_a_terminal_is_shown_long_work_alone(monkeypatch, rich, caplog):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(sys, "stderr", Terminal())
    if not rich:
        monkeypatch.setitem(sys.modules, "rich.console", None)
    with Progress("Rise", 100) as progress:  # a second in all
        for _ in range(10):
            now[0] += 0.1
            progress.advance(10)
    assert not sys.stderr.text
    with caplog.at_level(logging.INFO, "equipoise"), Progress("Rise", 100) as progress:
        for _ in range(10):
            now[0] += 1
            progress.advance(10)
    assert "Rise: 100 forward passes" in sys.stderr.text
    assert len(caplog.records) == 11
    assert caplog.records[3].getMessage() == "Rise: 100 forward passes, 30 done after 3 s"


def test_a_log_that_is_shown_already_needs_no_bar(monkeypatch):
    now, log, handler = [0.0], logging.getLogger("equipoise"), logging.NullHandler()
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(sys, "stderr", Terminal())
    log.addHandler(handler)
    try:
        with Progress("Rise", 100) as progress:
            now[0] = 10
            progress.advance(50)
    finally:
        log.removeHandler(handler)
    assert not sys.stderr.text


def test_without_a_terminal_nothing_is_printed(capsys):
    model, x = make(Plain)
    equipoise.attribute(model, x, 1, method="rise", masks=10)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("method", ["rise", "occlusion"])
def test_the_chunk_does_not_change_the_result(method):
    model, x = make(Residual, n=3)
    options = {"masks": 20} if method == "rise" else {}
    expected = equipoise.attribute(model, x, 1, method=method, chunk=1, **options)
    for chunk in (2, 7, 1000):
        assert relative_error(equipoise.attribute(model, x, 1, method=method, chunk=chunk, **options), expected) < 1e-10


def test_random_is_uniform_and_knows_the_image_by_its_content():
    model, x = make(Plain, n=3)
    large = torch.randn(1, 3, 100, 120, dtype=torch.float64)
    found = equipoise.attribute(model, large, 1, method="random")
    assert found.min() >= 0
    assert found.max() < 1
    assert abs(float(found.mean()) - 0.5) < 0.01
    assert abs(float(found.var()) - 1 / 12) < 0.002
    twice = equipoise.attribute(model, torch.cat([x, x[:1]]), 1, method="random")
    assert torch.equal(twice[0], twice[3])
    assert not torch.equal(twice[0], twice[1])
    assert not torch.equal(twice[:3], equipoise.attribute(model, x, 2, method="random")), "another class"


@pytest.mark.parametrize(("method", "options", "words"), [
    ("rise", {"masks": 0}, "from 1 on"),
    ("rise", {"grid": 2.0}, "whole number"),
    ("rise", {"keep": 1.0}, "between 0 and 1"),
    ("rise", {"score": "log"}, "probability, logit"),
    ("occlusion", {"window": 0}, "from 1 on"),
    ("occlusion", {"window": 3, "stride": 4}, "left out"),
    ("occlusion", {"fill": torch.zeros(5)}, "must broadcast"),
    ("extremal_perturbation", {"area": 1.0}, "between 0 and 1"),
    ("extremal_perturbation", {"area": ()}, "between 0 and 1"),
    ("extremal_perturbation", {"steps": 0}, "from 1 on"),
    ("score_cam", {"chunk": -1}, "from 1 on"),
])  # fmt: skip
def test_options_that_make_no_sense(method, options, words):
    with pytest.raises(OptionError, match=words):
        equipoise.attribute(*make(Plain), method=method, **options)
