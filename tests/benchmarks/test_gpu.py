"""The script for GPUs runs on a CPU; what it needs of a GPU is tested where there is one."""

import json

import gpu
import measuring
import pytest
import render
import torch


def test_a_quick_run_writes_every_precision(tmp_path):
    path = tmp_path / "gpu.json"
    gpu.main(["--device", "cpu", "--quick", "--output", str(path)])
    data = json.loads(path.read_text())
    assert data["machine"] == measuring.machine()
    assert data["device"] == {"name": "cpu"}
    assert set(data["peak"]) == set(data["models"]["resnet18"]) == {"float32", "tf32", "bfloat16"}
    for found in data["models"]["resnet18"].values():
        assert set(found["1"]) == {"gradient", "ae", "zennit EpsilonGammaBox", "captum LRP"}
        assert found["1"]["gradient"]["units"]["median"] == 1
        assert found["1"]["ae"]["images_per_second"]["median"] > 0
        assert found["1"]["ae"]["roofline"]["median"] > 0
        assert found["1"]["ae"]["peak_mib"] is None
    assert "| resnet18 | bfloat16 | 1 | ae |" in render.page({"gpu": [data]})


def test_memory_that_does_not_suffice_is_a_result(monkeypatch):
    def none_left():
        raise torch.OutOfMemoryError("not enough")

    calls = iter(range(10))

    def later():
        if next(calls):
            none_left()

    subjects = {
        "gradient": lambda *_: lambda: None,
        "ae": lambda *_: later,
        "zennit EpsilonGammaBox": lambda *_: none_left,
        "captum LRP": lambda model, _: model.missing,
    }
    monkeypatch.setattr(gpu, "SUBJECTS", subjects)
    result = gpu.measure(torch.nn.Identity(), torch.zeros(1, 3, 4, 4), 2, 1.0)
    assert result["ae"] == result["zennit EpsilonGammaBox"] == {"fails": "out of memory"}
    assert result["captum LRP"]["fails"].startswith("AttributeError")
    assert result["gradient"]["units"]["median"] == 1


def test_operations_are_those_of_the_products():
    a, b = torch.zeros(3, 4), torch.zeros(4, 5)
    assert gpu.operations(lambda: a @ b) == 2 * 3 * 4 * 5


def test_tf32_is_as_before_afterwards():
    def now():
        return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32

    def fail(allowed):
        with gpu.tf32(allowed=allowed):
            assert now() == (allowed, allowed)
            raise ZeroDivisionError

    before = now()
    for allowed in (True, False):
        with pytest.raises(ZeroDivisionError):
            fail(allowed)
        assert now() == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_the_script_says_so_and_writes_nothing(tmp_path, capsys):
    gpu.main(["--output", str(tmp_path / "gpu.json")])
    assert "no CUDA device" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_on_a_gpu_memory_is_counted(tmp_path):
    path = tmp_path / "gpu.json"
    gpu.main(["--quick", "--output", str(path)])
    assert json.loads(path.read_text())["models"]["resnet18"]["float32"]["1"]["ae"]["peak_mib"] > 0
