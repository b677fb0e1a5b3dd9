"""A quick run of the cost of AE, and parts that are measured one by one."""

import json

import ae_cost
import measuring
import render
import torch

from helpers import relative_error


def run(path, monkeypatch, *more):
    monkeypatch.setattr(ae_cost, "peak", lambda *_case: 1)
    ae_cost.main(["--quick", "--output", str(path), *more])
    return json.loads(path.read_text())


def test_a_quick_run_measures_every_subject(tmp_path, monkeypatch):
    data = run(tmp_path / "cost.json", monkeypatch, "--only", "efficientnet_lite0")
    assert data["machine"] == measuring.machine()
    found = data["models"]["efficientnet_lite0"]["1"]
    assert set(found) == {*ae_cost.SUBJECTS, "further_class", "ae_to_channels_last", "fine_to_paper", "where"}
    assert found["gradient"]["units"]["median"] == 1
    assert found["ae"]["units"]["runs"] == found["ae_to_channels_last"]["runs"] == found["fine_to_paper"]["runs"] == 3
    assert "no rule" in found["captum LRP"]["fails"]
    memory = data["memory"]["efficientnet_lite0"]["1"]
    assert {name: one["runs"] for name, one in memory.items()} == dict.fromkeys(ae_cost.SUBJECTS, 1) | ae_cost.PEAKS
    assert 0 < found["where"]["share_of_weights"] < 1
    page = render.page({"ae_cost": data})
    assert "| efficientnet_lite0 | 1 | gradient, channels last |" in page
    assert "| efficientnet_lite0 | 1 | ae, fine |" in page
    ratio = render.written(found["fine_to_paper"])
    assert any(
        line.startswith("| efficientnet_lite0 | 1 |") and line.endswith(f"| {ratio} |") for line in page.splitlines()
    )


def test_only_keeps_the_other_networks(tmp_path, monkeypatch):
    path = tmp_path / "cost.json"
    monkeypatch.setattr(ae_cost, "measure", lambda name, batch, *_settings: {"of": f"{name} {batch}"})
    run(path, monkeypatch, "--only", "vgg16")
    run(path, monkeypatch, "--only", "resnet50", "--batch", "8")
    data = run(path, monkeypatch, "--only", "resnet50", "--batch", "1")
    assert data["models"] == {
        "vgg16": {"1": {"of": "vgg16 1"}},
        "resnet50": {"8": {"of": "resnet50 8"}, "1": {"of": "resnet50 1"}},
    }
    assert list(run(path, monkeypatch)["models"]) == list(ae_cost.MODELS)


def test_both_units_are_the_same_gradient():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    model.requires_grad_(requires_grad=False)
    images = torch.randn(2, 3, 8, 8)
    plain = ae_cost.SUBJECTS[ae_cost.UNIT](model, images)()
    assert relative_error(ae_cost.SUBJECTS[ae_cost.CHANNELS_LAST](model, images)(), plain) < 1e-5
    assert model[0].weight.is_contiguous()


def test_the_peak_is_that_of_a_fresh_process():
    small, large = (ae_cost.peak(ae_cost.UNIT, "efficientnet_lite0", batch, 64) for batch in (1, 8))
    assert 0 < small < large
