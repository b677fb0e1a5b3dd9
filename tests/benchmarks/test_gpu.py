"""The script for GPUs runs on a CPU; what it needs of a GPU is tested where there is one."""

import json

import gpu
import measuring
import pytest
import render
import torch

from equipoise.engine.precision import PRECISIONS

SUBJECTS = {"gradient", "gradient, channels last", "ae", "ae, other layout", "zennit EpsilonGammaBox", "captum LRP"}


def test_a_quick_run_writes_every_precision(tmp_path):
    path = tmp_path / "gpu.json"
    gpu.main(["--device", "cpu", "--quick", "--output", str(path)])
    data = json.loads(path.read_text())
    assert data["machine"] == measuring.machine()
    assert data["device"] == {"name": "cpu"}
    assert set(data["peak"]) == set(data["models"]["resnet18"]) == set(PRECISIONS)
    for found in data["models"]["resnet18"].values():
        assert set(found["1"]) == SUBJECTS
        assert found["1"]["gradient"]["units"]["median"] == 1
        assert found["1"]["ae"]["images_per_second"]["median"] > 0
        assert found["1"]["ae"]["roofline"]["median"] > 0
        assert found["1"]["ae"]["peak_mib"] is None
    assert set(data["data set"]["resnet18"]) == {"tf32", "bfloat16"}
    for found in data["data set"]["resnet18"].values():
        assert found["images"] == 2
        assert found["minutes of 50,000 images"] == pytest.approx(50_000 / found["images_per_second"] / 60, rel=0.01)
    assert data["waits"]["resnet18"] == {"fails": "there is no GPU"}
    assert set(data["agreement"]["resnet18"]) == set(gpu.AGREEING)
    assert max(data["agreement"]["resnet18"].values()) < 1e-3
    text = render.page({"gpu": [data]})
    assert "| resnet18 | bfloat16 | 1 | ae |" in text
    assert "largest difference: resnet18: ae " in text


class Parts(gpu.Run):
    """A run whose parts take as long as they say, by a clock of its own."""

    def __init__(self, path, now):
        self.record = measuring.Record(path, {}, go_on=path.exists())
        self.device, self.now, self.done = torch.device("cpu"), now, []

    def find(self, *keys):
        self.now[0] += float(keys[1])
        if keys[0] == "bad":
            raise ZeroDivisionError
        self.done.append(keys)
        return {"seconds": keys[1]}


def test_no_part_is_begun_that_the_budget_may_not_hold(tmp_path, monkeypatch, capsys):
    now, path = [0.0], tmp_path / "a.json"
    monkeypatch.setattr(gpu.time, "monotonic", lambda: now[0])
    parts = [("a", "3"), ("bad", "4"), ("b", "1"), ("c", "2")]
    run = Parts(path, now)
    gpu.within(run, parts, 11.0, again=True)
    assert run.done == [("a", "3"), ("b", "1")], "8 spent, and the longest took 4"
    data = json.loads(path.read_text())
    assert data["bad"]["4"] == {"fails": "ZeroDivisionError: "}, "one part costs no other"
    assert "c, 2: not measured, the budget is spent" in capsys.readouterr().err
    run = Parts(path, now)
    gpu.within(run, parts, 100.0, again=False)
    assert run.done == [("c", "2")], "the rest is known"
    assert set(json.loads(path.read_text())) >= {"a", "b", "c", "bad"}


def test_what_tells_most_comes_first_and_all_is_planned():
    parts = list(gpu.planned(gpu.MODELS, gpu.BATCHES))
    assert len(set(parts)) == len(parts)
    assert [part[0] for part in parts[:3]] == ["peak"] * 3, "roofs, which cases need"
    assert len([part for part in parts if part[0] == "models"]) == 3 * 3 * 5
    last = parts.index(("data set", "vgg16", "tf32"))
    assert all("vgg16" in part for part in parts[last:])
    assert all("vgg16" not in part for part in parts[:last] if part[0] not in ("waits", "agreement"))


def test_memory_that_does_not_suffice_is_a_result(monkeypatch):
    def none_left():
        raise torch.OutOfMemoryError("not enough")

    calls = iter(range(10))

    def later():
        if next(calls) > 1:
            none_left()

    subjects = {
        "gradient": lambda *_: lambda: None,
        "gradient, channels last": lambda *_: later,
        "zennit EpsilonGammaBox": lambda *_: none_left,
        "captum LRP": lambda model, _: model.missing,
    }
    monkeypatch.setattr(gpu, "SUBJECTS", subjects)
    monkeypatch.setattr(gpu, "ae", lambda *_, **__: none_left)
    result = gpu.measure("float32", torch.nn.Identity(), torch.zeros(1, 3, 4, 4), 2, 1.0)
    fails = {"fails": "out of memory"}
    assert result["ae"] == result["zennit EpsilonGammaBox"] == result["gradient, channels last"] == fails
    assert result["captum LRP"]["fails"].startswith("AttributeError")
    assert result["gradient"]["units"]["median"] == 1


def test_a_data_set_takes_smaller_batches_where_memory_does_not_suffice(monkeypatch):
    sizes = []

    def maps(_method, images):
        sizes.append(len(images))
        if len(images) > 2:
            raise torch.OutOfMemoryError("not enough")

    monkeypatch.setattr(gpu, "_maps", maps)
    found = gpu.data_set("tf32", torch.nn.Conv2d(3, 2, 1), 8, 4, 5)
    assert sizes == [8, 4, 2, 2, 2, 2], "then one to warm up, and three for five images"
    assert (found["batch"], found["images"]) == (2, 6)


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
